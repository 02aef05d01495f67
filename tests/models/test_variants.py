import itertools

import pytest

from sparse_gf.core.errors import UserError
from sparse_gf.models import variants
from sparse_gf.models.variants import Variant

PAPER = ["NR", "L2", "DA", "SC", "BN", "DA_BN", "L2_BN", "SC_BN", "DA_SC_BN"]


@pytest.mark.parametrize("shorthand", [*PAPER, "DA_L2_SC_BN"])
def test_the_papers_variants_are_written_as_the_paper_writes_them(shorthand):
    assert str(variants.parse(shorthand)) == shorthand


def test_a_chain_switches_on_its_parts_and_nothing_else():
    assert variants.parse("BN_L2_SC_DA") == Variant(
        data_augmentation=True, l2=True, skip=True, batch_norm=True
    )
    assert variants.parse("DO_LN_L1") == Variant(l1=True, layer_norm=True, dropout=True)


def test_nr_is_nothing():
    assert variants.parse("nr") == Variant()


@pytest.mark.parametrize("order", list(itertools.permutations(["DA", "l2", "Bn"])))
def test_case_and_order_do_not_matter(order):
    assert str(variants.parse("_".join(order))) == "DA_L2_BN"


def test_every_set_of_parts_survives_writing_and_reading():
    seen = set()
    for bits in itertools.product([False, True], repeat=len(variants.TOKENS)):
        variant = Variant(*bits)
        assert variants.parse(str(variant)) == variant
        seen.add(str(variant))
    assert len(seen) == 2 ** len(variants.TOKENS)


@pytest.mark.parametrize(
    ("shorthand", "message"),
    [
        ("DA_BNN", r"'DA_BNN'.*'BNN'.*Did you mean 'BN'"),
        ("", r"config\.variant ''.*must be one of"),
        ("DA__BN", r"'DA__BN'.*part is ''"),
        ("NR_L2", r"'NR_L2'.*'NR'"),
        ("L2_BN_l2", r"has L2 twice"),
    ],
)
def test_wrong_chains_are_refused(shorthand, message):
    with pytest.raises(UserError, match=message):
        variants.parse(shorthand)
