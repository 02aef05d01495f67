"""Scales of vertical axes: logarithmic over decades, not flattened by an outlier."""

import math
from typing import NamedTuple

import numpy as np

DECADES = 2
"""An axis over more than these is logarithmic, where it may be."""

_FEW = 0.05
"""At most this share of the values are outliers, or one of at least ``_MANY``."""

_MANY = 8

_FLAT = 0.5
"""Outliers are cut off where the others use less than this of the axis."""


class Scale(NamedTuple):
    """What a vertical axis shows: values from ``low`` to ``high``, logarithmic or not.

    Where it is ``cut`` there are values beyond it, which are drawn at its edge.
    """

    low: float
    high: float
    log: bool
    cut: bool


def spread(values: np.ndarray, log: bool) -> float:
    """Largest minus smallest value, or decades between the positive ones.

    NaN where fewer than two values count.
    """
    kept = _scaled(values, log)
    return float(np.ptp(kept)) if len(kept) > 1 else math.nan


def of(values: np.ndarray, may_be_log: bool = True, may_be_cut: bool = True) -> Scale:
    """The scale of an axis for values.

    Values that are not finite do not count. The scale of accuracy may never be
    logarithmic, and where it may be cut a few outliers are beyond it.
    """
    log = may_be_log and spread(values, log=True) > DECADES
    kept = np.sort(_scaled(values, log))
    if not len(kept):
        return Scale(0.0, 1.0, False, False)
    core = _core(kept) if may_be_cut else kept
    low, high = (10**end if log else end for end in map(float, core[[0, -1]]))
    return Scale(low, high, log, len(core) < len(kept))


def _core(ordered: np.ndarray) -> np.ndarray:
    """Values without the fewest outliers that flatten them; all where none do."""
    most = max(1, int(_FEW * len(ordered))) if len(ordered) >= _MANY else 0
    for left_out in range(1, most + 1):
        kept = len(ordered) - left_out
        lengths = ordered[kept - 1 :] - ordered[: left_out + 1]
        first = int(np.argmin(lengths))
        if 0 < lengths[first] < _FLAT * np.ptp(ordered):
            return ordered[first : first + kept]
    return ordered


def _scaled(values: np.ndarray, log: bool) -> np.ndarray:
    kept = values[np.isfinite(values) & ((values > 0) | (not log))]
    return np.log10(kept) if log else kept
