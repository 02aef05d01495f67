"""What a person at a terminal sees while a cell trains and when it is done."""

import contextlib
import dataclasses
import functools
import math
import pathlib
import textwrap
import time
from collections.abc import Collection, Iterator
from typing import Any

import rich.console
import rich.measure
from rich import progress
from rich.table import Column

from sparse_gf import ensemble, experiment, results, specs
from sparse_gf.core import errors, files, words
from sparse_gf.core.own import plain
from sparse_gf.experiment import cost, engines
from sparse_gf.reporting import cell_folder, densities, render
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import usage

LINE_SECONDS = 10.0
"""Time between a sweep's lines of progress where there is no terminal for a bar."""

STEPS = 8
"""Lines of progress of a cell there, each with what was measured last."""


def train_cell(config: Any, workdir: str) -> None:
    """Trains one cell with a progress bar; prints its table and where files are.

    Raises:
        UserError: If the config, the work directory or the data cannot be used.
    """
    cell, run = specs.from_config(config)
    experiment.set_up_jax(cell)
    console = rich.console.Console(markup=False)
    start = time.monotonic()
    with _monitor(console, 0.0) as monitor:
        rows = experiment.run(cell, run, workdir, monitor)
    taken = words.duration(time.monotonic() - start)
    memory = words.memory(ensemble.peak_memory())
    with errors.begun():
        folder = _show_cell(run, workdir, rows, console)
    above = folder.parent
    for line in (
        f"Figures, table and config: {folder}",
        f"Rows: {above}/networks.parquet, {above}/measurements.parquet",
        f"{words.counted(len(rows), 'network')} in {taken}, with at most {memory} of "
        "memory.",
    ):
        _say(console, line)


def _show_cell(
    run: specs.RunSpec, workdir: str, rows: Any, console: rich.console.Console
) -> pathlib.Path:
    """Prints a finished cell's table and writes its folder, which is returned."""
    found = cell_folder.look(rows, run.wilcoxon_method, run.wilcoxon_zeros)
    _show_table(found.layout("plain"), console)
    for line in found.lines():
        _say(console, line)
    return cell_folder.write(files.user_path("--workdir", workdir), found, rows)


def _show_table(layout: render.Table, console: rich.console.Console) -> None:
    """Prints a table, or line by line what is in it where it is too wide."""
    table = render.terminal(layout)
    whole = rich.measure.Measurement.get(
        console, console.options.update(width=1000), table
    )
    if whole.maximum <= console.width:
        console.print(table)
        return
    _say(console, layout.title)
    for name, values in render.sentences(layout):
        _say(console, name)
        for value in values:
            _say(console, f"  {value}")


def train_sweep(
    sweep: sweep_lib.Sweep,
    workdir: str,
    engine: str = "local",
    ray_address: str = "auto",
    slurm_job: str = "",
) -> int:
    """Trains what is missing of a sweep, with a progress bar and a line per cell.

    For what trains see ``experiment.engines``.

    Returns:
        The exit status: 0, or 1 if some cells failed.

    Raises:
        UserError: If the engine, the work directory or the data cannot be used.
        OSError: If a result cannot be written.
    """
    train = engines.choose(engine, ray_address, slurm_job)
    console = rich.console.Console(markup=False)
    path = results.prepare(workdir, functools.partial(_say, console))
    results.check(path)
    wanted = sweep.study.trained
    cells = _missing(wanted, path)
    _say(console, f"{_heading(sweep)}: {_count(wanted, cells)}.")
    finished = [cell for cell in wanted if cell not in cells]
    if lacking := experiment.complete(finished, sweep.run, path):
        _say(console, lacking)
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as work:

        def begin() -> None:
            work.enter_context(errors.begun())
            results.write_sweep(path, sweep.name, sweep.config)

        if cells:
            experiment.set_up_jax(cells[0])
            monitor = work.enter_context(_monitor(console, LINE_SECONDS, len(cells)))
            result = functools.partial(_result, sweep.run)
            watch = experiment.Watch(cells, path, monitor, _describe, result, begin)
            train(cells, sweep.run, path, watch)
            failed = watch.failed
        else:
            begin()
        if len(failed) < len(wanted):
            results.compact(path)
    for config_hash, reason in failed.items():
        _say(console, f"failed: {config_hash} {reason}")
    _say(console, f"Tables and figures: python -m sparse_gf.report --workdir={workdir}")
    return int(bool(failed))


def list_sweep(sweep: sweep_lib.Sweep, workdir: str) -> int:
    """Lists a sweep's cells, what is done of them, and an estimate of the time left."""
    console = rich.console.Console(markup=False)
    path = files.user_path("--workdir", workdir)
    cells = sweep.study.trained
    missing = set(_missing(cells, path))
    costs = results.read_costs(path)
    speed = cost.Speed(costs.values())
    for cell in cells:
        state, seconds = "done", costs.get(cell.hash, ("", math.nan))[1]
        if cell in missing:
            begun = any((path / "checkpoints").glob(f"{cell.hash}-*"))
            state, seconds = "begun" if begun else "to do", speed.seconds(cell)
        about = "~" if cell in missing and seconds == seconds else ""
        time_taken = about + words.duration(seconds)
        _say(console, f"{cell.hash}  {state:5}  {time_taken:>7}  {_describe(cell)}")
    _say(console, f"{_heading(sweep)}: {_count(cells, missing)}.")
    left = sum(map(speed.seconds, missing))
    if missing and math.isnan(left):
        _say(console, "Time left: unknown; no finished cell here tells the speed.")
    elif missing:
        known = f"about {words.duration(left)}, at the speed of {speed}"
        _say(console, f"Time left: {known}.")
    return 0


