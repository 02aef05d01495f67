"""Statistics on top of SciPy: Wilcoxon, Holm, Kendall, effect sizes, intervals."""

import itertools
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from sparse_gf.core import errors, words

METHODS = frozenset({"auto", "exact", "asymptotic"})
ZERO_HANDLING = {
    "wilcox": "dropped",
    "pratt": "ranked, then dropped",
    "zsplit": "ranked, half to each side",
}
"""What becomes of zero differences, in words, by the name of the method."""

ZERO_METHODS = frozenset(ZERO_HANDLING)

ROUNDING = 4
"""Units in the last place of what is subtracted. Differences that are nearer to 0, or
to each other, are equal: see ``snapped``."""

EXACT_PAIRS = 500
"""Most pairs whose exact distribution is computed unasked, in a few hundredths of a
second: the time grows with their number's cube, and the approximation is good long
before."""

_EXACT_HALVINGS = 512
"""Coins after which counts become probabilities, before they can overflow."""


class Wilcoxon(NamedTuple):
    """A paired one-sided signed-rank test and how it was made.

    Attributes:
        p_value: Probability of a rank sum at least as large if sparse and dense
            were exchangeable within pairs.
        statistic: W+, the sum of the ranks of positive differences.
        num_pairs: Pairs given, zeros included.
        num_zeros: Pairs whose difference is 0, but for rounding.
        has_ties: Whether differences other than 0 have equal sizes, but for rounding.
        method: ``"exact"`` or ``"asymptotic"``, what was used.
        zero_method: How zeros were handled.
        num_missing: Pairs without a value, which make p NaN.
    """

    p_value: float
    statistic: float
    num_pairs: int
    num_zeros: int
    has_ties: bool
    method: str
    zero_method: str
    num_missing: int = 0

    def describe(self) -> str:
        """Says how the p-value was obtained, to be printed with it."""
        pairs = words.counted(self.num_pairs, "pair")
        if self.num_missing:
            return f"no test: {self.num_missing} of {pairs} have no value"
        ties = "mid-ranks for ties" if self.has_ties else "no ties"
        zeros = words.counted(self.num_zeros or "no", "zero")
        handled = f" {ZERO_HANDLING[self.zero_method]}" * bool(self.num_zeros)
        return f"{self.method}, {pairs}, {ties}, {zeros}{handled}"


def wilcoxon_greater(
    sparse: ArrayLike,
    dense: ArrayLike,
    *,
    method: str = "auto",
    zero_method: str = "wilcox",
) -> Wilcoxon:
    """Tests H1: sparse > dense (Tessera et al. 2021, Eq. 4).

    Args:
        sparse: [pairs], for example test accuracies.
        dense: [pairs], in the same order.
        method: ``"exact"`` is the exact distribution under all sign flips of the
            mid-ranks, which stays exact with ties and zeros, where SciPy's exact
            method does not. ``"asymptotic"`` is SciPy's normal approximation without
            continuity correction, as most of the paper's values are. ``"auto"`` is
            exact for at most ``EXACT_PAIRS`` pairs.
        zero_method: ``"wilcox"`` drops zero differences, ``"pratt"`` drops them
            after ranking, ``"zsplit"`` gives half of their ranks to each side.

    Returns:
        The result; p is 1 if all differences are 0 and NaN if any value is NaN.
        Differences are ``snapped``. Where values are differences themselves, snap
        them first, with the magnitude of what they were made of.

    Raises:
        errors.UserError: If an option is unknown or the arrays do not pair up.

    Examples:
        >>> from sparse_gf import stats
        >>> stats.wilcoxon_greater([0.9, 0.8, 0.7, 0.6], [0.5, 0.5, 0.5, 0.5]).p_value
        0.0625
    """
    errors.one_of("Wilcoxon method", method, METHODS)
    errors.one_of("Wilcoxon zero_method", zero_method, ZERO_METHODS)
    difference = _differences(sparse, dense)
    is_cheap = difference.size <= EXACT_PAIRS
    used = ("exact" if is_cheap else "asymptotic") if method == "auto" else method
    ranks, is_free = _signed_ranks(difference, zero_method)
    sizes = np.abs(difference[difference != 0])
    # Zeros keep half of their ranks on each side whatever the signs are.
    constant = ranks[(difference == 0) & is_free].sum() / 2
    statistic = ranks[difference > 0].sum() + constant
    if np.isnan(difference).any():
        p_value = statistic = np.nan
    elif not difference.any():
        p_value = 1.0
    elif used == "exact":
        p_value = _exact_upper_tail(ranks[difference != 0], ranks[difference > 0].sum())
    else:
        _, p_value = scipy.stats.wilcoxon(
            difference,
            alternative="greater",
            method="asymptotic",
            correction=False,
            zero_method=zero_method,
        )
    return Wilcoxon(
        p_value=float(p_value),  # pyright: ignore[reportArgumentType]
        statistic=float(statistic),
        num_pairs=difference.size,
        num_zeros=int(np.sum(difference == 0)),
        has_ties=np.unique(sizes).size < sizes.size,
        method=used,
        zero_method=zero_method,
        num_missing=int(np.isnan(difference).sum()),
    )


