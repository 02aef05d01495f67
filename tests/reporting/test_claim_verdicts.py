"""Verdicts from networks written by hand, for every kind of statistic."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from sparse_gf import specs
from sparse_gf.reporting import claim_evidence, claims
from sparse_gf.reporting.claim_evidence import Evidence
from sparse_gf.studies.claims import CLAIMS, Claim, Part, cells, kinds
from sparse_gf.studies.claims.kinds import (
    ABOVE,
    ALIKE,
    BELOW,
    NOT_WORSE,
    Association,
    Onset,
    Ranking,
    Trend,
)

WIDTHS = (10, 20, 30, 40, 50)
SEEDS = (0, 1, 2)


def network(arm="sparse", width=10, seed=0, accuracy=50.0, **columns):
    """A row of the results; accuracy in percent."""
    config = {
        "dataset": "digits",
        "hidden_layers": 4,
        "seeds": [0, 1, 2],
        "dense_widths": list(WIDTHS),
        "optimizer": {
            "name": columns.get("optimizer", "adam"),
            "learning_rate": columns.get("learning_rate", 0.001),
            "weight_decay": columns.get("weight_decay", 0.0),
        },
        "variant": columns.get("variant", "NR"),
        "activation": columns.get("activation", "relu"),
        "epochs": columns.get("epochs", 5),
        "l2": 1e-4,
        "tost": "",
        "gsk": {"schedule": "linear", "last_epoch": 0},
        "data_dir": columns.pop("data_dir", ""),
    }
    row = {
        "dataset_title": "Digits, 100 of 1,442 training images",
        "train_examples": 100,
        "test_examples": 355,
        "hidden_layers": 4,
        "kind": "capacity",
        "model": "mlp",
        "density": math.nan,
        "mask_method": "random",
        "mask_schedule": "init",
        "diverged": False,
        "test_loss": 1.0,
        **dict.fromkeys(("egf1", "egf2", "gf1", "gf2"), 1.0),
        "optimizer": "adam",
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "variant": "NR",
        "activation": "relu",
        "epochs": 5,
        "tost": "",
        **columns,
    }
    text = json.dumps(config)
    return row | {
        "arm": arm,
        "dense_width": width,
        "seed": seed,
        "test_accuracy": accuracy / 100,
        "config": text,
        "config_hash": columns.get("config_hash", text),
    }


def masked(density=0.1, seed=0, accuracy=50.0, tost="", mask="snip", **columns):
    """A row of a network under masks."""
    gsk, digest = columns.pop("gsk", "linear"), columns.pop("digest", "")
    config = {
        "model": "resnet8",
        "mask": {"method": mask, "density": [0.1, 0.05, 0.02], "digest": digest},
        "tost": tost,
        "gsk": {"schedule": gsk, "last_epoch": 0},
        "lrsi": {"iterations": 90 if "lrsi" in tost else 180},
        "l2": 2e-4,
        "optimizer": {"name": "momentum", "learning_rate": 0.1},
    }
    row = network("sparse", 0, seed, accuracy, tost=tost, **columns)
    text = json.dumps(config)
    return row | {
        "kind": "masks",
        "model": "resnet8",
        "hidden_layers": 0,
        "density": density,
        "mask_method": mask,
        "config": text,
        "config_hash": text,
    }


def cell(sparse, dense, **columns):
    """Both arms, from a function of width and seed that gives the accuracy of each."""
    return [
        network(arm, width, seed, make(width, seed), **columns)
        for arm, make in (("sparse", sparse), ("dense", dense))
        for width in WIDTHS
        for seed in SEEDS
    ]


def flat(accuracy):
    """The same accuracy but for what tells ranks apart."""
    return lambda width, seed: accuracy + width / 1000 + seed / 10_000


def claim(*parts, holds="all"):
    """A claim of these statistics and the values that agree."""
    named = tuple(Part(f"part {n}", *part) for n, part in enumerate(parts))
    return Claim("paper.claim", "paper", "1", "It is so.", (), named, holds=holds)


def decide(rows, *parts, measurements=None, analyses=None, holds="all"):
    """The lines of the parts, as dicts, and the verdict of every setting."""
    asked = (claim(*parts, holds=holds),)
    found = claims.decide(pd.DataFrame(rows), measurements, analyses, asked)
    assert tuple(found.columns) == claims.COLUMNS
    summed = claims.verdicts(found, asked)
    assert tuple(summed.columns) == claims.VERDICT_COLUMNS
    return found.to_dict("records"), list(summed["verdict"])


ADVANTAGE = kinds.advantage(optimizer="adam", variant="NR")


# Contrasts: 15 pairs whose differences all have one sign have p = 2^-15.


@pytest.mark.parametrize(
    ("difference", "region", "expected"),
    [
        (2.0, ABOVE, claims.AGREES),
        (-2.0, ABOVE, claims.DOES_NOT),
        (-2.0, BELOW, claims.AGREES),
        (2.0, BELOW, claims.DOES_NOT),
        (0.5, ALIKE, claims.AGREES),
        (-0.5, ALIKE, claims.AGREES),
        (1.5, ALIKE, claims.DOES_NOT),
        (-1.5, ALIKE, claims.DOES_NOT),
        (-0.5, NOT_WORSE, claims.AGREES),
        (7.0, NOT_WORSE, claims.AGREES),
        (-1.5, NOT_WORSE, claims.DOES_NOT),
    ],
)
def test_a_clear_difference_is_decided(difference, region, expected):
    rows = cell(lambda w, s: flat(50)(w, s) + difference, flat(50))
    (line,), together = decide(rows, (ADVANTAGE, region))
    assert line["verdict"] == expected
    assert together == [expected]
    assert line["effect"] == pytest.approx(difference)
    assert (line["low"], line["high"]) == pytest.approx((difference, difference))
    assert (line["num_units"], line["num_networks"], line["num_cells"]) == (15, 30, 1)
    one_sided = line["p"] if expected == claims.AGREES else line["p_against"]
    assert one_sided == pytest.approx(
        (1 + (region == ALIKE) * (expected != claims.AGREES)) / 2**15
    )


def test_a_difference_of_both_signs_is_not_decided():
    # Eight pairs up, seven down, of equal sizes: W+ = 8 * 8 = 64 of 120.
    rows = cell(lambda w, s: 50 + (-1) ** (w // 10 + s + 1) * 2, lambda w, s: 50)
    (line,), together = decide(rows, (ADVANTAGE, ABOVE))
    assert line["verdict"] == claims.UNDECIDED
    assert together == [claims.UNDECIDED]
    assert line["effect"] == pytest.approx(2 / 15)
    assert line["low"] < 0 < line["high"]
    # P(at least 8 of 15 coins) = 1/2.
    assert line["p"] == pytest.approx(0.5)


def test_no_difference_at_all():
    rows = cell(flat(50), flat(50))
    lines, _ = decide(rows, (ADVANTAGE, ABOVE), (ADVANTAGE, BELOW), (ADVANTAGE, ALIKE))
    assert [line["verdict"] for line in lines] == [
        claims.UNDECIDED,
        claims.UNDECIDED,
        claims.AGREES,
    ]


def test_four_pairs_decide_nothing():
    rows = [
        row for row in cell(flat(60), flat(50)) if row["dense_width"] + row["seed"] < 21
    ]
    (line,), _ = decide(rows, (ADVANTAGE, ABOVE))
    assert line["num_units"] == 4
    assert line["p"] == pytest.approx(1 / 16)
    assert line["verdict"] == claims.UNDECIDED


def test_nothing_was_run():
    for rows in ([], cell(flat(60), flat(50), optimizer="sgd")):
        (line,), together = decide(rows, (ADVANTAGE, ABOVE))
        assert line["verdict"] == claims.NOT_RUN
        assert together == [claims.NOT_RUN]
        assert (line["scale"], line["num_units"], line["num_networks"]) == ("", 0, 0)
        assert math.isnan(line["effect"])
        assert math.isnan(line["p"])


def test_half_of_a_comparison_was_run():
    change = kinds.change("accuracy", {"variant": "NR"}, {"variant": "BN"})
    (line,), _ = decide(cell(flat(60), flat(50)), (change, ABOVE))
    assert line["verdict"] == claims.NOT_RUN


def test_pairs_have_arm_width_and_seed_in_common():
    # The change is 1 point for sparse networks of width 10, seed 0, and so on.
    change = kinds.change("accuracy", {"variant": "NR"}, {"variant": "BN"})
    before = cell(lambda w, s: 40, lambda w, s: 30)
    after = cell(lambda w, s: 40 + w / 10 + s, lambda w, s: 30 + w / 10, variant="BN")
    (line,), _ = decide(before + list(reversed(after)), (change, ABOVE))
    assert line["num_units"] == 30
    # Mean of w / 10 is 3, of s 1: (4 + 3) / 2.
    assert line["effect"] == pytest.approx(3.5)
    assert line["verdict"] == claims.AGREES


def test_networks_that_differ_in_anything_else_are_no_pair():
    change = kinds.change("accuracy", {"variant": "NR"}, {"variant": "BN"})
    rows = cell(flat(40), flat(40))
    rows += cell(flat(60), flat(60), variant="BN", learning_rate=0.1)
    (line,), _ = decide(rows, (change, ABOVE))
    assert line["verdict"] == claims.NOT_RUN


def test_how_a_cell_was_run_does_not_matter():
    change = kinds.change("accuracy", {"variant": "NR"}, {"variant": "BN"})
    rows = cell(flat(40), flat(40))
    rows += cell(flat(60), flat(60), variant="BN", data_dir="elsewhere")
    (line,), _ = decide(rows, (change, ABOVE))
    assert line["num_units"] == 30


def test_other_masks_of_one_method_are_no_pair():
    gain = kinds.change("accuracy", {"tost": ""}, {"tost": "ls"}, mask_method="snip")
    rows = [masked(0.1, seed, 50 + seed) for seed in range(6)]
    other = [masked(0.1, seed, 60 + seed, "ls", digest="abc") for seed in range(6)]
    (line,), _ = decide(rows + other, (gain, ABOVE))
    assert line["verdict"] == claims.NOT_RUN


def test_a_network_of_two_cells_counts_once():
    twice = [
        row for name in ("b", "a") for row in cell(flat(60), flat(50), config_hash=name)
    ]
    (line,), _ = decide(twice, (ADVANTAGE, ABOVE))
    assert (line["num_units"], line["num_networks"], line["num_cells"]) == (15, 30, 1)


def test_the_change_of_the_advantage():
    # Sparse networks gain 5, dense ones 3.
    gains = kinds.change_of_advantage({"variant": "NR"}, {"variant": "BN"})
    rows = cell(flat(40), flat(50)) + cell(flat(45), flat(53), variant="BN")
    lines, together = decide(rows, (gains, ABOVE), (gains, BELOW))
    assert [line["verdict"] for line in lines] == [claims.AGREES, claims.DOES_NOT]
    assert together == [claims.DOES_NOT]
    assert [line["effect"] for line in lines] == pytest.approx([2.0, 2.0])
    assert lines[0]["num_networks"] == 60


def test_gradient_flow_is_compared_as_a_factor():
    change = kinds.change("flow", {"variant": "NR"}, {"variant": "BN"})
    rows = cell(flat(40), flat(40), egf2=0.5)
    rows += cell(flat(40), flat(40), variant="BN", egf2=0.25)
    (line,), _ = decide(rows, (change, BELOW))
    assert line["verdict"] == claims.AGREES
    assert (line["effect"], line["unit"]) == (pytest.approx(0.5), "factor")
    assert line["agrees_if"] == "factor below 1"


def test_a_flow_that_is_not_finite_is_the_largest():
    change = kinds.change("flow", {"variant": "NR"}, {"variant": "BN"})
    rows = cell(flat(40), flat(40))
    after = cell(flat(40), flat(40), variant="BN", egf2=2.0)
    for row in after[:3]:
        row |= {"egf2": math.nan, "diverged": True}
    (line,), _ = decide(rows + after, (change, ABOVE))
    assert line["verdict"] == claims.AGREES
    assert line["p"] == pytest.approx(2**-30)
    # Of the others.
    assert line["effect"] == pytest.approx(2.0)
    assert line["num_diverged"] == 3
    # Of 27 pairs the later flow is smaller, of three both are infinite, which is equal.
    before = [row | {"egf2": math.inf} for row in rows]
    (line,), _ = decide(before + after, (change, ABOVE))
    assert line["p_against"] == pytest.approx(2**-27)
    assert line["effect"] == pytest.approx(1.0)


# Parts and settings.


def test_holm_is_over_the_parts_that_were_run():
    rows = [row for row in cell(flat(60), flat(50)) if row["dense_width"] < 30]
    # Six pairs: p = 1/64. Two parts: 1/32; the third has not been run.
    other = kinds.advantage(optimizer="sgd")
    lines, together = decide(
        rows, (ADVANTAGE, ABOVE), (ADVANTAGE, NOT_WORSE), (other, ABOVE)
    )
    assert [line["p"] for line in lines[:2]] == [1 / 64, 1 / 64]
    assert [line["p_holm"] for line in lines[:2]] == [1 / 32, 1 / 32]
    assert [line["verdict"] for line in lines] == [
        claims.AGREES,
        claims.AGREES,
        claims.NOT_RUN,
    ]
    # The third may yet say something else.
    assert together == [claims.UNDECIDED]


def test_a_correction_can_undo_a_finding():
    rows = [row for row in cell(flat(60), flat(50)) if row["dense_width"] < 30]
    lines, _ = decide(rows, *[(ADVANTAGE, ABOVE)] * 4)
    # 4/64 is above 0.05.
    assert {line["verdict"] for line in lines} == {claims.UNDECIDED}


@pytest.mark.parametrize(
    ("found", "holds", "expected"),
    [
        (["agrees", "agrees"], "all", "agrees"),
        (["agrees", "cannot be decided"], "all", "cannot be decided"),
        (["agrees", "not run"], "all", "cannot be decided"),
        (["does not", "not run"], "all", "does not"),
        (["agrees", "does not"], "all", "does not"),
        (["not run", "not run"], "all", "not run"),
        (["agrees", "agrees", "does not"], "most", "agrees"),
        (["agrees", "does not"], "most", "does not"),
        (["agrees", "cannot be decided", "not run"], "most", "cannot be decided"),
        (["agrees", "does not", "cannot be decided"], "most", "cannot be decided"),
        (["does not", "not run", "not run"], "most", "cannot be decided"),
        (["not run"], "most", "not run"),
        (["agrees", "does not", "not run"], "some", "agrees"),
        (["does not", "does not", "not run"], "some", "cannot be decided"),
        (["agrees", "agrees", "not run"], "most", "agrees"),
        (["does not", "does not", "not run"], "most", "does not"),
        (["does not", "cannot be decided"], "some", "cannot be decided"),
    ],
)
def test_parts_together(found, holds, expected):
    assert claims.together(found, holds) == expected


def test_every_setting_has_a_verdict_of_its_own():
    rows = cell(flat(60), flat(50)) + cell(flat(40), flat(50), epochs=500)
    lines, together = decide(rows, (ADVANTAGE, ABOVE))
    assert together == [claims.AGREES, claims.DOES_NOT]
    assert len({line["setting"] for line in lines}) == 2
    start = "Digits, 100 training and 355 test images; mlp, 4 hidden layers; "
    end = "; dense widths 10, 20, 30, 40, 50; 3 seeds"
    assert [line["scale"] for line in lines] == [
        f"{start}5 epochs{end}",
        f"{start}500 epochs{end}",
    ]


def test_data_from_another_source_are_another_setting():
    rows = cell(flat(60), flat(50))
    rows += cell(flat(40), flat(50), dataset_title="Digits (JPEG)", config_hash="b")
    lines, together = decide(rows, (ADVANTAGE, ABOVE))
    assert together == [claims.AGREES, claims.DOES_NOT]
    assert lines[1]["scale"].startswith("Digits (JPEG), 100 training")


def test_what_is_compared_is_no_setting():
    change = kinds.change("accuracy", {"optimizer": "adam"}, {"optimizer": "sgd"})
    rows = cell(flat(40), flat(40)) + cell(flat(50), flat(50), optimizer="sgd")
    lines, together = decide(rows, (change, ABOVE), (ADVANTAGE, ALIKE))
    assert len(lines) == 2
    assert together == [claims.AGREES]


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(1.0, 0.5, 1.5, 0.01, 0.9), claims.AGREES),
        (Evidence(1.0, 0.0, 1.5, 0.01, 0.9), claims.UNDECIDED),
        (Evidence(1.0, 0.5, 1.5, 0.05, 0.9), claims.UNDECIDED),
        (Evidence(-1.0, -1.5, -0.5, 0.9, 0.01), claims.DOES_NOT),
        (Evidence(-1.0, -1.5, 0.5, 0.9, 0.01), claims.UNDECIDED),
        (Evidence(), claims.NOT_RUN),
    ],
)
def test_both_test_and_interval_must_say_so(evidence, expected):
    assert claims.verdict(evidence, ABOVE, 0.05) == expected


# Trends.


TREND = Trend(ADVANTAGE, "dense_width")


@pytest.mark.parametrize(
    ("slope", "expected"), [(0.1, claims.AGREES), (-0.1, claims.DOES_NOT)]
)
def test_a_trend_with_width(slope, expected):
    rows = cell(lambda w, s: 50 + slope * w + s / 100, lambda w, s: 50)
    (line,), _ = decide(rows, (TREND, ABOVE))
    assert line["verdict"] == expected
    # Of 105 pairs of pairs 15 have equal widths: tau-b = 90 / sqrt(90 * 105).
    assert line["effect"] == pytest.approx(math.copysign(math.sqrt(90 / 105), slope))
    assert (line["unit"], line["num_units"]) == ("tau", 15)


def test_no_trend():
    rows = cell(lambda w, s: 50 + (w * 7 + s * 3) % 5, lambda w, s: 50)
    (line,), _ = decide(rows, (TREND, ABOVE))
    assert line["verdict"] == claims.UNDECIDED
    rows = cell(lambda w, s: 55, lambda w, s: 50)
    (line,), _ = decide(rows, (TREND, ABOVE))
    assert (line["effect"], line["verdict"]) == (0.0, claims.UNDECIDED)


def test_a_trend_takes_three_sizes():
    rows = [r for r in cell(lambda w, s: 50 + w, flat(50)) if r["dense_width"] < 30]
    (line,), _ = decide(rows, (TREND, ABOVE))
    assert line["verdict"] == claims.UNDECIDED
    assert line["detail"] == "fewer than three sizes"


def test_a_trend_with_sparsity():
    gain = kinds.change("accuracy", {"tost": ""}, {"tost": "ls"})
    rows = [
        masked(density, seed, 50 + bool(tost) * (1 / density + seed / 10), tost)
        for density in (0.1, 0.05, 0.02)
        for seed in range(4)
        for tost in ("", "ls")
    ]
    (line,), _ = decide(rows, (Trend(gain, "sparsity"), ABOVE))
    assert line["verdict"] == claims.AGREES
    assert line["num_units"] == 12
    assert line["scale"].endswith("densities 10%, 5%, 2%; 4 seeds")


# Onsets.


ONSET = Onset(ADVANTAGE)


def test_an_onset():
    # Behind at width 10 and 20, ahead from 30 on: nine pairs, p = 1/512; five widths
    # are tested, of which two cannot be.
    ahead = {10: -5, 20: -1, 30: 1, 40: 2, 50: 3}
    rows = cell(lambda w, s: 50 + ahead[w] + s / 10, lambda w, s: 50)
    (line,), _ = decide(rows, (ONSET, ABOVE))
    assert line["verdict"] == claims.AGREES
    assert line["detail"] == "from dense width 30 on, of 10, 20, 30, 40, 50"
    assert line["p"] == pytest.approx(5 / 512)
    assert line["effect"] == pytest.approx(2.1)


def test_no_onset():
    rows = cell(lambda w, s: 48 + s / 10, lambda w, s: 50)
    (line,), _ = decide(rows, (ONSET, ABOVE))
    assert line["verdict"] == claims.DOES_NOT
    assert line["detail"] == "from no width on"
    # Behind on the whole, ahead at the widest.
    ahead = {10: -9, 20: -8, 30: -7, 40: -6, 50: 0.1}
    rows = cell(lambda w, s: 50 + ahead[w] + s / 100, lambda w, s: 50)
    (line,), _ = decide(rows, (ONSET, ABOVE))
    assert line["verdict"] == claims.UNDECIDED
    # Six pairs of the two widest are ahead: 5/64 is not enough.
    rows = cell(lambda w, s: 50 + (1 if w > 30 else -1) + s / 10, lambda w, s: 50)
    (line,), _ = decide(rows, (ONSET, ABOVE))
    assert line["verdict"] == claims.UNDECIDED


# Associations.


NAMES = ("NR", "DA", "L2", "SC", "BN")


def associated(accuracies, optimizer="adam"):
    """Variants whose EGF is 1, 2, 3, ... and whose accuracies are given."""
    return [
        row
        for egf2, (name, accuracy) in enumerate(
            zip(NAMES, accuracies, strict=False), start=1
        )
        for row in cell(
            flat(accuracy), flat(accuracy), variant=name, egf2=egf2, optimizer=optimizer
        )
    ]


ACROSS = Association("flow", "accuracy", {"optimizer": "adam"}, "variant", NAMES)


@pytest.mark.parametrize(
    ("accuracies", "expected", "tau"),
    [
        ((50, 40, 30, 20, 10), claims.AGREES, -1.0),
        ((10, 20, 30, 40, 50), claims.DOES_NOT, 1.0),
        # One of ten pairs of variants in order: tau = (1 - 9) / 10.
        ((40, 50, 30, 20, 10), claims.AGREES, -0.8),
        ((30, 30, 30, 30, 30), claims.UNDECIDED, 0.0),
    ],
)
def test_an_association(accuracies, expected, tau):
    (line,), _ = decide(associated(accuracies), (ACROSS, BELOW))
    assert line["verdict"] == expected
    assert line["effect"] == pytest.approx(tau)
    # One tau of each arm, width and seed.
    assert (line["num_units"], line["num_cells"]) == (30, 5)


def test_four_choices_are_no_association():
    (line,), _ = decide(associated((50, 40, 30, 20)), (ACROSS, BELOW))
    assert line["verdict"] == claims.NOT_RUN


def test_an_association_against_another():
    against = Association(
        "flow",
        "accuracy",
        {"optimizer": "adam"},
        "variant",
        NAMES,
        {"optimizer": "sgd"},
    )
    rows = associated((50, 40, 30, 20, 10)) + associated((10, 20, 30, 40, 50), "sgd")
    (line,), _ = decide(rows, (against, BELOW))
    assert (line["verdict"], line["effect"]) == (claims.AGREES, pytest.approx(-2.0))
    assert line["num_networks"] == 300
    (line,), _ = decide(rows[:150], (against, BELOW))
    assert line["verdict"] == claims.NOT_RUN


# Rankings.


def ranked(number, egf2, gf2):
    """A cell of three networks whose loss is 1, 2, 3."""
    return [
        network("sparse", width, 0, variant=f"V{number}", test_loss=loss, egf2=e, gf2=g)
        for width, loss, e, g in zip((10, 20, 30), (1, 2, 3), egf2, gf2, strict=True)
    ]


RANKING = Ranking("egf2", "gf2", "test_loss", "sparse", "mean")


@pytest.mark.parametrize(
    ("egf2", "gf2", "expected", "difference"),
    [
        # tau 1 against 1/3, and the other way round; -1 counts as 1.
        ((1, 2, 3), (1, 3, 2), claims.AGREES, 2 / 3),
        ((1, 3, 2), (3, 2, 1), claims.DOES_NOT, -2 / 3),
        ((1, 2, 3), (3, 2, 1), claims.UNDECIDED, 0.0),
    ],
)
def test_a_ranking_of_measures(egf2, gf2, expected, difference):
    rows = [row for number in range(6) for row in ranked(number, egf2, gf2)]
    # The other arm's ranks are of no account.
    dense = [row | {"arm": "dense", "egf2": row["seed"]} for row in rows]
    (line,), _ = decide(rows + dense, (RANKING, ABOVE))
    assert line["verdict"] == expected
    assert line["effect"] == pytest.approx(difference)
    assert (line["num_units"], line["num_cells"], line["left_out"]) == (6, 6, 0)


def test_a_cell_without_a_tau_is_left_out():
    rows = [row for number in range(6) for row in ranked(number, (1, 2, 3), (1, 3, 2))]
    rows += ranked(6, (1, 1, 1), (1, 2, 3))
    (line,), _ = decide(rows, (RANKING, ABOVE))
    assert (line["num_units"], line["left_out"]) == (6, 1)


def test_a_loss_that_is_not_finite_ranks_last():
    rows = [row for number in range(6) for row in ranked(number, (1, 2, 3), (1, 3, 2))]
    for row in rows[2::3]:
        row["test_loss"] = math.nan
    (line,), _ = decide(rows, (RANKING, ABOVE))
    assert line["effect"] == pytest.approx(2 / 3)


def test_table_1_by_its_points():
    # At one epoch EGF ranks as the loss, at the other in reverse; averaged over them it
    # is constant. The norm has tau 1/3 at both.
    rows = [row for number in range(6) for row in ranked(number, (2, 2, 2), (1, 3, 2))]
    keys = ["config_hash", "arm", "dense_width", "seed"]
    points = pd.concat(
        [
            pd.DataFrame(rows)[[*keys, "gf2"]].assign(epoch=epoch, egf2=[*egf2] * 6)
            for epoch, egf2 in ((1, (1, 2, 3)), (5, (3, 2, 1)))
        ]
    )
    by_points = Ranking("egf2", "gf2", "test_loss", "sparse", "points")
    parts = (RANKING, ABOVE), (by_points, ABOVE)
    lines, _ = decide(rows, *parts, measurements=points)
    assert [line["verdict"] for line in lines] == [claims.NOT_RUN, claims.AGREES]
    assert lines[1]["effect"] == pytest.approx(2 / 3)
    lines, together = decide(rows, (by_points, ABOVE))
    assert together == [claims.NOT_RUN]


# Networks under masks.


def test_the_same_mask_with_and_without():
    gain = kinds.change("accuracy", {"tost": ""}, {"tost": "gsw,gsk,lrsi,ls"})
    everything = "gsw,gsk,lrsi,ls"
    rows = [
        masked(density, seed, accuracy + seed, tost, mask)
        for density in (0.1, 0.0504)
        for seed in SEEDS
        for mask, gained in (("snip", 2), ("grasp", -2))
        for tost, accuracy in (("", 50), (everything, 50 + gained))
    ]
    snip, grasp = (
        kinds.change("accuracy", {"tost": ""}, {"tost": everything}, mask_method=name)
        for name in ("snip", "grasp")
    )
    lines, _ = decide(rows, (snip, ABOVE), (grasp, ABOVE), (gain, ABOVE))
    assert [line["num_units"] for line in lines] == [6, 6, 12]
    assert [line["effect"] for line in lines] == pytest.approx([2, -2, 0])
    assert [line["verdict"] for line in lines] == [
        claims.AGREES,
        claims.DOES_NOT,
        claims.UNDECIDED,
    ]


def test_masks_are_compared_at_equal_density():
    between = kinds.change(
        "accuracy", {"mask_method": "snip"}, {"mask_method": "grasp"}
    )
    # Whole weights are not exactly the wanted share.
    rows = [
        masked(density + shift, seed, accuracy, mask=mask)
        for density in (0.1, 0.05)
        for seed in SEEDS
        for mask, accuracy, shift in (("snip", 50, 0.0), ("grasp", 53, 0.0003))
    ]
    (line,), _ = decide(rows, (between, ABOVE))
    assert (line["num_units"], line["effect"]) == (6, pytest.approx(3))


def test_ghosts_that_fade_and_that_stay():
    stays = kinds.change(
        "accuracy",
        {"tost": "gsk", "gsk.schedule": ("linear", "cosine")},
        {"tost": "gsk", "gsk.schedule": "permanent"},
    )
    rows = [
        masked(0.1, seed, 50 + gained, "gsk", gsk=schedule)
        for seed in range(6)
        for schedule, gained in (("linear", 0), ("permanent", 1))
    ]
    (line,), _ = decide(rows, (stays, ABOVE))
    assert (line["num_units"], line["effect"]) == (6, pytest.approx(1))


def analysed(rows, kind, **columns):
    """Lines of analyses about networks."""
    keys = ["config_hash", "arm", "dense_width", "density", "seed"]
    frame = pd.DataFrame(rows)[keys].drop_duplicates()
    return frame.assign(**{"kind": kind, "x": 0.0, "y": math.nan, **columns})


def test_measures_of_saved_networks():
    plain = [masked(0.1, seed) for seed in range(6)]
    tost = [masked(0.1, seed, tost="ls") for seed in range(6)]
    # Eigenvalues: geometric means over the epochs 4 and 16, 8, and 1 and 4, 2; neither
    # the initial weights nor the second eigenvalue count.
    eigenvalues = [
        analysed(rows, "eigenvalues", epoch=epoch, value=value, x=x)
        for rows, values in ((plain, (4.0, 16.0)), (tost, (1.0, 4.0)))
        for epoch, x, value in (
            (0, 0.0, 999.0),
            (1, 0.0, values[0]),
            (1, 1.0, 777.0),
            (9, 0.0, values[1]),
        )
    ]
    # Curves: at the last epoch, rises of 1 and 3, and of half of that.
    curves = [
        analysed(rows, "along", epoch=epoch, value=2 + factor * rise, x=x)
        for rows, factor in ((plain, 1.0), (tost, 0.5))
        for epoch, x, rise in ((1, 1.0, 50.0), (9, -1.0, 1.0), (9, 0.0, 0), (9, 1.0, 3))
    ]
    # Planes: a rise of 8 at one of four corners, and of 4.
    planes = [
        analysed(rows, "input", epoch=9, value=1.0 + rise * factor, x=x, y=y)
        for rows, factor in ((plain, 1.0), (tost, 0.5))
        for x, y, rise in (
            (0.0, 0.0, 0),
            (1, 1, 8),
            (1, -1, 0),
            (-1, 1, 0),
            (-1, -1, 0),
        )
    ]
    layers = [
        analysed(rows, "activity", epoch=9, value=value, layer=layer)
        for rows, values in ((plain, (0.2, 0.6)), (tost, (0.1, 0.2)))
        for layer, value in zip("ab", values, strict=True)
    ]
    found = pd.concat([*eigenvalues, *curves, *planes, *layers], ignore_index=True)
    parts = [
        (kinds.change(name, {"tost": ""}, {"tost": "ls"}), BELOW)
        for name in ("eigenvalue", "sharpness", "input_sharpness", "activity")
    ]
    lines, together = decide(plain + tost, *parts, analyses=found)
    # 2/8; 1 - 2; 1 - 2; 15 - 40 percent.
    assert [line["effect"] for line in lines] == pytest.approx([0.25, -1, -1, -25])
    assert [line["unit"] for line in lines] == ["factor", "nats", "nats", "points"]
    # Six pairs and four parts: 4/64.
    assert {line["p_holm"] for line in lines} == {1 / 16}
    assert together == [claims.UNDECIDED]
    lines, together = decide(plain + tost, parts[0], analyses=found)
    assert together == [claims.AGREES]


def test_pairs_without_an_analysis_are_left_out():
    rows = [masked(0.1, seed, tost=tost) for seed in range(6) for tost in ("", "ls")]
    looked_at = [row for row in rows if row["seed"] < 5]
    lines = [analysed(looked_at, "eigenvalues", epoch=1, value=1.0)]
    change = kinds.change("eigenvalue", {"tost": ""}, {"tost": "ls"})
    (line,), _ = decide(rows, (change, BELOW), analyses=pd.concat(lines))
    assert (line["num_units"], line["left_out"]) == (5, 1)


# The papers' claims.


def test_every_claim_of_the_papers_waits_for_networks():
    found = claims.decide(pd.DataFrame())
    assert set(found["verdict"]) == {claims.NOT_RUN}
    assert len(found) == sum(len(claim.parts) for claim in CLAIMS)
    summed = claims.verdicts(found)
    assert list(summed["claim"]) == [claim.id for claim in CLAIMS]
    assert set(summed["verdict"]) == {claims.NOT_RUN}
    assert (summed["num_parts"] == [len(claim.parts) for claim in CLAIMS]).all()
    assert not summed["num_run"].any()


def test_one_cell_of_table_4_is_read_by_its_claims():
    rows = cell(flat(60), flat(50)) + cell(flat(80), flat(60), variant="BN")
    summed = claims.verdicts(claims.decide(pd.DataFrame(rows)))
    run = summed[summed["verdict"] != claims.NOT_RUN].set_index("claim")
    assert set(run.index) == {
        "tessera2021.plain.ewma.win",
        "tessera2021.plain.ewma.hold",
        "tessera2021.batchnorm.ewma",
        "tessera2021.batchnorm.ewma.close",
        "tessera2021.batchnorm.flow",
        "tessera2021.capacity",
    }
    # Sparse networks gain 20, dense ones 10.
    assert run.loc["tessera2021.batchnorm.ewma", "verdict"] == claims.DOES_NOT


def test_the_interval_of_a_trend_is_of_its_pairs():
    x = np.repeat([1.0, 2.0, 3.0, 4.0], 5)
    index = pd.MultiIndex.from_arrays([x, range(20)], names=["dense_width", "seed"])
    noise = np.random.default_rng(3).normal(size=20)
    found = claim_evidence.of(TREND, pd.Series(x + 2 * noise, index), ABOVE, 0.05)
    assert found.low < found.effect < found.high
    assert found.p_for + found.p_against == pytest.approx(1, abs=0.05)


def untrained(spec):
    """Rows of a cell of a study, of one seed and two widths."""
    shared = {
        "kind": spec.kind,
        "optimizer": spec.optimizer.name,
        "learning_rate": spec.optimizer.learning_rate,
        "weight_decay": spec.optimizer.decay,
        "variant": spec.variant,
        "activation": spec.activation,
        "l2": spec.l2,
        "tost": spec.tost,
        "epochs": spec.epochs,
        "dataset_title": spec.dataset,
    }
    if spec.kind == "capacity":
        members = [(arm, w, 1.0) for arm in ("sparse", "dense") for w in (10, 20)]
        own = {}
    else:
        members = [("sparse", 0, density) for density in spec.mask.density]
        mask = {"mask_method": spec.mask.method, "mask_schedule": spec.mask.schedule}
        own = {"model": spec.model, "hidden_layers": 0, **mask}
    config = json.dumps(specs.to_config(spec, specs.RunSpec()))
    return [
        network(arm, width, 0, config_hash=spec.hash)
        | shared
        | own
        | {"density": density, "config": config}
        for arm, width, density in members
    ]


@pytest.mark.thorough
def test_every_part_of_every_claim_finds_its_pairs_in_the_studies():
    read = dict.fromkeys(cell for claim in CLAIMS for cell in cells(claim))
    # One data set has all networks of the claims about comparisons.
    found = [c for c in read if c.kind == "masks" or c.dataset == "cifar100"]
    rows = pd.DataFrame([row for spec in found for row in untrained(spec)])
    points = rows.assign(epoch=1)
    looked_at = pd.concat(
        [
            analysed(rows.to_dict("records"), kind, epoch=1, value=value, x=x)
            for kind in ("eigenvalues", "along", "input", "activity")
            for x, value in ((0.0, 1.0), (1.0, 2.0))
        ]
    )
    # Measures must not be constant: there would be no tau.
    for name in ("egf1", "egf2", "gf1", "gf2", "test_accuracy", "test_loss"):
        rows[name] = points[name] = np.arange(len(rows)) % 97 + 1.0
    lines = claims.decide(rows, points, looked_at)
    missing = lines.groupby(["claim", "part"])["verdict"].agg(
        lambda verdicts: set(verdicts) == {claims.NOT_RUN}
    )
    assert not missing.any(), missing[missing]
