"""Summaries and ranks of many methods against published numbers and slow counting."""

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from sparse_gf import aggregate
from sparse_gf.core.errors import UserError

SCORES = np.random.default_rng(0).normal(size=(5, 4))


def test_the_interquartile_mean_leaves_out_the_outer_quarters():
    values = sorted(SCORES.ravel())
    found = aggregate.interquartile_mean(SCORES)
    assert found.value == pytest.approx(np.mean(values[5:15]))
    assert found.low < found.value < found.high


def test_runs_are_drawn_within_their_tasks():
    # Tasks of equal runs: a bootstrap that mixed them would have a spread.
    scores = np.tile([1.0, 5.0, 9.0, 13.0], (3, 1))
    assert aggregate.interquartile_mean(scores) == (7.0, 7.0, 7.0)


def test_a_stratified_bootstrap_by_enumeration():
    scores = np.array([[0.0, 2.0], [1.0, 5.0]])
    every = [
        scipy_stats.trim_mean(
            [scores[a, 0], scores[b, 0], scores[c, 1], scores[d, 1]], 0.25
        )
        for a, b, c, d in itertools.product((0, 1), repeat=4)
    ]
    low, high = np.quantile(every, [0.1, 0.9], method="inverted_cdf")
    found = aggregate.interquartile_mean(scores, confidence=0.8)
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize(
    ("methods", "blocks", "level", "expected"),
    # Critical values of Demsar 2006, Table 5(a), times sqrt(k (k + 1) / 6 N).
    [
        (4, 14, 0.05, 1.25),
        (4, 14, 0.10, 1.12),
        (10, 30, 0.05, 3.164 * (110 / 180) ** 0.5),
    ],
)
def test_critical_differences_are_demsars(methods, blocks, level, expected):
    scores = dict(enumerate(np.random.default_rng(1).normal(size=(methods, blocks))))
    found = aggregate.friedman({str(k): v for k, v in scores.items()}, level)
    assert found.critical_difference == pytest.approx(expected, abs=6e-3)


def test_ranks_by_hand():
    # Ranks: a 1 1 1 1.5, b 2 3 2 1.5, c 3 2 3 3.
    scores = {"c": [1, 2, 1, 0], "a": [9, 9, 9, 5], "b": [5, 1, 5, 5]}
    found = aggregate.friedman(scores)
    assert found.mean == {"a": 1.125, "b": 2.125, "c": 2.75}
    expected = scipy_stats.friedmanchisquare(scores["a"], scores["b"], scores["c"])
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    # 1.657 of 3 methods at 0.05 is q / sqrt(2) = 2.343.
    assert found.critical_difference == pytest.approx(2.343 * 0.5**0.5, abs=1e-3)
    assert found.cliques() == [("a", "b", "c")]
    assert list(found.pairwise) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found.pairwise["a", "c"] < found.pairwise["a", "b"]


def test_pairs_differ_at_the_level_where_ranks_are_a_critical_difference_apart():
    base = np.arange(40.0)
    scores = {name: base + shift for name, shift in (("x", 2), ("y", 1), ("z", 0))}
    found = aggregate.friedman(scores)
    assert found.mean == {"x": 1, "y": 2, "z": 3}
    assert found.cliques() == []
    assert all(p < 0.05 for p in found.pairwise.values())
    assert aggregate.friedman(dict.fromkeys("xyz", base)).p_value == 1


def test_power_is_the_level_without_an_effect_and_grows():
    # Exact at 15 pairs: the level is not passed.
    assert 0.04 < aggregate.paired_power(0, 15) <= 0.056
    found = [aggregate.paired_power(0.5, pairs) for pairs in (5, 15, 40)]
    assert found == sorted(found)
    # Close to that of the t-test, whose is 0.582 (noncentral t).
    t = scipy_stats.nct.sf(scipy_stats.t.ppf(0.95, 14), 14, 0.5 * 15**0.5)
    assert found[1] == pytest.approx(t, abs=0.04)


def test_pairs_needed_are_the_fewest():
    needed = aggregate.pairs_needed(0.8)
    assert aggregate.paired_power(0.8, needed) >= 0.8
    assert aggregate.paired_power(0.8, needed - 1) < 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aggregate.interquartile_mean([1, 2]), r"shape \(2,\)"),
        (lambda: aggregate.interquartile_mean([[1, np.nan]]), "1 values that are not"),
        (
            lambda: aggregate.interquartile_mean(SCORES, confidence=95),
            "confidence is 95",
        ),
        (lambda: aggregate.friedman({"a": [1], "b": [2]}), "2 methods"),
        (lambda: aggregate.friedman({"a": [1], "b": [2], "c": [3, 4]}), "different"),
        (lambda: aggregate.friedman({"a": [1], "b": [2], "c": [3]}), "one block"),
        (lambda: aggregate.paired_power(np.inf, 3), "effect is inf"),
        (lambda: aggregate.paired_power(1, 0), "num_pairs is 0"),
        (lambda: aggregate.pairs_needed(-1), "effect is -1"),
        (lambda: aggregate.pairs_needed(1e-6, most=4), "4 pairs find"),
    ],
)
def test_wrong_values_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
