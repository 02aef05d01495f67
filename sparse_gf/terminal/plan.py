"""What training takes on a device, before any hour of it is paid for."""

from collections.abc import Iterator
from typing import Any

import rich.console

from sparse_gf import experiment, specs
from sparse_gf.core import errors, words
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import projection
from sparse_gf.experiment.projection import Projection
from sparse_gf.experiment.targets import TARGETS, Target
from sparse_gf.specs import Cell, RunSpec
from sparse_gf.studies import sweep as sweep_lib

HERE = "here"

MEMORY = (
    "At once and memory are the estimate that training begins with. Where it says that "
    "not all networks fit, accelerators ask their compiler, which this plan does not, "
    "and may find that more do."
)
PAPER = (
    "A projection, not a measurement: a step takes the longest of its operations at "
    "the rate, its bytes at the bandwidth, and 2 microseconds for every kernel; "
    "measuring, its operations alone. Compiling, making networks and checkpoints are "
    "left out, and so is what TPUs add to arrays to fill tiles. Programs compiled for "
    "an H100 move 1 to 3 times these bytes: plan for twice to three times this time."
)
MEASURED = (
    "A projection from a measured speed: operations, measuring's too, over the rate at "
    "which networks like the first of each row were trained here just now."
)


def show(config: Any, target: str, console: rich.console.Console) -> None:
    """Prints what a cell, or all cells of a sweep, take on one device.

    ``target`` is one of ``TARGETS``, or ``HERE``, whose speed is measured.

    Raises:
        UserError: If there is no such target, the config cannot be used, or the target
            has no rate for a cell's precision.
    """
    errors.one_of("--target", target, {*TARGETS, HERE})
    title, cells, run = _asked(config)
    if target == HERE:
        experiment.set_up_jax(cells[0])
    devices: dict[str, Target] = {}
    found: dict[str, list[Projection]] = {}
    for cell in cells:
        kind, job = _kind(cell), experiment.job(cell, run)
        if kind not in devices:
            devices[kind] = TARGETS.get(target) or projection.measured(job)
        found.setdefault(kind, []).append(projection.project(job, devices[kind]))
    console.print(title, style="bold", soft_wrap=True)
    rows = {kind: projection.total(own) for kind, own in found.items()}
    for line in (*_lines(rows), *_basis(devices, target)):
        console.print(line, soft_wrap=True)


def _asked(config: Any) -> tuple[str, tuple[Cell, ...], RunSpec]:
    """A title, the cells, and how they are run."""
    if "study" not in config:
        cell, run = specs.from_config(config)
        return f"{cell.info.title}, {cell.what}", (*cell.needs, cell), run
    if "paper" in config and not config.study:
        raise UserError(
            "--config names no study; python -m sparse_gf.sweep lists those of a paper."
        )
    sweep = sweep_lib.expand(config)
    scale = f", {sweep.scale} scale" if sweep.scale else ""
    return f"{sweep.study.title}{scale}", sweep.study.trained, sweep.run


def _kind(cell: Cell) -> str:
    """Cells of which this is equal have networks alike, in a row of the table."""
    model = getattr(cell, "model", "both arms")
    return f"{cell.info.title}, {model}, {projection.precision_of(cell)}"


def _lines(rows: dict[str, Projection]) -> Iterator[str]:
    whole = projection.total(rows.values())
    for name, own in (rows | {"All": whole} if len(rows) > 1 else rows).items():
        cells, networks, parts = map(
            words.counted,
            (own.cells, own.networks, own.parts),
            ("cell", "network", "part"),
        )
        yield (
            f"  {name}: {cells}, {networks}, at most {own.at_once} at once, {parts}, "
            f"{words.memory(own.memory)} of memory; {_scaled(own.flops, 'FLOP')}, "
            f"{_scaled(own.moved, 'B')} moved: {words.duration(own.seconds)}"
        )
    for bound, what in ((whole.waiting, "memory"), (whole.launching, "launches")):
        if bound:
            yield f"In {bound / whole.seconds:.0%} of the time steps wait for {what}."


def _basis(devices: dict[str, Target], target: str) -> list[str]:
    """Lines about what the numbers rest on."""
    own = next(iter(devices.values()))
    lines = [f"One {own.title}." if target != HERE else f"On {own.title}."]
    if target == HERE:
        for kind, device in devices.items():
            (rate,) = device.rates.values()
            lines.append(f"{kind}: {_scaled(rate, 'FLOP/s')}, {device.source}.")
        return [*lines, MEASURED, MEMORY]
    rates = ", ".join(f"{_scaled(r, 'FLOP/s')} {p}" for p, r in own.rates.items())
    lines[0] = (
        f"One {own.title}: JAX takes {own.machine.memory / own.memory:.0%} of the "
        f"memory; {_scaled(own.bandwidth, 'B/s')}; {rates} ({own.source})."
    )
    return [*lines, PAPER, MEMORY]


def _scaled(number: float, unit: str) -> str:
    """A number with a unit in powers of 1000: ``"1.2 TB"``."""
    for prefix in ("", "k", "M", "G", "T", "P", "E"):
        if number < 999.5:
            return f"{number:.3g} {prefix}{unit}"
        number /= 1000
    return f"{number:.3g} Z{unit}"
