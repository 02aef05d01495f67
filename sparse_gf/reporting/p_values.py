"""Tables of p-values, laid out as in the paper."""

import collections
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from sparse_gf import stats, studies
from sparse_gf.core import words
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import render
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.studies.study import Entry
from sparse_gf.studies.sweep import Sweep

LEVEL = 0.05
"""A p-value below it is called significant."""


class Slot(NamedTuple):
    """One place of a table of p-values: an entry of the study and what was found.

    ``holm`` is the p-value corrected for all finished cells of the table (Holm 1979);
    what has not been run is None.
    """

    entry: Entry
    comparison: Comparison | None
    holm: float | None


class PValues(NamedTuple):
    """A table of p-values.

    Attributes:
        sweep: What it shows.
        dataset: What its networks were trained on, as result rows name it.
        slots: By row, mostly an optimizer, and column, mostly a variant or an
            activation, in their order; some combinations may be absent.
    """

    sweep: Sweep
    dataset: str
    slots: dict[tuple[str, str], Slot]


def of(sweep: Sweep, comparisons: Mapping[str, Comparison], dataset: str) -> PValues:
    """Lays out what is finished of a sweep.

    Args:
        sweep: Whose entries become the table.
        comparisons: Finished cells by config hash, others than the sweep's too.
        dataset: See ``PValues``.

    Raises:
        UserError: If two entries of the sweep have the same place.
    """
    entries = sweep.study.entries
    places = collections.Counter((entry.row, entry.column) for entry in entries)
    (row, column), most = places.most_common(1)[0]
    if most > 1:
        raise UserError(
            f"{sweep.study.name} has {most} cells in row {row!r}, column {column!r}; "
            "it cannot be laid out as a table of p-values."
        )
    found = [comparisons.get(entry.cell.hash) for entry in entries]
    corrected = stats.holm([one.wilcoxon.p_value if one else np.nan for one in found])
    slots = {
        (entry.row, entry.column): Slot(entry, one, float(holm) if one else None)
        for entry, one, holm in zip(entries, found, corrected, strict=True)
    }
    return PValues(sweep, dataset, slots)


def layout(table: PValues, linked: bool = False) -> render.Table:
    """A table of p-values as a table without markup.

    Args:
        table: What is shown.
        linked: Whether p-values lead to the cells of a page.
    """
    columns = tuple(dict.fromkeys(column for _, column in table.slots))
    cells = {place: _cell(slot, linked) for place, slot in table.slots.items()}
    rows = tuple(
        (row, tuple(cells.get((row, column), render.Cell()) for column in columns))
        for row in dict.fromkeys(row for row, _ in table.slots)
    )
    blocks, notes = (render.Block("", "", rows),), tuple(_notes(table))
    return render.Table("p-values", _title(table), columns, blocks, notes)


def _cell(slot: Slot, linked: bool) -> render.Cell:
    printed = slot.entry.published
    published = []
    if printed is not None:
        published.append(render.Piece("published", f"({_p(printed)})"))
    if slot.comparison is None:
        return render.Cell(((render.Piece("p", "—"), *published),), ("not-run",))
    p = slot.comparison.wilcoxon.p_value
    first, others, kinds = [render.Piece("p", _p(p))], [], ["done"]
    if p < LEVEL:
        first = [render.Piece("significant", _p(p))]
        kinds.append("significant")
    if slot.holm is not None and slot.holm < LEVEL:
        first.append(render.Piece("holm", "†"))
        kinds.append("holm")
    if math.isfinite(effect := slot.comparison.rank_biserial):
        others.append((render.Piece("effect", f"r {effect:+.2f}"),))
    if diverged := sum(slot.comparison.num_diverged.values()):
        others.append((render.Piece("diverged", f"{diverged} diverged"),))
        kinds.append("diverged")
    lines = ((*first, *published), *others)
    href = f"#cell-{slot.entry.cell.hash}" if linked else None
    return render.Cell(lines, tuple(kinds), colour(p), href)


STEPS = (
    (0.001, "#6baed6", "#fd8d3c"),
    (0.01, "#9ecae1", "#fdae6b"),
    (LEVEL, "#c6dbef", "#fdd0a2"),
)
"""Below each level of p or of 1 - p, the colours of sparse and of dense networks."""


