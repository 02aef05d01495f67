"""What a person at a terminal sees while a cell trains and when it is done."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import rich.box
import rich.console
import rich.table
from rich import progress

from sparse_gf import comparison as comparison_lib
from sparse_gf import experiment, specs

QUIET_SECONDS = 10
"""Time between lines of progress where there is no terminal to draw a bar on."""


def train_cell(config: Any, workdir: str) -> None:
    """Trains one cell with a progress bar; prints its table and where files are.

    Raises:
        UserError: If the config, the work directory or the data cannot be used.
    """
    cell, run = specs.from_config(config)
    _set_up_jax(cell)
    console = rich.console.Console()
    with _monitor(console) as monitor:
        rows = experiment.run(cell, run, workdir, monitor)
    comparison = comparison_lib.compare(rows, run.wilcoxon_method, run.wilcoxon_zeros)
    folder = comparison_lib.write(pathlib.Path(workdir), comparison, rows)
    show(comparison, console)
    for line in (
        f"Figures, table and config: {folder}",
        f"Rows: {workdir}/networks.parquet, {workdir}/measurements.parquet",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def show(comparison: comparison_lib.Comparison, console: rich.console.Console) -> None:
    """Prints a comparison."""
    table = rich.table.Table(
        title=comparison.title, title_style="bold", box=rich.box.SIMPLE_HEAD
    )
    for heading in comparison_lib.COLUMNS.values():
        table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row in comparison.table.itertuples(index=False):
        table.add_row(*map(str, row))
    console.print(table)
    for line in comparison.lines():
        console.print(line, highlight=False, soft_wrap=True)


def _set_up_jax(cell: specs.CellSpec) -> None:
    """Sets what only a whole process can: precision, and the compilation cache."""
    if cell.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        folder = pathlib.Path(cache).expanduser() / "sparse_gf" / "jax"
        # It is a convenience: without it programs are compiled again.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))


class _Lines(experiment.Monitor):
    """Progress where there is no terminal: a line now and then."""

    def __init__(self, console: rich.console.Console):
        self._console = console
        self._next = 0.0
        self._origin: tuple[float, float] | None = None

    def progress(self, share: float, message: str) -> None:
        now = time.monotonic()
        # The first epoch compiles, and a resumed run starts in the middle.
        start, first = self._origin or (now, share)
        if share and self._origin is None:
            self._origin = now, share
        if now < self._next and share < 1:
            return
        self._next = now + QUIET_SECONDS
        left = (now - start) * (1 - share) / (share - first) if share > first else 0.0
        known = f", {left:.0f} s left" if left else ""
        self.note(f"{share:4.0%} {message}{known}")

    def note(self, message: str) -> None:
        self._console.print(message, highlight=False, soft_wrap=True)


class _Bar(experiment.Monitor):
    """A progress bar with the time left."""

    def __init__(self, bar: progress.Progress):
        self._bar = bar
        self._task = bar.add_task("starting", total=1.0)

    def progress(self, share: float, message: str) -> None:
        self._bar.update(self._task, completed=share, description=message)

    def note(self, message: str) -> None:
        self._bar.console.print(message, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _monitor(console: rich.console.Console) -> Iterator[experiment.Monitor]:
    if not console.is_terminal:
        yield _Lines(console)
        return
    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=console,
    ) as bar:
        yield _Bar(bar)
