"""Engines: what trains the cells of a sweep, on this machine or on a cluster.

An engine is a function of ``ENGINES``. It trains cells that are not finished, in a
prepared work directory, and leaves one result file for each. What has been done is in
the work directory alone, never in the engine: a killed sweep goes on with any engine.
"""

import functools
import pathlib
from collections.abc import Callable, Sequence

from sparse_gf import results
from sparse_gf.core import errors
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import ray, running, slurm
from sparse_gf.experiment.monitor import Watch
from sparse_gf.specs import Cell, RunSpec


def local(
    cells: Sequence[Cell], options: RunSpec, workdir: pathlib.Path, watch: Watch
) -> None:
    """Trains cells one after another in this process.

    All data sets are read and checked before anything is trained. Cells that another
    process is training in the same work directory come last and are waited for, so
    several processes can share a sweep, and one that dies is replaced.

    Args:
        cells: None of them finished when this is called.
        options: How cells are run.
        workdir: A prepared work directory.
        watch: Is told what happens.

    Raises:
        UserError: If a data set cannot be used.
        OSError: If a result cannot be written.
    """
    load = running.load_all(cells, options)
    watch.begin()
    busy = [
        cell
        for cell in cells
        if not _train(cell, options, load(cell.files), workdir, watch)
    ]
    for cell in busy:
        watch.note(cell, "waiting for the process that trains it")
        _train(cell, options, load(cell.files), workdir, watch, wait=True)


def _train(
    cell: Cell,
    options: RunSpec,
    whole: Dataset,
    workdir: pathlib.Path,
    watch: Watch,
    *,
    wait: bool = False,
) -> bool:
    """Trains one cell; False if another process is training it."""
    try:
        part = running.part(cell, whole)
        running.train_cell(cell, options, part, workdir, watch.of(cell), wait=wait)
    except results.Busy:
        return False
    except running.OF_ONE_CELL as error:
        watch.fail(cell, error)
    else:
        watch.finished(cell)
    return True


ENGINES: dict[str, Callable[..., None]] = {
    "local": local,
    "ray": ray.on_ray,
    "slurm": slurm.on_slurm,
}
"""By name; each can be called as ``local`` is."""


def choose(
    name: str, ray_address: str = "auto", slurm_job: str = ""
) -> Callable[..., None]:
    """An engine by name, to be called as ``local`` is.

    ``ray_address`` and ``slurm_job`` are for the engine that wants them.

    Raises:
        UserError: If there is no such engine.
    """
    errors.one_of("--engine", name, ENGINES)
    own = {"ray": {"address": ray_address}, "slurm": {"parameters": slurm_job}}
    engine = ENGINES[name]
    return functools.partial(engine, **own[name]) if name in own else engine
