"""The block of the page about the papers' claims, and the files beside it."""

import pathlib

import pandas as pd
from markupsafe import Markup

from sparse_gf.core.words import counted
from sparse_gf.reporting import claim_table, claims, render
from sparse_gf.reporting.blocks import Block, Folded, write_table
from sparse_gf.reporting.findings import Findings


def block(findings: Findings, folder: pathlib.Path) -> Block:
    """Decides the claims by what a work directory holds, and writes what was found.

    Args:
        findings: What was read of it.
        folder: Of the report.
    """
    rows = pd.concat([findings.rows, findings.masked])
    parts = claims.decide(rows, findings.measurements, findings.analyses)
    claim_table.write(folder, parts)
    write_table(folder, "claims", claim_table.layout(parts))
    run = claim_table.is_run(parts)
    shown, waiting = (parts[run], parts[~run]) if run.any() else (parts, parts[:0])
    missing = counted(waiting["claim"].nunique(), "claim")
    text = Markup(
        "<code>report/claims.csv</code> has every part of every claim: its statistic, "
        "which values agree, effect, interval and p-values. For papers: "
        "<code>report/tables/claims.md</code>, <code>report/tables/claims.tex</code>."
    )
    return Block(
        "claims",
        "What the papers claim",
        "Claims",
        texts=[text],
        table=render.html(claim_table.layout(shown)),
        folded=[Folded(f"{missing} not run", render.html(claim_table.layout(waiting)))]
        * (not waiting.empty),
    )
