"""How the cells of a work directory were trained, each protocol once."""

import collections
import json
from collections.abc import Hashable, Iterator
from typing import Any

from sparse_gf import specs
from sparse_gf.reporting import render
from sparse_gf.reporting.findings import Findings, Finished


def layouts(findings: Findings) -> Iterator[render.Table]:
    """A table for each kind of cell that there is, with the number of its cells."""
    if findings.cells:
        headings = (
            *("Trained on", "Epochs", "Batch", "Dense widths", "Seeds"),
            *("Pairs per cell", "Gradient flow on", "Initializer", "Presets of"),
        )
        counts = collections.Counter(map(_compared, findings.cells.values()))
        yield _layout(headings, counts)
    if not findings.masked.empty:
        headings = (
            *("Trained on", "Epochs", "Batch", "Model", "Densities %", "Seeds"),
            *("Gradient flow on", "Initializer", "Optimizer"),
        )
        firsts = findings.masked.drop_duplicates("config_hash").to_dict("records")
        yield _layout(headings, collections.Counter(map(_masked, firsts)))


def _layout(headings: tuple[str, ...], counts: collections.Counter) -> render.Table:
    values = [(*protocol, number) for protocol, number in counts.items()]
    return render.plain("protocols", "", (*headings, "Cells"), values, aligned="c")


def _compared(cell: Finished) -> tuple[Hashable, ...]:
    spec, row = cell.spec, cell.rows.iloc[0]
    widths, seeds = spec.dense_widths, len(spec.seeds)
    own = ", ".join(map(str, widths)), seeds, len(widths) * seeds
    return _shared(spec, row, own, spec.optimizer.preset)


def _masked(row: dict) -> tuple[Hashable, ...]:
    spec: Any = specs.from_config(json.loads(row["config"]))[0]
    densities = ", ".join(f"{100 * density:g}" for density in spec.mask.density)
    own = row["model"], densities, len(spec.seeds)
    return _shared(
        spec, row, own, f"{row['optimizer']} {spec.optimizer.learning_rate:g}"
    )


def _shared(spec: Any, row: Any, own: tuple, last: str) -> tuple[Hashable, ...]:
    """A line of either table."""
    return (
        *(row["dataset_title"], spec.epochs, spec.batch_size, *own),
        f"{row['probe_examples']:,} images",
        f"{spec.initializer}, fans {spec.initializer_reference}",
        last,
    )
