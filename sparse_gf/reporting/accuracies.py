"""Accuracies that Jaiswal et al. 2022 published beside ours, from result rows alone."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf.core import words
from sparse_gf.reporting import columns, render
from sparse_gf.studies.study import Entry
from sparse_gf.studies.sweep import Sweep

COLUMNS = {
    "architecture": "Architecture",
    "dataset": "Data set",
    "mask": "Mask",
    "tweak": "Tweak",
    "sparsity": "Sparsity %",
    "published": "Published %",
    "ours": "Ours %",
    "same_sign": "Gain of the same sign",
    "setting": "Ours is",
}
"""Columns of a comparison as they are headed; all but sparsity are texts."""

OWN_COLUMNS = {
    "row": "Stands for",
    "column": "With",
    "sparsity": "Sparsity %",
    "ours": "Ours %",
    "setting": "Ours is",
}
"""Columns for a study without published accuracies, likewise."""

_TEXTS = ("dataset", "mask", "tweak", "column", "same_sign", "setting")

_PLACE = ("architecture", "dataset", "mask", "tweak")

NOT_RUN = "not run"

_TOLERANCE = 0.02
"""Relative: whole weights are not exactly the wanted share. Rounds of a ticket are
further apart."""


def compare(entries: Iterable[Entry], rows: pd.DataFrame) -> pd.DataFrame:
    """Sets every accuracy that was published for entries of a study beside ours.

    The entries' rows are ``"ARCHITECTURE, DATA SET, MASK"``; ``rows`` are of any cells.

    Returns:
        ``COLUMNS``, and as numbers in percent ``published_mean``, ``published_std``,
        ``mean`` and ``std`` over ``seeds`` networks. ``ours`` is ``NOT_RUN`` where
        there are none, ``setting`` what they are: at smaller scales they are not what
        the paper's names say. ``same_sign`` is ``"yes"`` if what a tweak adds to the
        plain training has the same sign in the paper and here, ``"no"`` if not, and
        empty where it has none or one of the four is missing.
    """
    lines = [
        dict(zip(_PLACE, (*entry.row.split(", "), entry.column), strict=True))
        | {
            "sparsity": round(100 * number.sparsity, 6),
            "published_mean": number.mean,
            "published_std": math.nan if number.std is None else number.std,
            "published": f"{number.mean:.2f}"
            + ("" if number.std is None else f"±{number.std:.2f}"),
            **_ours(entry, number.density, rows),
        }
        for entry in entries
        for number in entry.accuracies
    ]
    frame = pd.DataFrame(lines)
    return frame.assign(same_sign=_same_signs(frame))


def found(entries: Iterable[Entry], rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of a study, without published ones beside them.

    Returns:
        ``OWN_COLUMNS`` and the numbers of ours as in ``compare``, a line for every
        entry and density.
    """
    lines = [
        {
            "row": entry.row,
            "column": entry.column,
            "sparsity": round(100 * (1 - density), 2),
            **_ours(entry, density, rows),
        }
        for entry in entries
        for density in entry.cell.mask.density
    ]
    return pd.DataFrame(lines)


def layout(sweep: Sweep, rows: pd.DataFrame) -> render.Table:
    """What is finished of a sweep as a table, beside what was published of it."""
    study = sweep.study
    if any(entry.accuracies for entry in study.entries):
        frame, headings = compare(study.entries, rows), dict(COLUMNS)
    else:
        frame, headings = found(study.entries, rows), dict(OWN_COLUMNS)
    run = frame[frame["ours"] != NOT_RUN]
    notes = [f"Run: {len(run)} of {len(frame)}. Mean ± standard deviation over seeds."]
    settings = run["setting"].unique()
    if len(settings) < 2:
        notes += [f"Ours, whatever the paper trained: {text}." for text in settings]
        del headings["setting"]
    if "same_sign" in headings:
        notes.append(_agreement(frame["same_sign"]))
    shown = frame[list(headings)].assign(sparsity=frame["sparsity"].map("{:g}".format))
    return render.plain(
        "accuracies",
        study.title + (f", {sweep.scale} scale" if sweep.scale else ""),
        headings.values(),
        shown.itertuples(index=False),
        notes,
        "".join("l" if name in _TEXTS else "r" for name in list(headings)[1:]),
    )


def _agreement(signs: pd.Series) -> str:
    known = signs[signs != ""]
    return (
        "A gain is what tweaks add to the plain training; of the same sign as in the "
        f"paper: {int((known == 'yes').sum())} of {len(known)} that were run with "
        "their plain training."
    )


def _ours(entry: Entry, density: float, rows: pd.DataFrame) -> dict[str, Any]:
    """What an entry's networks reach at a density."""
    close = np.isclose(rows["density"], density, rtol=_TOLERANCE, atol=0)
    own = rows[close & (rows["config_hash"] == entry.cell.hash)]
    if own.empty:
        nothing = {"mean": math.nan, "std": math.nan, "seeds": 0}
        return {"ours": NOT_RUN, "setting": "", **nothing}
    accuracy, first, number = 100 * own["test_accuracy"], own.iloc[0], len(own)
    diverged = int(own["diverged"].sum())
    setting = (
        f"{first['dataset_title']}, {first['model']}, "
        f"{words.counted(first['epochs'], 'epoch')}, {words.counted(number, 'seed')}"
        + f" ({diverged} diverged)"
        * bool(diverged)
    )
    return {
        "ours": columns.spread(accuracy),
        "setting": setting,
        "mean": float(accuracy.mean()),
        "std": float(accuracy.std(ddof=1)),
        "seeds": number,
    }


def _same_signs(frame: pd.DataFrame) -> pd.Series:
    """For every line, whether its tweak's gain has the same sign in both."""
    where = ["architecture", "dataset", "mask", "sparsity"]
    means = ["published_mean", "mean"]
    plain = frame[frame["tweak"] == "plain"].set_index(where)[means]
    gains = frame[means] - frame[where].join(plain, on=where)[means]
    signs = np.sign(gains["published_mean"] * gains["mean"])
    return signs.map({1.0: "yes", -1.0: "no"}).fillna("")
