"""Section numbers that the package names, against the papers' own headings."""

import importlib.resources
import re

import pytest

from sparse_gf import budgets, gradient_flow, scores
from sparse_gf.experiment import capacity
from sparse_gf.models import ghosts, mlp
from sparse_gf.studies import claims
from sparse_gf.training import pruning, rescaling

HEADINGS = {
    "tessera2021": "1 2 2.1 2.2 3 3.1 3.2 3.3 3.4 4 4.1 4.1.1 4.1.2 4.1.3 4.2 4.3 5 6 "
    "A A.1 A.2 B C D E E.1",
    "jaiswal2022": "1 2 2.1 2.2 2.3 3 3.1 3.2 3.3 3.4 4 4.1 4.2 4.3 4.4 5 6",
}

NAMED = [
    # N_MW = n + 4 is a sentence of A.1, without an equation.
    (budgets.max_width, "Tessera et al. 2021, A.1"),
    (capacity, "Tessera et al. 2021, section 2.1"),
    (gradient_flow, "Tessera et al. 2021, section 2.2, Eqs. 5-7"),
    (scores.egf, "Tessera et al. (2021, section 2.2)"),
    (mlp.MLP, "Tessera et al. 2021, A.1, Figure 6"),
    (pruning.OneShot, "Tessera et al. 2021, section 4.3"),
    # The two ghosts are in 2.2, LRsI and label smoothing in 2.3.
    (ghosts, "Jaiswal et al. 2022, section 2.2"),
    (rescaling, "Jaiswal et al. 2022, section 2.3"),
]


@pytest.mark.parametrize(
    ("thing", "place"), NAMED, ids=lambda value: getattr(value, "__name__", None)
)
def test_docstrings_name_the_papers_section(thing, place):
    assert place in " ".join(thing.__doc__.split())


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.id)
def test_claims_are_of_sections_that_there_are(claim):
    sections = re.sub(r"(Figure|Table|contribution)s? [\w, ]+", "", claim.section)
    numbers = re.findall(r"\b(?:[A-E]|\d)(?:\.\d)*\b", sections)
    assert set(numbers) <= set(HEADINGS[claim.paper].split())


def test_what_the_papers_contradict_themselves_in_is_written_down():
    folder = importlib.resources.files("sparse_gf") / "published"
    text = " ".join((folder / "README.md").read_text().split())
    for remark in (
        "Eqs. 11 and 12 print the sparse and the dense network's weights exchanged",
        "its caption says 90, 95 and 98%",
        "its caption ResNet-18 and 32",
    ):
        assert remark in text
    for file in folder.iterdir():
        assert file.name == "README.md" or f"`{file.name}`" in text
