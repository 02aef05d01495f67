"""Cells on four devices: virtual ones of the CPU, in a process of their own."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest

from sparse_gf import checkpoints, data, ensemble, experiment, results, rows, sc_sdc
from sparse_gf.specs import CellSpec, RunSpec

COLUMNS = CellSpec(
    dense_widths=(7, 20, 30),
    seeds=(0, 3),
    hidden_layers=1,
    epochs=4,
    measurements=3,
    batch_size=100,
    train_examples=300,
    test_examples=100,
    dtype="float64",
    variant="DA_BN_DO",
)
# Six networks at two seeds: two columns of the grid on each device, two of them filler.
# Two networks at three seeds: a row on each device, one of them filler.
CELLS = {
    "columns": COLUMNS,
    "rows": dataclasses.replace(
        COLUMNS, dense_widths=(20,), seeds=(0, 3, 5), variant="NR"
    ),
}
OPTIONS = RunSpec(dense_arm="padded", checkpoint_seconds=0)
COLLECTIVE = r"\b(?:(?:all|collective|ragged)-[a-z-]+|reduce-scatter|send|recv)\("


class _Stop(Exception):
    """Ends a run in the middle, as a test's kill."""


class _StopAtEpoch2(experiment.Monitor):
    def progress(self, share, message):
        if message.startswith("epoch 2/"):
            raise _Stop


class _Notes(experiment.Monitor):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


def on_four_devices(workdir):
    """What the other process does; returns what it saw."""
    seen = {"environment": rows.environment(data.load("digits"))}
    for name, cell in CELLS.items():
        seen[name] = layout(cell, workdir / "checkpoints of a program")
        experiment.run(cell, OPTIONS, workdir / "whole")
    notes = _Notes()
    try:
        experiment.run(COLUMNS, OPTIONS, workdir / "parts", _StopAtEpoch2())
    except _Stop:
        experiment.run(COLUMNS, OPTIONS, workdir / "parts", notes)
    return seen | {"notes": notes.notes}


def layout(cell, folder):
    """Where the arrays of a cell's only program lie, and what its devices exchange."""
    (group,) = sc_sdc.plan(cell, OPTIONS)
    programs = sc_sdc.programs(cell, group.width)
    members = sc_sdc.members(cell, group)
    part = data.stratified(data.load("digits"), cell.train_examples, cell.test_examples)
    dataset = ensemble.to_device(part, cell.dtype)
    shapes = ensemble.shapes(programs, group.seeds, members, dataset, 3)
    start = ensemble.begin(programs, group.seeds, members, shapes)
    saved = checkpoints.Checkpoints(folder / group.name)
    saved.save(dataclasses.replace(start, epoch=1))
    restored = saved.restore(shapes)
    seeds = np.array(group.seeds, np.int32)
    lowered = {
        "init": programs.init.lower(seeds, members),
        "advance": programs.advance.lower(start.state, dataset, seeds, np.int32(1)),
        "measure": programs.measure.lower(start.state, dataset),
    }
    return {
        "made": shards(start.state),
        "restored": shards(restored.state),
        "data": shards(dataset),
        "exchanged": {
            name: re.findall(COLLECTIVE, program.compile().as_text())
            for name, program in lowered.items()
        },
    }


def shards(tree):
    """For every array: its shape, and the shape of the part on each device."""
    return [
        [
            leaf.shape,
            sorted((s.device.id, s.data.shape) for s in leaf.addressable_shards),
        ]
        for leaf in jax.tree.leaves(tree)
    ]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """The work directory of the other process, and what it saw."""
    workdir = tmp_path_factory.mktemp("four")
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(workdir / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, __file__, workdir],
        env=os.environ | cache,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return workdir, json.loads((workdir / "seen.json").read_text())


@pytest.mark.parametrize("state", ["made", "restored"])
@pytest.mark.parametrize(
    ("name", "grid", "part"),
    [("columns", [2, 8], [2, 2]), ("rows", [4, 2], [1, 2])],
)
def test_each_device_holds_a_quarter_of_the_state(four, state, name, grid, part):
    arrays = four[1][name][state]
    assert arrays
    for shape, parts in arrays:
        assert shape[:2] == grid
        assert parts == [[device, part + shape[2:]] for device in range(4)]


def test_each_device_holds_all_data(four):
    for shape, parts in four[1]["columns"]["data"]:
        assert parts == [[device, shape] for device in range(4)]


@pytest.mark.parametrize("name", CELLS)
def test_devices_exchange_nothing(four, name):
    assert four[1][name]["exchanged"] == {"init": [], "advance": [], "measure": []}


@pytest.mark.parametrize("name", CELLS)
def test_four_devices_train_the_networks_that_one_does(x64, four, name, tmp_path):
    alone = experiment.run(CELLS[name], OPTIONS, tmp_path)
    together = results.read(four[0] / "whole", CELLS[name].hash)
    pd.testing.assert_frame_equal(
        together.drop(columns="device"), alone.drop(columns="device"), rtol=1e-9
    )


def test_a_stopped_run_continues_and_ends_equal_bit_for_bit(four):
    workdir, seen = four
    assert seen["notes"] == ["Continuing: epoch 2/4."]
    for read in (results.read, results.read_measurements):
        whole = read(workdir / "whole")
        pd.testing.assert_frame_equal(
            read(workdir / "parts"),
            whole[whole["config_hash"] == COLUMNS.hash],
            check_exact=True,
        )


def test_results_name_the_number_of_devices(four):
    workdir, seen = four
    device = results.read(workdir / "whole")["device"]
    assert device.str.startswith("4 x cpu (").all()
    # One device's checkpoints are not continued on four.
    assert seen["environment"] != rows.environment(data.load("digits"))


@pytest.mark.parametrize(
    ("seeds", "networks", "expected"),
    [(3, 1, 1), (3, 5, 5), (3, 10, 9), (2, 6, 4), (4, 5, 5), (5, 4, 5), (1, 4, 1)],
)
def test_a_grid_is_divided_the_way_that_leaves_less_to_each(
    monkeypatch, seeds, networks, expected
):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    assert ensemble.networks_per_device(seeds, networks) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 30])
@pytest.mark.parametrize("seeds", [1, 3, 9])
def test_a_program_holds_as_much_as_the_memories_of_all_devices(
    monkeypatch, limit, seeds
):
    monkeypatch.setattr(ensemble, "networks_at_once", lambda *_: limit)
    cell = dataclasses.replace(
        COLUMNS, seeds=tuple(range(seeds)), dense_widths=(7, 20, 30), dtype="float32"
    )
    alone = sc_sdc.plan(cell, RunSpec())
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    groups = sc_sdc.plan(cell, RunSpec())
    for group in groups:
        grid = len(group.seeds), len(group.networks)
        assert ensemble.networks_per_device(*grid) <= limit
    assert sum(group.size for group in groups) == 6 * seeds
    assert len(groups) == 1 or len(groups) < len(alone)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update("jax_enable_x64", True)
    folder = pathlib.Path(sys.argv[1])
    (folder / "seen.json").write_text(json.dumps(on_four_devices(folder)))
