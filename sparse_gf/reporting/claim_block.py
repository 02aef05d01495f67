"""The block of the page about the papers' claims, and the files beside it."""

import contextlib
import os
import pathlib

import pandas as pd
from markupsafe import Markup

from sparse_gf import results
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import claim_table, claims, render
from sparse_gf.reporting.blocks import Block, write_table
from sparse_gf.reporting.findings import Findings

ANALYSES = "analyses.parquet"
"""What was found of saved networks, in the work directory."""


def decide(workdir: str | os.PathLike[str], findings: Findings) -> pd.DataFrame:
    """Decides every part of every claim by what a work directory holds.

    Args:
        workdir: The work directory.
        findings: What was read of it.

    Returns:
        As ``claims.decide``.
    """
    rows = pd.concat([findings.rows, findings.masked])
    path = pathlib.Path(workdir) / ANALYSES
    analyses = pd.read_parquet(path) if path.exists() else None
    return claims.decide(rows, _measurements(workdir, findings), analyses)


def _measurements(
    workdir: str | os.PathLike[str], findings: Findings
) -> pd.DataFrame | None:
    """The measurements of the finished cells; of a file that is gone by now, none."""
    found = []
    for config_hash in findings.cells:
        with contextlib.suppress(UserError):
            found.append(results.read_measurements(workdir, config_hash))
    return pd.concat(found) if found else None


def block(parts: pd.DataFrame, folder: pathlib.Path) -> Block:
    """Makes the block, and writes table and numbers.

    Args:
        parts: As ``decide`` gives them.
        folder: Of the report.
    """
    claim_table.write(folder, parts)
    run = claim_table.is_run(parts)
    write_table(folder, "claims", claim_table.layout(parts))
    waiting = claims.verdicts(parts[~run])
    text = Markup(
        "<code>report/claims.csv</code> has every part of every claim: its statistic, "
        "which values agree, effect, interval and p-values."
    )
    return Block(
        "claims",
        "What the papers claim",
        "Claims",
        texts=[text],
        table=render.html(claim_table.layout(parts[run])) if run.any() else "",
        part="folded",
        content={
            "summary": f"{len(waiting)} claims that were not run",
            "table": render.html(claim_table.layout(parts[~run])),
        },
    )
