"""One page about a work directory: ``python -m sparse_gf.report --workdir=W``.

It is made of result files alone and needs no network to be looked at. Below
``W/report`` are

    index.html                    the page
    ledger.csv                    every published number beside ours
    tables/<study>.md, .tex       for papers
    figures/<study>.png, .svg     likewise
"""

# pandas infers a union of all it could return where a column is looked up.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false

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
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from absl import flags

from sparse_gf import (
    cli,
    data,
    errors,
    grids,
    ledger,
    paper,
    plots,
    results,
    specs,
    stats,
    tables,
)
from sparse_gf import comparison as comparison_lib
from sparse_gf.comparison import Comparison
from sparse_gf.errors import UserError
from sparse_gf.grids import Sweep
from sparse_gf.specs import CellSpec


class Finished(NamedTuple):
    """A finished cell.

    Attributes:
        spec: What was trained.
        rows: One row per network.
        comparison: Of its two arms.
    """

    spec: CellSpec
    rows: pd.DataFrame
    comparison: Comparison


class Findings(NamedTuple):
    """What a work directory holds.

    Attributes:
        cells: The finished cells by hash.
        sweeps: What was asked for.
        refused: A line about each file that cannot be used.
    """

    cells: dict[str, Finished]
    sweeps: tuple[Sweep, ...]
    refused: tuple[str, ...]


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
        if value not in allowed:
            raise errors.unknown(flag, value, allowed)
    rows, refused = results.survey(workdir)
    cells = {}
    for config_hash, part in rows.groupby("config_hash", sort=False):
        try:
            spec, whole = _checked(part)
        except UserError as error:
            refused.append(f"{results.cell_path(workdir, str(config_hash))} {error}")
            continue
        compared = comparison_lib.compare(whole, method, zero_method)
        cells[spec.hash] = Finished(spec, whole, compared)
    sweeps, damaged = _sweeps(workdir)
    return Findings(cells, sweeps, (*refused, *damaged))


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


def _checked(rows: pd.DataFrame) -> tuple[CellSpec, pd.DataFrame]:
    """The spec and the rows of one cell, if they belong together."""
    remedy = "remove it to train that cell again"
    try:
        spec, _ = specs.from_config(json.loads(rows["config"].iloc[0]))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"is foreign or made by another version ({error}); {remedy}."
        ) from error
    if spec.hash != rows["config_hash"].iloc[0]:
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
            sweeps.append(grids.expand(config))
        except (ValueError, TypeError, AttributeError) as error:
            refused.append(
                f"sweeps/{name}.json is foreign or made by another version ({error}); "
                "remove it, or give the sweep's command again."
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
    sweeps = _shown(findings)
    groups = _groups(sweeps)
    names = _file_names(sweeps)
    rows = pd.concat([cell.rows for cell in findings.cells.values()])
    comparisons = {key: cell.comparison for key, cell in findings.cells.items()}
    entries = ledger.make(findings.sweeps, comparisons, rows)
    details = [_details(cell) for cell in findings.cells.values()]
    results.write_text(folder / "ledger.csv", entries.to_csv(index=False))
    page = _template().render(
        workdir=str(workdir),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=importlib.metadata.version("sparse_gf"),
        refused=findings.refused,
        networks=len(rows),
        protocols=_protocols(findings.cells.values()),
        environments=_environments(findings.cells),
        sections=[_section(group, findings.cells, folder, names) for group in groups],
        correlations=_correlations(rows, folder),
        activations=_activations(folder),
        ledger=_printable(entries).to_dict("records"),
        ledger_columns=LEDGER_COLUMNS,
        ledger_choices={key: entries[key].unique() for key in ("study", "status")},
        summary=_printable(ledger.summary(entries)),
        cells=details,
        choices=_choices(details),
    )
    # Last: what it links to is there when it is.
    results.write_text(folder / "index.html", page)
    return folder / "index.html"


def _shown(findings: Findings) -> list[Sweep]:
    """The sweeps that were asked for, and all other studies that are done with them."""
    asked = findings.sweeps
    shown = {(sweep.study.name, sweep.study.entries): sweep for sweep in asked}
    for sweep in asked:
        for study in paper.STUDIES if sweep.config.get("study") else ():
            try:
                other = grids.expand({**sweep.config, "study": study, "only": {}})
            except UserError:  # A setting that its data set does not allow.
                continue
            done = all(cell.hash in findings.cells for cell in other.study.cells)
            if done and other.study.measures:
                shown.setdefault((study, other.study.entries), other)
    return list(shown.values())


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
    dataset = _dataset(first, done)
    section: dict[str, Any] = {
        "sweeps": group,
        "short": ", ".join(_short(sweep) for sweep in group),
        "dataset": dataset,
        "done": len(done),
        "total": len(first.study.cells),
        "protocols": _protocols(done),
        "table": "",
        "figures": [],
    }
    if done and first.study.measures:
        section["table"] = _table(first, cells, dataset, folder, names[first.name])
        section["figures"] = list(_figures(group, cells, dataset, folder, names))
    return section


def _short(sweep: Sweep) -> str:
    return sweep.study.title.partition(":")[0]


def _dataset(sweep: Sweep, done: Iterable[Finished]) -> str:
    """What its networks are trained on, in words."""
    titles = [cell.rows["dataset_title"].iloc[0] for cell in done]
    if not titles:
        titles = [data.info(cell.dataset).title for cell in sweep.study.cells]
    return " and ".join(dict.fromkeys(titles))


def _table(
    sweep: Sweep,
    cells: Mapping[str, Finished],
    dataset: str,
    folder: pathlib.Path,
    name: str,
) -> str:
    comparisons = {key: cell.comparison for key, cell in cells.items()}
    table = tables.p_values(sweep, comparisons, dataset)
    results.write_text(folder / "tables" / f"{name}.md", tables.markdown(table))
    results.write_text(folder / "tables" / f"{name}.tex", tables.latex(table))
    return tables.html(table, _href)


def _href(slot: tables.Slot) -> str | None:
    return f"#cell-{slot.entry.cell.hash}" if slot.comparison else None


class _Figure(NamedTuple):
    """A picture within the page.

    Attributes:
        source: A data URI.
        alt: What it shows, for those who do not see it.
        width: In CSS pixels.
    """

    source: str
    alt: str
    width: int


def _embed(figure: Any, alt: str, dots_per_inch: int = 150) -> _Figure:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch)
    text = base64.b64encode(buffer.getvalue()).decode()
    width = round(100 * figure.get_figwidth())
    return _Figure(f"data:image/png;base64,{text}", alt, width)


