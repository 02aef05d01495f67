"""Who is told what happens while one cell, or many, are trained."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sparse_gf.core import words
from sparse_gf.specs import Cell


class Monitor:
    """Is told what happens to a cell, and ignores it; a base for those that do not."""

    def progress(self, share: float, message: str) -> None:
        """A share of the cell, in 0..1, is done."""

    def measured(self, message: str) -> None:
        """Networks were measured after an epoch; the message has their means."""

    def scores(self, epoch: int, networks: Sequence[Mapping[str, Any]]) -> None:
        """Networks that are trained at once were measured; an exception ends that.

        Args:
            epoch: After which.
            networks: Of each, what it is (``arm``, ``seed``, ``dense_width``, ...) and
                its newest numbers (``egf2``, ``test_accuracy``, ...).
        """

    def note(self, message: str) -> None:
        """Something happened that is worth a line."""


class Watch:
    """Turns what happens to single cells into the progress of all.

    Attributes:
        failed: By cell hash, why it could not be trained.
        begin: To be called by an engine before it trains the first cell.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        workdir: pathlib.Path,
        monitor: Monitor,
        describe: Callable[[Cell], str],
        result: Callable[[pathlib.Path, Cell], str],
        begin: Callable[[], None],
    ):
        """Watches the training of some cells.

        Args:
            cells: What is to be trained.
            workdir: Where.
            monitor: Is told shares of all cells' work, and a line per finished cell.
            describe: A cell in a few words.
            result: A finished cell's result in one line.
            begin: Called when all that could be wrong has been checked, before the
                first cell is trained.
        """
        self.failed: dict[str, str] = {}
        self.begin = begin
        self._workdir = workdir
        self._monitor = monitor
        self._describe = describe
        self._result = result
        self._total = sum(cell.work for cell in cells)
        self._number = len(cells)
        self._done = 0.0
        self._ended = 0

    def of(self, cell: Cell) -> Monitor:
        """A monitor of one cell that passes on to that of all."""
        return _CellMonitor(self, cell)

    def progress(self, cell: Cell, share: float, message: str) -> None:
        """A share of one cell is done."""
        self._monitor.progress(
            (self._done + share * cell.work) / self._total,
            f"cell {min(self._ended + 1, self._number)}/{self._number}, "
            f"{self._describe(cell)}, {message}",
        )

    def scores(self, epoch: int, networks: Sequence[Mapping[str, Any]]) -> None:
        """Networks of a cell were measured."""
        self._monitor.scores(epoch, networks)

    def running(self, number: int) -> None:
        """So many cells are being trained, which do not say how far they are."""
        self._monitor.progress(
            self._done / self._total,
            f"{self._ended}/{words.counted(self._number, 'cell')}, {number} running",
        )

    def note(self, cell: Cell, message: str) -> None:
        """Something happened to a cell."""
        self._monitor.note(f"{self._describe(cell)}: {message}")

    def finished(self, cell: Cell) -> None:
        """A cell's result file is there."""
        self._end(cell)
        self._monitor.note(
            f"{self._ended}/{self._number} {cell.hash} {self._describe(cell)}: "
            f"{self._result(self._workdir, cell)}"
        )

    def fail(self, cell: Cell, error: Exception) -> None:
        """A cell could not be trained; others may be."""
        self._end(cell)
        self.failed[cell.hash] = f"{self._describe(cell)}: {error}"
        self._monitor.note(f"{self._ended}/{self._number} {cell.hash} failed: {error}")

    def _end(self, cell: Cell) -> None:
        self._ended += 1
        self._done += cell.work


class _CellMonitor(Monitor):
    """Tells the watch of all cells what happens to one."""

    def __init__(self, watch: Watch, cell: Cell):
        self._watch = watch
        self._cell = cell

    def progress(self, share: float, message: str) -> None:
        self._watch.progress(self._cell, share, message)

    def scores(self, epoch: int, networks: Sequence[Mapping[str, Any]]) -> None:
        self._watch.scores(epoch, networks)

    def note(self, message: str) -> None:
        self._watch.note(self._cell, message)
