"""What a person at a terminal sees while a cell trains and when it is done."""

import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import rich.box
import rich.console
import rich.table
from rich import progress

from sparse_gf import experiment, report, specs

QUIET_SECONDS = 10
"""Time between lines of progress where there is no terminal to draw a bar on."""


def train_cell(config: Mapping[str, Any], workdir: str) -> None:
    """Trains one cell with a progress bar; prints its table and where files are.

    Raises:
        UserError: If the config, the work directory or the data cannot be used.
    """
    cell, run = specs.from_config(config)
    _set_up_jax(cell)
    console = rich.console.Console()
    with _progress(console) as on_progress:
        rows = experiment.run(cell, run, workdir, on_progress)
    folder = report.write(pathlib.Path(workdir), cell.hash)
    show(report.compare(rows), console)
    for line in (
        f"Figures, table and config: {folder}",
        f"Rows: {workdir}/networks.parquet, {workdir}/measurements.parquet",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def show(comparison: report.Comparison, console: rich.console.Console) -> None:
    """Prints a comparison."""
    table = rich.table.Table(
        title=comparison.title, title_style="bold", box=rich.box.SIMPLE_HEAD
    )
    for heading in report.COLUMNS.values():
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
        jax.config.update("jax_compilation_cache_dir", str(folder))


@contextmanager
def _progress(console: rich.console.Console) -> Iterator[experiment.OnProgress]:
    """A progress bar on a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        last = -float("inf")
        start = time.monotonic()

        def print_line(share: float, message: str) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= QUIET_SECONDS or share == 1:
                last = now
                left = (now - start) * (1 - share) / share if share else float("nan")
                known = f", {left:.0f} s left" if share else ""
                console.print(f"{share:4.0%} {message}{known}", highlight=False)

        yield print_line
        return
    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, message: bar.update(
            task, completed=share, description=message
        )
