"""Table 1 of the first paper: how well measures of gradient flow rank networks."""

import functools
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf import data, specs, stats, studies
from sparse_gf.core import words
from sparse_gf.reporting import columns, render
from sparse_gf.specs import CapacitySpec, Cell, toolkit
from sparse_gf.studies import published as printed
from sparse_gf.studies.sweep import places

METRICS = {
    (arm, metric): f"{arm.title()}, {columns.spoken(metric)}"
    for arm in columns.ARMS
    for metric in ("test_loss", "test_accuracy")
}
"""Columns of Table 1 in its order, by arm and column of the results, and headings."""

SHOWN = tuple(
    dict.fromkeys((*(line.measure for line in printed.correlations()), *columns.SHOWN))
)
"""Rows of Table 1 in its order, and below them the other measures that are shown; a
user's own follow."""


def of(rows: pd.DataFrame) -> pd.DataFrame:
    """Makes Table 1.

    For each cell and arm, Kendall's tau-b between a measure and the final test loss or
    accuracy of the arm's networks; then the mean of |tau| over the cells of a group. A
    diverged network's loss counts as infinite, the worst. A cell has no tau where a
    value is the same for all networks or NaN. Cells are of one group if they have the
    same data and are trained alike but for what the paper compares.

    Returns:
        One row per group and measure, ``SHOWN`` and a user's own: ``group`` (its
        number), ``dataset``, ``dataset_title``, ``epochs``, ``train_examples``,
        ``test_examples``, ``num_cells``, ``differences`` (from the paper's protocol, in
        words; empty if none), ``measure``; and for each of ``METRICS`` the mean |tau|
        as ``ARM_METRIC``, NaN if no cell has a tau, followed by the ends of its 95%
        bootstrap interval over cells, ``_low`` and ``_high``, NaN if fewer than two
        have one, ``_without_tau`` (number of cells) and ``_published`` (NaN if the
        paper has none for the data set).
    """
    settings = rows["config"].map(lambda config: str(_settings(_cell(config))))
    groups = rows.groupby([rows["dataset_title"], settings], sort=False)
    lines = [
        {"group": number} | line
        for number, (_, group) in enumerate(groups)
        for line in _lines(group)
    ]
    return pd.DataFrame(lines, columns=_COLUMNS)


def differences(ours: Cell, theirs: Cell) -> str:
    """How a cell is trained otherwise than another, in words; empty if it is not.

    What the paper compares is not looked at.
    """
    own, wanted = _settings(ours), _settings(theirs)
    return "; ".join(
        f"{name} {_spoken(name, own[name])}, not {_spoken(name, wanted[name])}"
        for name in own
        if own[name] != wanted[name]
    )


_OF_DATA = ("dataset", "dataset_title", "epochs", "train_examples", "test_examples")

_COLUMNS = [
    "group",
    *_OF_DATA,
    "num_cells",
    "differences",
    "measure",
    *(
        f"{arm}_{metric}{suffix}"
        for arm, metric in METRICS
        for suffix in ("", "_low", "_high", "_without_tau", "_published")
    ),
]


