"""A whole cell: rows, resume after SIGKILL, finished cells, divergence, refusals."""

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pandas as pd
import pytest

from sparse_gf import budgets, data, ensemble, experiment, results
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import chunk
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec

ROOT = pathlib.Path(__file__).resolve().parents[2]

CELL = CapacitySpec(
    dense_widths=(7, 30), seeds=(0, 3), hidden_layers=2, epochs=4, measurements=3
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    rows = experiment.run(CELL, RunSpec(), workdir)
    return workdir, rows


def test_a_row_per_network_with_the_columns_promised(finished):
    _, rows = finished
    assert list(rows.columns) == results.NETWORKS.names
    assert len(rows) == 2 * 2 * 2
    keys = rows[["arm", "dense_width", "seed"]]
    assert len(keys.drop_duplicates()) == 8
    for _, row in rows.iterrows():
        counts = budgets.mlp_num_active(64, row["dense_width"], 2, 10)
        assert tuple(row["layer_num_active"]) == counts
        assert row["num_active"] == sum(counts)
        assert row["config_hash"] == CELL.hash
        assert json.loads(row["config"])["epochs"] == 4
        assert "jax" in json.loads(row["versions"])
    assert (rows[rows["arm"] == "dense"]["isolated_units"] == 0).all()


def test_a_row_per_measurement_whose_means_are_in_the_network_rows(finished):
    workdir, rows = finished
    long = results.read_measurements(workdir)
    assert sorted(long["epoch"].unique()) == [1, 3, 4]
    assert len(long) == 8 * 3
    keys = ["arm", "dense_width", "seed"]
    means = long.groupby(keys)[["egf1", "egf2", "gf1", "gf2"]].mean()
    own = rows.set_index(keys)[["egf1", "egf2", "gf1", "gf2"]].sort_index()
    pd.testing.assert_frame_equal(means, own, rtol=1e-12)
    scores = ["train_loss", "test_loss", "test_accuracy"]
    last = long[long["epoch"] == 4].set_index(keys)[scores].sort_index()
    pd.testing.assert_frame_equal(last, rows.set_index(keys)[scores].sort_index())
    layers = np.stack(list(long["layer_norms2"]))
    np.testing.assert_allclose(layers.mean(axis=1), long["egf2"], rtol=1e-5)


def test_a_dense_network_has_no_masked_gradient(finished):
    workdir, _ = finished
    long = results.read_measurements(workdir)
    dense = long[long["arm"] == "dense"]
    sparse = long[long["arm"] == "sparse"]
    assert (dense["gf2"] == dense["gf2_masked"]).all()
    assert (sparse["gf2"] > sparse["gf2_masked"]).all()


def test_the_tables_of_all_cells_are_the_files_of_the_cells(finished):
    workdir, rows = finished
    table = pd.read_parquet(workdir / "networks.parquet")
    pd.testing.assert_frame_equal(table, rows)
    assert not (workdir / "checkpoints").exists()


def test_a_finished_cell_is_not_trained_again(finished, monkeypatch):
    workdir, rows = finished
    monkeypatch.setattr(chunk, "train_all", None)
    again = experiment.run(CELL, RunSpec(), workdir)
    pd.testing.assert_frame_equal(again, rows)


def test_a_finished_cell_of_other_data_is_refused(finished, monkeypatch):
    workdir, _ = finished
    other = dataclasses.replace(data.load("digits"), fingerprint="0" * 16)
    monkeypatch.setattr(data, "load", lambda *_: other)
    with pytest.raises(UserError, match="computed from other data"):
        experiment.run(CELL, RunSpec(), workdir)


def test_another_cell_under_the_name_of_this_one_is_refused(
    finished, tmp_path, monkeypatch
):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    other = dataclasses.replace(CELL, epochs=CELL.epochs + 1)
    monkeypatch.setitem(other.__dict__, "hash", CELL.hash)
    with pytest.raises(UserError, match=f"another cell under the name {CELL.hash}"):
        experiment.run(other, RunSpec(), tmp_path)


def test_another_cell_goes_beside_the_first(finished, tmp_path):
    workdir, rows = finished
    shorter = dataclasses.replace(CELL, epochs=1)
    (tmp_path / "cells").mkdir()
    old = results.cell_path(workdir, CELL.hash)
    results.cell_path(tmp_path, CELL.hash).write_bytes(old.read_bytes())
    experiment.run(shorter, RunSpec(), tmp_path)
    both = results.read(tmp_path)
    assert len(both) == 16
    pd.testing.assert_frame_equal(results.read(tmp_path, CELL.hash), rows)


@pytest.mark.thorough
def test_padded_and_narrow_runs_agree_and_narrow_ones_resume(finished, tmp_path):
    _, rows = finished
    options = RunSpec(dense_arm="narrow", networks_per_program=4, checkpoint_seconds=0)
    narrow = experiment.run(CELL, options, tmp_path / "whole")
    stopped = _StopAt("part 2/2, epoch 3/")
    with pytest.raises(_Stop):
        experiment.run(CELL, options, tmp_path / "parts", stopped)
    again = _StopAt(None)
    resumed = experiment.run(CELL, options, tmp_path / "parts", again)
    assert again.notes == [
        "Continuing: part 1/2, epoch 4/4.",
        "Continuing: part 2/2, epoch 3/4.",
    ]
    pd.testing.assert_frame_equal(resumed, narrow, check_exact=True)
    keys = ["arm", "dense_width", "seed"]
    for column in ("test_loss", "egf2", "gf1"):
        pd.testing.assert_series_equal(
            narrow.set_index(keys)[column].sort_index(),
            rows.set_index(keys)[column].sort_index(),
            rtol=1e-3,
        )


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_chunk_that_memory_does_not_hold_is_halved_and_loses_nothing(
    finished, tmp_path, monkeypatch, seconds
):
    begun, fit, again = [], ensemble.fit, _StopAt(None)

    def fails_after_two_epochs(networks, data, start, measured, after_epoch):
        size = sum(len(group.seeds) for group in networks.groups)
        begun.append((size, start.epoch))

        def watched(progress):
            after_epoch(progress)
            if size > 4 and progress.epoch == 2:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.")

        return fit(networks, data, start, measured, watched)

    monkeypatch.setattr(ensemble, "fit", fails_after_two_epochs)
    options = RunSpec(checkpoint_seconds=seconds)
    found = experiment.run(CELL, options, tmp_path, again)
    at = 0 if seconds else 2
    assert begun == [(8, 0), (4, at), (4, at)]
    said = "Out of memory: 8 networks at once are too many; going on with 4 and then 4."
    assert again.notes[0] == said
    assert len(again.notes) == (1 if seconds else 3)
    numbers = [name for name in found if name not in ("config", "seconds")]
    assert "test_loss" in numbers
    pd.testing.assert_frame_equal(found[numbers], finished[1][numbers])


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": OptimizerSpec("sgd", 1e12), "epochs": 2},
        # One single step: no training loss comes after it.
        {"optimizer": OptimizerSpec("sgd", 1e38), "epochs": 1, "batch_size": 1442},
    ],
    ids=["early", "last step"],
)
def test_a_diverged_network_keeps_its_row_flagged(tmp_path, changes):
    cell = dataclasses.replace(CELL, **changes)
    rows = experiment.run(cell, RunSpec(), tmp_path)
    assert len(rows) == 8
    losses = rows[["test_loss", "train_loss"]]
    not_finite = ~np.isfinite(losses).all(axis=1)
    assert not_finite.any()
    assert rows["diverged"][not_finite].all()
    assert rows["test_accuracy"].between(0, 1).all()


