"""A Sphinx extension: a paper's claims and numbers beside what committed runs found.

``{claims} tessera2021`` makes a table of the paper's claims, ``{ledger} tessera2021``
one that counts its published numbers, from the reports of all work directories in
``experiments/``. What is in none of them was not run.
"""

import pathlib
from collections.abc import Callable, Mapping

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from sparse_gf.reporting import claim_table, claims, ledger, render
from sparse_gf.studies.claims import CLAIMS

REPORTS = sorted(
    (pathlib.Path(__file__).resolve().parent.parent / "experiments").glob("*/report")
)


def decided(paper: str) -> pd.DataFrame:
    """The parts of a paper's claims, as committed reports have them."""
    found = [claim_table.read(folder) for folder in REPORTS]
    parts = pd.concat([*found, claims.decide(pd.DataFrame())], ignore_index=True)
    parts = _once(parts, claim_table.is_run(parts), ["claim"], ["claim", "part"])
    own = [claim.id for claim in CLAIMS if claim.paper == paper]
    return parts[parts["claim"].isin(own)]


def numbers(paper: str) -> pd.DataFrame:
    """The ledger of a paper's published numbers, as committed reports have it."""
    found = [pd.read_csv(folder / "ledger.csv") for folder in REPORTS]
    lines = pd.concat(found, ignore_index=True)
    number = ["study", "row", "column", "published"]
    lines = _once(lines, lines["status"] == "done", number, number)
    return lines[lines["paper"] == paper]


def _once(
    lines: pd.DataFrame, run: pd.Series, thing: list[str], place: list[str]
) -> pd.DataFrame:
    """What was run anywhere, and one line per place of things that were not."""
    names = pd.MultiIndex.from_frame(lines[thing])
    waiting = lines[~names.isin(names[run])].drop_duplicates(place)
    return pd.concat([lines[run], waiting], ignore_index=True)


TABLES: Mapping[str, Callable[[str], render.Table]] = {
    "claims": lambda paper: claim_table.layout(decided(paper)),
    "ledger": lambda paper: ledger.layout(numbers(paper)),
}
"""By the name of a directive, what makes its table."""


class Table(SphinxDirective):
    """A table about a paper."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Makes the table."""
        table = TABLES[self.name](self.arguments[0])
        shown = render.html(table._replace(kind=f"{self.name} docutils"))
        wrapped = f'<div class="table-wrapper">\n{shown}</div>\n'
        return [nodes.raw("", wrapped, format="html")]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    for name in TABLES:
        app.add_directive(name, Table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
