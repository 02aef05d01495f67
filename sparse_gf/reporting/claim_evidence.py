"""Tests, effects and intervals of what statistics of claims are made of."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from sparse_gf import stats
from sparse_gf.studies.claims.kinds import Onset, Region, Statistic, Trend

RESAMPLES = 999
"""Of the pairs of a trend."""

LEAST_SIZES = 3
"""Fewest sizes that a trend is looked for over."""


class Evidence(NamedTuple):
    """What the networks of one setting say about a part of a claim; NaN if none does.

    It is the statistic with its 95% interval, the p-values of the tests that it is in
    the region that agrees and outside of it, and more in words.
    """

    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_for: float = math.nan
    p_against: float = math.nan
    detail: str = ""


def of(
    statistic: Statistic, values: pd.Series, region: Region, level: float
) -> Evidence:
    """Tests whether ``claim_values.values`` of a statistic lie in a claim's region.

    An onset counts as one at the level.
    """
    if values.empty:
        return Evidence()
    if isinstance(statistic, Trend):
        return _trend(values, statistic.along, region)
    if isinstance(statistic, Onset):
        return _onset(values, level)
    return _located(values.to_numpy(float), region)


def _located(values: np.ndarray, region: Region) -> Evidence:
    low, high = region.low, region.high
    inside = max(_p_above(values, low), _p_above(-values, -high))
    outside = min(_p_above(-values, -low), _p_above(values, high))
    ends = math.isfinite(low) + math.isfinite(high)
    return Evidence(*_mean_interval(values), inside, min(1.0, ends * outside))


def _p_above(values: np.ndarray, end: float) -> float:
    """The p-value of the test that values are above an end, which may be infinite."""
    if math.isinf(end):
        return float(end > 0)
    return stats.wilcoxon_greater(values, np.full_like(values, end)).p_value


def _mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return math.nan, math.nan, math.nan
    return stats.mean_difference_interval(finite, np.zeros_like(finite))


def _trend(values: pd.Series, along: str, region: Region) -> Evidence:
    """Whether values rise with the size of networks, or fall."""
    places = values.index.to_frame(index=False)
    size = places["dense_width"] if along == "dense_width" else -places["density"]
    if size.nunique() < LEAST_SIZES:
        return Evidence(p_for=1.0, p_against=1.0, detail="fewer than three sizes")
    x, y = size.to_numpy(float), values.to_numpy(float)
    rising, falling = _p_of_tau(x, y), _p_of_tau(-x, y)
    p_for, p_against = (rising, falling) if region.low == 0 else (falling, rising)
    return Evidence(*_tau_interval(x, y), p_for, p_against)


def _p_of_tau(x: np.ndarray, y: np.ndarray) -> float:
    p_value = float(scipy.stats.kendalltau(x, y, alternative="greater")[1])
    return 1.0 if math.isnan(p_value) else p_value


def _tau_interval(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Tau with a percentile bootstrap interval over pairs; 0 where it has none."""
    drawn = np.random.default_rng(0).integers(0, x.size, (RESAMPLES, x.size))
    taus = np.nan_to_num(stats.kendall_taus(x[drawn], y[drawn]))
    low, high = np.quantile(taus, (0.025, 0.975)).tolist()
    return float(np.nan_to_num(stats.kendall_taus([x], [y])[0])), low, high


def _onset(values: pd.Series, level: float) -> Evidence:
    """From which width on values are positive."""
    width = values.index.get_level_values("dense_width").to_numpy()
    numbers = values.to_numpy(float)
    widths = np.unique(width)
    means = np.array([numbers[width == own].mean() for own in widths])
    corrected = stats.holm(
        [
            _p_above(numbers[width >= own], 0.0) if (means[i:] > 0).all() else 1
            for i, own in enumerate(widths)
        ]
    )
    lost = _p_above(-numbers, 0.0) if means[-1] < 0 else 1.0
    found = np.flatnonzero(corrected < level)
    if not found.size:
        return Evidence(
            *_mean_interval(numbers), corrected.min(), lost, "from no width on"
        )
    first = found[0]
    said = f"from dense width {widths[first]} on, of {', '.join(map(str, widths))}"
    interval = _mean_interval(numbers[width >= widths[first]])
    return Evidence(*interval, corrected[first], lost, said)
