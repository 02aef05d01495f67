"""One page about a work directory: ``python -m sparse_gf.report --workdir=W``.

It is made of result files alone and needs no network to be looked at. Below
``W/report`` are

    index.html                    the page about comparisons of sparse and dense
    masks.html                    that about networks under masks; see ``masks_page``
    ledger.csv                    every published number beside ours
    tables/<study>.md, .tex       for papers
    figures/<study>.png, .svg     likewise
"""

import base64
import collections
import datetime
import importlib.metadata
import importlib.resources
import io
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jinja2
import numpy as np
import pandas as pd
from absl import flags

from sparse_gf import data, results, specs, stats, studies
from sparse_gf.core import errors, files, words
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import comparison as comparison_lib
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting import ledger, masks_page
from sparse_gf.reporting import p_values as tables
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.specs import Cell
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.studies.sweep import Sweep
from sparse_gf.terminal import cli


class Finished(NamedTuple):
    """A finished cell.

    Attributes:
        spec: What was trained.
        rows: One row per network.
        comparison: Of its two arms.
    """

    spec: Any
    rows: pd.DataFrame
    comparison: Comparison


class Findings(NamedTuple):
    """What a work directory holds.

    Attributes:
        cells: The finished cells by hash.
        sweeps: What was asked for.
        refused: A line about each file that cannot be used.
        masked: One row per network under masks.
        masked_sweeps: What was asked for of networks under masks.
    """

    cells: dict[str, Finished]
    sweeps: tuple[Sweep, ...]
    refused: tuple[str, ...]
    masked: pd.DataFrame
    masked_sweeps: tuple[Sweep, ...] = ()


UNDER_MASKS = ("accuracies", "densities")
"""How studies of networks under masks are shown."""


def find(
    workdir: str | os.PathLike[str], method: str = "auto", zero_method: str = "wilcox"
) -> Findings:
    """Reads and checks all result files of a work directory.

    Args:
        workdir: The work directory.
        method: See ``stats.wilcoxon_greater``.
        zero_method: Likewise.

    Raises:
        UserError: If there is no such folder, or an option is unknown.
    """
    if not pathlib.Path(workdir).is_dir():
        raise UserError(f"--workdir is {str(workdir)!r}, which is no folder.")
    for flag, value, allowed in (
        ("--wilcoxon_method", method, stats.METHODS),
        ("--wilcoxon_zeros", zero_method, stats.ZERO_METHODS),
    ):
        errors.one_of(flag, value, allowed)
    rows, refused = results.survey(workdir)
    cells = {}
    masked, rows = rows[rows["kind"] == "masks"], rows[rows["kind"] == "capacity"]
    for config_hash, part in rows.groupby("config_hash", sort=False):
        try:
            spec, whole = _checked(part)
        except UserError as error:
            refused.append(f"{results.cell_path(workdir, str(config_hash))} {error}")
            continue
        compared = comparison_lib.compare(whole, method, zero_method)
        cells[spec.hash] = Finished(spec, whole, compared)
    sweeps, damaged = _sweeps(workdir)
    under_masks = tuple(s for s in sweeps if s.study.shown in UNDER_MASKS)
    others = tuple(sweep for sweep in sweeps if sweep not in under_masks)
    return Findings(cells, others, (*refused, *damaged), masked, under_masks)


# Whole numbers and truths come as floats where another file of an older version lacks
# the column.
_EXACT = {
    field.name: str(field.type)
    for field in results.NETWORKS
    if str(field.type) in ("int64", "bool")
}

_NEVER_MISSING = [
    *_EXACT,
    *(field.name for field in results.NETWORKS if str(field.type) == "string"),
    "test_accuracy",
]


def _checked(rows: pd.DataFrame) -> tuple[Cell, pd.DataFrame]:
    """The spec and the rows of one cell, if they belong together."""
    remedy = "remove it to train that cell again"
    try:
        spec, _ = specs.from_config(json.loads(rows["config"].iloc[0]))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"is foreign or made by another version ({error}); {remedy}."
        ) from error
    if spec.kind != "capacity" or spec.hash != rows["config_hash"].iloc[0]:
        raise UserError(
            f"is foreign or made by another version (its config is that of cell "
            f"{spec.hash}); {remedy}."
        )
    missing = [name for name in _NEVER_MISSING if rows[name].isna().any()]
    if missing:
        raise UserError(f"lacks values of {', '.join(missing)}; {remedy}.")
    wanted = itertools.product(plots.STYLES, spec.dense_widths, spec.seeds)
    found = zip(rows["arm"], rows["dense_width"], rows["seed"], strict=True)
    if sorted(wanted) != sorted(found):
        raise UserError(f"does not hold every network of its cell once; {remedy}.")
    return spec, rows.astype(_EXACT)


