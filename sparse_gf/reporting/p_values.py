"""Tables of p-values and of correlations, laid out as in the paper."""

import collections
import dataclasses
import functools
import html as html_lib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sparse_gf import data, specs, stats, studies
from sparse_gf.core import words
from sparse_gf.core.errors import UserError
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.specs import CapacitySpec, toolkit
from sparse_gf.studies import published as printed
from sparse_gf.studies import tessera2021
from sparse_gf.studies.study import Entry
from sparse_gf.studies.sweep import Sweep, places

LEVEL = 0.05
"""A p-value below it is called significant."""

MEASURES = {"gf1": "‖g‖₁", "gf2": "‖g‖₂", "egf1": "EGF₁", "egf2": "EGF₂"}
"""Measures of Table 1 in its order, columns of the results, and how to write them."""

METRICS = {
    (arm, metric): f"{arm.title()}, {what}"
    for arm in ("sparse", "dense")
    for metric, what in (("test_loss", "test loss"), ("test_accuracy", "test accuracy"))
}
"""Columns of Table 1 in its order, by arm and column of the results, and headings."""

_SOURCE = "Tessera et al. 2021"


class Slot(NamedTuple):
    """One place of a table of p-values.

    Attributes:
        entry: Which cell it is, and the published value.
        comparison: Of the finished cell; None if it has not been run.
        holm: The p-value corrected for all finished cells of the table (Holm 1979).
    """

    entry: Entry
    comparison: Comparison | None
    holm: float | None


class PValues(NamedTuple):
    """A table of p-values.

    Attributes:
        sweep: What it shows.
        dataset: What its networks were trained on, as result rows name it.
        rows: Names of its rows, mostly optimizers, in order.
        columns: Names of its columns, mostly variants or activations, in order.
        slots: By (row, column); some combinations may be absent.
    """

    sweep: Sweep
    dataset: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    slots: dict[tuple[str, str], Slot]