def _figures(
    group: Iterable[Sweep],
    cells: Mapping[str, Finished],
    dataset: str,
    folder: pathlib.Path,
    names: Mapping[str, str],
) -> Iterator[_Figure]:
    """Draws and writes the figures of all; gives those that look different."""
    seen = set()
    for sweep in group:
        for number, part in enumerate(_lines(sweep, cells), 1):
            title = f"{sweep.study.title}. {dataset}"
            figure = plots.panels(
                part, sweep.study.measures, panel="row", line="column", title=title
            )
            suffix = f"-{number}" * (number > 1)
            results.write_figure(folder / "figures", names[sweep.name] + suffix, figure)
            if (sweep.study.measures, number) not in seen:
                seen.add((sweep.study.measures, number))
                yield _embed(figure, f"{title}: accuracy and gradient flow by width")


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


def _protocols(cells: Iterable[Finished]) -> list[str]:
    """How cells were trained, in words, each once."""
    found = {}
    for cell in cells:
        spec, row = cell.spec, cell.rows.iloc[0]
        epochs = f"{spec.epochs} epoch" + "s" * (spec.epochs != 1)
        pairs = len(spec.dense_widths) * len(spec.seeds)
        found[
            f"{row['dataset_title']}: {epochs}, batches of {spec.batch_size}, dense "
            f"widths {', '.join(map(str, spec.dense_widths))}, {len(spec.seeds)} seeds "
            f"({pairs} pairs a cell), initializer {spec.initializer}, hyperparameters "
            f"of {spec.optimizer.preset}"
        ] = None
    return list(found)


def _environments(cells: Mapping[str, Finished]) -> list[str]:
    """Devices and versions, each once."""
    found = {}
    for cell in cells.values():
        row = cell.rows.iloc[0]
        versions = json.loads(row["versions"])
        text = ", ".join(f"{name} {version}" for name, version in versions.items())
        found[f"{row['device']}; {text}"] = None
    return list(found)


def _correlations(rows: pd.DataFrame, folder: pathlib.Path) -> str:
    frame = tables.correlations(rows)
    for suffix, text in (
        ("md", tables.correlations_markdown(frame)),
        ("tex", tables.correlations_latex(frame)),
    ):
        results.write_text(folder / "tables" / f"table1.{suffix}", text)
    return tables.correlations_html(frame)


def _activations(folder: pathlib.Path) -> _Figure:
    figure = plots.activation_functions()
    results.write_figure(folder / "figures", "figure14", figure)
    return _embed(figure, "Figure 14: activation functions and their derivatives")


def _details(cell: Finished) -> dict[str, Any]:
    """What the list of cells and the block of one cell show."""
    spec, row, compared = cell.spec, cell.rows.iloc[0], cell.comparison
    accuracy: Any = 100 * cell.rows.groupby("arm")["test_accuracy"].mean()
    # A diverged network's NaN shows: it must not be left out of a mean.
    egf2: Any = cell.rows.groupby("arm")["egf2"].agg(lambda x: x.mean(skipna=False))
    alone = cell.rows.assign(row=spec.optimizer.name, column=spec.variant)
    figure = plots.panels(
        alone, ("test_accuracy", "egf2"), panel="row", line="column", title=""
    )
    mean, low, high = compared.difference
    return {
        "hash": spec.hash,
        "dataset": row["dataset_title"],
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
        "p_value": f"{compared.wilcoxon.p_value:.3f}",
        "colour": tables.colour(compared.wilcoxon.p_value),
        "diverged": sum(compared.num_diverged.values()),
        "sparse_egf2": f"{egf2['sparse']:.3g}",
        "dense_egf2": f"{egf2['dense']:.3g}",
        "title": compared.title,
        "lines": compared.lines(),
        "figure": _embed(figure, f"{compared.title}: accuracy and EGF_2 by width", 80),
        "config": comparison_lib.config_file(row["config"]),
        "device": row["device"],
        "versions": ", ".join(
            f"{name} {version}" for name, version in json.loads(row["versions"]).items()
        ),
    }


LEDGER_COLUMNS = (
    "study",
    "row",
    "column",
    "paper_dataset",
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
    source = importlib.resources.files("sparse_gf") / "report.html.jinja"
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
        findings = find(workdir.value, method.value, zeros.value)
        for line in findings.refused:
            print(f"refused: {line}", file=sys.stderr)
        page = write(workdir.value, findings)
        networks = sum(len(cell.rows) for cell in findings.cells.values())
        print(f"{len(findings.cells)} cells, {networks} networks: {page}")

    cli.run(command)


if __name__ == "__main__":
    main()
