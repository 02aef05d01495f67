"""Configs of sweeps and the cells that they stand for."""

import dataclasses
import json
import math
import operator
import pathlib
import runpy

import pytest

from sparse_gf import specs, studies
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import cost
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec, OptimizerSpec, RunSpec
from sparse_gf.studies import sweep as sweep_lib

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs" / "sweeps"


def load(name, *arguments):
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"](*arguments)


def test_there_is_one_config_per_paper_and_one_to_copy():
    assert {path.stem for path in CONFIGS.glob("*.py")} == {*studies.PAPERS, "grid"}


@pytest.mark.parametrize("paper", studies.PAPERS)
@pytest.mark.parametrize("scale", studies.SCALES)
def test_a_setting_stands_for_its_study(paper, scale):
    own = studies.PAPERS[paper]
    for name in own.studies:
        study = studies.get(own.prefix + name, scale)
        sweep = sweep_lib.expand(load(paper, f"{name},{scale}"))
        assert sweep.study == study
        assert sweep.scale == scale
        assert sweep.run == RunSpec(save_networks=study.saves)
        again = sweep_lib.expand(json.loads(json.dumps(sweep.config)))
        assert (again.study, again.name) == (study, sweep.name)
        places = {(entry.row, entry.column) for entry in study.entries}
        assert len(places) == len(study.entries) or study.shown != "p-values"


def test_the_papers_scale_is_the_default():
    sweep = sweep_lib.expand(load("tessera2021", "table4"))
    assert sweep.scale == "paper"
    assert {cell.epochs for cell in sweep.study.cells} == {500}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tabel4", r"tessera2021.py:STUDY.* is 'tabel4'.*Did you mean 'table4'\?"),
        ("tost_table4", "STUDY.*Did you mean 'table4'"),
        ("table4,smok", r"SCALE of .* is 'smok'.*Did you mean 'smoke'\?"),
        ("table4,smoke,3", "SCALE of .* is 'smoke,3'"),
    ],
)
def test_settings_that_do_not_exist_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        load("tessera2021", setting)


def test_without_a_setting_there_is_a_list():
    config = load("jaiswal2022")
    assert (config.paper, config.study) == ("jaiswal2022", "")
    lines = list(sweep_lib.listing("jaiswal2022"))
    names = studies.PAPERS["jaiswal2022"].studies
    assert [line.split()[0] for line in lines[1:-2]] == list(names)
    (table2,) = (line for line in lines if line.startswith("table2 "))
    assert table2.split(maxsplit=3)[1:3] == ["124", "cells"]
    assert table2.endswith("ToST, Table 2: accuracy under five masks")
    # A study may still be named by its key.
    config.study, config.scale = "tost_table2", "smoke"
    assert sweep_lib.expand(config).study == studies.get("tost_table2", "smoke")


def test_names_are_of_one_study_each():
    assert len(studies.NAMES) == len(set(studies.NAMES)) == 32 + 13
    for name in studies.NAMES:
        study = studies.get(name, "smoke")
        assert study.name == name
        assert study.shown in studies.SHOWN


def test_the_config_to_copy_is_the_product_of_its_axes():
    sweep = sweep_lib.expand(load("grid"))
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
        for name in ("sgd", "adam")
        for depth in (1, 4)
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
    config.dense_widths = (40,)
    config.data_dir = "/somewhere"
    sweep = sweep_lib.expand(config)
    again = sweep_lib.expand(json.loads(json.dumps(sweep.config)))
    assert again.study == sweep.study
    assert again.name == sweep.name
    # Where the data lie does not change which sweep it is.
    config.data_dir = "/elsewhere"
    assert sweep_lib.expand(config).name == sweep.name
    config.dense_widths = (80,)
    assert sweep_lib.expand(config).name != sweep.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": "table44"}, "study is 'table44'.*Did you mean 'table4'"),
        ({"variant": "BN"}, "config.variant: cells that table4 compares become equal"),
        ({"model": "resnet20"}, "config key of table4 is 'model'"),
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


def test_a_study_of_masks_is_narrowed_and_changed():
    config = sweep_lib.config("masks", "smoke")
    config.only.method = ("snip", "grasp")
    config.density = (0.5, 0.02)
    config.epochs = 3
    sweep = sweep_lib.expand(config)
    assert [cell.mask.method for cell in sweep.study.cells] == ["snip", "grasp"]
    for cell in sweep.study.cells:
        assert (cell.mask.density, cell.epochs) == ((0.5, 0.02), 3)
        assert cell.num_networks == 2
    config.only.method = ("snap",)
    with pytest.raises(UserError, match=r"only.method is 'snap'.*Did you mean 'snip'"):
        sweep_lib.expand(config)