def _sweeps(workdir: str | os.PathLike[str]) -> tuple[tuple[Sweep, ...], list[str]]:
    configs, refused = results.survey_sweeps(workdir)
    sweeps = []
    for name, config in configs.items():
        try:
            sweep = sweep_lib.expand(config)
            if sweep.study.shown == "p-values":
                tables.p_values(sweep, {}, "")  # Has each cell its own place?
            sweeps.append(sweep)
        except (ValueError, TypeError, AttributeError) as error:
            file = pathlib.Path(workdir) / "sweeps" / f"{name}.json"
            refused.append(
                f"{file} is foreign or made by another version ({error}); remove it, "
                "or give the sweep's command again."
            )
    return tuple(sweeps), refused


def write(workdir: str | os.PathLike[str], findings: Findings) -> pathlib.Path:
    """Writes the page and the files beside it.

    Args:
        workdir: The work directory.
        findings: What it holds.

    Returns:
        The page.

    Raises:
        UserError: If there is nothing to report; nothing is written then.
    """
    if not findings.cells:
        raise UserError(f"{str(workdir)!r} holds no finished cells; train first.")
    folder = pathlib.Path(workdir) / "report"
    cells = findings.cells
    rows = pd.concat([cell.rows for cell in cells.values()])
    comparisons = {key: cell.comparison for key, cell in cells.items()}
    entries = ledger.make(findings.sweeps, comparisons, rows)
    files.write_text(folder / "ledger.csv", entries.to_csv(index=False))
    details = [_details(cell) for cell in sorted(cells.values(), key=_order)]
    page = _template().render(
        workdir=str(workdir),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=importlib.metadata.version("sparse_gf"),
        refused=findings.refused,
        num_networks=len(rows),
        num_diverged=int(rows["diverged"].sum()),
        num_sweeps=len(findings.sweeps),
        protocols=_protocols(cells.values()),
        environments=_environments(cells.values()),
        sections=_sections(findings, folder),
        correlations=_correlations(rows, folder),
        activations=_activations(folder),
        ledger=_printable(entries).to_dict("records"),
        ledger_columns=LEDGER_COLUMNS,
        ledger_choices={key: entries[key].unique() for key in ("study", "status")},
        summary=_printable(ledger.summary(entries)),
        cells=details,
        choices=_choices(details),
    )
    # Last: what it names is there when it is.
    files.write_text(folder / "index.html", page)
    return folder / "index.html"


def _order(cell: Finished) -> tuple:
    """Where a cell stands among others."""
    spec = cell.spec
    return (
        *(cell.rows["dataset_title"].iloc[0], spec.hidden_layers),
        *(spec.optimizer.learning_rate, spec.optimizer.name),
        *(len(spec.variant.split("_")), spec.variant, spec.activation, spec.hash),
    )


def _sections(findings: Findings, folder: pathlib.Path) -> list[dict[str, Any]]:
    """What the page says about studies, in the order of ``studies.NAMES``."""
    sweeps = _shown(findings)
    names = _file_names(sweeps)
    return [_section(group, findings.cells, folder, names) for group in _groups(sweeps)]


def _shown(findings: Findings) -> list[Sweep]:
    """The sweeps that were asked for, and all other studies that are done with them."""
    asked = findings.sweeps
    shown = {(sweep.study.name, sweep.study.entries): sweep for sweep in asked}
    for sweep in asked:
        for study in studies.NAMES if sweep.config.get("study") else ():
            try:
                other = sweep_lib.expand({**sweep.config, "study": study, "only": {}})
            except UserError:  # A setting that its data set does not allow.
                continue
            done = all(cell.hash in findings.cells for cell in other.study.cells)
            if done and other.study.shown == "p-values":
                shown.setdefault((study, other.study.entries), other)
    rank = {study: number for number, study in enumerate(studies.NAMES)}
    # Grids of one's own come last.
    return sorted(shown.values(), key=lambda sweep: rank.get(sweep.study.name, 1000))


