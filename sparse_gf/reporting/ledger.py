"""A ledger of every published number: what was run, and whether it agrees."""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf import data
from sparse_gf.core.errors import UserError
from sparse_gf.gradient_flow import MEASURES
from sparse_gf.reporting import (
    correlations,
    ledger_facts,
    ledger_masks,
    p_values,
    render,
)
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.studies import SCALES, published
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.studies.published import Correlation
from sparse_gf.studies.study import Entry
from sparse_gf.studies.sweep import Sweep

COLUMNS = (
    "paper",
    "study",
    "row",
    "column",
    "paper_dataset",
    "published",
    "status",
    "value",
    "low",
    "high",
    "holm",
    "published_finding",
    "finding",
    "same_side",
    "same_finding",
    "rank_biserial",
    "num_pairs",
    "num_diverged",
    "num_cells",
    "num_without_tau",
    "scale",
    "differences",
    "dataset",
    "epochs",
    "train_examples",
    "test_examples",
    "config_hash",
    "config",
)
"""Columns of the ledger.

``published`` and ``value`` are p-values in tables of p-values, and mean absolute
correlations, with the ends ``low`` and ``high`` of an interval, in Table 1; of the
second paper percent, or points of a gain. ``holm`` is corrected over the finished cells
of the table. ``same_side`` says whether both p-values are on the same side of 0.5; for
EGF in Table 1, whether it is on the same side of the norm of the whole gradient; for an
accuracy or a gain, whether what tweaks add has the same sign. ``status`` is ``"done"``,
``"not run"``, or ``"protocol"`` for numbers that need no training; ``same_finding``
then says whether ``value``, that of our studies, is theirs. ``num_diverged``
counts both arms. ``dataset`` is what was trained on, or would be; ``differences`` says
in what a cell is not the paper's own, and ``scale`` is empty for groups of cells in
Table 1 that are not as the paper's. What does not apply or was not run is missing.
"""

_COUNTS = (
    "num_pairs",
    "num_diverged",
    "num_cells",
    "num_without_tau",
    "epochs",
    "train_examples",
    "test_examples",
)
_DTYPES = dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(
    ("same_side", "same_finding"), "boolean"
)

_RIVALS = {"egf1": "gf1", "egf2": "gf2"}


