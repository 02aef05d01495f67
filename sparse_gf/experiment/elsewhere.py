"""Training of a cell in another process, maybe on another machine."""

import pathlib
import time
from collections.abc import Sequence

from sparse_gf import data as data_lib
from sparse_gf import results
from sparse_gf.core import files
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import own, running
from sparse_gf.experiment.monitor import Monitor, Watch
from sparse_gf.specs import Cell, RunSpec

POLL_SECONDS = 1.0
"""Time between looks at what other processes are doing."""

SHARED_SECONDS = 120.0
"""How long a result may take to be seen on another machine than the one it is from."""


def check(cells: Sequence[Cell], options: RunSpec) -> str:
    """Finds here what would fail elsewhere, and prepares data in shared folders once.

    Returns:
        The folder of the data, as other machines are to be told.

    Raises:
        UserError: If a data set cannot be used, or a cell not be trained elsewhere.
    """
    for cell in cells:
        own.check_elsewhere(cell)
    running.load_all(cells, options)
    # The folder of this process means nothing on other machines.
    if not options.data_dir:
        return ""
    return str(files.user_path("config.data_dir", options.data_dir).absolute())


def longest_first(cells: Sequence[Cell]) -> list[Cell]:
    """Cells in the order in which all of them end soonest."""
    return sorted(cells, key=lambda cell: cell.work, reverse=True)


def work(
    cell: Cell, options: RunSpec, data_dir: str, workdir: pathlib.Path
) -> tuple[str, list[str]]:
    """Trains one cell there: why that failed, if it did, and what happened."""
    running.set_up_jax(cell)
    notes = _Notes()
    try:
        part = running.part(cell, data_lib.load(cell.files, data_dir))
        # A process that was cut off may hold the cell's lock for a while.
        running.train_cell(cell, options, part, workdir, notes, wait=True)
    # A disk that fails may be that of one machine.
    except (*running.OF_ONE_CELL, OSError) as error:
        return str(error) or type(error).__name__, notes.lines
    return "", notes.lines


class _Notes(Monitor):
    """Keeps what is said about a cell."""

    def __init__(self):
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def tell(
    cell: Cell, ended: tuple[str, list[str]], workdir: pathlib.Path, watch: Watch
) -> None:
    """Passes on what ``work`` returned, when the result can be seen here.

    Raises:
        UserError: If it does not appear in the work directory.
    """
    problem, notes = ended
    for line in notes:
        watch.note(cell, line)
    if problem:
        watch.fail(cell, UserError(problem))
    else:
        _wait_for_result(cell, workdir)
        watch.finished(cell)


def _wait_for_result(cell: Cell, workdir: pathlib.Path) -> None:
    """Waits for shared storage, which may show new files late."""
    path = results.cell_path(workdir, cell.hash)
    deadline = time.monotonic() + SHARED_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise UserError(
                f"cell {cell.hash} was trained, but {path} does not appear here; "
                "--workdir must be storage that all machines of the cluster share."
            )
        time.sleep(POLL_SECONDS)
