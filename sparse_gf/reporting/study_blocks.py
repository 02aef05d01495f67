"""Blocks of the page about studies, each shown as it says, and of other masks."""

import collections
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from sparse_gf import studies
from sparse_gf.core import words
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import (
    accuracies,
    cell_charts,
    columns,
    densities,
    p_values,
    panels,
    render,
    study_charts,
)
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting.blocks import Block, for_papers, write_table
from sparse_gf.reporting.findings import Findings, Finished
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.studies.sweep import Sweep


class _Group(NamedTuple):
    """Sweeps that lay the same cells out in the same way, and where they are shown.

    ``names`` are those of files by the names of sweeps.
    """

    sweeps: list[Sweep]
    findings: Findings
    folder: pathlib.Path
    names: Mapping[str, str]

    @property
    def first(self) -> Sweep:
        """The sweep after which the group is called."""
        return self.sweeps[0]

    @property
    def name(self) -> str:
        """That of the first one's files."""
        return self.names[self.first.name]

    @property
    def rows(self) -> pd.DataFrame:
        """Those of its cells, whatever their kind."""
        hashes = {cell.hash for cell in self.first.study.cells}
        own = [self.findings.cells[key].rows for key in hashes & {*self.findings.cells}]
        masked = self.findings.masked
        return pd.concat([*own, masked[masked["config_hash"].isin(hashes)]])

    @property
    def dataset(self) -> str:
        """What its networks are or would be trained on, in words."""
        titles = list(self.rows["dataset_title"])
        if not titles:
            titles = [cell.info.title for cell in self.first.study.cells]
        return "; ".join(dict.fromkeys(titles))


def of_studies(findings: Findings, folder: pathlib.Path) -> list[Block]:
    """Makes a block for every study, in the order of ``studies.NAMES``."""
    sweeps = shown(findings)
    names = _file_names(sweeps)
    made = []
    for number, alike in enumerate(groups(sweeps), start=1):
        group = _Group(alike, findings, folder, names)
        show = _SHOWN.get(group.first.study.shown, _mention)
        made.append(show(group, _begun(group, f"section-{number}")))
    return made


def shown(findings: Findings) -> list[Sweep]:
    """The sweeps that were asked for, and other studies that are done with them.

    Those are tables of p-values that have no cell of their own.
    """
    asked = findings.sweeps
    found = {(sweep.study.name, sweep.study.entries): sweep for sweep in asked}
    tables = [n for n in studies.NAMES if studies.get(n).shown == "p-values"]
    for sweep in asked if findings.cells else ():
        for study in tables if sweep.config.get("study") else ():
            try:
                other = sweep_lib.expand({**sweep.config, "study": study, "only": {}})
            except UserError:  # A setting that its data set does not allow.
                continue
            if all(cell.hash in findings.cells for cell in other.study.cells):
                found.setdefault((study, other.study.entries), other)
    rank = {study: number for number, study in enumerate(studies.NAMES)}
    # Grids of one's own come last.
    return sorted(found.values(), key=lambda sweep: rank.get(sweep.study.name, 1000))


def drawn_against_density(findings: Findings) -> set[str]:
    """Hashes of the cells of studies that show their networks under masks."""
    return {
        cell.hash
        for sweep in findings.sweeps
        if sweep.study.shown == "densities"
        for cell in sweep.study.cells
    }


def groups(sweeps: Iterable[Sweep]) -> list[list[Sweep]]:
    """Sweeps that lay the same cells out in the same way, together."""
    found = collections.defaultdict(list)
    for sweep in sweeps:
        layout = tuple((e.row, e.column, e.cell) for e in sweep.study.entries)
        found[layout].append(sweep)
    return list(found.values())


def _file_names(sweeps: Iterable[Sweep]) -> dict[str, str]:
    """By the name of a sweep: the study's, where no other sweep is of that study."""
    sweeps = list(sweeps)
    number = collections.Counter(sweep.study.name for sweep in sweeps)
    return {
        sweep.name: sweep.study.name if number[sweep.study.name] == 1 else sweep.name
        for sweep in sweeps
    }


def named(sweeps: Iterable[Sweep]) -> str:
    """Names studies together, such as ``"Table 3a; Figures 2, 8"``."""
    numbers = collections.defaultdict(list)
    for sweep in sweeps:
        kind, _, number = sweep.study.title.partition(":")[0].rpartition(" ")
        numbers[kind].append(number)
    return "; ".join(
        f"{kind}{'s' * (len(found) > 1)} {', '.join(found)}"
        for kind, found in numbers.items()
    )


def _begun(group: _Group, anchor: str) -> Block:
    """What is said of every study: what it is, and how much of it is done."""
    first = group.first
    total, done = len(first.study.cells), group.rows["config_hash"].nunique()
    scale = f", {first.scale} scale" if first.scale else ""
    cells = words.counted(total, "cell")
    share = f"{done} of {cells} are finished; the others have not been run."
    if done == total:
        share = f"All {cells} are finished." if total > 1 else "Its cell is finished."
    texts: list[str] = [f"{group.dataset}{scale}. {share}"]
    if len(group.sweeps) > 1:
        texts.append(f"The same cells: {named(group.sweeps[1:])}.")
    aside = f"{first.scale + ', ' if first.scale else ''}{done} of {cells}"
    return Block(anchor, first.study.title, named(group.sweeps), aside, texts)


