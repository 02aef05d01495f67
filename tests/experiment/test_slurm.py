"""Sweeps as jobs of SLURM; submitit runs them in this process in its place."""

import re
import sys

import pytest

from sparse_gf import results
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import elsewhere, slurm
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import console


def sweep(**changes):
    config = sweep_lib.config(dataset=("digits",), variant=("NR", "BN"))
    config.update({"seeds": (0,), "dense_widths": (7,), "epochs": 1} | changes)
    return sweep_lib.expand(config)


def test_parameters_of_jobs():
    found = slurm.read("timeout_min=240, slurm_partition=gpu,mem_gb=2.5,")
    assert found == {"timeout_min": 240, "slurm_partition": "gpu", "mem_gb": 2.5}
    for wrong in ("gpu", "timeout_min=", "=4"):
        with pytest.raises(UserError, match="must be KEY=VALUE"):
            slurm.read(wrong)


def test_without_submitit_its_engine_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=re.escape('pip install "sparse_gf[slurm]"')):
        console.train_sweep(sweep(), str(tmp_path), "slurm")


@pytest.mark.parametrize("job", ["timeout_mins=4,cluster=debug", "cluster=nowhere", ""])
def test_jobs_that_cannot_be_are_refused(tmp_path, monkeypatch, job):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")  # There is no SLURM.
    with pytest.raises(UserError, match=re.escape(f"--slurm_job is {job!r}, which")):
        console.train_sweep(sweep(), str(tmp_path), "slurm", slurm_job=job)


def test_each_cell_is_a_job_and_failures_are_told(tmp_path, monkeypatch, capsys):
    pytest.importorskip("submitit")
    asked = sweep()
    bad, good = (cell.hash for cell in elsewhere.longest_first(asked.study.trained))

    def train(cell, options, part, workdir, monitor, wait):
        assert (options, wait, workdir) == (asked.run, True, tmp_path)
        monitor.note("Continuing.")
        if cell.hash == bad:
            raise UserError("no memory")
        path = results.cell_path(workdir, cell.hash)
        path.parent.mkdir()
        path.touch()

    monkeypatch.setattr(elsewhere.running, "train_cell", train)
    monkeypatch.setattr(elsewhere.running, "set_up_jax", lambda cell: None)
    monkeypatch.setattr(results, "compact", lambda workdir: None)
    monkeypatch.setattr(console, "_result", lambda *_: "trained")
    status = console.train_sweep(
        asked, str(tmp_path), "slurm", slurm_job="cluster=debug,timeout_min=4"
    )
    said = capsys.readouterr().out
    assert status == 1
    assert re.search(rf"^failed: {bad} .*no memory$", said, re.MULTILINE)
    assert re.search(rf"2/2 {good} .*trained$", said, re.MULTILINE)
    assert said.count("Continuing.") == 2


@pytest.mark.thorough
def test_jobs_of_this_machine_train(tmp_path):
    pytest.importorskip("submitit")
    asked = sweep(only={"variant": ("BN",)})
    assert console.train_sweep(asked, str(tmp_path), "slurm", "", "cluster=local") == 0
    assert list(results.read(tmp_path)["arm"]) == ["sparse", "dense"]
    # What a job that is cut off is started again with.
    again = slurm.Work().checkpoint(*"abcd")
    assert (type(again.function), again.args) == (slurm.Work, tuple("abcd"))