def test_a_study_is_narrowed_to_densities():
    config = sweep_lib.config("tost_table2", "small")
    config.only.density = (0.05, 0.1)
    config.only.method = ("snip",)
    config.only.dataset = ("fashion_mnist",)
    config.only.model = ("resnet8",)
    config.only.tost = ("",)
    cells = sweep_lib.expand(config).study.cells
    assert [cell.mask.density for cell in cells] == [(0.1,), (0.05,)]
    config.only.density = (0.3,)
    with pytest.raises(UserError, match=r"only.density is '0.3'.*Did you mean '0.1'"):
        sweep_lib.expand(config)
    # Networks of one cell are trained together: it is whole, or left out.
    config = sweep_lib.config("masks", "smoke")
    config.only.density = (0.1,)
    with pytest.raises(UserError, match="no cell of the sweep is left"):
        sweep_lib.expand(config)


def test_a_grid_of_masks():
    config = sweep_lib.config(
        model=("mlp_1_20",), method=("snip", "random"), dataset=("digits",)
    )
    config.density = (0.5,)
    config.data_augmentation = False
    sweep = sweep_lib.expand(config)
    assert sweep.study.shown == "densities"
    assert [(e.row, e.column) for e in sweep.study.entries] == [
        ("momentum", "snip"),
        ("momentum", "random"),
    ]
    mask = MaskSpec("random", density=(0.5,))
    assert sweep.study.cells[1] == MaskedSpec(
        dataset="digits", model="mlp_1_20", mask=mask, data_augmentation=False
    )


def test_what_all_cells_have_in_common_can_be_set():
    entries = sweep_lib.expand(
        {
            "study": "table5a",
            "dataset": "fashion_mnist",
            "dense_widths": (),
            "hidden_layers": 2,
        }
    ).study.entries
    assert len({entry.cell for entry in entries}) == 25
    assert {(e.cell.dataset, e.cell.hidden_layers) for e in entries} == {
        ("fashion_mnist", 2)
    }
    changed = sweep_lib.expand(
        {"study": "tost_table4", "gsw_schedule": "linear", "milestones": (60, 120)}
    )
    for cell in changed.study.cells:
        assert cell.gsw.schedule == "linear"
        assert cell.gsk.schedule == "linear"
        assert cell.schedule.milestones == (60, 120)


@pytest.mark.parametrize(
    ("config", "field", "expected"),
    [
        ({"study": "figure4", "method": "snip"}, "mask.distribution", "global"),
        (
            {"study": "figure4", "method": "snip", "distribution": "erk"},
            "mask.distribution",
            "erk",
        ),
        ({"study": "figure5", "start_epoch": 9}, "mask.distribution", "uniform"),
        ({"study": "figure4", "dataset": "tinyimagenet"}, "stem", "tinyimagenet"),
        (
            {"study": "figure19", "dataset": "fashion_mnist"},
            "dense_widths",
            (79, 236, 394, 552, 709),
        ),
        (
            {"study": "figure19", "max_width": 200},
            "dense_widths",
            (40, 75, 110, 145, 180),
        ),
        (
            {
                "grid": {
                    "model": ("mlp_2_50",),
                    "dataset": ("digits",),
                    "method": ("magnitude",),
                    "mask_schedule": ("ticket",),
                },
                "density": (0.7,),
            },
            "mask.search",
            (0.8, 0.7),
        ),
    ],
)
def test_what_follows_from_other_values_follows_from_changed_ones(
    config, field, expected
):
    value = operator.attrgetter(field)
    found = {value(cell) for cell in sweep_lib.expand(config).study.cells}
    assert found == {expected}


@pytest.mark.parametrize("kind", [CapacitySpec, MaskedSpec])
def test_every_value_of_a_cell_has_one_name(kind):
    values = dataclasses.asdict(kind())
    wanted = set()
    for name, value in values.items():
        inner = value if isinstance(value, dict) else {None: None}
        wanted |= {(name, key) if key else (name,) for key in inner}
    places = sweep_lib.places(kind)
    assert set(places.values()) == wanted
    assert len(places) == len(wanted)
    assert places["optimizer"] == ("optimizer", "name")
    assert places["learning_rate"] == ("optimizer", "learning_rate")
    assert places["lrsi_learning_rate"] == ("lrsi", "learning_rate")


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
    assert cell.work == (narrow + wide) * 2 * 100 * 3


def test_the_speed_of_finished_cells_tells_the_time_of_others():
    cell = CapacitySpec(epochs=10)
    config = json.dumps(specs.to_config(cell, RunSpec()))
    speed = cost.Speed([(config, 30.0), (config, 20.0), (config, 100.0), ("{", 1.0)])
    assert str(speed) == "3 finished cells"
    assert speed.seconds(CapacitySpec(epochs=20)) == pytest.approx(2 * 30.0)
    assert math.isnan(speed.seconds(CapacitySpec(dataset="cifar10")))
