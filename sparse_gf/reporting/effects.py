"""What a change does to each arm: the same networks with and without it.

SC-SDC asks whether sparse networks beat dense ones in one setting. The claims of a
study are about changes of the setting, such as adding BatchNorm, and whether they
matter more to sparse networks.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf import stats
from sparse_gf.core import errors
from sparse_gf.reporting import columns, settings

_PAIRED_BY = ("arm", "dense_width", "seed")
_PERCENT = 100.0


def of(
    rows: pd.DataFrame,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    by: Sequence[str] = ("optimizer", "learning_rate"),
) -> pd.DataFrame:
    """Compares networks that differ in some columns alone.

    Two networks are a pair if their cells are equal but for those columns and their
    arm, dense width and seed are equal; how the cells were run does not count.

    Args:
        rows: Of any cells.
        before: Columns of ``rows``, such as variant, activation and optimizer, and
            their values without the change.
        after: The same columns and their values with it.
        by: Columns, as they were before; the result has a row for each combination of
            their values, in words under ``group``.

    Returns:
        Per data set and group, for each arm, the mean change of test accuracy
        in percentage points with a 95% bootstrap interval over pairs, and the factor
        by which each measure that is shown changed (geometric mean over pairs); and for
        ``advantage``, sparse change - dense change over the pairs of SC-SDC, its mean,
        interval and the p-value of a one-sided Wilcoxon test that it is positive.

    Raises:
        errors.UserError: If there is no pair.
    """
    keyed = rows[[*_PAIRED_BY, *columns.DRAWN]].assign(
        rest=[settings.beside(text, frozenset(before)) for text in rows["config"]],
        data=rows["dataset_title"],
        group=_label(rows, by),
    )
    keys = ["data", "rest", *_PAIRED_BY]
    old, new = (
        keyed[(rows[list(values)] == pd.Series(values)).all(axis=1)].set_index(keys)
        for values in (before, after)
    )
    pairs = old.join(new[list(columns.DRAWN)].add_suffix("_new"), how="inner")
    if pairs.empty:
        raise errors.UserError(f"no two cells differ as {before} and {after} alone.")
    pairs = pairs.set_index("group", append=True)
    pairs["change"] = _PERCENT * (pairs["test_accuracy_new"] - pairs["test_accuracy"])
    with np.errstate(divide="ignore", invalid="ignore"):
        for name in columns.SHOWN:
            pairs[f"{name}_growth"] = np.log(pairs[f"{name}_new"] / pairs[name])
    return pd.DataFrame(_summaries(pairs))


def _label(rows: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The values of some columns, in words, for each row."""
    return [
        " ".join(f"{own:g}" if isinstance(own, float) else str(own) for own in row)
        for row in rows[list(columns)].itertuples(index=False)
    ]


def _summaries(pairs: pd.DataFrame) -> Iterable[dict[str, Any]]:
    for (data, group), part in pairs.groupby(level=["data", "group"], sort=False):
        arms = {arm: found for arm, found in part.groupby(level="arm")}
        summary: dict[str, Any] = {"dataset": data, "group": group}
        for arm in columns.ARMS:
            change = arms[arm]["change"].to_numpy()
            summary[f"{arm}_pairs"] = len(change)
            summary |= _interval(arm, change, np.zeros_like(change))
            for name in columns.SHOWN:
                growth = arms[arm][f"{name}_growth"].mean(skipna=False)
                summary[f"{arm}_{name}_factor"] = float(np.exp(growth))
        changes = part["change"].unstack("arm")
        sparse, dense = changes["sparse"], changes["dense"]
        summary |= _interval("advantage", sparse, dense)
        advantage = stats.snapped(sparse - dense, _PERCENT)
        tested = stats.wilcoxon_greater(advantage, np.zeros_like(advantage))
        yield summary | {"advantage_p": tested.p_value}


def _interval(name: str, x: Any, y: Any) -> dict[str, float]:
    mean, low, high = stats.mean_difference_interval(x, y)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}
