"""Sweeps on this machine: what is trained, what is not, and what a kill costs."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from sparse_gf import experiment, results
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import engines, running
from sparse_gf.specs import CapacitySpec, OptimizerSpec
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import console

ROOT = pathlib.Path(__file__).resolve().parents[1]


def sweep(**changes):
    config = sweep_lib.config("table4", "smoke")
    config.epochs = 2
    config.seeds = (0,)
    config.dense_widths = (7, 20)
    config.measurements = 2
    config.only.optimizer = ("adam",)
    config.only.variant = ("NR", "BN")
    config.update(changes)
    return sweep_lib.expand(config)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    assert console.train_sweep(sweep(), str(workdir)) == 0
    return workdir


def test_a_sweep_leaves_a_file_per_cell_and_says_what_it_was(finished):
    cells = sweep().study.cells
    found = {path.stem for path in (finished / "cells").glob("*.parquet")}
    assert found == {cell.hash for cell in cells}
    rows = results.read(finished)
    assert len(rows) == 2 * 2 * 2
    pd.testing.assert_frame_equal(pd.read_parquet(finished / "networks.parquet"), rows)
    (recorded,) = results.survey_sweeps(finished)[0].values()
    assert sweep_lib.expand(recorded).study == sweep().study
    assert not (finished / "checkpoints").exists()


def test_a_cell_of_a_sweep_is_the_cell_trained_alone(finished, tmp_path):
    asked = sweep()
    cell = asked.study.cells[1]
    alone = experiment.run(cell, asked.run, tmp_path)
    rows = results.read(finished, cell.hash)
    pd.testing.assert_frame_equal(rows, alone, check_exact=True)


def test_finished_cells_are_shared_by_sweeps_and_not_trained_again(
    finished, monkeypatch, capsys
):
    before = results.read(finished)
    monkeypatch.setattr(running, "train_cell", None)
    # Figure 15 draws Table 4's cells.
    assert console.train_sweep(sweep(study="figure15"), str(finished)) == 0
    assert "2 of 2 cells are done" in capsys.readouterr().out
    pd.testing.assert_frame_equal(results.read(finished), before)
    sweeps, _ = results.survey_sweeps(finished)
    studies = {config["study"] for config in sweeps.values()}
    assert studies == {"table4", "figure15"}


def test_dry_run_lists_cells_and_estimates_from_measured_speed(
    finished, tmp_path, capsys
):
    asked = sweep(only={"variant": ("NR", "BN", "SC")})
    console.list_sweep(asked, str(finished))
    lines = capsys.readouterr().out.splitlines()
    states = {line.split()[0]: line.split()[1] for line in lines[:-2]}
    assert len(states) == 3
    assert sorted(states.values()) == ["done", "done", "to"]
    assert "2 of 3 cells are done (12 networks in all)" in lines[-2]
    assert re.search(r"about [\d.]+ s, at the speed of 2 finished cells", lines[-1])
    console.list_sweep(asked, str(tmp_path / "empty"))
    assert "Time left: unknown" in capsys.readouterr().out
    assert not (tmp_path / "empty").exists()


def test_a_cell_that_fails_does_not_cost_the_others(tmp_path, monkeypatch, capsys):
    train_cell = experiment.train_cell

    def fail_first(cell, *arguments, **more):
        if cell.variant == "NR":
            raise UserError("no memory left")
        return train_cell(cell, *arguments, **more)

    monkeypatch.setattr(running, "train_cell", fail_first)
    assert console.train_sweep(sweep(), str(tmp_path)) == 1
    assert len(results.read(tmp_path)) == 4
    assert re.search(r"failed: \w{12} .*NR.*no memory left", capsys.readouterr().out)


def test_all_cells_may_fail(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise UserError("no memory left")

    monkeypatch.setattr(running, "train_cell", fail)
    assert console.train_sweep(sweep(), str(tmp_path)) == 1
    assert capsys.readouterr().out.count("failed: ") >= 2
    assert not (tmp_path / "networks.parquet").exists()


def test_data_that_cannot_be_read_is_refused_before_anything_is_written(tmp_path):
    config = sweep_lib.config("table4", "small")
    config.data_dir = str(tmp_path)
    asked = sweep_lib.expand(config)
    with pytest.raises(UserError, match="Fashion-MNIST"):
        console.train_sweep(asked, str(tmp_path / "work"))
    assert not (tmp_path / "work").exists()


def test_an_unknown_engine_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--engine is 'locl'.*Did you mean 'local'"):
        console.train_sweep(sweep(), str(tmp_path), "locl")


class _Recorder(experiment.Monitor):
    def __init__(self):
        self.shares = []
        self.notes = []

    def progress(self, share, message):
        self.shares.append(share)

    def note(self, message):
        self.notes.append(message)


def test_progress_grows_with_the_work_that_is_done(tmp_path):
    short = CapacitySpec(epochs=1)
    long = CapacitySpec(epochs=3)
    recorder = _Recorder()
    watch = engines.Watch(
        [short, long],
        tmp_path,
        recorder,
        lambda cell: cell.variant,
        lambda workdir, cell: "fine",
        lambda: None,
    )
    watch.of(short).progress(0.5, "")
    watch.finished(short)
    watch.of(long).progress(0.5, "")
    watch.fail(long, UserError("broken"))
    assert recorder.shares == pytest.approx([0.5 / 4, (1 + 1.5) / 4])
    assert recorder.notes[0] == f"1/2 {short.hash} NR: fine"
    assert recorder.notes[1] == f"2/2 {long.hash} failed: broken"
    assert watch.failed == {long.hash: "NR: broken"}


@pytest.mark.thorough
def test_a_cell_of_another_process_is_waited_for_and_comes_last(tmp_path):
    asked = sweep()
    first, second = asked.study.cells
    recorder = _Recorder()
    watch = engines.Watch(
        asked.study.cells,
        results.prepare(tmp_path),
        recorder,
        lambda cell: cell.variant,
        lambda workdir, cell: "fine",
        lambda: None,
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), first.hash],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    engines.local(asked.study.cells, asked.run, tmp_path, watch)
    holder.wait()
    ends = [note.split()[1] for note in recorder.notes if note.endswith("fine")]
    assert ends == [second.hash, first.hash]
    assert "NR: waiting for the process that trains it" in recorder.notes


HOLD = """
import pathlib, sys, time
from sparse_gf import results
with results.lock(pathlib.Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(8)
"""


def flags(workdir):
    return [
        f"--config={ROOT / 'configs' / 'sweeps' / 'tessera2021.py'}:table4,smoke",
        f"--workdir={workdir}",
        "--config.epochs=60",
        "--config.seeds=(0,1)",
        "--config.dense_widths=(7,20)",
        "--config.only.optimizer=('momentum',)",
        "--config.only.variant=('NR','L2','BN')",
        "--config.checkpoint_seconds=0",
    ]


def python_m(workdir):
    return [sys.executable, "-m", "sparse_gf.sweep", *flags(workdir)]


def state(workdir):
    """What is safe on the disk: finished cells, and newest epochs of others."""
    cells = {p.name: p.read_bytes() for p in workdir.glob("cells/*.parquet")}
    epochs = {}
    for step in workdir.glob("checkpoints/*/*/[0-9]*"):
        if step.name.isdigit():
            cell = step.parts[-3].partition("-")[0]
            epochs[cell] = max(epochs.get(cell, 0), int(step.name))
    return cells, epochs


def wait_for(process, workdir, finished, epoch):
    """Waits until so many cells are finished and the next is at an epoch or later."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        cells, epochs = state(workdir)
        # Not its last epoch, which is saved in any case.
        if len(cells) == finished and epoch <= max(epochs.values(), default=0) < 60:
            break
        time.sleep(0.005)
    assert process.poll() is None, "finished or failed before it could be killed"
    assert time.monotonic() < deadline


@pytest.mark.exhaustive
def test_a_sweep_killed_three_times_loses_no_more_than_the_running_epoch(tmp_path):
    whole, killed, cache = (tmp_path / name for name in ("whole", "killed", "cache"))
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    subprocess.run(
        python_m(whole), cwd=ROOT, env=environment, check=True, capture_output=True
    )
    moments = random.Random(20211)
    kept, reached = {}, {}
    for attempt in range(4):
        process = subprocess.Popen(
            python_m(killed),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        if attempt < 3:
            # At some epoch of the first, second or third cell, and somewhere within it.
            wait_for(process, killed, attempt, moments.randrange(5, 50))
            time.sleep(moments.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        output = process.communicate()[0]
        found, now_reached = state(killed)
        assert {name: found[name] for name in kept} == kept
        for cell, epoch in reached.items():
            # It went on at the epoch that had been computed, or was finished by then.
            if f"{cell}.parquet" not in kept:
                continued = re.search(r"Continuing: epoch (\d+)/60", output)
                assert continued
                assert int(continued.group(1)) >= epoch
        kept, reached = found, now_reached
    assert process.returncode == 0
    for read in (results.read, results.read_measurements):
        pd.testing.assert_frame_equal(read(killed), read(whole), check_exact=True)


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ("--config.epochs=0", "config.epochs is 0"),
        ("--config.only.variant=('NX',)", "config.only.variant is 'NX'"),
        ("--config.epoch=1", "Did you mean 'epochs'?"),
        ("--engine=cloud", "--engine is 'cloud'"),
    ],
)
def test_the_command_refuses_what_is_wrong_in_one_line(command, tmp_path, flag, wanted):
    done = command("sweep", *flags(tmp_path / "work"), flag)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert wanted in done.stderr
    assert not (tmp_path / "work").exists()


@pytest.mark.thorough
def test_one_cell_of_every_kind_of_study_runs(tmp_path):
    """A narrowed version of each study that has cells of its own."""
    kinds = {
        "table3c": {"optimizer": ("sgd",), "activation": ("prelu",)},
        "table5c": {"optimizer": ("momentum",), "activation": ("srelu",)},
        "figure19": {
            "optimizer": ("rmsprop",),
            "variant": ("BN",),
            "hidden_layers": (1,),
        },
        "figure23": {"optimizer": ("adamw",), "variant": ("DA_SC_BN",)},
        "table6a": {"optimizer": ("adagrad",), "variant": ("DA_L2_SC_BN",)},
    }
    cells = 0
    for study, only in kinds.items():
        config = sweep_lib.config(study, "smoke")
        config.epochs = 1
        config.seeds = (0,)
        config.dense_widths = (7,)
        config.only.update(only)
        asked = sweep_lib.expand(config)
        # Of AdamW one for each strength of its decay.
        assert len(asked.study.cells) == 1 + ("adamw" in only["optimizer"])
        cells += len(asked.study.cells)
        assert console.train_sweep(asked, str(tmp_path)) == 0
    rows = results.read(tmp_path)
    assert len(rows) == 2 * cells
    optimizers = {json.loads(text)["optimizer"]["name"] for text in rows["config"]}
    assert optimizers == {"sgd", "momentum", "rmsprop", "adamw", "adagrad"}
    rates = dict(zip(rows["optimizer"], rows["learning_rate"], strict=True))
    assert rates["adamw"] == OptimizerSpec("adamw", 0.1).learning_rate