def test_killed_between_the_cell_and_the_tables(tmp_path, monkeypatch):
    cell = dataclasses.replace(CELL, epochs=1)
    with monkeypatch.context() as patched:
        patched.setattr(results, "compact", lambda _: sys.exit("killed"))
        with pytest.raises(SystemExit):
            experiment.run(cell, RunSpec(), tmp_path)
    assert not (tmp_path / "networks.parquet").exists()
    rows = experiment.run(cell, RunSpec(), tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "networks.parquet"), rows)
    assert not (tmp_path / "checkpoints").exists()


def test_two_processes_do_not_train_one_cell_in_one_work_directory(tmp_path):
    with (
        results.lock(tmp_path, CELL.hash),
        pytest.raises(UserError, match="another process is training"),
    ):
        experiment.run(CELL, RunSpec(), tmp_path)


def test_float64_is_refused_where_jax_would_narrow_it(tmp_path):
    cell = dataclasses.replace(CELL, dtype="float64")
    with pytest.raises(UserError, match="jax_enable_x64"):
        experiment.run(cell, RunSpec(), tmp_path)


class _Stop(Exception):
    """Ends a run in the middle, as a test's kill."""


class _StopAt(experiment.Monitor):
    def __init__(self, beginning):
        self.beginning = beginning
        self.notes = []

    def progress(self, share, message):
        if self.beginning and message.startswith(self.beginning):
            raise _Stop

    def note(self, message):
        # Of what happens to checkpoints: the widths here are small.
        if not message.startswith("Warning: "):
            self.notes.append(message)


