"""Sweeps on a Ray cluster: what a dead worker costs, and what is refused."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import pandas as pd
import pytest

from sparse_gf import results
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import elsewhere
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import console

ROOT = pathlib.Path(__file__).resolve().parents[2]
EPOCHS = 24


def sweep(**changes):
    config = sweep_lib.config(dataset=("digits",), variant=("NR", "BN"))
    config.update(changes)
    return sweep_lib.expand(config)


def flags(workdir, *more):
    return [
        f"--config={ROOT / 'configs' / 'sweeps' / 'grid.py'}",
        f"--workdir={workdir}",
        "--config.grid.optimizer=('momentum',)",
        "--config.grid.learning_rate=(0.001,)",
        "--config.grid.hidden_layers=(2,)",
        "--config.seeds=(0,1)",
        "--config.dense_widths=(7,20)",
        "--config.checkpoint_seconds=0",
        *more,
    ]


def start(arguments, environment):
    return subprocess.Popen(
        [sys.executable, "-m", "sparse_gf.sweep", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_unknown_engine_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--engine is 'rey'.*Did you mean 'ray'"):
        console.train_sweep(sweep(), str(tmp_path), "rey")


def test_without_ray_its_engine_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=re.escape('pip install -e ".[ray]"')):
        console.train_sweep(sweep(), str(tmp_path / "work"), "ray")
    assert not (tmp_path / "work").exists()


def test_a_cluster_that_is_not_there_is_one_message_and_nothing_is_written(
    command, tmp_path
):
    pytest.importorskip("ray")
    with socket.socket() as closed:  # A port of ours, on which nobody listens.
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        more = ("--engine=ray", f"--ray_address={address}")
        done = command("sweep", *flags(tmp_path / "work", *more))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: --ray_address is {address!r}")
    assert "ray start --head" in done.stderr
    assert not (tmp_path / "work").exists()


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Where all runs, on a cluster or not, compute the same."""
    cache = tmp_path_factory.mktemp("cache")
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PLATFORMS": "cpu",
    }


class Cluster(NamedTuple):
    head: subprocess.Popen
    address: str

    @property
    def flags(self):
        return "--engine=ray", f"--ray_address={self.address}"

    def workers(self):
        """By cell hash, the processes that train; others may run clusters too."""
        listed = subprocess.run(
            ["ps", "-eo", "pid=,ppid=,args="],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
        parents = {int(pid): int(parent) for pid, parent, *_ in rows}
        ours = {pid for pid in parents if parents.get(parents[pid]) == self.head.pid}
        titles = {int(pid): rest[0] for pid, _, *rest in rows if rest}
        found = {pid: re.match(r"ray::(\w{12})\b", titles.get(pid, "")) for pid in ours}
        return {match[1]: pid for pid, match in found.items() if match}


@pytest.fixture(scope="module")
def cluster(environment):
    """For two workers, not to be found by anyone who looks for a cluster."""
    pytest.importorskip("ray")
    # Not below pytest's folder: the names of sockets must be short.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    options = {
        "port": 0,
        "num-cpus": 2,
        "num-gpus": 0,
        "object-store-memory": 100_000_000,
        "include-dashboard": "false",
        "temp-dir": folder,
    }
    head = subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start"),
            *("--head", "--block", "--disable-usage-stats"),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A Ctrl-C must reach the fixture first.
        start_new_session=True,
    )
    try:
        yield Cluster(head, wait_for(lambda: read_address(folder), head))
    finally:
        head.terminate()
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def read_address(folder):
    found = folder / "ray_current_cluster"
    return found.exists() and found.read_text()


def wait_for(look, process):
    """What ``look`` finds while a process runs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("did not come to pass")


def worker_in_the_middle(cluster, workdir):
    """The hash of a cell that has some checkpoints, and the process that trains it."""
    for step in workdir.glob("checkpoints/*/*/[0-9]*"):
        cell = step.parents[1].name.partition("-")[0]
        if step.name.isdigit() and 3 <= int(step.name) < EPOCHS / 2:
            pid = cluster.workers().get(cell)
            return pid and (cell, pid)
    return None


@pytest.mark.exhaustive
def test_a_killed_worker_costs_no_result(cluster, environment, tmp_path):
    local, spread = tmp_path / "local", tmp_path / "ray"
    asked = (f"--config.epochs={EPOCHS}", "--config.grid.variant=('NR','BN','DA_DO')")
    # Only workers compute: here JAX would fail.
    no_device = environment | {"JAX_PLATFORMS": "none"}
    process = start(flags(spread, *asked, *cluster.flags), no_device)
    cell, pid = wait_for(lambda: worker_in_the_middle(cluster, spread), process)
    os.kill(pid, signal.SIGKILL)
    assert not results.cell_path(spread, cell).exists()
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    # Nothing else can have begun the killed cell, and the others were not disturbed.
    (variant,) = results.read(spread, cell)["variant"].unique()
    (continued,) = re.findall(r".*Continuing.*", output)
    assert f", {variant}, relu: Continuing: epoch " in continued
    assert errors == ""
    assert "raylet" not in output
    assert re.search(r" \d/3 cells, \d running", output)
    assert not (spread / "checkpoints").exists()

    (tmp_path / "ray.py").write_text("raise ImportError")
    without_ray = environment | {"PYTHONPATH": str(tmp_path)}
    process = start(flags(local, *asked, "--engine=local"), without_ray)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    for read in (results.read, results.read_measurements):
        pd.testing.assert_frame_equal(read(spread), read(local), check_exact=True)
    assert results.survey_sweeps(spread) == results.survey_sweeps(local)
    assert len(results.read(spread)) == 3 * 8


@pytest.mark.thorough
def test_a_cell_that_fails_does_not_cost_the_others(
    command, cluster, environment, tmp_path
):
    asked = ("--config.epochs=1", "--config.grid.variant=('NR','BN')")
    done = command("sweep", *flags(tmp_path, *asked, "--dry_run"))
    bad, good = re.findall(r"^(\w{12}) ", done.stdout, re.MULTILINE)
    (tmp_path / "cells" / f".{bad}.lock").mkdir(parents=True)
    process = start(flags(tmp_path, *asked, *cluster.flags), environment)
    output, errors = process.communicate()
    assert process.returncode == 1
    assert re.search(rf"^failed: {bad} .*Is a directory", output, re.MULTILINE)
    assert errors == ""
    assert set(results.read(tmp_path)["config_hash"]) == {good}


@pytest.mark.thorough
def test_a_work_directory_that_is_not_shared_is_named(cluster, tmp_path, monkeypatch):
    asked = sweep(epochs=1, seeds=(0,), dense_widths=(7,), only={"variant": ("NR",)})
    nowhere = tmp_path / "elsewhere"
    monkeypatch.setattr(results, "cell_path", lambda *_: nowhere)
    monkeypatch.setattr(elsewhere, "SHARED_SECONDS", 0.0)
    with pytest.raises(UserError, match=rf"{nowhere} does not appear.*--workdir must"):
        console.train_sweep(asked, str(tmp_path), "ray", cluster.address)