def snapped(values: ArrayLike, magnitude: ArrayLike) -> np.ndarray:
    """Values in which rounding hides neither a zero nor a tie of sizes.

    Shares such as counts / 355 are rounded, and so are their differences: sizes that
    are equal in exact arithmetic differ, and would get different ranks.

    The values are differences of others, or sums of a few; the magnitude, of each or of
    all, is the largest size among what they were made of.

    Returns:
        [values]; 0 within ``ROUNDING`` units in the last place of the magnitude, and of
        sizes that are as near to the next smaller one, that one.
    """
    found = np.asarray(values, float)
    near = ROUNDING * np.finfo(float).eps * np.broadcast_to(magnitude, found.shape)
    sizes = np.abs(found)
    sizes = np.where(sizes <= near, 0, sizes)
    order = np.argsort(sizes)
    for before, after in itertools.pairwise(order):
        reach = sizes[before] + max(near[before], near[after])
        if sizes[before] and sizes[after] <= reach:
            sizes[after] = sizes[before]
    return np.copysign(sizes, found) * (sizes != 0)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Corrects p-values for being one of many (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1; none becomes smaller than the
    one before it, none larger than 1. Comparing the result with 0.05 keeps the
    probability of any false finding among all of them below 0.05.

    Returns:
        [tests] as given; NaN where there is no p-value, which counts as no test.

    Raises:
        errors.UserError: If a value is no probability.
    """
    p = np.asarray(p_values, float)
    if ((p < 0) | (p > 1)).any():
        raise errors.UserError(f"p_values is {p_values}; each must be in 0..1.")
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaNs are sorted last.
    stepped = np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1))
    corrected = np.full(p.shape, np.nan)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def rank_biserial(sparse: ArrayLike, dense: ArrayLike) -> float:
    """Effect size of the test: matched-pairs rank-biserial correlation (Kerby 2014).

    (W+ - W-) / (W+ + W-), in [-1, 1]: 1 if sparse wins every pair, -1 if dense does,
    0 if all differences are 0. Zeros are dropped.
    """
    difference = _differences(sparse, dense)
    ranks, _ = _signed_ranks(difference, "wilcox")
    total = ranks.sum()
    return float(ranks @ np.sign(difference) / total) if total else 0.0


def mean_difference_interval(
    sparse: ArrayLike, dense: ArrayLike, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Mean paired difference sparse - dense with a bootstrap interval over pairs.

    ``confidence``, in (0, 1), is the coverage of the interval, and ``seed`` that of the
    9,999 resamples (percentile bootstrap).

    Returns:
        Mean, lower end, upper end, in the unit of the arrays, which are [pairs].
    """
    x, y = _pairs(sparse, dense)
    difference = x - y
    mean = float(difference.mean())
    return mean, *_bootstrap_of_mean(difference, confidence, seed)


def kendall_taus(measure: ArrayLike, metric: ArrayLike) -> np.ndarray:
    """Kendall's tau-b of each cell between a measure and a metric of its networks.

    Both are [cells, members].

    Returns:
        [cells]; NaN where a series is constant or holds a NaN: it has no tau. Give
        a diverged network's loss as inf to rank it last.

    Raises:
        errors.UserError: If the shapes differ or are not two-dimensional.
    """
    x, y = np.asarray(measure, float), np.asarray(metric, float)
    if x.ndim != 2 or x.shape != y.shape:
        raise errors.UserError(
            f"measure has shape {x.shape} and metric {y.shape}; both must be "
            "[cells, members]."
        )
    return np.array([_kendall_tau(a, b) for a, b in zip(x, y, strict=True)])


def _kendall_tau(x: np.ndarray, y: np.ndarray) -> float:
    """Tau-b of [members], from every pair: much quicker than SciPy for a cell's few."""
    if np.isnan(x).any() or np.isnan(y).any():
        return np.nan
    a, b = ((s[:, None] > s) * 1.0 - (s[:, None] < s) for s in (x, y))
    # Every pair is in them twice. SciPy's order of operations gives its last digit.
    agreement, *untied = np.array([(a * b).sum(), np.abs(a).sum(), np.abs(b).sum()]) / 2
    with np.errstate(invalid="ignore"):
        tau = agreement / np.sqrt(untied[0]) / np.sqrt(untied[1])
    return float(np.clip(tau, -1, 1))


def mean_absolute_kendall(measure: ArrayLike, metric: ArrayLike) -> float:
    """Mean over cells of |tau-b| (the paper's Table 1); see ``kendall_taus``.

    Cells without a tau are left out; count them with
    ``np.isnan(kendall_taus(...)).sum()`` and report the number. NaN if none is left.
    """
    taus = np.abs(kendall_taus(measure, metric))
    return float(np.nanmean(taus)) if np.isfinite(taus).any() else float("nan")


def mean_absolute_kendall_interval(
    measure: ArrayLike,
    metric: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """``mean_absolute_kendall`` with a bootstrap interval over the cells with a tau.

    For the interval see ``mean_difference_interval``.

    Returns:
        Mean, lower end, upper end; both ends NaN if fewer than two cells have a tau.
    """
    taus = np.abs(kendall_taus(measure, metric))
    taus = taus[~np.isnan(taus)]
    if taus.size < 2:
        return float(taus[0]) if taus.size else np.nan, np.nan, np.nan
    return float(taus.mean()), *_bootstrap_of_mean(taus, confidence, seed)


def _bootstrap_of_mean(
    values: np.ndarray, confidence: float, seed: int
) -> tuple[float, float]:
    """Both ends of the percentile bootstrap interval of a mean."""
    if not 0 < confidence < 1:
        raise errors.UserError(
            f"confidence is {confidence!r}; it must be between 0 and 1."
        )
    if values.size < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    interval = scipy.stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _pairs(sparse: ArrayLike, dense: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(sparse, float), np.asarray(dense, float)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise errors.UserError(
            f"sparse has shape {x.shape} and dense {y.shape}; both must be [pairs] "
            "with at least one pair."
        )
    return x, y


def _differences(sparse: ArrayLike, dense: ArrayLike) -> np.ndarray:
    """Of pairs, snapped; equal infinities are a zero difference, not NaN."""
    x, y = _pairs(sparse, dense)
    # Values that were computed in float32 were rounded there.
    given = np.result_type(np.asarray(sparse), np.asarray(dense))
    coarser = np.finfo(given).eps / np.finfo(float).eps if given.kind == "f" else 1.0
    with np.errstate(invalid="ignore"):
        difference = np.where(x == y, 0, x - y)
    finite = np.where(np.isfinite([x, y]), np.abs([x, y]), 0).max(axis=0)
    return snapped(difference, coarser * finite)


def _signed_ranks(
    difference: np.ndarray, zero_method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Mid-ranks of |difference|, 0 where dropped, and which pairs were kept."""
    kept = difference != 0 if zero_method == "wilcox" else ~np.isnan(difference)
    ranks = np.zeros(difference.size)
    ranks[kept] = scipy.stats.rankdata(np.abs(difference[kept]))
    if zero_method == "pratt":
        kept = kept & (difference != 0)
        ranks[~kept] = 0
    return ranks, kept


def _exact_upper_tail(ranks: np.ndarray, positive_sum: float) -> float:
    """P(W+ >= positive_sum) when every rank's sign is a fair coin.

    Mid-ranks are multiples of 1/2, so twice the sum is an integer. Every other rank is
    on one side, the rest on the other: two distributions of half the sum take a quarter
    of the time each, and the tail of both together is one sum of products. All terms
    are positive, so that small probabilities have as many digits as others.
    """
    doubled = np.sort(np.rint(2 * ranks).astype(int))
    unit = np.gcd.reduce(doubled)  # 2 without ties.
    least = round(2 * positive_sum) // unit
    one, other = (_sum_of_coins(doubled[side::2] // unit) for side in (0, 1))
    beyond = np.cumsum(other[::-1].astype(np.longdouble))[::-1].astype(float)
    # P(other >= least - own), where own alone is not enough, and where it is.
    first, last = max(0, least - beyond.size + 1), min(least, one.size)
    wanted = beyond[least - last + 1 : least - first + 1][::-1]
    found = one[first:last] @ wanted + one[last:].sum()
    return float(min(1, found))  # The sum of all is 1 but for rounding.


def _sum_of_coins(values: np.ndarray) -> np.ndarray:
    """Probabilities of the sums 0, 1, ... of integers that are each there or not.

    The values are ascending, and at least 1.
    """
    total = int(values.sum())
    half = total // 2  # The distribution is symmetric.
    ways, before, largest = np.zeros(half + 1), np.empty(half + 1), 0
    ways[0] = 1
    for number, value in enumerate(values.tolist(), 1):
        reached = min(largest, half - value) + 1
        if reached > 0:
            before[:reached] = ways[:reached]
            ways[value : value + reached] += before[:reached]
        largest = min(largest + value, half)
        if number % _EXACT_HALVINGS == 0:
            ways *= 0.5**_EXACT_HALVINGS
    ways *= 0.5 ** (values.size % _EXACT_HALVINGS)
    return np.concatenate([ways, ways[: total - half][::-1]])
