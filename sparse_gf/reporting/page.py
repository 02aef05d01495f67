"""One page about a work directory, ``W/report/index.html``, made of blocks.

It is made of result files alone and needs no network to be looked at. Below
``W/report`` are

    index.html                    the page
    claims.csv                    every claim, part by part, and its verdict
    ledger.csv                    every published number beside ours
    tables/<study>.md, .tex       for papers; masks-<n> of networks under masks, claims
    figures/<study>.png, .svg     likewise
"""

import datetime
import importlib.metadata
import importlib.resources
import os
import pathlib

import jinja2
import pandas as pd
from markupsafe import Markup

from sparse_gf.core import files, words
from sparse_gf.reporting import (
    cell_list,
    charts,
    claim_table,
    claims,
    correlations,
    functions,
    ledger,
    protocols,
    render,
    study_blocks,
)
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting.blocks import Block, Folded, embed, for_papers, write_table
from sparse_gf.reporting.findings import Findings


def write(workdir: str | os.PathLike[str], findings: Findings) -> pathlib.Path:
    """Writes the page about a work directory, and the files beside it.

    Returns:
        The page. Where nothing has been trained it lists what there is to train:
        every claim and every published number.
    """
    folder = pathlib.Path(workdir) / "report"
    rows = pd.concat([findings.rows, findings.masked])
    page = _template().render(
        workdir=str(workdir),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=importlib.metadata.version("sparse_gf"),
        refused=findings.refused,
        facts=_facts(findings, rows),
        compared=bool(findings.cells),
        masked=not findings.masked.empty,
        protocols=list(map(render.html, protocols.layouts(findings))),
        environments=list(cell_list.environments(rows)),
        symbols=charts.symbols(),
        colours=charts.colours(),
        blocks=_blocks(findings, folder),
    )
    # Last: what it names is there when it is.
    files.write_text(folder / "index.html", page)
    return folder / "index.html"


def _blocks(findings: Findings, folder: pathlib.Path) -> list[Block]:
    made = [_claims(findings, folder)]
    made += study_blocks.of_studies(findings, folder)
    shown = study_blocks.drawn_against_density(findings)
    others = findings.masked[~findings.masked["config_hash"].isin(shown)]
    made += study_blocks.of_models(others, folder)
    if findings.cells:
        made += [_correlations(findings.rows, folder), _activations(folder)]
    made.append(_ledger(findings, folder))
    if findings.cells:
        made.append(cell_list.compared(findings))
    if not findings.masked.empty:
        made.append(cell_list.under_masks(findings))
    return made


def _facts(findings: Findings, rows: pd.DataFrame) -> list[tuple[int, str]]:
    """Numbers and what they count."""
    facts = [
        (findings.num_cells, "finished cell"),
        (len(rows), "trained network"),
        (int(rows["diverged"].sum()), "diverged network"),
        (len(findings.sweeps), "sweep"),
        *([(len(findings.refused), "refused file")] if findings.refused else []),
    ]
    return [(number, what + "s" * (number != 1)) for number, what in facts]


def _claims(findings: Findings, folder: pathlib.Path) -> Block:
    rows = pd.concat([findings.rows, findings.masked])
    parts = claims.decide(rows, findings.measurements, findings.analyses)
    claim_table.write(folder, parts)
    write_table(folder, "claims", claim_table.layout(parts))
    run = claim_table.is_run(parts)
    shown, waiting = (parts[run], parts[~run]) if run.any() else (parts, parts[:0])
    missing = words.counted(waiting["claim"].nunique(), "claim")
    text = Markup(
        "<code>report/claims.csv</code> has every part of every claim: its statistic, "
        "which values agree, effect, interval and p-values. "
    )
    return Block(
        *("claims", "What the papers claim", "Claims"),
        texts=[text + for_papers("tables/claims.md", "tables/claims.tex")],
        table=render.html(claim_table.layout(shown)),
        folded=[Folded(f"{missing} not run", render.html(claim_table.layout(waiting)))]
        * (not waiting.empty),
    )


def _correlations(rows: pd.DataFrame, folder: pathlib.Path) -> Block:
    table = correlations.layout(correlations.of(rows))
    write_table(folder, "table1", table)
    text = Markup("Over all finished cells of this work directory. ")
    title = "Table 1: does gradient flow go with performance?"
    return Block(
        *("table1", title, "Table 1: correlations"),
        texts=[text + for_papers("tables/table1.md", "tables/table1.tex")],
        table=render.html(table),
    )


def _activations(folder: pathlib.Path) -> Block:
    figure = functions.activation_functions()
    svg = plots.write(folder / "figures", "figure14", figure)
    caption = "Figure 14: activation functions and their derivatives, as computed here."
    return Block(
        *("figure14", "Figure 14: activation functions", "Figure 14: activations"),
        figures=[embed(figure, caption, svg)],
    )


def _ledger(findings: Findings, folder: pathlib.Path) -> Block:
    entries = ledger.make(
        findings.sweeps,
        findings.comparisons,
        findings.rows,
        findings.masked,
        findings.analyses,
    )
    files.write_text(folder / "ledger.csv", entries.to_csv(index=False))
    text = Markup(
        "What became of each number of both papers here. Same side: our p-value is on "
        "the same side of 0.5 as the published one. Same finding: both below 0.05, "
        "both above 0.95, or both between. For EGF in Table 1, same side: it "
        "correlates better than the norm of the whole gradient, or worse, here as "
        "there; for accuracies, what tweaks add has the same sign. Numbers of the "
        "protocol need no training: ours are those of the studies, and same finding "
        "means that they are equal. "
        "<code>report/ledger.csv</code> holds all of it."
    )
    is_waiting = entries["status"] == "not run"
    run, waiting = entries[~is_waiting], entries[is_waiting]
    filters = ("Study", "Scale", "Data set")
    return Block(
        "ledger",
        "Ledger: every published number",
        "Ledger",
        texts=[text],
        table=render.html(ledger.layout(run)) if len(run) else "",
        folded=[
            Folded(
                f"{what}: {words.counted(len(part), 'number')}", html, filters, first
            )
            for what, part, first in (
                ("Run, or known without training", run, not waiting.empty),
                ("Not run", waiting, False),
            )
            if (html := render.html(ledger.entries_layout(part))) and len(part)
        ],
    )


def _template() -> jinja2.Template:
    source = importlib.resources.files("sparse_gf.reporting") / "page.html.jinja"
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(source.read_text("utf-8"))
