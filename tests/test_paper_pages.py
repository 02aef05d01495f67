"""Pages about papers have every claim and number, from reports that are up to date."""

import pathlib
import sys

import pandas as pd
import pytest

from sparse_gf import results, studies
from sparse_gf.reporting import claim_table, claims, ledger
from sparse_gf.studies.claims import CLAIMS

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORTS = sorted((ROOT / "experiments").glob("*/report"))

SAID = [
    *("claim", "part", "paper", "section", "meaning", "statistic", "agrees_if"),
    *("holds", "level"),
]
"""What a claim says, whatever was run."""

NUMBER = ["paper", "study", "row", "column", "published"]
"""What tells published numbers apart."""

REMEDY = "python -m sparse_gf.report --workdir={}"


def said(folder):
    return set(pd.read_csv(folder / claim_table.FILE)[SAID].itertuples(index=False))


def numbers(lines):
    return set(lines[NUMBER].itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def every_number():
    rows = pd.DataFrame(columns=[field.name for field in results.NETWORKS])
    return numbers(ledger.make([], {}, rows))


def test_committed_reports_say_what_the_claims_say_now(tmp_path):
    claim_table.write(tmp_path, claims.decide(pd.DataFrame()))
    for folder in REPORTS:
        assert said(folder) == said(tmp_path), REMEDY.format(folder.parent)


def test_committed_ledgers_have_every_published_number(every_number):
    for folder in REPORTS:
        found = numbers(pd.read_csv(folder / "ledger.csv"))
        assert found == every_number, REMEDY.format(folder.parent)


@pytest.mark.parametrize("paper", studies.PAPERS)
def test_the_page_of_a_paper_has_its_claims_and_numbers(
    paper, every_number, monkeypatch
):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.delitem(sys.modules, "claims", raising=False)
    import claims as extension

    page = (ROOT / "docs" / "papers" / f"{paper}.md").read_text()
    for name in extension.TABLES:
        assert f"```{{{name}}} {paper}\n```" in page
    parts = extension.decided(paper)
    asked = {
        (claim.id, part.name)
        for claim in CLAIMS
        for part in claim.parts
        if claim.paper == paper
    }
    assert set(zip(parts["claim"], parts["part"], strict=True)) == asked
    rows = extension.TABLES["claims"](paper)
    meanings = {name for block in rows.blocks for name, _ in block.rows}
    assert meanings == {claim.meaning for claim in CLAIMS if claim.paper == paper}
    found = extension.numbers(paper)
    assert numbers(found) == {number for number in every_number if number[0] == paper}
    # What was run somewhere does not wait elsewhere.
    run = found["status"] == "done"
    assert not numbers(found[run]) & numbers(found[~run])
