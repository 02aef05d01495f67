"""What the papers claim, and that every claim reads networks that some study trains."""

import collections
import math

import pytest

from sparse_gf.studies.claims import CLAIMS, cells, describe, kinds, reading
from sparse_gf.studies.claims.kinds import Association, Contrast, Onset, Ranking, Trend

BY_ID = {claim.id: claim for claim in CLAIMS}


def parts():
    return [(claim, part) for claim in CLAIMS for part in claim.parts]


def contrasts():
    """Every contrast of every claim, those within trends and onsets too."""
    for _, part in parts():
        statistic = part.statistic
        if isinstance(statistic, Trend | Onset):
            statistic = statistic.contrast
        if isinstance(statistic, Contrast):
            yield part.name, statistic


def test_a_claim_is_named_and_placed():
    assert len(BY_ID) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.id.startswith(f"{claim.paper}.")
        assert claim.section
        assert claim.meaning.endswith(".")
        assert claim.published
        assert claim.holds in ("all", "most", "some")
        assert claim.level == 0.05
        names = [part.name for part in claim.parts]
        assert len(set(names)) == len(names) > 0, claim.id


def test_what_the_papers_speak_about():
    topics = collections.defaultdict(set)
    for claim in CLAIMS:
        topics[claim.paper].add(claim.id.split(".")[1])
    first = {"egf", "egf1", "batchnorm", "plain", "l2", "adamw", "augmentation", "flow"}
    first |= {"activations", "swish", "prelu", "wrn", "magnitude", "capacity"}
    second = {"any_mask", "random_most", "tickets_best", "alone", "together"}
    second |= {"skips_strongest", "rescaling_strongest", "sparsity", "dense"}
    second |= {"permanent", "late", "abrupt", "activity", "flat", "eigenvalues", "flow"}
    assert topics == {"tessera2021": first, "jaiswal2022": second}


def test_both_papers_are_in_the_order_of_their_sections():
    papers = [claim.paper for claim in CLAIMS]
    assert papers == sorted(papers, reverse=True)


def test_weights_of_a_contrast_cancel():
    for name, contrast in contrasts():
        assert sum(weight for weight, _ in contrast.terms) == 0, name
        assert contrast.measure in kinds.MEASURES


def test_terms_of_a_contrast_differ():
    for name, contrast in contrasts():
        wheres = [repr(sorted(where.items())) for _, where in contrast.terms]
        assert len(set(wheres)) == len(wheres), name


def test_what_agrees_has_a_finite_end():
    for claim, part in parts():
        region = part.region
        assert region.low < region.high, claim.id
        assert math.isfinite(region.low) or math.isfinite(region.high)
        if isinstance(part.statistic, Onset):
            assert region == kinds.ABOVE
        if isinstance(part.statistic, Trend):
            assert region in (kinds.ABOVE, kinds.BELOW)


def signs(name):
    """Part to the values that agree, and the networks whose accuracy is added."""
    return {part.name: str(part.region) for part in BY_ID[name].parts}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Section 4.1.1: of the three without a leaky average alone.
        (
            "tessera2021.batchnorm.gain",
            dict.fromkeys(("adagrad", "sgd", "momentum"), "above 0"),
        ),
        (
            "tessera2021.batchnorm.ewma",
            dict.fromkeys(("adam", "rmsprop"), "below 0"),
        ),
        (
            "tessera2021.plain.non_ewma.lose",
            dict.fromkeys(("adagrad", "sgd", "momentum"), "below 0"),
        ),
        ("tessera2021.plain.ewma.win", dict.fromkeys(("adam", "rmsprop"), "above 0")),
        ("tessera2021.plain.ewma.hold", dict.fromkeys(("adam", "rmsprop"), "above -1")),
        # Section 4.1.2: "from BN to DA_BN" at the high rate.
        (
            "tessera2021.augmentation.non_ewma",
            dict.fromkeys(("adagrad", "sgd", "momentum"), "above 0"),
        ),
        (
            "tessera2021.augmentation.ewma",
            dict.fromkeys(("adam", "rmsprop"), "below 0"),
        ),
        # Sections 4.2 and 4.4 of the second paper.
        (
            "jaiswal2022.flat.weights",
            dict.fromkeys(("GSk", "GSw", "LRsI", "LS"), "below 0"),
        ),
        ("jaiswal2022.eigenvalues", {"ToST": "below 0"}),
        ("jaiswal2022.flow", {"ToST": "above 0"}),
    ],
)
def test_signs_are_the_papers(name, expected):
    assert signs(name) == expected


