"""What decides claims, computed from result rows: values of pairs, taus of cells.

``frames`` sorts networks into settings, and ``values`` gives what a statistic is made
of in one of them. ``studies.claims.kinds`` says what the statistics are, ``claims``
what verdict they lead to.
"""

import functools
import hashlib
import json
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sparse_gf import specs, stats
from sparse_gf.reporting import settings
from sparse_gf.studies.claims import kinds
from sparse_gf.studies.claims.kinds import (
    Association,
    Contrast,
    Onset,
    Ranking,
    Statistic,
    Trend,
    Where,
)

NETWORK = ["config_hash", "arm", "dense_width", "density", "seed"]
"""What tells a network from all others."""

_UNIT = ("arm", "dense_width", "density", "seed")
"""What tells a network from others of its cell."""

_KEPT = frozenset(
    {
        *(*NETWORK, *kinds.MEASURES, "config", "variant", "activation", "diverged"),
        *("dataset_title", "train_examples", "test_examples", "epochs", "model"),
        *("hidden_layers", "image_size", "max_width"),
    }
)
"""Columns that are compared, counted, or said."""

_MEMBERS = frozenset({"seeds", "dense_widths", "mask.density"})
"""Keys of a config that say which networks a cell has; rows say it of each."""

_COMPARED = frozenset(
    {"optimizer", "learning_rate", "variant", "activation", "tost", "mask_method"}
)
_COMPARED_UNDER_MASKS = frozenset({"l2", "data_augmentation", "norm", "skip"})
"""What networks of one setting may differ in. Of SC-SDC, the strength of L2 is part of
the setting: the variant says whether there is any."""


class Values(NamedTuple):
    """What a statistic is made of: a number per unit, and the rows behind them.

    A number is +-inf where a network has diverged; units without one are left out.
    """

    values: pd.Series
    rows: pd.DataFrame
    left_out: int = 0


NOTHING = Values(pd.Series(dtype=float), pd.DataFrame(columns=[*NETWORK, "diverged"]))
"""Where no network was trained."""


class Frame(NamedTuple):
    """Networks of one setting, ready to be compared.

    Attributes:
        setting: A name that no other setting has.
        rows: With measures, the keys of configs, and ``density`` rounded to two digits;
            0 for SC-SDC, where the width says it.
        looked_at: The same rows, with the columns that are compared, counted, or said.
        measurements: See ``reporting``.
        known: Which rows have which values, as far as it was asked.
    """

    setting: str
    rows: pd.DataFrame
    looked_at: pd.DataFrame
    measurements: pd.DataFrame | None
    known: dict[tuple[str, str], np.ndarray]


def frames(
    rows: pd.DataFrame,
    measurements: pd.DataFrame | None = None,
    analyses: pd.DataFrame | None = None,
) -> tuple[Frame, ...]:
    """Sorts networks of any cells into settings.

    A setting is all that a config says but what claims compare: optimizer and its
    rates, variant, activation, mask, tweaks, and which widths and seeds there are.
    """
    if rows.empty:
        return ()
    ready = _with_measures(rows, analyses)
    places = zip(ready["dataset_title"], ready["config"], strict=True)
    shared = [f"{title} {_setting(config)}" for title, config in places]
    groups = ready.groupby(shared, sort=False)
    kept = [name for name in ready if name in _KEPT]
    return tuple(
        Frame(_digest(str(name)), part, part[kept], measurements, {})
        for name, part in groups
    )


def values(statistic: Statistic, frame: Frame) -> Values:
    """Computes what a statistic is made of in one setting."""
    match statistic:
        case Contrast():
            return _contrast(statistic, frame)
        case Trend(contrast=contrast) | Onset(contrast=contrast):
            return _contrast(contrast, frame)
        case Association():
            return _association(statistic, frame)
        case Ranking():
            return _ranking(statistic, frame)


def _contrast(contrast: Contrast, frame: Frame) -> Values:
    weights, wheres = zip(*contrast.terms, strict=True)
    kept = [_fitting(frame, where) for where in wheres]
    if not all(rows.any() for rows in kept):
        return NOTHING
    changed = _changed(wheres)
    terms = [_by_unit(frame.looked_at[rows], changed) for rows in kept]
    shared: Any = functools.reduce(
        pd.Index.intersection, (term.index for term in terms)
    )
    parts = [term.loc[shared] for term in terms]
    numbers = np.array([part[contrast.measure].to_numpy(float) for part in parts])
    known = ~np.isnan(numbers).any(axis=0)
    with np.errstate(invalid="ignore"):
        total = np.asarray(weights) @ numbers[:, known]
    finite = numbers[np.isfinite(numbers)]
    # Two infinite ones are equal.
    total = np.where(np.isnan(total), 0.0, total)
    total = stats.snapped(total, np.abs(finite).max(initial=0))
    found = pd.Series(total, index=shared[known])
    used = pd.concat([part.loc[known] for part in parts]).reset_index()
    return Values(found, used, int((~known).sum()))


