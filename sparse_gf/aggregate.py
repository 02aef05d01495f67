"""Statistics of many methods over many tasks: summaries, ranks, power.

A *score* is a number per method, run and task that is better when larger; a run is a
seed, a task whatever is compared within itself alone: a width, a data set. ``stats``
has the tests of one comparison.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sparse_gf.core.errors import UserError


class Interval(NamedTuple):
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


_RESAMPLES = 2000
"""Of a bootstrap."""

_DRAWS = 5000
"""Simulated studies of a power."""


def interquartile_mean(scores: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of the middle half of all scores (Agarwal et al. 2021, section 4.3).

    The interval is that of percentiles of a stratified bootstrap: runs are drawn anew
    within every task.

    Scores are [runs, tasks], and the confidence is in (0, 1).

    Raises:
        UserError: If the scores are no matrix, or not finite, or a number is out of
            range.

    Examples:
        >>> from sparse_gf import aggregate
        >>> aggregate.interquartile_mean([[0, 1, 2, 3], [4, 5, 6, 70]]).value
        3.5
    """
    from scipy import stats

    matrix = _matrix("scores", scores)
    _check_share("confidence", confidence)
    runs, tasks = matrix.shape
    chosen = np.random.default_rng(0).integers(0, runs, (_RESAMPLES, runs, tasks))
    drawn = np.take_along_axis(matrix[None], chosen, 1).reshape(_RESAMPLES, -1)
    low, high = np.quantile(
        stats.trim_mean(drawn, 0.25, axis=1),
        [(1 - confidence) / 2, (1 + confidence) / 2],
    )
    value = stats.trim_mean(matrix.ravel(), 0.25)
    return Interval(float(value), float(low), float(high))


class Ranks(NamedTuple):
    """Methods ranked within each block; see ``friedman``.

    Attributes:
        mean: Mean rank by method, 1 is best, the best first.
        statistic: Friedman's chi-squared, corrected for ties.
        p_value: That all methods are alike, with the methods' number - 1 degrees of
            freedom.
        critical_difference: Mean ranks further apart than this differ (Nemenyi).
        pairwise: By pair of methods Nemenyi's p-value, corrected for their number.
        num_blocks: Blocks.
    """

    mean: dict[str, float]
    statistic: float
    p_value: float
    critical_difference: float
    pairwise: dict[tuple[str, str], float]
    num_blocks: int

    def cliques(self) -> list[tuple[str, ...]]:
        """The largest groups of methods whose mean ranks do not differ, best first."""
        names, found = list(self.mean), []
        for first, name in enumerate(names):
            near = [
                other
                for other in names[first:]
                if self.mean[other] - self.mean[name] <= self.critical_difference
            ]
            if len(near) > 1 and not (found and set(near) <= set(found[-1])):
                found.append(tuple(near))
        return found


def friedman(scores: Mapping[str, ArrayLike], level: float = 0.05) -> Ranks:
    """Friedman's test with Nemenyi's comparisons (Demsar 2006, section 3.2.2).

    Args:
        scores: By method, [blocks]: in one place all methods have scores of the same
            task and run. Ties get their mean rank.
        level: Of the critical difference, in (0, 1).

    Raises:
        UserError: If there are fewer than three methods or two blocks, if lengths
            differ, or if a score is not finite.
    """
    from scipy import stats

    names = list(scores)
    if len(names) < 3:
        raise UserError(f"scores has {len(names)} methods; it needs three or more.")
    lengths = {name: np.size(scores[name]) for name in names}
    if len(set(lengths.values())) != 1:
        raise UserError(f"scores has different numbers of blocks: {lengths}.")
    matrix = _matrix("scores", np.transpose([np.ravel(scores[name]) for name in names]))
    _check_share("level", level)
    blocks, methods = matrix.shape
    if blocks < 2:
        raise UserError("scores has one block; it needs two or more.")
    ranks = stats.rankdata(-matrix, axis=1).mean(axis=0)
    if np.all(matrix == matrix[:, :1]):
        statistic, p_value = 0.0, 1.0  # Nothing differs, which SciPy divides by.
    else:
        statistic, p_value = stats.friedmanchisquare(*matrix.T)
    unit = math.sqrt(methods * (methods + 1) / (6 * blocks))
    studentized = stats.studentized_range
    critical = studentized.ppf(1 - level, methods, np.inf) / math.sqrt(2) * unit
    order = np.argsort(ranks, kind="stable")
    mean = {names[i]: float(ranks[i]) for i in order}
    best_first = list(mean)
    pairwise = {
        (a, b): float(
            studentized.sf((mean[b] - mean[a]) / unit * math.sqrt(2), methods, np.inf)
        )
        for i, a in enumerate(best_first)
        for b in best_first[i + 1 :]
    }
    return Ranks(
        mean, float(statistic), float(p_value), float(critical), pairwise, blocks
    )


def paired_power(effect: float, num_pairs: int, level: float = 0.05) -> float:
    """How often the paired one-sided Wilcoxon test finds an effect that is there.

    By simulation: differences are normal, with a mean of ``effect`` standard
    deviations. With 15 pairs (five widths, three seeds) half a standard deviation is
    found in almost six of ten studies.

    ``effect`` is the mean difference over the standard deviation of differences;
    ``num_pairs`` widths times seeds, for SC-SDC; ``level``, of the test, in (0, 1).

    Raises:
        UserError: If a number is out of range.
    """
    from scipy import stats

    if num_pairs < 1:
        raise UserError(f"num_pairs is {num_pairs!r}; it must be at least 1.")
    _check_share("level", level)
    if not math.isfinite(effect):
        raise UserError(f"effect is {effect}; it must be finite.")
    differences = effect + np.random.default_rng(0).normal(size=(_DRAWS, num_pairs))
    found: Any = stats.wilcoxon(differences, alternative="greater", axis=1)
    return float(np.mean(found.pvalue <= level))


def pairs_needed(
    effect: float, power: float = 0.8, level: float = 0.05, most: int = 500
) -> int:
    """The fewest pairs that find an effect often enough; see ``paired_power``.

    The effect is above 0 and the wanted power in (0, 1).

    Raises:
        UserError: If a number is out of range, or ``most`` pairs are too few.
    """
    _check_share("power", power)
    if not effect > 0:
        raise UserError(f"effect is {effect}; it must be above 0.")
    low, high = 0, 1
    while paired_power(effect, high, level) < power:
        low, high = high, 2 * high
        if low >= most:
            raise UserError(
                f"{most} pairs find an effect of {effect} less often than {power}."
            )
    while high - low > 1:
        middle = (low + high) // 2
        enough = paired_power(effect, middle, level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def _matrix(name: str, values: ArrayLike) -> np.ndarray:
    matrix = np.asarray(values, float)
    if matrix.ndim != 2 or not matrix.size:
        raise UserError(f"{name} has the shape {matrix.shape}; it must be a matrix.")
    if not np.isfinite(matrix).all():
        missing = int((~np.isfinite(matrix)).sum())
        raise UserError(f"{name} has {missing} values that are not finite.")
    return matrix


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise UserError(f"{name} is {value!r}; it must be between 0 and 1.")
