"""Puts what the protocol's runs say about the papers' claims into README and here.

    python experiments/results_table.py

reads ``small/report/claims.csv``, which ``report`` makes, and writes the tables between
the marks in the README of the repository (the main claims) and of this folder (all).
"""

import pathlib
import re
from collections.abc import Collection, Iterator

import pandas as pd

from sparse_gf.reporting import claim_table, claims
from sparse_gf.studies.claims import CLAIMS

HERE = pathlib.Path(__file__).resolve().parent
REPORT = HERE / "small" / "report"

MAIN = (
    "tessera2021.egf.sparse",
    "tessera2021.batchnorm.gain",
    "tessera2021.batchnorm.flow",
    "tessera2021.plain.non_ewma.lose",
    "tessera2021.plain.ewma.win",
    "tessera2021.l2.sparse",
    "tessera2021.adamw",
    "tessera2021.augmentation",
    "tessera2021.swish.adaptive",
    "tessera2021.prelu.sgd",
    "jaiswal2022.any_mask",
    "jaiswal2022.together",
    "jaiswal2022.flow",
)
"""What the abstracts and conclusions of both papers say."""

FILES = {HERE.parent / "README.md": MAIN, HERE / "README.md": [c.id for c in CLAIMS]}
"""Where tables are, and of which claims."""

MARKS = "<!-- claims: made by experiments/results_table.py -->", "<!-- /claims -->"

_CLAIMS = {claim.id: claim for claim in CLAIMS}


def tables(parts: pd.DataFrame, names: Collection[str]) -> str:
    """One table, a row above each scale's claims; after it those that were not run.

    Args:
        parts: As ``claim_table.read`` gives them.
        names: Ids of claims.
    """
    parts = parts[parts["claim"].isin(names)]
    own = {place: part for place, part in parts.groupby(["claim", "setting"])}
    lines = ["| claim | paper | ours | verdict |", "|---|---|---|---|"]
    verdicts = claims.verdicts(parts)
    waiting = [_CLAIMS[name] for name in verdicts[verdicts["scale"] == ""]["claim"]]
    for scale, group in verdicts[verdicts["scale"] != ""].groupby("scale", sort=False):
        lines.append(f"| **{scale}** | | | |")
        lines += [
            _row(line["claim"], own[line["claim"], line["setting"]], line["verdict"])
            for line in group.to_dict("records")
        ]
    said = " ".join(f"{claim.meaning[:-1]} ({_where(claim)})." for claim in waiting)
    return "\n".join([*lines, *(["", f"Not run yet: {said}"] if waiting else [])])


def _row(name: str, parts: pd.DataFrame, verdict: str) -> str:
    claim = _CLAIMS[name]
    # Figures are named by where they are.
    published = re.sub("^(a figure|figures)(; )?", "", claim.published)
    paper = ": ".join(filter(None, (_where(claim), published)))
    cells = claim.meaning, paper, "; ".join(claim_table.numbers(parts)), verdict
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _where(claim: claims.Claim) -> str:
    authors = {"tessera2021": "Tessera", "jaiswal2022": "Jaiswal"}
    return f"{authors[claim.paper]} {claim.section}"


def filled(text: str, names: Collection[str], parts: pd.DataFrame) -> str:
    """A page with its tables made anew."""
    between = f"{MARKS[0]}\n\n{tables(parts, names)}\n\n{MARKS[1]}"
    found = re.compile(f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}", re.DOTALL)
    return found.sub(lambda _: between, text)


def stale() -> Iterator[tuple[pathlib.Path, str]]:
    """Files whose tables differ from the report's claims, and what they should say."""
    parts = claim_table.read(REPORT)
    for path, names in FILES.items():
        text = path.read_text(encoding="utf-8")
        new = filled(text, names, parts)
        if new != text:
            yield path, new


if __name__ == "__main__":
    for path, text in stale():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(HERE.parent))