def damage(step):
    for file in (file for file in step.rglob("*") if file.is_file()):
        file.write_bytes(b"damaged")


def empty(step):
    shutil.rmtree(step)
    step.mkdir()


@pytest.mark.parametrize("harm", [damage, empty])
def test_harmed_checkpoints_cost_what_they_held_and_no_more(finished, tmp_path, harm):
    """Training starts again, saves again, and ends with the same numbers."""
    _, rows = finished
    options = RunSpec(checkpoint_seconds=0)
    with pytest.raises(_Stop):
        experiment.run(CELL, options, tmp_path, _StopAt("epoch 3/"))
    steps = sorted(tmp_path.glob("checkpoints/*/*/[0-9]*"))
    assert [step.name for step in steps] == ["2", "3"]
    for step in steps:
        harm(step)
    again = _StopAt("epoch 1/")
    with pytest.raises(_Stop):
        experiment.run(CELL, options, tmp_path, again)
    *damaged, last = again.notes
    assert all("is damaged and is removed" in note for note in damaged)
    assert last == "No checkpoint is whole; training begins again."
    last = _StopAt(None)
    end = experiment.run(CELL, options, tmp_path, last)
    assert last.notes == ["Continuing: epoch 1/4."]
    pd.testing.assert_frame_equal(
        end.drop(columns="config"), rows.drop(columns="config"), check_exact=True
    )


def test_one_harmed_step_falls_back_to_the_one_before(tmp_path):
    options = RunSpec(checkpoint_seconds=0)
    with pytest.raises(_Stop):
        experiment.run(CELL, options, tmp_path, _StopAt("epoch 3/"))
    empty(next(tmp_path.glob("checkpoints/*/*/3")))
    again = _StopAt("epoch 3/")
    with pytest.raises(_Stop):
        experiment.run(CELL, options, tmp_path, again)
    assert again.notes[-1] == "Continuing: epoch 2/4."


def test_a_damaged_result_file_is_named_before_any_work(finished, tmp_path):
    bad = results.cell_path(tmp_path, "0123456789ab")
    bad.parent.mkdir()
    bad.write_text("not parquet")
    with pytest.raises(UserError, match=r"0123456789ab\.parquet is damaged"):
        experiment.run(CELL, RunSpec(), tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_data_smaller_than_a_batch_is_refused_before_training(tmp_path, monkeypatch):
    full = data.load("digits")
    few = dataclasses.replace(
        full, train_images=full.train_images[:50], train_labels=full.train_labels[:50]
    )
    monkeypatch.setattr(data, "load", lambda *_: few)
    with pytest.raises(UserError, match=r"batch_size is 128.*only 50"):
        experiment.run(CELL, RunSpec(), tmp_path)


def test_a_work_directory_that_cannot_be_written_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="--workdir"):
        experiment.run(CELL, RunSpec(), file / "below")


def flags(workdir):
    return [
        f"--config={ROOT / 'configs' / 'sc_sdc.py'}",
        f"--workdir={workdir}",
        "--config.epochs=12",
        "--config.seeds=(0,1)",
        "--config.dense_widths=(7,20)",
        "--config.hidden_layers=2",
        "--config.variant=DA_L2_BN_DO",
        "--config.optimizer.name=momentum",
        "--config.checkpoint_seconds=0",
    ]


def kill_after_epoch(arguments, workdir, epoch):
    """Starts the command and kills it once a checkpoint of ``epoch`` is whole."""
    started = [sys.executable, "-m", "sparse_gf.main", *arguments]
    process = subprocess.Popen(started, cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        steps = workdir.glob("checkpoints/*/*/[0-9]*")
        if any(step.name.isdigit() and int(step.name) >= epoch for step in steps):
            break
        time.sleep(0.01)
    assert process.poll() is None, "finished or failed before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.thorough
def test_a_killed_run_continues_and_ends_equal_bit_for_bit(command, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = command("main", *flags(whole))
    assert done.returncode == 0, done.stderr
    assert "Wilcoxon" in done.stdout
    kill_after_epoch(flags(killed), killed, 4)
    assert not list(killed.glob("cells/*.parquet"))
    resumed = command("main", *flags(killed))
    assert resumed.returncode == 0, resumed.stderr
    assert "Continuing: epoch" in resumed.stdout
    for read in (results.read, results.read_measurements):
        pd.testing.assert_frame_equal(read(killed), read(whole), check_exact=True)