def _changed(wheres: Collection[Where]) -> frozenset[str]:
    """The columns that selections differ in."""
    names = {name for where in wheres for name in where}
    return frozenset(
        name for name in names if len({repr(where.get(name)) for where in wheres}) > 1
    )


def _fitting(frame: Frame, where: Where) -> np.ndarray:
    """Which rows have the wanted values."""
    kept = np.ones(len(frame.rows), bool)
    for name, wanted in where.items():
        kept = kept & _having(frame, name, wanted)
    return kept


def _having(frame: Frame, name: str, wanted: Any) -> np.ndarray:
    """Which rows have one wanted value; many claims ask for the same."""
    place = name, repr(wanted)
    if place not in frame.known:
        column = frame.rows.get(name)
        if column is None:
            return np.zeros(len(frame.rows), bool)
        fit = [value for value in column.unique() if kinds.fits(value, wanted)]
        frame.known[place] = column.isin(fit).to_numpy()
    return frame.known[place]


def _by_unit(rows: pd.DataFrame, changed: frozenset[str]) -> pd.DataFrame:
    """Rows by what they have in common with those of other terms, each once.

    A network that is in several cells is the same in all; the first cell's counts.
    """
    names = [name for name in _UNIT if name not in changed]
    rest = [settings.beside(text, changed | _MEMBERS) for text in rows["config"]]
    keyed = rows.assign(rest=rest).sort_values("config_hash", kind="stable")
    return keyed.drop_duplicates([*names, "rest"]).set_index([*names, "rest"])


def _association(statistic: Association, frame: Frame) -> Values:
    wheres = [where for where in (statistic.where, statistic.against) if where]
    changed = _changed(wheres) | {statistic.across}
    found = [_taus(statistic, where, frame, changed) for where in wheres]
    shared = functools.reduce(pd.Index.intersection, (taus.index for taus, _ in found))
    own, *other = (taus[shared] for taus, _ in found)
    total = own - other[0] if other else own
    used = pd.concat([used for _, used in found])
    return Values(total, used if len(shared) else used.iloc[:0])


def _taus(
    statistic: Association, where: Where, frame: Frame, changed: frozenset[str]
) -> tuple[pd.Series, pd.DataFrame]:
    """Tau of every unit over the choices that it has; 0 where a measure is constant."""
    kept = _fitting(frame, {**where, statistic.across: statistic.among})
    chosen = frame.looked_at[kept]
    rest = [settings.beside(text, changed | _MEMBERS) for text in chosen["config"]]
    chosen = chosen.assign(rest=rest)
    taus, used = {}, []
    for unit, part in chosen.groupby([*_UNIT, "rest"], sort=False):
        part = part.sort_values("config_hash").drop_duplicates(statistic.across)
        if len(part) >= kinds.LEAST_ASSOCIATED:
            pair = (
                part[[name]].to_numpy(float).T for name in (statistic.x, statistic.y)
            )
            taus[unit] = float(np.nan_to_num(stats.kendall_taus(*pair)[0]))
            used.append(part)
    index = pd.MultiIndex.from_tuples(list(taus), names=[*_UNIT, "rest"])
    found = pd.Series(list(taus.values()), index=index, dtype=float)
    return found, pd.concat(used) if used else chosen.iloc[:0]


def _ranking(statistic: Ranking, frame: Frame) -> Values:
    rows = frame.rows
    rows = rows[(rows["arm"] == statistic.arm) & (rows["kind"] == "capacity")]
    points = _points(statistic, rows, frame.measurements)
    own, rival = (_mean_taus(points, measure) for measure in statistic.measures)
    differences = own - rival
    differences[:] = stats.snapped(differences, 1.0)
    found = differences.dropna()
    used = rows[rows["config_hash"].isin(found.index)]
    return Values(found, used, len(differences) - len(found))


