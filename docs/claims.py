"""A Sphinx extension: a paper's claims and numbers beside what committed runs found.

``{claims} tessera2021`` makes a table of the paper's claims, ``{ledger} tessera2021``
one that counts its published numbers, of the reports of all work directories in
``experiments/``. What is in none of them was not run.
"""

import pathlib
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from sparse_gf import studies
from sparse_gf.reporting import claim_table, claims
from sparse_gf.studies.claims import CLAIMS

EXPERIMENTS = pathlib.Path(__file__).resolve().parent.parent / "experiments"

HEADINGS = ("Claim", "Where", "Cells of", "Published", "Ours", "Verdict")
WIDTHS = (24, 9, 12, 19, 26, 10)


def decided() -> pd.DataFrame:
    """The parts of all claims, as committed reports have them."""
    files = sorted(EXPERIMENTS.glob(f"*/report/{claim_table.FILE}"))
    found = [claim_table.read(file.parent) for file in files]
    parts = pd.concat([*found, claims.decide(pd.DataFrame())], ignore_index=True)
    run = claim_table.is_run(parts)
    # A claim that was run somewhere need not be said to wait elsewhere.
    waiting = ~parts["claim"].isin(parts["claim"][run])
    rest = parts[waiting].drop_duplicates(["claim", "part"])
    return pd.concat([parts[run], rest], ignore_index=True)


def rows(paper: str) -> Iterator[tuple[str, ...]]:
    """What the table of a paper's claims says, row by row."""
    parts = decided()
    cells = {claim.id: ", ".join(claim.studies) for claim in CLAIMS}
    for line in claims.verdicts(parts).to_dict("records"):
        if line["paper"] == paper:
            own = parts[parts["claim"] == line["claim"]]
            own = own[own["setting"] == line["setting"]]
            ours = [*claim_table.numbers(own), line["scale"]]
            yield (
                *(f"{line['meaning']} {line['note']}".strip(), line["section"]),
                *(cells[line["claim"]], line["published"]),
                *("; ".join(filter(None, ours)), line["verdict"]),
            )


def table(
    headings: Sequence[str], widths: Sequence[int], body: Iterable[Sequence[str]]
) -> nodes.table:
    """A table of plain texts."""
    group = nodes.tgroup(cols=len(headings))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row(headings))
    group += nodes.tbody("", *map(_row, body))
    return nodes.table("", group, classes=["claims", "colwidths-given"])


def _row(texts: Sequence[str]) -> nodes.row:
    return nodes.row(
        "", *(nodes.entry("", nodes.paragraph(text=str(text))) for text in texts)
    )


class Claims(SphinxDirective):
    """The table of a paper's claims."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Makes the table."""
        return [table(HEADINGS, WIDTHS, rows(self.arguments[0]))]


COUNTS = ("Study", "Trained on", "Numbers", "Run", "Same side", "Same finding")


def counts(paper: str) -> Iterator[tuple[str, ...]]:
    """How many of a paper's published numbers were run, study by study."""
    files = sorted(EXPERIMENTS.glob("*/report/ledger.csv"))
    ledgers = [pd.read_csv(file) for file in files]
    own = studies.PAPERS[paper]
    names = {own.prefix + name for name in own.studies}
    for ledger in ledgers:
        done = ledger[(ledger["status"] == "done") & ledger["study"].isin(names)]
        for (study, dataset), part in done.groupby(["study", "dataset"], sort=False):
            total = (ledger["study"] == study).sum()
            yield (
                *(str(study), str(dataset), str(total), str(len(part))),
                *(_agree(part[name]) for name in ("same_side", "same_finding")),
            )


def _agree(values: pd.Series) -> str:
    known = values.dropna().astype(str)
    return f"{(known == 'True').sum()} of {len(known)}" if len(known) else ""


class Ledger(SphinxDirective):
    """The table of how many of a paper's numbers were run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Makes the table."""
        return [table(COUNTS, (14, 34, 10, 10, 16, 16), counts(self.arguments[0]))]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the directives."""
    app.add_directive("claims", Claims)
    app.add_directive("ledger", Ledger)
    return {"version": "1", "parallel_read_safe": True}