def _groups(sweeps: Iterable[Sweep]) -> list[list[Sweep]]:
    """Sweeps that lay the same cells out in the same way, together."""
    groups = collections.defaultdict(list)
    for sweep in sweeps:
        layout = tuple((e.row, e.column, e.cell) for e in sweep.study.entries)
        groups[layout].append(sweep)
    return list(groups.values())


def _file_names(sweeps: Iterable[Sweep]) -> dict[str, str]:
    """By the name of a sweep: the study's, where no other sweep is of that study."""
    sweeps = list(sweeps)
    number = collections.Counter(sweep.study.name for sweep in sweeps)
    return {
        sweep.name: sweep.study.name if number[sweep.study.name] == 1 else sweep.name
        for sweep in sweeps
    }


def _section(
    group: list[Sweep],
    cells: Mapping[str, Finished],
    folder: pathlib.Path,
    names: Mapping[str, str],
) -> dict[str, Any]:
    """What the page says about sweeps of the same cells."""
    first = group[0]
    done = [cells[c.hash] for c in first.study.cells if c.hash in cells]
    section: dict[str, Any] = {
        "short": _named(group),
        "others": _named(group[1:]),
        "sweeps": group,
        "scale": first.scale,
        "dataset": _dataset(first, done),
        "done": len(done),
        "total": len(first.study.cells),
        "table": "",
        "figures": [],
        "files": [names[sweep.name] for sweep in group],
    }
    if done and first.study.shown == "p-values":
        name = names[first.name]
        section["table"] = _table(first, cells, section["dataset"], folder, name)
        where = f"{section['dataset']}, {_epochs(done)}"
        section["figures"] = list(_figures(group, cells, where, folder, names))
    return section


def _named(sweeps: Iterable[Sweep]) -> str:
    """Such as ``"Table 3a; Figures 2, 8"``."""
    numbers = collections.defaultdict(list)
    for sweep in sweeps:
        kind, _, number = sweep.study.title.partition(":")[0].rpartition(" ")
        numbers[kind].append(number)
    return "; ".join(
        f"{kind}{'s' * (len(found) > 1)} {', '.join(found)}"
        for kind, found in numbers.items()
    )


def _dataset(sweep: Sweep, done: Iterable[Finished]) -> str:
    """What its networks are trained on, in words."""
    titles = [cell.rows["dataset_title"].iloc[0] for cell in done]
    if not titles:
        titles = [data.info(cell.dataset).title for cell in sweep.study.cells]
    return "; ".join(dict.fromkeys(titles))


def _epochs(cells: Iterable[Finished]) -> str:
    numbers = sorted({cell.spec.epochs for cell in cells})
    return words.counted(" or ".join(map(str, numbers)), "epoch")


def _table(
    sweep: Sweep,
    cells: Mapping[str, Finished],
    dataset: str,
    folder: pathlib.Path,
    name: str,
) -> str:
    comparisons = {key: cell.comparison for key, cell in cells.items()}
    table = tables.p_values(sweep, comparisons, dataset)
    files.write_text(folder / "tables" / f"{name}.md", tables.markdown(table))
    files.write_text(folder / "tables" / f"{name}.tex", tables.latex(table))
    return tables.html(table, _href)


def _href(slot: tables.Slot) -> str | None:
    return f"#cell-{slot.entry.cell.hash}" if slot.comparison else None


class _Picture(NamedTuple):
    """A figure within the page.

    Attributes:
        source: A data URI.
        caption: What it shows, also for those who do not see it.
        width: In CSS pixels.
    """

    source: str
    caption: str
    width: int


def _embed(figure: Any, caption: str, svg: bytes) -> _Picture:
    text = base64.b64encode(svg).decode()
    width = round(100 * figure.get_figwidth())
    return _Picture(f"data:image/svg+xml;base64,{text}", caption, width)