def p_values(
    sweep: Sweep, comparisons: Mapping[str, Comparison], dataset: str
) -> PValues:
    """Lays out what is finished of a sweep.

    Args:
        sweep: Whose entries become the table.
        comparisons: Finished cells by config hash; others than the sweep's may be
            among them.
        dataset: What its networks were trained on, as result rows name it.

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
    corrected = stats.holm(
        [comparison.wilcoxon.p_value if comparison else np.nan for comparison in found]
    )
    slots = {
        (entry.row, entry.column): Slot(
            entry, comparison, float(holm) if comparison else None
        )
        for entry, comparison, holm in zip(entries, found, corrected, strict=True)
    }
    return PValues(
        sweep,
        dataset,
        tuple(dict.fromkeys(entry.row for entry in entries)),
        tuple(dict.fromkeys(entry.column for entry in entries)),
        slots,
    )


def markdown(table: PValues) -> str:
    """A table of p-values in Markdown."""
    return _markdown(_p_value_layout(table))


def latex(table: PValues) -> str:
    """A table of p-values in LaTeX; its first line says which package it needs."""
    return _latex(_p_value_layout(table))


def html(table: PValues, href: Callable[[Slot], str | None]) -> str:
    """A table of p-values as an HTML fragment.

    Args:
        table: What is shown.
        href: Where a place's p-value leads; None for no link.
    """
    return _html(_p_value_layout(table, href))


def correlations(rows: pd.DataFrame) -> pd.DataFrame:
    """Table 1: how well measures of gradient flow rank networks.

    For each cell and arm, Kendall's tau-b between a measure and the final test loss or
    accuracy of the arm's networks; then the mean of |tau| over the cells of a group. A
    diverged network's loss counts as infinite, the worst. A cell has no tau where a
    value is the same for all networks or NaN. Cells are of one group if they have the
    same data and are trained alike but for what the paper compares.

    Args:
        rows: One row per network, of any number of cells.

    Returns:
        One row per group and measure of ``MEASURES``: ``group`` (its number),
        ``dataset``, ``dataset_title``, ``epochs``, ``train_examples``,
        ``test_examples``, ``num_cells``, ``differences`` (from the paper's protocol, in
        words; empty if none), ``measure``; and for each of ``METRICS`` the mean |tau|
        as ``ARM_METRIC``, NaN if no cell has a tau, followed by the ends of its 95%
        bootstrap interval over cells, ``_low`` and ``_high``, NaN if fewer than two
        have one, ``_without_tau`` (number of cells) and ``_published`` (NaN if the
        paper has none for the data set).
    """
    settings = rows["config"].map(lambda config: json.dumps(_settings(config)))
    groups = rows.groupby([rows["dataset_title"], settings], sort=False)
    lines = [
        {"group": number} | line
        for number, (_, group) in enumerate(groups)
        for line in _correlation_lines(group)
    ]
    return pd.DataFrame(lines, columns=_CORRELATION_COLUMNS)


def differences(config: str, theirs: CapacitySpec) -> str:
    """How a cell was trained otherwise than another, in words; empty if it was not.

    Args:
        config: Of the cell, in JSON.
        theirs: The other. What the paper compares is not looked at.
    """
    ours, wanted = _settings(config), _settings(json.dumps(dataclasses.asdict(theirs)))
    return "; ".join(
        f"{name} {_spoken(name, ours[name])}, not {_spoken(name, wanted[name])}"
        for name in ours
        if ours[name] != wanted[name]
    )


def correlations_markdown(frame: pd.DataFrame) -> str:
    """Table 1 in Markdown, from the result of ``correlations``."""
    return _markdown(_correlation_layout(frame))


def correlations_latex(frame: pd.DataFrame) -> str:
    """Table 1 in LaTeX, from the result of ``correlations``."""
    return _latex(_correlation_layout(frame))


def correlations_html(frame: pd.DataFrame) -> str:
    """Table 1 as an HTML fragment, from the result of ``correlations``."""
    return _html(_correlation_layout(frame))


_OF_DATA = ("dataset", "dataset_title", "epochs", "train_examples", "test_examples")

_CORRELATION_COLUMNS = [
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


def _correlation_lines(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
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
    for measure in MEASURES:
        line = group | {"measure": measure}
        for arm, metric in METRICS:
            number = _correlation(rows[rows["arm"] == arm], measure, metric)
            number["_published"] = published.get((measure, arm, metric), np.nan)
            line |= {f"{arm}_{metric}{end}": value for end, value in number.items()}
        yield line


def _correlation(rows: pd.DataFrame, measure: str, metric: str) -> dict[str, float]:
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
    "tost",
)
"""What cells that are averaged over may differ in."""


def _settings(config: str) -> dict[str, Any]:
    """What cells must share to be averaged over."""
    cell, _ = specs.from_config(json.loads(config))
    return {
        name: functools.reduce(getattr, place, cell)
        for name, place in places(CapacitySpec).items()
        if name not in _COMPARED and place[0] not in toolkit.NAMES
    }


def _from_paper(rows: pd.DataFrame) -> str:
    """How a group differs from the paper's, in words."""
    row = rows.iloc[0]
    dataset, official = row["dataset"], data.info(row["dataset"]).title
    if dataset not in tessera2021.EPOCHS:
        return f"dataset {official}"
    theirs = CapacitySpec(dataset=dataset, epochs=tessera2021.EPOCHS[dataset])
    # The rest of a title says which part of the data it is, as the settings do.
    whole = row["dataset_title"].partition(",")[0]
    source = f"dataset {whole}, not {official}" if whole != official else ""
    settings = differences(row["config"], theirs)
    return "; ".join(filter(None, (source, settings, *_other_cells(rows))))


def _other_cells(rows: pd.DataFrame) -> Iterator[str]:
    """How the cells of a group are not those of the paper's tables, in words."""
    theirs = {
        _place(dataclasses.asdict(entry.cell))
        for table in tessera2021.TABLES
        for entry in studies.get(table).entries
        if entry.cell.dataset == rows["dataset"].iloc[0]
    }
    ours = {_place(json.loads(config)) for config in rows["config"].unique()}
    if missing := len(theirs - ours):
        yield f"{len(theirs) - missing} of the {len(theirs)} cells of its tables"
    if others := len(ours - theirs):
        yield f"{words.counted(others, 'cell')} that its tables do not have"