def test_the_gain_of_batchnorm_is_the_sparse_gain_minus_the_dense_gain():
    adam = BY_ID["tessera2021.batchnorm.ewma"].parts[0].statistic
    assert {
        (where["arm"], where["variant"]): weight for weight, where in adam.terms
    } == {
        ("sparse", "BN"): 1,
        ("sparse", "NR"): -1,
        ("dense", "BN"): -1,
        ("dense", "NR"): 1,
    }
    assert {where["learning_rate"] for _, where in adam.terms} == {0.001}


def test_table_1_is_read_in_both_ways():
    readings = {
        claim.id: {part.statistic.reading for part in claim.parts}
        for claim in CLAIMS
        if isinstance(claim.parts[0].statistic, Ranking)
    }
    assert readings == {
        f"tessera2021.{name}{end}": {reading}
        for reading, end in (("mean", ""), ("points", ".points"))
        for name in ("egf.sparse", "egf1.sparse", "egf.dense")
    }


def test_associations_name_the_choices_of_the_tables():
    found = {
        part.name: len(part.statistic.among)
        for part in BY_ID["tessera2021.flow.ewma"].parts
    }
    # Table 6a has ten variants at the low rate, Table 3b six at the high one.
    assert found == {
        "adam, 0.001": 10,
        "rmsprop, 0.001": 10,
        "adam, 0.1": 6,
        "rmsprop, 0.1": 6,
    }
    against = BY_ID["tessera2021.flow.non_ewma"].parts[0].statistic
    assert isinstance(against, Association)
    assert against.where["optimizer"] == "adam"
    assert against.against == {**against.where, "optimizer": "adagrad"}


def test_a_value_fits():
    assert kinds.fits("BN", "BN")
    assert not kinds.fits("NR", "BN")
    assert kinds.fits("DA_SC_BN", ("DA_SC_BN", "DA_L2_SC_BN"))
    assert not kinds.fits("BN", ("DA_SC_BN", "DA_L2_SC_BN"))
    # A whole number of weights is hardly ever the wanted share.
    assert kinds.fits(0.0503, 0.05)
    assert not kinds.fits(0.055, 0.05)
    assert kinds.fits(0.0, 0.0)
    assert not kinds.fits(1e-4, 0.0)
    assert not kinds.fits("", 0.0)
    assert not kinds.fits(None, 0.0)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_network_of_a_claim_is_in_one_of_its_studies(claim):
    found = cells(claim)
    for part in claim.parts:
        for where in kinds.selections(part.statistic):
            assert any(reading.is_read(cell, where) for cell in found), (part, where)


def test_a_claim_reads_the_cells_that_it_names():
    claim = BY_ID["tessera2021.batchnorm.gain"]
    fashion = [cell for cell in cells(claim) if cell.dataset == "fashion_mnist"]
    # Table 4 has Adagrad and momentum of the three, each plain and with BatchNorm.
    assert sorted((cell.optimizer.name, cell.variant) for cell in fashion) == [
        ("adagrad", "BN"),
        ("adagrad", "NR"),
        ("momentum", "BN"),
        ("momentum", "NR"),
    ]
    everything = cells(claim)
    assert len(set(everything)) == len(everything)
    assert {cell.activation for cell in everything} == {"relu"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tessera2021.batchnorm.gain",
            "test accuracy: [BN, sparse] - [NR, sparse] - [BN, dense] + [NR, dense]; "
            "relu, adagrad, learning rate 0.001",
        ),
        (
            "tessera2021.l2.sparsity",
            "Kendall's tau with dense width of test accuracy: [L2] - [NR]; relu, "
            "adagrad, learning rate 0.001, sparse",
        ),
        (
            "tessera2021.egf.dense.points",
            "|tau| of egf2 minus |tau| of gf2, with test loss over the dense networks "
            "of a cell; correlated at each measured epoch, then |tau| is averaged over "
            "them",
        ),
        (
            "jaiswal2022.abrupt",
            "test accuracy: [gsk.schedule abrupt] - [fading]; relu, magnitude, density "
            "0.05, gsk",
        ),
    ],
)
def test_statistics_in_words(name, expected):
    assert describe(BY_ID[name].parts[0].statistic) == expected


def test_no_two_parts_of_a_claim_are_the_same_statistic():
    for claim in CLAIMS:
        said = [describe(part.statistic) for part in claim.parts]
        assert len(set(said)) == len(said), claim.id
