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
    """What the networks of one setting say about a part of a claim.

    Attributes:
        effect: Of the statistic; NaN if nothing was run.
        low: Lower end of its 95% interval.
        high: Upper end.
        p_for: Of the test that it is in the region that agrees; NaN if nothing was run.
        p_against: Of the test that it is outside of it.
        detail: More in words.
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
    """Tests whether a statistic lies in a region.

    Args:
        statistic: What it is.
        values: As ``claim_values.values`` gives them.
        region: The values that agree.
        level: At which an onset counts as one.
    """
    if values.empty:
        return Evidence()
    if isinstance(statistic, Trend):
        return _trend(values, statistic.along, region)
    if isinstance(statistic, Onset):
        return _onset(values, level)
    return _located(values.to_numpy(float), region)


def _located(values: np.ndarray, region: Region) -> Evidence:
    lower, upper = _beyond(values, region.low), _beyond(-values, -region.high)
    ends = math.isfinite(region.low) + math.isfinite(region.high)
    return Evidence(
        *_mean_interval(values),
        p_for=max(lower.p_inside, upper.p_inside),
        p_against=min(1.0, ends * min(lower.p_outside, upper.p_outside)),
    )


class _End(NamedTuple):
    """P-values of being inside and outside of one end of a region."""

    p_inside: float
    p_outside: float


def _beyond(values: np.ndarray, end: float) -> _End:
    """Tests whether values are above an end, or below it."""
    if end == -math.inf:
        return _End(0.0, 1.0)
    ends = np.full_like(values, end)
    inside = stats.wilcoxon_greater(values, ends).p_value
    return _End(inside, stats.wilcoxon_greater(ends, values).p_value)


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
    low, high = np.quantile(taus, (0.025, 0.975))
    return (
        float(np.nan_to_num(stats.kendall_taus([x], [y])[0])),
        float(low),
        float(high),
    )


def _onset(values: pd.Series, level: float) -> Evidence:
    """From which width on values are positive."""
    width = values.index.get_level_values("dense_width").to_numpy()
    numbers = values.to_numpy(float)
    widths = np.unique(width)
    means = np.array([numbers[width == own].mean() for own in widths])
    corrected = stats.holm(
        [
            _beyond(numbers[width >= own], 0.0).p_inside if (means[i:] > 0).all() else 1
            for i, own in enumerate(widths)
        ]
    )
    lost = _beyond(numbers, 0.0).p_outside if means[-1] < 0 else 1.0
    found = np.flatnonzero(corrected < level)
    if not found.size:
        return Evidence(
            *_mean_interval(numbers), corrected.min(), lost, "from no width on"
        )
    first = found[0]
    said = f"from dense width {widths[first]} on, of {', '.join(map(str, widths))}"
    interval = _mean_interval(numbers[width >= widths[first]])
    return Evidence(*interval, corrected[first], lost, said)