def _place(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a cell is among those of the same settings."""
    optimizer = config["optimizer"]
    axes = ("hidden_layers", "variant", "activation")
    return optimizer["name"], optimizer["learning_rate"], *map(config.get, axes)


def _spoken(name: str, value: Any) -> str:
    if name == "dataset":
        return data.info(value).title
    if name in ("train_examples", "test_examples", "probe_size") and not value:
        return "all"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# Every table is first laid out, free of any markup, and then rendered.


class _Piece(NamedTuple):
    """A text of a cell and what it is, which decides how it looks."""

    kind: str
    text: str


class _Cell(NamedTuple):
    """A place of a table.

    Attributes:
        lines: What it shows, line by line.
        kinds: What can be said of it as a whole.
        background: Its colour as ``#rrggbb``, or empty.
        href: Where its first piece leads, or None.
    """

    lines: tuple[tuple[_Piece, ...], ...] = ()
    kinds: tuple[str, ...] = ("absent",)
    background: str = ""
    href: str | None = None


class _Block(NamedTuple):
    """Rows with a heading and a note about them, both of which may be empty."""

    heading: str
    note: str
    rows: tuple[tuple[str, tuple[_Cell, ...]], ...]


class _Layout(NamedTuple):
    """A table without markup."""

    kind: str
    title: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    blocks: tuple[_Block, ...]


def _p_value_layout(
    table: PValues, href: Callable[[Slot], str | None] = lambda slot: None
) -> _Layout:
    def cell(row: str, column: str) -> _Cell:
        slot = table.slots.get((row, column))
        return _p_value_cell(slot, href) if slot else _Cell()

    rows = tuple(
        (row, tuple(cell(row, column) for column in table.columns))
        for row in table.rows
    )
    return _Layout(
        "p-values",
        _p_value_title(table),
        tuple(_p_value_notes(table)),
        table.columns,
        (_Block("", "", rows),),
    )


def _p_value_cell(slot: Slot, href: Callable[[Slot], str | None]) -> _Cell:
    printed = slot.entry.published
    published = [_Piece("published", f"({_p(printed)})")] if printed is not None else []
    if slot.comparison is None:
        return _Cell(((_Piece("p", "—"), *published),), ("not-run",))
    p = slot.comparison.wilcoxon.p_value
    first, others, kinds = [_Piece("p", _p(p))], [], ["done"]
    if p < LEVEL:
        first = [_Piece("significant", _p(p))]
        kinds.append("significant")
    if slot.holm is not None and slot.holm < LEVEL:
        first.append(_Piece("holm", "†"))
        kinds.append("holm")
    if math.isfinite(effect := slot.comparison.rank_biserial):
        others.append((_Piece("effect", f"r {effect:+.2f}"),))
    if diverged := sum(slot.comparison.num_diverged.values()):
        others.append((_Piece("diverged", f"{diverged} diverged"),))
        kinds.append("diverged")
    lines = ((*first, *published), *others)
    return _Cell(lines, tuple(kinds), colour(p), href(slot))


def colour(p: float) -> str:
    """The colour of a p-value, ``#rrggbb``: green at 0, yellow at 0.5, red at 1.

    Empty for NaN. Black is readable on all of them.
    """
    if math.isnan(p):
        return ""
    stops = np.array([(0x63, 0xBE, 0x7B), (0xFF, 0xEB, 0x84), (0xF8, 0x69, 0x6B)])
    mixed = [round(float(np.interp(p, (0, 0.5, 1), channel))) for channel in stops.T]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _p(p: float) -> str:
    """A p-value with three decimals that never rounds to certainty."""
    if math.isnan(p):
        return "NaN"
    text = f"{p:.3f}"
    if text == "0.000" and p > 0:
        return "<0.001"
    return ">0.999" if text == "1.000" and p < 1 else text


def _p_value_title(table: PValues) -> str:
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
        f"{words.counted(pairs, 'pair')} a cell; {done} of {len(slots)} cells run."
    )


def _p_value_notes(table: PValues) -> Iterator[str]:
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
        "near 0, green, sparse networks are better; near 1, red, dense ones are."
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
        yield f"In parentheses: {_SOURCE}, {_papers_data(table.sweep.study.name)}."
    if len(done) < len(slots):
        yield "—: not run."


def _papers_data(study: str) -> str:
    """What the paper trained a study's networks on."""
    datasets = dict.fromkeys(entry.cell.dataset for entry in studies.get(study).entries)
    return " and ".join(
        f"{data.info(name).title}, {tessera2021.EPOCHS[name]} epochs"
        for name in datasets
    )


def _correlation_layout(frame: pd.DataFrame) -> _Layout:
    blocks = []
    for _, group in frame.groupby("group", sort=False):
        lines = group.to_dict("records")
        rows = tuple(
            (MEASURES[line["measure"]], tuple(_correlation_cells(line)))
            for line in lines
        )
        differ = lines[0]["differences"]
        note = f"Not as in the paper: {differ}." if differ else ""
        blocks.append(_Block(_heading(lines[0]), note, rows))
    return _Layout(
        "correlations",
        "Table 1: correlation of gradient flow with performance.",
        (
            "Mean over cells of the absolute value of Kendall's tau-b over the "
            "networks of an arm, between a measure of gradient flow, averaged over "
            "training, and the test loss or accuracy after it; a non-finite loss "
            "ranks last.",
            "In brackets: 95% bootstrap interval over cells.",
            "Without tau: cells left out, where a value is NaN or all are equal.",
            f"In parentheses: {_SOURCE}.",
        ),
        tuple(METRICS.values()),
        tuple(blocks),
    )


def _heading(line: dict[str, Any]) -> str:
    return (
        f"{line['dataset_title']}, {words.counted(line['epochs'], 'epoch')}, "
        f"{words.counted(line['num_cells'], 'cell')}."
    )


def _correlation_cells(line: dict[str, Any]) -> Iterator[_Cell]:
    for arm, metric in METRICS:
        name = f"{arm}_{metric}"
        mean, low, high = (line[name + end] for end in ("", "_low", "_high"))
        first = [_Piece("tau", "—" if math.isnan(mean) else f"{mean:.3f}")]
        if not math.isnan(published := line[f"{name}_published"]):
            first.append(_Piece("published", f"({published:.3f})"))
        lines = [tuple(first)]
        if not math.isnan(low):
            lines.append((_Piece("interval", f"[{low:.3f}, {high:.3f}]"),))
        if missing := line[f"{name}_without_tau"]:
            lines.append((_Piece("missing", f"{missing} without tau"),))
        yield _Cell(tuple(lines), ("done",))


_LOOKS = {
    "p": ("span", "%s"),
    "tau": ("span", "%s"),
    "significant": ("strong", r"\textbf{%s}"),
    "holm": ("sup", r"\textsuperscript{%s}"),
}
_OTHER_LOOKS = ("small", r"{\scriptsize %s}")
"""How kinds of pieces look: a tag of HTML, and LaTeX."""

_TEXT_COLOUR = "#1a1a1a"


def _html(layout: _Layout) -> str:
    span = len(layout.columns) + 1
    heads = "".join(f'<th scope="col">{_in_html(name)}</th>' for name in layout.columns)
    notes = _in_html(" ".join(layout.notes))
    lines = [
        f'<table class="{layout.kind}">',
        f"<caption><strong>{_in_html(layout.title)}</strong> "
        f'<span class="notes">{notes}</span></caption>',
        f"<thead><tr><td></td>{heads}</tr></thead>",
    ]
    for block in layout.blocks:
        lines.append("<tbody>")
        if block.heading:
            note = f" <small>{_in_html(block.note)}</small>" if block.note else ""
            lines.append(
                f'<tr><th scope="rowgroup" colspan="{span}">'
                f"{_in_html(block.heading)}{note}</th></tr>"
            )
        for name, cells in block.rows:
            shown = "".join(map(_html_cell, cells))
            lines.append(f'<tr><th scope="row">{_in_html(name)}</th>{shown}</tr>')
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"]) + "\n"


def _html_cell(cell: _Cell) -> str:
    style = ""
    if cell.background:
        style = f' style="background-color:{cell.background};color:{_TEXT_COLOUR}"'
    lines = [[_html_piece(piece) for piece in line] for line in cell.lines]
    if cell.href is not None:
        # The colour of a link would not be readable on all backgrounds.
        link = f'<a href="{_in_html(cell.href)}" style="color:inherit">'
        lines[0][0] = f"{link}{lines[0][0]}</a>"
    inner = "<br>".join(" ".join(line) for line in lines)
    return f'<td class="{" ".join(cell.kinds)}"{style}>{inner}</td>'


def _html_piece(piece: _Piece) -> str:
    tag, _ = _LOOKS.get(piece.kind, _OTHER_LOOKS)
    return f'<{tag} class="{piece.kind}">{_in_html(piece.text)}</{tag}>'


def _in_html(text: str) -> str:
    return html_lib.escape(text)


def _markdown(layout: _Layout) -> str:
    # Markdown knows no rows that head others: their heading is a table's.
    notes = ["", " ".join(map(_in_markdown, layout.notes)), ""]
    lines = [f"**{_in_markdown(layout.title)}**"]
    for block in layout.blocks:
        heading = f"{block.heading} {block.note}".strip()
        lines += ["", _in_markdown(heading)] if heading else []
        lines += [
            "",
            "| | " + " | ".join(map(_in_markdown, layout.columns)) + " |",
            "| :--- |" + " :---: |" * len(layout.columns),
        ]
        lines += [
            f"| {_in_markdown(name)} | " + " | ".join(map(_markdown_cell, cells)) + " |"
            for name, cells in block.rows
        ]
    return "\n".join([*lines, *notes]).rstrip() + "\n"


def _markdown_cell(cell: _Cell) -> str:
    return " ".join(
        f"**{_in_markdown(piece.text)}**"
        if piece.kind == "significant"
        else _in_markdown(piece.text)
        for line in cell.lines
        for piece in line
    )


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\`*<|\[\]])", r"\\\1", text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},
    "—": "---",
    "†": r"\dag{}",
    "‖": r"$\|$",
    "₁": "$_1$",
    "₂": "$_2$",
}


def _latex(layout: _Layout) -> str:
    columns = len(layout.columns)
    heads = "".join(f" & {_in_latex(name)}" for name in layout.columns)
    # A line within the table would not be broken, however long it is.
    notes = [f"{block.heading} {block.note}" for block in layout.blocks if block.note]
    lines = [
        r"% Needs \usepackage[table]{xcolor}.",
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        rf"\caption{{{_in_latex(' '.join([layout.title, *layout.notes, *notes]))}}}",
        rf"\begin{{tabular}}{{l*{{{columns}}}{{c}}}}",
        r"\hline",
        rf"{heads} \\",
        r"\hline",
    ]
    for block in layout.blocks:
        if block.heading:
            lines.append(
                rf"\multicolumn{{{columns + 1}}}{{l}}{{{_in_latex(block.heading)}}} \\"
            )
        for name, cells in block.rows:
            shown = "".join(f" & {_latex_cell(cell)}" for cell in cells)
            lines.append(rf"{_in_latex(name)}{shown} \\")
        lines.append(r"\hline")
    return "\n".join([*lines, r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex_cell(cell: _Cell) -> str:
    if not cell.lines:
        return ""
    inner = r" \\ ".join(" ".join(map(_latex_piece, line)) for line in cell.lines)
    if len(cell.lines) > 1:
        inner = rf"\begin{{tabular}}{{@{{}}c@{{}}}}{inner}\end{{tabular}}"
    if cell.background:
        inner = rf"\cellcolor[HTML]{{{cell.background[1:].upper()}}}{inner}"
    return inner


def _latex_piece(piece: _Piece) -> str:
    _, look = _LOOKS.get(piece.kind, _OTHER_LOOKS)
    return look % _in_latex(piece.text)


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
