"""Training as jobs of SLURM, each cell one of an array; submitit submits them."""

import ast
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import elsewhere
from sparse_gf.experiment.monitor import Watch
from sparse_gf.specs import Cell, RunSpec

JOB = {"name": "sparse_gf", "gpus_per_node": 1}
"""Of submitit's parameters, those of a job where nothing else is asked for."""


def on_slurm(
    cells: Sequence[Cell],
    options: RunSpec,
    workdir: pathlib.Path,
    watch: Watch,
    parameters: str = "",
) -> None:
    """Trains cells as an array of SLURM jobs, one for each.

    A job that is preempted or runs out of its time is queued again and continues at its
    last checkpoint. If this process ends, its jobs are cancelled; those of one that was
    killed go on. Every machine needs the same environment, with this package in it, and
    the work directory and the data under the same paths; locks on files must hold
    across machines. What jobs print is in ``slurm/`` of the work directory.

    ``parameters`` are submitit's, ``"timeout_min=240,slurm_partition=gpu"``; beside
    them ``cluster``: ``local`` for processes of this machine, ``debug`` for this
    process, in the place of SLURM. The rest is as for ``engines.local``.

    Raises:
        UserError: If submitit or SLURM is missing, if parameters or a data set cannot
            be used, or if results do not arrive in the work directory.
    """
    executor = _executor(workdir.absolute() / "slurm", parameters)
    data_dir = elsewhere.check(cells, options)
    watch.begin()
    jobs = _submit(executor, cells, options, data_dir, workdir.absolute())
    try:
        while jobs:
            for cell, job in [(c, job) for c, job in jobs.items() if job.done()]:
                del jobs[cell]
                elsewhere.tell(cell, _ended(job), workdir, watch)
            if jobs:
                watch.running(sum(job.state == "RUNNING" for job in jobs.values()))
                time.sleep(elsewhere.POLL_SECONDS)
    finally:
        for job in jobs.values():
            job.cancel(check=False)


class Work:
    """Trains a cell as a job, which SLURM may cut off and start again."""

    def __call__(self, *given: Any) -> tuple[str, list[str]]:
        """Trains it; see ``elsewhere.work``."""
        return elsewhere.work(*given)

    def checkpoint(self, *given: Any) -> Any:
        """What the job is when it is started again: the same, at its checkpoint."""
        from submitit import helpers

        return helpers.DelayedSubmission(self, *given)


def read(parameters: str) -> dict[str, Any]:
    """``"timeout_min=240,slurm_partition=gpu"`` as a dict, numbers as numbers.

    Raises:
        UserError: If a part of it is no ``KEY=VALUE``.
    """
    found: dict[str, Any] = {}
    for part in filter(None, parameters.split(",")):
        key, equals, value = part.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise UserError(
                f"--slurm_job has {part!r}; it must be KEY=VALUE, with commas between, "
                "such as timeout_min=240,slurm_partition=gpu."
            )
        try:
            found[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found[key.strip()] = value.strip()
    return found


def _executor(folder: pathlib.Path, parameters: str) -> Any:
    """What submits jobs, as they are asked for."""
    given = read(parameters)
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            '--engine=slurm needs submitit: pip install "sparse_gf[slurm]".'
        ) from error
    cluster = given.pop("cluster", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**{**JOB, **given})
    # It says in many ways what it does not like, or that there is no SLURM.
    except (RuntimeError, NameError, ValueError, TypeError, AssertionError) as error:
        raise UserError(
            f"--slurm_job is {parameters!r}, which submitit cannot use: "
            f"{errors.first_line(error)}"
        ) from error
    return executor


def _submit(
    executor: Any,
    cells: Sequence[Cell],
    options: RunSpec,
    data_dir: str,
    workdir: pathlib.Path,
) -> dict[Cell, Any]:
    """Hands cells to SLURM as one array; a job for each, the longest first."""
    ordered = elsewhere.longest_first(cells)
    with executor.batch():
        jobs = [
            executor.submit(Work(), cell, options, data_dir, workdir)
            for cell in ordered
        ]
    return dict(zip(ordered, jobs, strict=True))


def _ended(job: Any) -> tuple[str, list[str]]:
    """What a job returned, or why it did not."""
    from submitit.core.utils import UncompletedJobError

    try:
        return job.result()
    except UncompletedJobError as error:
        return f"{errors.first_line(error)} (see {job.paths.stderr})", []