def make(
    sweeps: Sequence[Sweep],
    comparisons: Mapping[str, Comparison],
    rows: pd.DataFrame,
    masked: pd.DataFrame | None = None,
    analyses: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Sets every published number of both papers beside ours.

    Args:
        sweeps: What was asked for.
        comparisons: Finished cells by config hash.
        rows: Of the networks of comparisons.
        masked: Of those under masks.
        analyses: Of saved networks.

    Returns:
        ``COLUMNS``. A published p-value has one line per setting (a scale, and what
        was changed of it) in which its cell was asked for or is finished, or else one
        line with the paper's own; a correlation has one per group of finished cells on
        its data set that may be averaged, or else one; a number of the second paper one
        per scale at which it was run, or else one.
    """
    titles = rows.groupby("config_hash")["dataset_title"].first().to_dict()
    asked = _settings(sweeps)
    tables = dict.fromkeys(number.study for number in published.p_values())
    found = {
        "tessera2021": itertools.chain(
            *(_p_values(table, asked, comparisons, titles) for table in tables),
            _correlations(correlations.of(rows)),
            ledger_facts.lines(),
        ),
        "jaiswal2022": ledger_masks.lines(
            rows.iloc[:0] if masked is None else masked, analyses
        ),
    }
    lines = [{"paper": paper, **line} for paper in found for line in found[paper]]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(_DTYPES)


def summary(ledger: pd.DataFrame) -> pd.DataFrame:
    """Counts the published numbers of each study and setting, and those that agree."""

    def agreement(values: pd.Series) -> str:
        known = values.dropna()
        return f"{int(known.sum())} of {len(known)}" if len(known) else ""

    def line(part: pd.DataFrame) -> dict[str, Any]:
        first, done = part.iloc[0], part[part["status"] == "done"]
        return {
            "study": first["study"],
            "scale": first["scale"],
            "trained_on": " and ".join(done["dataset"].unique()),
            "numbers": len(part),
            "done": len(done),
            "not_run": int((part["status"] == "not run").sum()),
            "same_side": agreement(part["same_side"]),
            "same_finding": agreement(part["same_finding"]),
            "differences": first["differences"],
        }

    groups = ledger.groupby(["study", "scale", "differences"], sort=False, dropna=False)
    return pd.DataFrame([line(part) for _, part in groups])


def layout(ledger: pd.DataFrame) -> render.Table:
    """How many of a ledger's numbers were run, and agree, as a table."""
    counts = printable(summary(ledger))
    texts = ("trained_on", "differences")
    headings = [name.replace("_", " ").capitalize() for name in counts.columns]
    headings[-1] = "Differences from the paper"
    aligned = "".join("l" if name in texts else "c" for name in counts.columns[1:])
    values = counts.itertuples(index=False)
    return render.plain("summary", "", headings, values, aligned=aligned)


SHOWN = {
    "study": "Study",
    "row": "Row",
    "column": "Column",
    "published": "Published",
    "value": "Value",
    "same_side": "Same side",
    "same_finding": "Same finding",
    "dataset": "Data set",
    "epochs": "Epochs",
    "scale": "Scale",
    "config_hash": "Cell",
}
"""What a page shows of the ledger, and headings; its file has all columns."""


def entries_layout(ledger: pd.DataFrame) -> render.Table:
    """The numbers of a ledger, or of a part of it, a row for each."""
    texts = ("row", "dataset")
    names = [name for name in SHOWN if ledger[name].notna().any()]
    shown = printable(ledger[names])
    done = ledger["status"] == "done"
    rows = [list(values) for values in shown.itertuples(index=False)]
    for row, run in zip(rows, done, strict=True):
        if run and names[-1] == "config_hash" and row[-1]:
            row[-1] = render.cell(row[-1])._replace(href=f"#cell-{row[-1]}")
    aligned = "".join("l" if name in texts else "c" for name in names[1:])
    headings = [SHOWN[name] for name in names]
    return render.plain("entries", "", headings, rows, aligned=aligned)


def printable(frame: pd.DataFrame) -> pd.DataFrame:
    """Texts: three decimals where there are some, and nothing for what is missing."""

    def text(value: Any) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, bool | np.bool_):
            return "yes" if value else "no"
        if isinstance(value, float):
            whole = abs(value) > 1 and value.is_integer()
            return f"{value:.0f}" if whole else f"{value:.3f}"
        return str(value)

    return frame.map(text)


def finding(p: float) -> str | None:
    """What a one-sided p-value of H1: sparse > dense says; None for NaN."""
    if math.isnan(p):
        return None
    if p < p_values.LEVEL:
        return "sparse better"
    return "dense better" if p > 1 - p_values.LEVEL else "no difference"


def _settings(sweeps: Sequence[Sweep]) -> list[tuple[dict[str, Any], set[str]]]:
    """Each setting in which studies were asked for, and the hashes of those cells."""
    found: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for sweep in sweeps:
        if not sweep.scale:  # A grid of one's own is no study.
            continue
        setting = {
            key: value
            for key, value in sweep.config.items()
            if key not in ("study", "only", "grid")
        }
        key = json.dumps(setting, sort_keys=True)
        _, hashes = found.setdefault(key, (setting, set()))
        hashes.update(cell.hash for cell in sweep.study.cells)
    return list(found.values())