def _lines(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows of Table 1 for one group."""
    first = rows.iloc[0]
    group = {name: first[name] for name in _OF_DATA} | {
        "num_cells": rows["config_hash"].nunique(),
        "differences": _from_paper(rows),
    }
    published = {
        (line.measure, *place): value
        for line in printed.correlations()
        if line.dataset == first["dataset"]
        for place, value in line.values.items()
    }
    for measure in (*SHOWN, *columns.own(rows)):
        line = group | {"measure": measure}
        for arm, metric in METRICS:
            number = _number(rows[rows["arm"] == arm], measure, metric)
            number["_published"] = published.get((measure, arm, metric), np.nan)
            line |= {f"{arm}_{metric}{end}": value for end, value in number.items()}
        yield line


def _number(rows: pd.DataFrame, measure: str, metric: str) -> dict[str, float]:
    """One number of Table 1 from the networks of an arm, by ends of column names."""
    loss = rows["test_loss"]
    cells = rows.assign(test_loss=loss.where(np.isfinite(loss), np.inf)).pivot(
        index="config_hash", columns=["dense_width", "seed"], values=[measure, metric]
    )
    x, y = cells[measure].to_numpy(float), cells[metric].to_numpy(float)
    mean, low, high = stats.mean_absolute_kendall_interval(x, y)
    missing = int(np.isnan(stats.kendall_taus(x, y)).sum())
    return {"": mean, "_low": low, "_high": high, "_without_tau": missing}


_COMPARED = (
    *("hidden_layers", "optimizer", "learning_rate", "variant", "activation"),
    *("tost", "measures"),
)
"""What cells that are averaged over may differ in."""


def _settings(cell: Cell) -> dict[str, Any]:
    """What cells must share to be averaged over."""
    return {
        name: functools.reduce(getattr, place, cell)
        for name, place in places(CapacitySpec).items()
        if name not in _COMPARED and place[0] not in toolkit.NAMES
    }


@functools.cache
def _cell(config: str) -> Cell:
    return specs.from_config(json.loads(config))[0]


@functools.cache
def papers_cells(dataset: str) -> tuple[Cell, ...]:
    """The cells that the paper averages over on a data set, as it trained them."""
    made = (studies.get(name) for name in studies.NAMES)
    study = next(study for study in made if study.shown == "correlations")
    return tuple(cell for cell in study.cells if cell.dataset == dataset)


def _from_paper(rows: pd.DataFrame) -> str:
    """How a group differs from the paper's, in words."""
    row = rows.iloc[0]
    # The rest of a title says which part of the data it is, as the settings do.
    whole = row["dataset_title"].partition(",")[0]
    theirs = papers_cells(row["dataset"])
    if not theirs:
        return f"dataset {whole}"
    official = data.info(row["dataset"]).title
    source = f"dataset {whole}, not {official}" if whole != official else ""
    ours = [_cell(config) for config in rows["config"].unique()]
    settings = differences(ours[0], theirs[0])
    return "; ".join(filter(None, (source, settings, *_other_cells(ours, theirs))))


def _other_cells(ours: Iterable[Cell], theirs: Iterable[Cell]) -> Iterator[str]:
    """How cells of the same settings are not those of the paper, in words."""
    own, wanted = set(map(_place, ours)), set(map(_place, theirs))
    if missing := len(wanted - own):
        yield f"{len(wanted) - missing} of the {len(wanted)} cells of its tables"
    if others := len(own - wanted):
        yield f"{words.counted(others, 'cell')} that its tables do not have"


def _place(cell: Any) -> tuple[Any, ...]:
    """Where a cell is among those of the same settings."""
    optimizer = cell.optimizer
    return (
        *(optimizer.name, optimizer.learning_rate),
        *(cell.hidden_layers, cell.variant, cell.activation),
    )


def _spoken(name: str, value: Any) -> str:
    if name == "dataset":
        return data.info(value).title
    if name in ("train_examples", "test_examples", "probe_size") and not value:
        return "all"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def layout(frame: pd.DataFrame) -> render.Table:
    """Table 1 as a table, from the result of ``of``."""
    blocks = []
    for _, group in frame.groupby("group", sort=False):
        lines = group.to_dict("records")
        rows = tuple(
            (columns.spoken(line["measure"]), tuple(_cells(line))) for line in lines
        )
        differ = lines[0]["differences"]
        note = f"Not as in the paper: {differ}." if differ else ""
        first = lines[0]
        epochs = words.counted(first["epochs"], "epoch")
        cells = words.counted(first["num_cells"], "cell")
        heading = f"{first['dataset_title']}, {epochs}, {cells}."
        blocks.append(render.Block(heading, note, rows))
    return render.Table(
        "correlations",
        "Table 1: correlation of gradient flow with performance.",
        tuple(METRICS.values()),
        tuple(blocks),
        (
            "Mean over cells of the absolute value of Kendall's tau-b over the "
            "networks of an arm, between a measure of gradient flow, averaged over "
            "training, and the test loss or accuracy after it; a non-finite loss "
            "ranks last.",
            "In brackets: 95% bootstrap interval over cells.",
            "Without tau: cells left out, where a value is NaN or all are equal.",
            "In parentheses: Tessera et al. 2021.",
        ),
    )


def _cells(line: dict[str, Any]) -> Iterator[render.Cell]:
    for arm, metric in METRICS:
        name = f"{arm}_{metric}"
        mean, low, high = (line[name + end] for end in ("", "_low", "_high"))
        first = [render.Piece("tau", "—" if math.isnan(mean) else f"{mean:.3f}")]
        if not math.isnan(published := line[f"{name}_published"]):
            first.append(render.Piece("published", f"({published:.3f})"))
        lines = [tuple(first)]
        if not math.isnan(low):
            lines.append((render.Piece("interval", f"[{low:.3f}, {high:.3f}]"),))
        if missing := line[f"{name}_without_tau"]:
            lines.append((render.Piece("missing", f"{missing} without tau"),))
        yield render.Cell(tuple(lines), ("done",))
