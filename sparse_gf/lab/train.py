"""Training from Python: one cell, or many."""

import contextlib
import os
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from sparse_gf import experiment, results, specs
from sparse_gf.core import errors, files
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import engines
from sparse_gf.lab.found import Results
from sparse_gf.specs import Cell, RunSpec
from sparse_gf.studies import sweep as sweep_lib

Progress = Callable[[float, str], None]
"""``progress(share, message)``: so much of the work, 0 to 1, is done."""

Measured = Callable[[int, Sequence[Mapping[str, Any]]], None]
"""``measured(epoch, networks)``: what was just measured; see ``Monitor.scores``."""


def compare(
    cell: Cell | Mapping[str, Any],
    workdir: str | os.PathLike[str] | None = None,
    *,
    options: RunSpec | None = None,
    progress: Progress | str | None = None,
    measured: Measured | None = None,
) -> Results:
    """Trains one cell, or what is missing of it, and returns what was found.

    Args:
        cell: A ``CapacitySpec``, ``MaskedSpec``, or the values of a config, nested as
            there: ``{"dataset": "digits", "optimizer": {"name": "sgd"}}``.
        workdir: Where results go, and are found by the next call; None to keep nothing.
        options: How the cell is run; in the place of those in a config.
        progress: Is called with the share of the work and a message; ``"tqdm"`` for a
            bar, in notebooks too; None for silence.
        measured: Is called at every measured epoch with that and a mapping for each of
            the networks that are trained at once, of what it is and its numbers. An
            exception that it raises ends the training there.

    Raises:
        UserError: If a value is not allowed, or the data cannot be used.
        errors.Failed: If training has begun and could not be finished.
    """
    cell, own = _cell(cell)
    with _folder(workdir) as folder, _monitor(progress, measured) as monitor:
        experiment.set_up_jax(cell)
        if results.cell_path(folder, cell.hash).exists():
            _warn([cell], options or own, folder)
        rows = experiment.run(cell, options or own, folder, monitor)
        return Results(rows, results.read_measurements(folder, cell.hash))


def sweep(
    grid: Mapping[str, Any] | Sequence[Cell],
    workdir: str | os.PathLike[str],
    *,
    options: RunSpec | None = None,
    engine: str = "local",
    ray_address: str = "auto",
    slurm_job: str = "",
    progress: Progress | str | None = None,
) -> Results:
    """Trains what is missing of many cells and returns what was found of all of them.

    Args:
        grid: Names of axes with tuples of values, every combination of which is a cell,
            beside values that all cells share: ``{"variant": ("NR", "BN"), "epochs":
            20}``; a config of ``studies.sweep.config``; or cells.
        workdir: Where results go. Finished cells are not trained again.
        options: How cells are run.
        engine: What trains; see ``experiment.engines``, for the next two as well.
        ray_address: Of the cluster.
        slurm_job: Parameters of jobs.
        progress: See ``compare``.

    Returns:
        The results of the cells that could be trained; ``failed`` has the others.

    Raises:
        UserError: If a value is not allowed, the data cannot be used, or no cell could
            be trained.
    """
    cells, own = _cells(grid)
    train = engines.choose(engine, ray_address, slurm_job)
    with _monitor(progress) as monitor:
        folder = results.prepare(workdir, monitor.note)
        results.check(folder)
        missing = [c for c in cells if not results.cell_path(folder, c.hash).exists()]
        _warn([c for c in cells if c not in missing], options or own, folder)
        watch = experiment.Watch(
            *(missing, folder, monitor, lambda cell: cell.what),
            *(lambda path, cell: "finished", lambda: None),
        )
        if missing:
            experiment.set_up_jax(missing[0])
            train(missing, options or own, folder, watch)
            results.compact(folder)
    done = [cell.hash for cell in cells if cell.hash not in watch.failed]
    if not done:
        raise errors.Failed(next(iter(watch.failed.values())))
    networks, measurements = (
        pd.concat([read_rows(folder, name) for name in done], ignore_index=True)
        for read_rows in (results.read, results.read_measurements)
    )
    return Results(networks, measurements, dict(watch.failed))


def read(workdir: str | os.PathLike[str]) -> Results:
    """The results of all finished cells of a work directory.

    Raises:
        UserError: If there are none.
    """
    return Results(results.read(workdir), results.read_measurements(workdir))


def _warn(finished: Sequence[Cell], options: RunSpec, folder: pathlib.Path) -> None:
    """Warns of what finished cells are asked for and did not keep."""
    if lacking := experiment.complete(finished, options, folder):
        warnings.warn(lacking, stacklevel=3)


def _cell(given: Any) -> tuple[Cell, RunSpec]:
    return (given, RunSpec()) if isinstance(given, Cell) else specs.from_config(given)


def _cells(grid: Any) -> tuple[Sequence[Cell], RunSpec]:
    if not hasattr(grid, "keys"):
        if not all(isinstance(cell, Cell) for cell in grid):
            raise UserError(f"grid is {grid!r:.80}; it must be a mapping, or cells.")
        return tuple(grid), RunSpec()
    if "study" not in grid and "grid" not in grid:
        axes = {name: own for name, own in grid.items() if name in sweep_lib.AXES}
        shared = {name: own for name, own in grid.items() if name not in axes}
        many: Any = {
            name: tuple(own) if isinstance(own, list | tuple) else (own,)
            for name, own in axes.items()
        }
        config = sweep_lib.config(**many)
        for name, value in shared.items():
            errors.one_of("grid key", name, {*config, *sweep_lib.AXES})
            config[name] = value
        grid = config
    made = sweep_lib.expand(grid)
    return made.study.trained, made.run


@contextlib.contextmanager
def _folder(workdir: str | os.PathLike[str] | None) -> Iterator[pathlib.Path]:
    if workdir is not None:
        yield files.user_path("workdir", workdir)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


class _Told(experiment.Monitor):
    """Passes on how far the work is, and what was measured."""

    def __init__(self, tell: Progress | None, measured: Measured | None):
        self._tell = tell
        self._measured = measured

    def progress(self, share: float, message: str) -> None:
        if self._tell:
            self._tell(share, message)

    def scores(self, epoch: int, networks: Sequence[Mapping[str, Any]]) -> None:
        if self._measured:
            self._measured(epoch, networks)


@contextlib.contextmanager
def _monitor(
    progress: Progress | str | None, measured: Measured | None = None
) -> Iterator[experiment.Monitor]:
    if progress is None or callable(progress):
        yield _Told(progress, measured)
    else:
        errors.one_of("progress", progress, ("tqdm",))
        with _bar() as bar:

            def tell(share: float, message: str) -> None:
                bar.set_description_str(message, refresh=False)
                bar.update(share - bar.n)

            yield _Told(tell, measured)


def _bar() -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):
            # Notebooks without widgets get a bar of text, and need not be told.
            from tqdm import auto
    except ImportError as error:
        raise UserError('progress="tqdm" needs tqdm: pip install tqdm.') from error
    return auto.tqdm(total=1.0, bar_format="{percentage:3.0f}%|{bar}| {desc}")