def _p_values(
    table: str,
    asked: list[tuple[dict[str, Any], set[str]]],
    comparisons: Mapping[str, Comparison],
    titles: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """The lines of one table of p-values."""
    own = sweep_lib.expand({"study": table, "scale": "paper"})
    variants: list[tuple[Sweep, set[str]]] = [(own, set())]
    # What is finished at another scale counts, even if the record of its sweep is lost.
    unasked = [({"scale": scale}, set()) for scale in SCALES]
    for setting, hashes in [*asked, *unasked]:
        try:
            variants.append((sweep_lib.expand({"study": table, **setting}), hashes))
        except UserError:  # A setting that this table's data set does not allow.
            continue
    laid_out = [p_values.of(sweep, comparisons, "") for sweep, _ in variants]
    for number, original in enumerate(own.study.entries):
        shown = {}
        for (sweep, hashes), layout in zip(variants, laid_out, strict=True):
            entry = sweep.study.entries[number]
            if entry.cell.hash in hashes or entry.cell.hash in comparisons:
                slot = layout.slots[entry.row, entry.column]
                shown.setdefault(entry.cell.hash, (sweep.scale, slot))
        if not shown:
            slot = laid_out[0].slots[original.row, original.column]
            shown[original.cell.hash] = ("paper", slot)
        for scale, slot in shown.values():
            yield _p_value(table, original, scale, slot, titles)


def _p_value(
    table: str,
    original: Entry,
    scale: str,
    slot: p_values.Slot,
    titles: Mapping[str, str],
) -> dict[str, Any]:
    cell = slot.entry.cell
    theirs = math.nan if original.published is None else original.published
    line = ledger_facts.waiting(cell) | {
        "study": table,
        "row": original.row,
        "column": original.column,
        "paper_dataset": data.info(original.cell.dataset).title,
        "published": theirs,
        "published_finding": finding(theirs),
        "scale": scale,
        "differences": correlations.differences(cell, original.cell),
        "dataset": titles.get(cell.hash, cell.info.title),
        "config_hash": cell.hash,
        "config": json.dumps(dataclasses.asdict(cell)),
    }
    if slot.comparison is None:
        return line
    ours = slot.comparison.wilcoxon.p_value
    return line | {
        "status": "done",
        "value": ours,
        "holm": slot.holm,
        "finding": finding(ours),
        "same_side": ledger_facts.same_sign(ours - 0.5, theirs - 0.5),
        "same_finding": None if math.isnan(ours) else finding(ours) == finding(theirs),
        "rank_biserial": slot.comparison.rank_biserial,
        "num_pairs": slot.comparison.wilcoxon.num_pairs,
        "num_diverged": sum(slot.comparison.num_diverged.values()),
        "num_cells": 1,
    }


def _correlations(ours: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The lines of Table 1."""
    values = {
        (line.dataset, line.measure, *place): value
        for line in published.correlations()
        for place, value in line.values.items()
    }
    for theirs in published.correlations():
        found = ours[ours["dataset"] == theirs.dataset]
        groups = [group for _, group in found.groupby("group")] or [found]
        for arm, metric in theirs.values:
            for group in groups:
                by_measure = group.set_index("measure")
                yield _correlation(theirs, arm, metric, by_measure, values)


def _correlation(
    theirs: Correlation,
    arm: str,
    metric: str,
    by_measure: pd.DataFrame,
    published: Mapping[tuple[str, ...], float],
) -> dict[str, Any]:
    name = f"{arm}_{metric}"
    info = data.info(theirs.dataset)
    line = {
        "study": "table1",
        "row": f"{info.title}, {MEASURES[theirs.measure].text}",
        "column": correlations.METRICS[arm, metric],
        "paper_dataset": info.title,
        "published": theirs.values[arm, metric],
    }
    if by_measure.empty:
        waiting = ledger_facts.waiting(correlations.papers_cells(theirs.dataset)[0])
        return line | waiting | {"scale": "paper", "differences": ""}
    own = by_measure.loc[theirs.measure]
    line |= {
        "status": "done",
        "value": own[name],
        "low": own[f"{name}_low"],
        "high": own[f"{name}_high"],
        "scale": None if own["differences"] else "paper",
        "dataset": own["dataset_title"],
        "num_without_tau": own[f"{name}_without_tau"],
        **own[["differences", "num_cells"]],
        **own[["epochs", "train_examples", "test_examples"]],
    }
    if rival := _RIVALS.get(theirs.measure):
        other = published[theirs.dataset, rival, arm, metric]
        # As printed: EGF_1 of a dense network is its gradient's norm divided by the
        # number of layers, so that only rounding can tell their correlations apart.
        line["same_side"] = ledger_facts.same_sign(
            round(own[name] - by_measure.loc[rival][name], 3),
            round(line["published"] - other, 3),
        )
    return line