def _points(
    statistic: Ranking, rows: pd.DataFrame, measurements: pd.DataFrame | None
) -> pd.DataFrame:
    """Measures and the final score; at each measured epoch, or averaged over them."""
    columns = ["config_hash", "arm", "dense_width", "seed"]
    score = rows[statistic.score]
    # As in Table 1: a loss that is not finite ranks last.
    final = rows[columns].assign(score=score.where(np.isfinite(score), np.inf))
    if statistic.reading == "mean":
        return final.assign(epoch=0).join(rows[list(statistic.measures)])
    if measurements is None:
        return final.iloc[:0].assign(epoch=0, **dict.fromkeys(statistic.measures, 0.0))
    return measurements[[*columns, "epoch", *statistic.measures]].merge(final)


def _mean_taus(points: pd.DataFrame, measure: str) -> pd.Series:
    """|tau| between a measure and the score, averaged over a cell's points.

    Points without a tau are left out; NaN for a cell that has none.
    """
    x, y = points[measure].to_numpy(float), points["score"].to_numpy(float)
    groups = points.groupby(["config_hash", "epoch"], sort=False).indices
    taus = {
        place: abs(stats.kendall_taus([x[rows]], [y[rows]])[0])
        for place, rows in groups.items()
    }
    index = pd.MultiIndex.from_tuples(list(taus), names=["config_hash", "epoch"])
    found = pd.Series(list(taus.values()), index=index, dtype=float)
    return found.groupby(level="config_hash", sort=False).mean()


def _with_measures(rows: pd.DataFrame, analyses: pd.DataFrame | None) -> pd.DataFrame:
    """Rows with the measures of claims and the keys of their configs."""
    flat = {text: specs.flat(json.loads(text)) for text in rows["config"].unique()}
    keys = pd.DataFrame([flat[text] for text in rows["config"]], index=rows.index)
    ready = pd.concat([rows, keys[keys.columns.difference(rows.columns)]], axis=1)
    ready = ready.assign(
        density=_density(rows),
        accuracy=100 * rows["test_accuracy"],
        flow=_log(rows["egf2"]),
    )
    ready = ready.merge(_of_saved(analyses), on=NETWORK, how="left")
    # Selecting compares texts, which is slow in Arrow's memory.
    return ready.astype(dict.fromkeys(ready.select_dtypes("string"), object)).copy()


def _density(rows: pd.DataFrame) -> list[float]:
    """Two digits of the density; 0 where the dense width says the size."""
    density = rows["density"].where(rows["dense_width"] == 0, 0.0)
    return [float(f"{value:.2g}") for value in density]


def _log(measure: pd.Series) -> pd.Series:
    """Natural logarithm; what is not finite is larger than everything else."""
    finite = measure.where(np.isfinite(measure), np.inf)
    with np.errstate(divide="ignore"):
        return pd.Series(np.log(finite.clip(lower=0)), index=measure.index)


def _of_saved(analyses: pd.DataFrame | None) -> pd.DataFrame:
    """The measures of saved networks, one row per network."""
    names = ["eigenvalue", "sharpness", "input_sharpness", "activity"]
    if analyses is None or analyses.empty:
        return pd.DataFrame(columns=[*NETWORK, *names])
    rows = analyses.assign(density=_density(analyses), y=analyses["y"].fillna(0.0))
    last = rows[rows["epoch"] == rows.groupby(NETWORK)["epoch"].transform("max")]
    top = rows[(rows["kind"] == "eigenvalues") & (rows["x"] == 0) & (rows["epoch"] > 0)]
    top = top.assign(value=_log(top["value"]))
    shares = last[last["kind"] == "activity"]
    found = {
        "eigenvalue": top.groupby(NETWORK)["value"].mean(),
        "sharpness": _rise(last[last["kind"] == "along"]),
        "input_sharpness": _rise(last[last["kind"] == "input"]),
        "activity": 100 * shares.groupby(NETWORK)["value"].mean(),
    }
    return pd.concat(found, axis=1).reset_index()


def _rise(surface: pd.DataFrame) -> pd.Series:
    """Mean over a curve or a plane, minus the value at its centre."""
    centre = surface[["x", "y"]].abs().max(axis=1) < 1e-9
    around = surface[~centre].groupby(NETWORK)["value"].mean()
    return around - surface[centre].groupby(NETWORK)["value"].mean()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _setting(config: str) -> str:
    """What networks must share to decide a claim together."""
    under_masks = "model" in json.loads(config)
    columns = _COMPARED | _COMPARED_UNDER_MASKS if under_masks else _COMPARED
    return settings.beside(config, columns | _MEMBERS)
