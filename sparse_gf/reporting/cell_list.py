"""Blocks of the page that list cells, each with its details; one for either kind."""

import dataclasses
import html
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from sparse_gf.reporting import (
    cell_charts,
    cell_folder,
    columns,
    densities,
    p_values,
    render,
)
from sparse_gf.reporting.blocks import Block
from sparse_gf.reporting.figures import DENSITY, WIDTH, Axis
from sparse_gf.reporting.findings import Findings, Finished
from sparse_gf.reporting.render import Cell, Piece


class Details(NamedTuple):
    """What is shown of one cell; figures and table are HTML, ``config`` is a file."""

    hash: str
    title: str
    figures: tuple[Markup, ...]
    table: str
    lines: list[str]
    config: Markup
    environment: str


def compared(findings: Findings) -> Block:
    """The cells of comparisons."""
    cells, measured = sorted(findings.cells.values(), key=_order), findings.measurements
    shown = columns.every(findings.rows)
    headings = (
        *("Cell", "Data set", "Layers", "Opti\u00admizer", "Rate", "Variant"),
        *("Activa\u00adtion", "Epochs", "Sparse %", "Dense %", "Sparse \u2212 dense"),
        *("p", "Diver\u00adged"),
        *(
            f"{columns.spoken(measure)} {arm}"
            for measure in shown
            for arm in columns.ARMS
        ),
    )
    rows = [(cell.spec.hash, *_compared(cell, shown)) for cell in cells]
    note = (
        "Means over all networks of an arm. Sparse \u2212 dense: mean paired "
        "difference of accuracy in points and its 95% bootstrap interval; p: Wilcoxon "
        "signed-rank, H1: sparse > dense."
    )
    return Block(
        *("cells", "Cells", "Cells"),
        texts=[note],
        table=render.html(_listed(headings, rows, "lccccc" + "c" * 99)),
        filters=("Data set", "Optimizer", "Variant", "Activation"),
        cells=[
            _details(WIDTH, cell.rows, cell.rows, cell.comparison, measured)
            for cell in cells
        ],
    )


def under_masks(findings: Findings) -> Block:
    """The cells of networks under masks, a row for each of their densities."""
    rows, details, measured = [], [], findings.masked_measurements
    shown = columns.every(findings.masked)
    lines = densities.with_lines(findings.masked)
    for config_hash, own in lines.groupby("config_hash", sort=False):
        rows += [
            (config_hash, *_masked(part, shown))
            for _, part in own.groupby("density", sort=False)
        ]
        whole = findings.masked[findings.masked["config_hash"] == config_hash]
        summary, own_lines = densities.summarise(whole), densities.with_lines(whole)
        title = ", ".join([summary.title, *own_lines["line"].unique()])
        summary = dataclasses.replace(summary, title=title)
        details.append(_details(DENSITY, whole, own_lines, summary, measured))
    headings = (
        *("Cell", "Data set", "Model", "Mask", "Opti\u00admizer", "Rate", "Epochs"),
        *("Density %", "Active weights", "Seeds", "Test accuracy %", "Test loss"),
        *map(columns.spoken, shown),
        "Diver\u00adged",
    )
    return Block(
        *("masked-cells", "Cells under masks", "Cells under masks"),
        texts=["Means over seeds; a row for each density of a cell."],
        table=render.html(_listed(headings, rows, "lll" + "c" * 99)),
        filters=("Data set", "Model", "Mask", "Density %"),
        cells=details,
    )


def environment(row: Any) -> str:
    """The device and the versions that a network was trained with."""
    versions = json.loads(row["versions"])
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{row['device']}; {named}"


def _listed(
    headings: tuple[str, ...], rows: list[tuple[str | Cell, ...]], aligned: str
) -> render.Table:
    """The table of a list, whose names lead to details."""
    aligned = aligned[: len(headings) - 1]
    table = render.plain("cells", "", headings, rows, aligned=aligned)
    return table._replace(names_lead_to="#cell-")