def colour(p: float) -> str:
    """The colour of a p-value, ``#rrggbb``: blue below ``LEVEL``, orange above 1 - it.

    There are three steps on either side, which protanopes and deuteranopes tell apart;
    black is readable on all of them. Empty between, where p says nothing, and for NaN.
    """
    for level, sparse, dense in STEPS:
        if p < level:
            return sparse
        if p > 1 - level:
            return dense
    return ""


def legend() -> Markup:
    """What the colours of p-values mean, for a page."""
    sparse = [(f"p < {level:g}", own) for level, own, _ in STEPS]
    dense = [(f"p > {1 - level:g}", own) for level, _, own in STEPS[::-1]]
    swatches = [("sparse better:", ""), *sparse, ("no difference shown", "none")]
    swatches += [("dense better:", ""), *dense]
    shown = Markup("").join(
        Markup('<span><i style="background:{}"></i>{}</span>').format(own, what)
        if own
        else Markup("<b>{}</b>").format(what)
        for what, own in swatches
    )
    return Markup('<span class="legend">{}</span>').format(shown)


def _p(p: float) -> str:
    """A p-value with three decimals that never rounds to certainty."""
    if math.isnan(p):
        return "NaN"
    text = f"{p:.3f}"
    if text == "0.000" and p > 0:
        return "<0.001"
    return ">0.999" if text == "1.000" and p < 1 else text


def _title(table: PValues) -> str:
    slots = table.slots.values()
    epochs = words.numbers(slot.entry.cell.epochs for slot in slots)
    pairs = words.numbers(
        slot.comparison.wilcoxon.num_pairs
        if slot.comparison
        else len(slot.entry.cell.dense_widths) * len(slot.entry.cell.seeds)
        for slot in slots
    )
    done = sum(slot.comparison is not None for slot in slots)
    return (
        f"{table.sweep.study.title}. {table.dataset}, "
        f"{words.counted(epochs, 'epoch')}, "
        f"{words.counted(pairs, 'pair')} a cell; {done} of "
        f"{words.counted(len(slots), 'cell')} run."
    )


def _notes(table: PValues) -> Iterator[str]:
    slots = table.slots.values()
    done = [slot.comparison for slot in slots if slot.comparison]
    run = table.sweep.run
    asked = "asymptotic" if run.wilcoxon_method == "asymptotic" else "exact"
    methods = sorted({found.wilcoxon.method for found in done} or {asked})
    zeros = {found.wilcoxon.zero_method for found in done} or {run.wilcoxon_zeros}
    handled = sorted(stats.ZERO_HANDLING[name] for name in zeros)
    yield (
        "p of the paired Wilcoxon signed-rank test of test accuracy, H1: sparse > "
        f"dense ({' or '.join(methods)}; zero differences {' or '.join(handled)}): "
        f"below {LEVEL}, blue, sparse networks are better; above {1 - LEVEL:g}, "
        "orange, dense ones are; darker beyond 0.01 and 0.001; no colour between."
    )
    counted = sum(not math.isnan(found.wilcoxon.p_value) for found in done)
    yield (
        f"Bold: p < {LEVEL}. †: still so after Holm's correction over the "
        f"{words.counted(counted, 'finished cell')} of this table."
    )
    yield "r: rank-biserial correlation, +1 if sparse wins all pairs, -1 if dense does."
    if any(sum(found.num_diverged.values()) for found in done):
        yield "Diverged: networks of both arms with a non-finite loss; they all count."
    if any(slot.entry.published is not None for slot in slots):
        trained_on = _papers_data(table.sweep.study.name)
        yield f"In parentheses: Tessera et al. 2021, {trained_on}."
    if len(done) < len(slots):
        yield "—: not run."


def _papers_data(study: str) -> str:
    """What the paper trained a study's networks on."""
    cells = studies.get(study).cells
    datasets = dict.fromkeys((cell.info.title, cell.epochs) for cell in cells)
    return " and ".join(
        f"{title}, {words.counted(epochs, 'epoch')}" for title, epochs in datasets
    )