def _mention(group: _Group, begun: Block) -> Block:
    """A study that shows nothing of its own."""
    if not group.findings.cells:
        return begun
    text = Markup(
        'It has no table of its own. See <a href="#table1">the correlations</a>, '
        '<a href="#ledger">the ledger</a> and <a href="#cells">the cells</a>.'
    )
    return begun._replace(texts=[*begun.texts, text])


def _show_p_values(group: _Group, begun: Block) -> Block:
    """A table of p-values, and figures against dense width."""
    if group.rows.empty:
        return begun
    table = p_values.of(group.first, group.findings.comparisons, group.dataset)
    write_table(group.folder, group.name, p_values.layout(table))
    papers = for_papers(
        *(f"tables/{group.name}.{end}" for end in ("md", "tex")),
        *(f"figures/{group.name}.{end}" for end in ("png", "svg")),
    )
    return begun._replace(
        texts=[*begun.texts, papers, p_values.legend()],
        table=render.html(p_values.layout(table, linked=True)),
        figures=list(_figures(group)),
    )


def _show_accuracies(group: _Group, begun: Block) -> Block:
    """A table of accuracies beside the published ones."""
    for sweep in reversed(group.sweeps):
        table = accuracies.layout(sweep, group.findings.masked)
        write_table(group.folder, group.names[sweep.name], table)
    papers = for_papers(*(f"tables/{group.name}.{end}" for end in ("md", "tex")))
    own = render.html(table._replace(title=""))
    return begun._replace(texts=[*begun.texts, papers], table=own)


def _show_densities(group: _Group, begun: Block) -> Block:
    """Scores of networks under masks, and figures against density."""
    if group.rows.empty:
        return begun
    drawn = group.first.study.measures
    return _under_masks(begun, group.folder, group.name, group.rows, drawn)


_SHOWN = {
    "p-values": _show_p_values,
    "accuracies": _show_accuracies,
    "densities": _show_densities,
}
"""By how a study is shown, what adds it to its block."""


def _figures(group: _Group) -> Iterator[Markup]:
    """Draws and writes the figures of all; gives those that look different."""
    epochs = sorted(set(group.rows["epochs"]))
    spoken = words.counted(" or ".join(map(str, epochs)), "epoch")
    own, seen = columns.own(group.rows), set()
    for sweep in group.sweeps:
        measures = sweep.study.measures
        alike = [other for other in group.sweeps if other.study.measures == measures]
        measures = (*measures, *own)
        drawn = " and ".join(map(columns.spoken, measures))
        scale = f" ({sweep.scale} scale)" if sweep.scale else ""
        also = f"; also {named(alike[1:])}" if alike[1:] else ""
        for number, part in enumerate(lines(sweep, group.findings.cells), 1):
            title = f"{sweep.study.title}. {group.dataset}, {spoken}"
            figure = panels.draw(part, measures, title)
            name = group.names[sweep.name] + f"-{number}" * (number > 1)
            plots.write(group.folder / "figures", name, figure)
            if (measures, number) not in seen:
                seen.add((measures, number))
                caption = (
                    f"{title}{scale}: {drawn} by dense width{also}. Each point is a "
                    "mean over seeds."
                )
                yield study_charts.figure(part, measures, caption)


def lines(sweep: Sweep, cells: Mapping[str, Finished]) -> Iterator[pd.DataFrame]:
    """Rows of its finished cells at their places, as many lines as have looks."""
    placed = [
        (entry, cells[entry.cell.hash].rows)
        for entry in sweep.study.entries
        if entry.cell.hash in cells
    ]
    names = list(dict.fromkeys(entry.column for entry, _ in placed))
    for start in range(0, len(names), len(plots.LOOKS)):
        chosen = names[start : start + len(plots.LOOKS)]
        yield pd.concat(
            [
                rows.assign(row=entry.row, column=entry.column)
                for entry, rows in placed
                if entry.column in chosen
            ],
            ignore_index=True,
        )


_TOGETHER = ["dataset_title", "model", "epochs", "train_examples"]


def of_models(rows: pd.DataFrame, folder: pathlib.Path) -> list[Block]:
    """Makes a block for every model, data set and length of training."""
    made = []
    for number, (_, part) in enumerate(rows.groupby(_TOGETHER, sort=True), start=1):
        first, name = part.iloc[0], f"masks-{number}"
        cells = words.counted(part["config_hash"].nunique(), "cell")
        aside = f"{first['dataset_title'].partition(',')[0]}, {cells}"
        begun = Block(name, "", f"{first['model']} under masks", aside)
        made.append(_under_masks(begun, folder, name, part))
    return made


def _under_masks(
    block: Block,
    folder: pathlib.Path,
    name: str,
    rows: pd.DataFrame,
    drawn: Iterable[str] = columns.DRAWN,
) -> Block:
    """Adds a table and figures of networks under masks to a block.

    ``name`` is that of the files; a block without a title takes theirs. Measures of a
    user's own are drawn beside the others.
    """
    summary = densities.summarise(rows)
    table = summary.layout()
    write_table(folder, name, table)
    ordered, drawn = densities.with_lines(rows), [*drawn, *columns.own(rows)]
    for file, figure in plots.of_columns(plots.DENSITY, ordered, drawn, table.title):
        plots.write(folder / "figures", f"{name}-{file}", figure)
    return block._replace(
        title=block.title or table.title,
        table=render.html(table._replace(title=block.title and table.title)),
        figures=cell_charts.under_masks(ordered, f"{table.title}: ", drawn),
    )