def _order(cell: Finished) -> tuple:
    """Where a cell stands among others."""
    spec = cell.spec
    return (
        *(cell.rows["dataset_title"].iloc[0], spec.hidden_layers),
        *(spec.optimizer.learning_rate, spec.optimizer.name),
        *(len(spec.variant.split("_")), spec.variant, spec.activation, spec.hash),
    )


def _with_small(value: str, small: str) -> Cell:
    return Cell(((Piece("text", value), Piece("soft", small)),), ())


def _dataset(row: Any) -> str | Cell:
    name, _, is_part = row["dataset_title"].partition(", ")
    part = f"{row['train_examples']:,} train, {row['test_examples']:,} test"
    return _with_small(name, part) if is_part else name


def _compared(cell: Finished, shown: Iterable[str]) -> Iterator[Any]:
    spec, row, by_arm = cell.spec, cell.rows.iloc[0], cell.rows.groupby("arm")
    accuracy: Any = 100 * by_arm["test_accuracy"].mean()
    # A diverged network's NaN shows: it must not be left out of a mean.
    has = {*columns.every(cell.rows)}
    flow = by_arm[[*has]].agg(lambda values: values.mean(skipna=False))
    mean, low, high = cell.comparison.difference
    p = cell.comparison.wilcoxon.p_value
    yield _dataset(row)
    yield from (spec.hidden_layers, row["optimizer"])
    yield f"{spec.optimizer.learning_rate:g}"
    yield from (spec.variant, row["activation"], spec.epochs)
    yield from (f"{accuracy[arm]:.2f}" for arm in columns.ARMS)
    yield _with_small(f"{mean:+.2f}", f"{low:+.2f} to {high:+.2f}")
    yield render.cell(f"{p:.3g}")._replace(background=p_values.colour(p))
    yield sum(cell.comparison.num_diverged.values())
    for name in shown:
        for arm in columns.ARMS:
            yield f"{flow.loc[arm, name]:.3g}" if name in has else ""


def _masked(rows: pd.DataFrame, shown: Iterable[str]) -> Iterator[Any]:
    """A density of a cell."""
    row, has = rows.iloc[0], columns.every(rows)
    yield _dataset(row)
    yield from (row["model"], row["line"], row["optimizer"])
    yield f"{row['learning_rate']:g}"
    yield row["epochs"]
    yield f"{100 * row['density']:.3g}"
    yield f"{rows['num_active'].mean():.0f}"
    yield len(rows)
    yield columns.spread(100 * rows["test_accuracy"])
    yield columns.spread(rows["test_loss"], ".3f", ".2g")
    for name in shown:
        yield columns.spread(rows[name], ".3g", ".1g") if name in has else ""
    yield int(rows["diverged"].sum())


def _details(
    axis: Axis, rows: pd.DataFrame, lines: pd.DataFrame, found: Any, measured: Any
) -> Details:
    row = rows.iloc[0]
    drawn = (*columns.DRAWN, *columns.own(rows))
    figures = [cell_charts.by_place(axis, lines, "", drawn)]
    if measured is not None:
        own = measured[measured["config_hash"] == row["config_hash"]]
        if len(own):
            figures.append(cell_charts.over_epochs(axis, own, drawn))
    return Details(
        hash=row["config_hash"],
        title=found.title,
        figures=tuple(figures),
        table=render.html(found.layout()._replace(title="", notes=())),
        lines=found.lines(),
        # Quotes are many, and need no escape between tags.
        config=Markup(html.escape(cell_folder.config_file(row["config"]), quote=False)),
        environment=environment(row),
    )


def environments(rows: pd.DataFrame) -> Iterable[str]:
    """Devices and versions, each once."""
    first = rows.drop_duplicates(["device", "versions"]).to_dict("records")
    return dict.fromkeys(map(environment, first))
