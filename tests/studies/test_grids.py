"""Configs of sweeps and the cells that they stand for."""

import importlib.util
import json
import math
import pathlib

import pytest

from sparse_gf import specs
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import cost
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec
from sparse_gf.studies import jaiswal2022, masked_paper, tessera2021
from sparse_gf.studies import sweep as sweep_lib

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs" / "sweeps"


def load(path, *arguments):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*arguments)


def test_there_is_one_config_per_study_and_one_to_copy():
    studies = {*tessera2021.STUDIES, *masked_paper.STUDIES, *jaiswal2022.STUDIES}
    assert {path.stem for path in CONFIGS.glob("*.py")} == {*studies, "grid"}


@pytest.mark.parametrize("scale", tessera2021.SCALES)
@pytest.mark.parametrize("name", tessera2021.STUDIES)
def test_a_config_stands_for_its_study(name, scale):
    sweep = sweep_lib.expand(load(CONFIGS / f"{name}.py", scale))
    assert sweep.study == tessera2021.study(name, scale)
    assert sweep.scale == scale
    assert sweep.run == RunSpec()


def test_the_config_to_copy_is_the_product_of_its_axes():
    sweep = sweep_lib.expand(load(CONFIGS / "grid.py"))
    assert len(sweep.study.cells) == 2 * 2 * 3
    assert {cell.epochs for cell in sweep.study.cells} == {100}
    places = [(entry.row, entry.column) for entry in sweep.study.entries]
    assert len(set(places)) == 12
    assert ("momentum", "0.01, BN") in places


def test_a_grid_of_ones_own():
    config = sweep_lib.config(
        optimizer=("sgd", "adam"), hidden_layers=(1, 4), learning_rate=(0.1,)
    )
    cells = sweep_lib.expand(config).study.cells
    assert cells == tuple(
        CapacitySpec(optimizer=OptimizerSpec(name, 0.1), hidden_layers=depth)
        for depth in (1, 4)
        for name in ("sgd", "adam")
    )


def test_shared_values_change_every_cell():
    config = sweep_lib.config("table4", "smoke")
    config.epochs = 3
    config.seeds = (5,)
    config.dense_widths = (7, 20)
    config.preset = "paper"
    config.networks_per_program = 2
    sweep = sweep_lib.expand(config)
    assert len(sweep.study.cells) == 21
    for cell in sweep.study.cells:
        assert (cell.epochs, cell.seeds, cell.dense_widths) == (3, (5,), (7, 20))
        assert cell.optimizer.preset == "paper"
    assert sweep.run == RunSpec(networks_per_program=2)


def test_a_sweep_narrowed_to_some_values():
    config = sweep_lib.config("table5a", "paper")
    config.only.optimizer = ("adam", "sgd", "momentum")
    config.only.variant = ("NR", "L2", "BN")
    entries = sweep_lib.expand(config).study.entries
    assert len(entries) == 9
    assert {entry.row for entry in entries} == {"Adam", "SGD", "Mom (0.9)"}


def test_what_is_written_down_makes_the_same_sweep():
    config = sweep_lib.config("table3c", "small")
    config.only.optimizer = ("sgd",)
    config.dense_widths = (308,)
    config.data_dir = "/somewhere"
    sweep = sweep_lib.expand(config)
    again = sweep_lib.expand(json.loads(json.dumps(sweep.config)))
    assert again.study == sweep.study
    assert again.name == sweep.name
    # Where the data lie does not change which sweep it is.
    config.data_dir = "/elsewhere"
    assert sweep_lib.expand(config).name == sweep.name
    config.dense_widths = (923,)
    assert sweep_lib.expand(config).name != sweep.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": "table44"}, "study is 'table44'.*Did you mean 'table4'"),
        ({"scale": "tiny"}, "scale is 'tiny'.*paper, small, smoke"),
        ({"study": ""}, "config.study and config.grid are both empty"),
        ({"epochs": 0}, "config.epochs is 0"),
        ({"preset": "tensorflow"}, "config.optimizer.preset is 'tensorflow'"),
        ({"only": {"optimizer": ("adm",)}}, "only.optimizer is 'adm'.*'adam'"),
        ({"only": {"optimiser": ("adam",)}}, "Did you mean 'optimizer'"),
        ({"only": {"optimizer": "adam"}}, "must be a tuple of str"),
        ({"only": {"hidden_layers": (4.0,)}}, "must be a tuple of int"),
        ({"grid": {"variant": ("NR",)}}, "narrow it with config.only"),
        ({"epoch": 3}, "config key is 'epoch'.*Did you mean 'epochs'"),
        ({"seeds": (1, 1)}, "distinct"),
    ],
)
def test_what_is_refused(changes, message):
    config = {"study": "table4", "scale": "smoke"} | changes
    with pytest.raises(UserError, match=message):
        sweep_lib.expand(config)


def test_the_work_of_a_cell_by_hand():
    cell = CapacitySpec(
        dataset="digits",
        hidden_layers=2,
        dense_widths=(7,),
        seeds=(0, 1),
        train_examples=100,
        batch_size=50,
        epochs=3,
    )
    narrow = 64 * 7 + 7 * 7 + 7 * 10
    wide = 64 * 68 + 68 * 68 + 68 * 10
    assert cost.work(cell) == (narrow + wide) * 2 * 100 * 3


def test_the_speed_of_finished_cells_tells_the_time_of_others():
    cell = CapacitySpec(epochs=10)
    config = json.dumps(specs.to_config(cell, RunSpec()))
    speed = cost.Speed([(config, 30.0), (config, 20.0), (config, 100.0), ("{", 1.0)])
    assert str(speed) == "3 finished cells"
    assert speed.seconds(CapacitySpec(epochs=20)) == pytest.approx(2 * 30.0)
    assert math.isnan(speed.seconds(CapacitySpec(dataset="cifar10")))
