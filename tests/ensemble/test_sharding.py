"""Cells on four devices: virtual ones of the CPU, in a process of their own."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import pandas as pd
import pytest

from sparse_gf import data, ensemble, experiment, results
from sparse_gf.experiment import capacity, checkpoints, members, rows
from sparse_gf.specs import CapacitySpec, RunSpec

EVEN = CapacitySpec(
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
# Twelve networks, three on each device; and six, of which two devices hold one.
CELLS = {
    "even": EVEN,
    "odd": dataclasses.replace(EVEN, dense_widths=(20,), seeds=(0, 3, 5), variant="NR"),
}
OPTIONS = RunSpec(dense_arm="padded", checkpoint_seconds=0)
# Sparse networks 2, 2, 1, 1 to a device, the dense ones 0, 0, 1, 1 and so on.
NARROW = RunSpec(dense_arm="narrow", checkpoint_seconds=0)
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
    seen = {"environment": rows.environment(CapacitySpec(), data.load("digits"))}
    for name, cell in CELLS.items():
        seen[name] = layout(cell, workdir / "checkpoints of a program")
        experiment.run(cell, OPTIONS, workdir / "whole")
    experiment.run(CELLS["odd"], NARROW, workdir / "narrow")
    default = ensemble.programs
    # As accelerators do it.
    ensemble.programs = lambda recipes, init, _: default(
        recipes, init, ensemble.SIDE_BY_SIDE
    )
    experiment.run(CELLS["odd"], NARROW, workdir / "side by side")
    ensemble.programs = default
    notes = _Notes()
    try:
        experiment.run(EVEN, OPTIONS, workdir / "parts", _StopAtEpoch2())
    except _Stop:
        experiment.run(EVEN, OPTIONS, workdir / "parts", notes)
    return seen | {"notes": notes.notes}


def layout(cell, folder):
    """Where the arrays of a cell's only chunk lie, and what its devices exchange."""
    (chunk,) = capacity.plan(cell, OPTIONS)
    networks = capacity.ensemble_of(cell, chunk)
    part = data.stratified(data.load("digits"), cell.train_examples, cell.test_examples)
    dataset = ensemble.to_device(part, cell.dtype)
    shapes = ensemble.prepare(networks, dataset, 3)
    start = ensemble.begin(networks, dataset, shapes)
    saved = checkpoints.Checkpoints(folder / members.name(chunk))
    saved.save(dataclasses.replace(start, epoch=1))
    restored = saved.restore(shapes)
    return {
        "made": shards(start.state),
        "restored": shards(restored.state),
        "data": shards(dataset),
        "exchanged": {
            name: [
                re.findall(COLLECTIVE, compiling.result().as_text())
                for _, compiling in program._prepared.values()
            ]
            for name, program in networks.programs._asdict().items()
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


@pytest.mark.thorough
@pytest.mark.parametrize("state", ["made", "restored"])
@pytest.mark.parametrize(("name", "places"), [("even", 3), ("odd", 2)])
def test_each_device_holds_its_share_of_the_state(four, state, name, places):
    arrays = four[1][name][state]
    assert arrays
    for shape, parts in arrays:
        assert shape[0] == 4 * places
        assert parts == [[device, [places, *shape[1:]]] for device in range(4)]


@pytest.mark.thorough
def test_each_device_holds_all_data(four):
    for shape, parts in four[1]["even"]["data"]:
        assert parts == [[device, shape] for device in range(4)]


@pytest.mark.thorough
@pytest.mark.parametrize("name", CELLS)
def test_devices_exchange_nothing(four, name):
    assert four[1][name]["exchanged"] == {
        "init": [[]],
        "advance": [[]],
        "measure": [[]],
    }


@pytest.mark.thorough
@pytest.mark.parametrize("name", CELLS)
def test_four_devices_train_the_networks_that_one_does(x64, four, name, tmp_path):
    alone = experiment.run(CELLS[name], OPTIONS, tmp_path)
    together = results.read(four[0] / "whole", CELLS[name].hash)
    pd.testing.assert_frame_equal(
        together.drop(columns="device"), alone.drop(columns="device"), rtol=1e-9
    )


@pytest.mark.thorough
def test_narrow_groups_are_divided_over_devices_too(x64, four, tmp_path):
    alone = experiment.run(CELLS["odd"], NARROW, tmp_path)
    for way in ("narrow", "side by side"):
        together = results.read(four[0] / way, CELLS["odd"].hash)
        pd.testing.assert_frame_equal(
            together.drop(columns="device"), alone.drop(columns="device"), rtol=1e-9
        )


@pytest.mark.thorough
def test_a_stopped_run_continues_and_ends_equal_bit_for_bit(four):
    workdir, seen = four
    assert seen["notes"] == ["Continuing: epoch 2/4."]
    for read in (results.read, results.read_measurements):
        whole = read(workdir / "whole")
        pd.testing.assert_frame_equal(
            read(workdir / "parts"),
            whole[whole["config_hash"] == EVEN.hash].reset_index(drop=True),
            check_exact=True,
        )


@pytest.mark.thorough
def test_results_name_the_number_of_devices(four):
    workdir, seen = four
    device = results.read(workdir / "whole")["device"]
    assert device.str.startswith("4 x cpu (").all()
    # One device's checkpoints are not continued on four.
    there = rows.environment(CapacitySpec(), data.load("digits"))
    assert seen["environment"] != there


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 30])
@pytest.mark.parametrize("seeds", [1, 3, 9])
def test_a_chunk_holds_as_much_as_the_memories_of_all_devices(
    monkeypatch, limit, seeds
):
    cell = dataclasses.replace(
        EVEN, seeds=tuple(range(seeds)), dense_widths=(7, 20, 30), dtype="float32"
    )
    # Beside so much memory a batch's images are nothing.
    room = 0.99 * (1 - members.FREE) * 2**50
    monkeypatch.setattr(ensemble, "network_bytes", lambda _: room / limit)
    monkeypatch.setattr(ensemble, "device_memory", lambda: 2**50)
    alone = capacity.plan(cell, RunSpec())
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    chunks = capacity.plan(cell, RunSpec())
    for (group,) in chunks:
        assert -(-group.size // 4) <= limit
    assert sum(group.size for (group,) in chunks) == 6 * seeds
    assert len(chunks) == 1 or len(chunks) < len(alone)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update("jax_enable_x64", True)
    folder = pathlib.Path(sys.argv[1])
    (folder / "seen.json").write_text(json.dumps(on_four_devices(folder)))