def _small(figure: Any, caption: str) -> _Picture:
    """Embeds a figure in half of the bytes: the reader's own font draws its texts."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg")
    return _embed(figure, caption, buffer.getvalue())


def _figures(
    group: Sequence[Sweep],
    cells: Mapping[str, Finished],
    where: str,
    folder: pathlib.Path,
    names: Mapping[str, str],
) -> Iterator[_Picture]:
    """Draws and writes the figures of all; gives those that look different."""
    seen = set()
    for sweep in group:
        measures = sweep.study.measures
        alike = [other for other in group if other.study.measures == measures]
        drawn = " and ".join(MEASURES[measure] for measure in measures)
        scale = f" ({sweep.scale} scale)" if sweep.scale else ""
        also = f"; also {_named(alike[1:])}" if alike[1:] else ""
        for number, part in enumerate(_lines(sweep, cells), 1):
            title = f"{sweep.study.title}. {where}"
            figure = plots.panels(
                part, measures, panel="row", line="column", title=title
            )
            name = names[sweep.name] + f"-{number}" * (number > 1)
            svg = results.write_figure(folder / "figures", name, figure)
            if (measures, number) not in seen:
                seen.add((measures, number))
                caption = f"{title}{scale}: {drawn} by dense width{also}"
                yield _embed(figure, caption, svg)


MEASURES = {"test_accuracy": "test accuracy", **tables.MEASURES}
"""What figures draw, in words."""


def _lines(sweep: Sweep, cells: Mapping[str, Finished]) -> Iterator[pd.DataFrame]:
    """Rows of its finished cells at their places, as many lines as have looks."""
    placed = [
        (entry, cells[entry.cell.hash].rows)
        for entry in sweep.study.entries
        if entry.cell.hash in cells
    ]
    columns = list(dict.fromkeys(entry.column for entry, _ in placed))
    for start in range(0, len(columns), len(plots.LOOKS)):
        chosen = columns[start : start + len(plots.LOOKS)]
        yield pd.concat(
            [
                rows.assign(row=entry.row, column=entry.column)
                for entry, rows in placed
                if entry.column in chosen
            ],
            ignore_index=True,
        )


def _protocols(cells: Iterable[Finished]) -> list[dict[str, Any]]:
    """How cells were trained, each protocol once, with the number of its cells."""
    found = collections.Counter()
    for cell in cells:
        spec, row = cell.spec, cell.rows.iloc[0]
        found[
            ("Trained on", row["dataset_title"]),
            ("Epochs", spec.epochs),
            ("Batch", spec.batch_size),
            ("Dense widths", ", ".join(map(str, spec.dense_widths))),
            ("Seeds", len(spec.seeds)),
            ("Pairs per cell", len(spec.dense_widths) * len(spec.seeds)),
            ("Gradient flow on", f"{row['probe_examples']:,} images"),
            ("Initializer", f"{spec.initializer}, fans {spec.initializer_reference}"),
            ("Presets of", spec.optimizer.preset),
        ] += 1
    return [dict(protocol) | {"Cells": number} for protocol, number in found.items()]


def _environments(cells: Iterable[Finished]) -> list[str]:
    """Devices and versions, each once."""
    return list(dict.fromkeys(map(_environment, cells)))


def _environment(cell: Finished) -> str:
    row = cell.rows.iloc[0]
    versions = json.loads(row["versions"])
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{row['device']}; {named}"


def _correlations(rows: pd.DataFrame, folder: pathlib.Path) -> str:
    frame = tables.correlations(rows)
    for suffix, text in (
        ("md", tables.correlations_markdown(frame)),
        ("tex", tables.correlations_latex(frame)),
    ):
        files.write_text(folder / "tables" / f"table1.{suffix}", text)
    return tables.correlations_html(frame)


def _activations(folder: pathlib.Path) -> _Picture:
    figure = plots.activation_functions()
    svg = results.write_figure(folder / "figures", "figure14", figure)
    caption = "Figure 14: activation functions and their derivatives, as computed here"
    return _embed(figure, caption, svg)


def _details(cell: Finished) -> dict[str, Any]:
    """What the list of cells and the block of one cell show."""
    spec, row, compared = cell.spec, cell.rows.iloc[0], cell.comparison
    accuracy: Any = 100 * cell.rows.groupby("arm")["test_accuracy"].mean()
    # A diverged network's NaN shows: it must not be left out of a mean.
    egf2: Any = cell.rows.groupby("arm")["egf2"].agg(lambda x: x.mean(skipna=False))
    mean, low, high = compared.difference
    name, _, is_part = row["dataset_title"].partition(", ")
    part = f"{row['train_examples']:,} train, {row['test_examples']:,} test"
    return {
        "hash": spec.hash,
        "dataset": row["dataset_title"],
        "dataset_name": name,
        "dataset_part": part if is_part else "",
        "hidden_layers": spec.hidden_layers,
        "optimizer": spec.optimizer.name,
        "learning_rate": f"{spec.optimizer.learning_rate:g}",
        "variant": spec.variant,
        "activation": spec.activation,
        "epochs": spec.epochs,
        "sparse": f"{accuracy['sparse']:.2f}",
        "dense": f"{accuracy['dense']:.2f}",
        "difference": f"{mean:+.2f}",
        "interval": f"{low:+.2f} to {high:+.2f}",
        "p_value": f"{compared.wilcoxon.p_value:.3g}",
        "colour": tables.colour(compared.wilcoxon.p_value),
        "diverged": sum(compared.num_diverged.values()),
        "sparse_egf2": f"{egf2['sparse']:.3g}",
        "dense_egf2": f"{egf2['dense']:.3g}",
        "title": compared.title,
        "headings": list(comparison_lib.COLUMNS.values()),
        "table": compared.table.to_numpy().tolist(),
        "lines": compared.lines(),
        "figures": _of_one_cell(cell),
        "config": comparison_lib.config_file(row["config"]),
        "environment": _environment(cell),
    }


def _of_one_cell(cell: Finished) -> list[_Picture]:
    rows = cell.rows.assign(test_accuracy=100 * cell.rows["test_accuracy"])
    return [
        _small(
            plots.against_width(rows, column, label, ""),
            f"{label} by dense width: {cell.comparison.title}",
        )
        for column, label in (
            ("test_accuracy", "Test accuracy %"),
            ("egf2", "EGF₂, mean over training"),
        )
    ]


LEDGER_COLUMNS = (
    "study",
    "row",
    "column",
    "published",
    "value",
    "status",
    "same_side",
    "same_finding",
    "dataset",
    "epochs",
    "scale",
    "config_hash",
)
"""What the page shows of the ledger; its file has all columns."""


def _printable(frame: pd.DataFrame) -> pd.DataFrame:
    """Texts: numbers with three decimals at most, and nothing for what is missing."""

    def text(value: Any) -> str:
        if value is None or value is pd.NA or value != value:
            return ""
        if isinstance(value, bool | np.bool_):
            return "yes" if value else "no"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    return frame.map(text)


AXES = ("dataset", "optimizer", "variant", "activation")
"""What the list of cells can be narrowed by, beside free text."""


def _choices(details: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The values that each of ``AXES`` has."""
    shown = list(details)
    return {axis: sorted({str(cell[axis]) for cell in shown}) for axis in AXES}