def _missing(cells: Collection[specs.Cell], workdir: pathlib.Path) -> list[specs.Cell]:
    return [
        cell for cell in cells if not results.cell_path(workdir, cell.hash).exists()
    ]


def _heading(sweep: sweep_lib.Sweep) -> str:
    return f"{sweep.study.title}, {sweep.scale} scale" if sweep.scale else "Own grid"


def _count(cells: Collection[specs.Cell], missing: Collection[specs.Cell]) -> str:
    networks = sum(cell.num_networks for cell in cells)
    done = len(cells) - len(missing)
    are = "is" if len(cells) == 1 else "are"
    return (
        f"{done} of {words.counted(len(cells), 'cell')} {are} done "
        f"({words.counted(networks, 'network')} in all)"
    )


def _describe(cell: specs.Cell) -> str:
    decay = cell.optimizer.decay
    rate = f"{plain(cell.optimizer.name)} {cell.optimizer.learning_rate:g}"
    rate += f" (decay {decay:g})" if decay else ""
    few = cell.train_examples
    part = f", {words.counted(few, 'image')}" if few else ""
    epochs = words.counted(cell.epochs, "epoch")
    activation = plain(cell.activation)
    known = f"{cell.info.name}{part}, {epochs}, {cell.what}, {rate}, {activation}"
    if not cell.tost:
        return known
    return f"{known}, {densities.spoken_tweaks(cell.tost, dataclasses.asdict(cell))}"


def _result(run: specs.RunSpec, workdir: pathlib.Path, cell: specs.Cell) -> str:
    rows = results.read(workdir, cell.hash)
    seconds = words.duration(results.read_seconds(workdir, cell.hash))
    found = cell_folder.look(rows, run.wilcoxon_method, run.wilcoxon_zeros)
    return f"{found.brief(rows)}; {seconds}"


def _say(console: rich.console.Console, line: str) -> None:
    """Prints a line, broken between words where there is a terminal."""
    if console.is_terminal:
        line = textwrap.fill(line, console.width, **usage.WHOLE)
    console.print(line, highlight=False, soft_wrap=True)


class _Lines(experiment.Monitor):
    """Progress where there is no terminal: at most ``STEPS`` lines for each cell.

    What was measured is said with them. ``seconds`` is the least time between two.
    """

    def __init__(self, console: rich.console.Console, seconds: float, cells: int):
        self._console = console
        self._seconds = seconds
        self._step = 1 / (STEPS * max(cells, 1))
        self._next = 0.0
        self._next_share = 0.0
        self._measured = ""
        self._origin: tuple[float, float] | None = None

    def progress(self, share: float, message: str) -> None:
        now = time.monotonic()
        # The first epoch compiles, and a resumed run starts in the middle.
        start, first = self._origin or (now, share)
        if share and self._origin is None:
            self._origin = now, share
        if (now < self._next or share < self._next_share) and share < 1:
            return
        self._next = now + self._seconds
        # A step is done a rounding error before it, too.
        self._next_share = share + 0.999 * self._step
        if self._measured:
            self.note(self._measured)
            self._measured = ""
        left = (now - start) * (1 - share) / (share - first) if share > first else 0.0
        known = f", {words.duration(left)} left" if left else ""
        self.note(f"{share:4.0%} {message}{known}")

    def measured(self, message: str) -> None:
        self._measured = message

    def note(self, message: str) -> None:
        _say(self._console, message)


class _Bar(experiment.Monitor):
    """A progress bar with the time left."""

    def __init__(self, bar: progress.Progress):
        self._bar = bar
        self._task = bar.add_task("starting", total=1.0)

    def progress(self, share: float, message: str) -> None:
        self._bar.update(self._task, completed=share, description=message)

    def measured(self, message: str) -> None:
        self.note(message)

    def note(self, message: str) -> None:
        _say(self._bar.console, message)


@contextlib.contextmanager
def _monitor(
    console: rich.console.Console, seconds: float, cells: int = 1
) -> Iterator[experiment.Monitor]:
    if not console.is_terminal:
        yield _Lines(console, seconds, cells)
        return
    # What matters comes first; what does not fit is left out, and nothing is broken.
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    with progress.Progress(
        progress.BarColumn(bar_width=min(40, max(6, console.width // 4))),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("left"),
        progress.TextColumn("{task.description}", markup=False, table_column=rest),
        console=console,
        expand=True,
    ) as bar:
        yield _Bar(bar)
