"""An experiment: from specs to result rows, in one place, resumable."""

import os
import pathlib
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd

from sparse_gf import checkpoints, ensemble, results, rows, sc_sdc, train
from sparse_gf import data as data_lib
from sparse_gf.errors import UserError
from sparse_gf.sc_sdc import Group
from sparse_gf.specs import CellSpec, RunSpec
from sparse_gf.types import Dataset

CHECKPOINT_SHARE = 0.05
"""Most of the time that may go into checkpoints."""


class Monitor:
    """Is told what happens; this one does not care."""

    def progress(self, share: float, message: str) -> None:
        """A share of the cell, in 0..1, is done."""

    def note(self, message: str) -> None:
        """Something happened that is worth a line."""


def run(
    cell: CellSpec,
    run: RunSpec,
    workdir: str | os.PathLike[str],
    monitor: Monitor | None = None,
) -> pd.DataFrame:
    """Trains one cell, or what is missing of it, and writes its result file.

    A process killed at any moment continues at the last checkpoint when it is run
    again, and ends with the same numbers, bit for bit on the same machine. A finished
    cell is read, not trained again.

    Args:
        cell: What to train.
        run: How.
        workdir: Where results and checkpoints go; see ``results``.
        monitor: Is told how far the run is.

    Returns:
        One row per network, as ``results.read`` gives them.

    Raises:
        UserError: If the work directory or the data cannot be used, or if the work
            directory holds this cell computed from other data.
    """
    monitor = monitor or Monitor()
    path = results.prepare(workdir)
    dataset = data_lib.load(cell.dataset, run.data_dir)
    _check_sizes(cell, dataset)
    if results.cell_path(path, cell.hash).exists():
        finished = results.read(path, cell.hash)
        _check_same_data(cell, dataset, finished, path)
        monitor.note(f"Cell {cell.hash} is finished; nothing to train.")
        return finished
    folder = path / "checkpoints" / f"{cell.hash}-{dataset.fingerprint}"
    trained = list(_train(cell, run, dataset, folder, monitor))
    results.write_cell(path, cell.hash, trained)
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return results.read(path, cell.hash)


def _train(
    cell: CellSpec,
    run: RunSpec,
    dataset: Dataset,
    folder: pathlib.Path,
    monitor: Monitor,
) -> Iterator[dict[str, Any]]:
    """Trains group after group and yields a row per network."""
    monitor.progress(0.0, "compiling")
    data = ensemble.to_device(dataset, cell.dtype)
    groups = sc_sdc.plan(cell, run)
    work = [_work(cell, group) for group in groups]
    for number, group in enumerate(groups):
        before, own = sum(work[:number]) / sum(work), work[number] / sum(work)
        program = f"program {number + 1}/{len(groups)}, " if len(groups) > 1 else ""
        saver = _Saver(checkpoints.Checkpoints(folder / group.name), cell, run)
        start = _start(cell, group, data, saver.checkpoints)
        if start.epoch:
            monitor.note(f"Continuing {program}at epoch {start.epoch}.")

        def after_epoch(
            progress: ensemble.Progress,
            before: float = before,
            own: float = own,
            program: str = program,
            saver: _Saver = saver,
        ) -> None:
            saver.after_epoch(progress)
            share = before + own * progress.epoch / cell.epochs
            monitor.progress(share, f"{program}epoch {progress.epoch}/{cell.epochs}")

        programs = sc_sdc.programs(cell, group.width)
        measured = train.measured_epochs(cell.epochs, cell.measurements)
        end = ensemble.fit(programs, group.seeds, data, start, measured, after_epoch)
        saver.checkpoints.close()
        yield from rows.make(cell, run, dataset, group, end.history)


def _start(
    cell: CellSpec,
    group: Group,
    data: train.Data,
    saved: checkpoints.Checkpoints,
) -> ensemble.Progress:
    """The networks of a group at their last checkpoint, or new ones."""
    programs = sc_sdc.programs(cell, group.width)
    points = len(train.measured_epochs(cell.epochs, cell.measurements))
    members = sc_sdc.members(cell, group)
    shapes = ensemble.shapes(programs, group.seeds, members, data, points)
    found = saved.restore(shapes)
    return found or ensemble.begin(programs, group.seeds, members, shapes)


class _Saver:
    """Saves at the last epoch, and before it as often as costs little."""

    def __init__(
        self, checkpoints: checkpoints.Checkpoints, cell: CellSpec, run: RunSpec
    ):
        self.checkpoints = checkpoints
        self._last_epoch = cell.epochs
        self._seconds = run.checkpoint_seconds
        self._next = time.monotonic() + run.checkpoint_seconds

    def after_epoch(self, progress: ensemble.Progress) -> None:
        start = time.monotonic()
        if start < self._next and progress.epoch < self._last_epoch:
            return
        self.checkpoints.save(progress)
        now = time.monotonic()
        # No limit if the user wants a checkpoint after every epoch.
        wait = (now - start) / CHECKPOINT_SHARE if self._seconds else 0.0
        self._next = now + max(self._seconds, wait)


def _work(cell: CellSpec, group: Group) -> int:
    """Relative time that a group takes: its multiplications."""
    input_dim = data_lib.info(cell.dataset).input_dim
    hidden = group.width**2 * (cell.hidden_layers - 1)
    return group.size * (input_dim * group.width + hidden)


def _check_sizes(cell: CellSpec, dataset: Dataset) -> None:
    """Local files may hold fewer images than the published data set."""
    size = len(dataset.train_labels)
    for name in ("batch_size", "probe_size"):
        if getattr(cell, name) > size:
            raise UserError(
                f"config.{name} is {getattr(cell, name)}; {dataset.title} from "
                f"{dataset.source} has only {size} training images."
            )


def _check_same_data(
    cell: CellSpec, dataset: Dataset, finished: pd.DataFrame, workdir: pathlib.Path
) -> None:
    known = finished["dataset_fingerprint"].iloc[0]
    if known != dataset.fingerprint:
        raise UserError(
            f"--workdir {str(workdir)!r} holds cell {cell.hash} computed from other "
            f"data ({finished['dataset_source'].iloc[0]}, fingerprint {known}) than "
            f"config.data_dir gives now ({dataset.source}, fingerprint "
            f"{dataset.fingerprint}); use another work directory."
        )