def _template() -> jinja2.Template:
    source = importlib.resources.files("sparse_gf.reporting") / "report.html.jinja"
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(source.read_text())


def main() -> None:
    """Defines the flags and runs the command."""
    workdir = flags.DEFINE_string("workdir", "results", "Where results are.")
    method = flags.DEFINE_string(
        "wilcoxon_method", "auto", f"One of {', '.join(sorted(stats.METHODS))}."
    )
    zeros = flags.DEFINE_string(
        "wilcoxon_zeros", "wilcox", f"One of {', '.join(sorted(stats.ZERO_METHODS))}."
    )

    def command() -> None:
        # An accelerator may be busy with the sweep that is looked at.
        jax.config.update("jax_platforms", "cpu")
        findings = find(workdir.value, method.value, zeros.value)
        for line in findings.refused:
            print(f"refused: {line}", file=sys.stderr)
        if len(findings.masked):
            page = masks_page.write(
                workdir.value, findings.masked, findings.masked_sweeps
            )
            print(f"{len(findings.masked)} networks under masks: {page}")
        if not findings.cells and len(findings.masked):
            return
        page = write(workdir.value, findings)
        networks = sum(len(cell.rows) for cell in findings.cells.values())
        number = len(findings.cells)
        print(f"{words.counted(number, 'cell')}, {networks} networks: {page}")

    cli.run(
        command,
        "Makes pages, tables and figures of the results in a work directory, beside "
        "the published values: report/index.html and report/masks.html in it.",
        ("--workdir=W", "--workdir=W --wilcoxon_method=asymptotic"),
    )


if __name__ == "__main__":
    main()
