"""Accuracies that Jaiswal et al. 2022 published beside ours, from result rows alone."""

# pandas infers a union of all it could return where a column is looked up.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import dataclasses
import functools
import importlib.resources
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf.core import errors, words
from sparse_gf.studies import jaiswal2022
from sparse_gf.studies.sweep import Sweep
from sparse_gf.studies.tessera2021 import Entry

PUBLISHED = ("tost_table2", "tost_table3", "tost_table4")
"""Studies whose accuracies are in the package; those of Table 5 were not at hand."""

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
    "row": "Networks",
    "column": "With",
    "sparsity": "Sparsity %",
    "ours": "Ours %",
    "setting": "Ours is",
}
"""Columns for a study without published accuracies, likewise."""

NOT_RUN = "not run"

_NAMES = {"tiny_imagenet": "tinyimagenet"}
"""Data sets of the files that are called otherwise in ``data.INFO``."""

_TOLERANCE = 0.02
"""Relative: whole weights are not exactly the wanted share. Rounds of a ticket are
further apart."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A study of the paper, as it is shown.

    Attributes:
        name: Of its file.
        title: Of the study, with its scale.
        table: Texts under headings.
        notes: Sentences that belong to it.
    """

    name: str
    title: str
    table: pd.DataFrame
    notes: tuple[str, ...]


@functools.cache
def published(study: str) -> pd.DataFrame:
    """The accuracies that the paper printed for a study.

    Args:
        study: One of ``PUBLISHED``.

    Returns:
        One row per number: ``architecture`` and ``mask`` as the paper names them,
        ``mask`` ``"dense"`` for none, ``dataset`` as we do, ``tweak`` a key of
        ``tost_paper.TWEAKS``, ``sparsity`` the removed share, ``accuracy_mean`` and
        ``accuracy_std`` in percent; the latter is NaN where none was printed.

    Raises:
        errors.UserError: If the study has none.
    """
    errors.one_of("study with published accuracies", study, PUBLISHED)
    file = importlib.resources.files("sparse_gf") / "published" / f"{study}.csv"
    with file.open() as lines:
        frame = pd.read_csv(lines)
    if "recipe" in frame:  # Such as "LTH + GSk".
        parts = frame["recipe"].str.partition(" + ")
        frame = frame.assign(mask=parts[0], tweak=parts[2].replace("", "plain"))
    else:
        frame = frame.assign(tweak=frame["tost"].map({"no": "plain", "yes": "ToST"}))
    frame = frame.assign(dataset=frame["dataset"].replace(_NAMES))
    kept = ["architecture", "dataset", "mask", "tweak", "sparsity"]
    return frame[[*kept, "accuracy_mean", "accuracy_std"]]


def compare(
    study: str,
    scale: str,
    rows: pd.DataFrame,
    entries: Sequence[Entry] | None = None,
) -> pd.DataFrame:
    """Sets every published accuracy of a study beside ours.

    Args:
        study: One of ``PUBLISHED``.
        scale: One of ``paper.SCALES``.
        rows: One row per network, of any cells.
        entries: Those of a sweep that was narrowed or changed; the study's own if left
            out.

    Returns:
        ``COLUMNS``, and as numbers in percent ``published_mean``, ``published_std``,
        ``mean`` and ``std`` over ``seeds`` networks. ``ours`` is ``NOT_RUN`` where
        there are none, ``setting`` what they are: at smaller scales they are not what
        the paper's names say. ``same_sign`` is ``"yes"`` if what a tweak adds to the
        plain training has the same sign in the paper and here, ``"no"`` if not, and
        empty where it has none or one of the four is missing.

    Raises:
        errors.UserError: If the study has no published accuracies, or there is no such
            scale.
    """
    theirs = published(study)
    if entries is None:
        entries = jaiswal2022.study(study, scale).entries
    places = {(entry.row, entry.column): entry for entry in entries}
    lines = []
    for number in theirs.itertuples(index=False):
        row = jaiswal2022.place(number.architecture, number.dataset, number.mask)
        entry = places.get((row, number.tweak))
        lines.append(
            {
                "architecture": number.architecture,
                "dataset": row.split(", ")[1],
                "mask": number.mask,
                "tweak": number.tweak,
                "sparsity": round(100 * number.sparsity, 6),
                "published_mean": number.accuracy_mean,
                "published_std": number.accuracy_std,
                "published": _spread(number.accuracy_mean, number.accuracy_std),
                **_ours(entry, 1 - number.sparsity, rows),
            }
        )
    frame = pd.DataFrame(lines)
    return frame.assign(same_sign=_same_signs(frame))


def found(entries: Iterable[Entry], rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of a study, without published ones beside them.

    Args:
        entries: Of the study.
        rows: One row per network, of any cells.

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


def tables(sweeps: Iterable[Sweep], rows: pd.DataFrame) -> list[Table]:
    """The studies of the paper among sweeps, as they are shown.

    Args:
        sweeps: Those of other studies are left out.
        rows: One row per network under masks.
    """
    own = [sweep for sweep in sweeps if sweep.study.name in jaiswal2022.STUDIES]
    own.sort(key=lambda sweep: jaiswal2022.STUDIES.index(sweep.study.name))
    names = [sweep.study.name for sweep in own]
    return [
        _table(sweep, rows, sweep.name if names.count(name) > 1 else name)
        for sweep, name in zip(own, names, strict=True)
    ]


def markdown(table: Table) -> str:
    """The table as a Markdown page."""
    lines = [
        f"# {table.title}",
        "",
        "| " + " | ".join(table.table.columns) + " |",
        "|" + " ---: |" * len(table.table.columns),
        *("| " + " | ".join(row) + " |" for row in table.table.itertuples(index=False)),
        "",
        *(f"- {note}" for note in table.notes),
    ]
    return "\n".join(lines) + "\n"


def _table(sweep: Sweep, rows: pd.DataFrame, name: str) -> Table:
    study = sweep.study
    if study.name in PUBLISHED:
        frame = compare(study.name, sweep.scale, rows, study.entries)
        columns = dict(COLUMNS)
    else:
        frame, columns = found(study.entries, rows), dict(OWN_COLUMNS)
    run = frame[frame["ours"] != NOT_RUN]
    notes = [f"Run: {len(run)} of {len(frame)}. Mean ± standard deviation over seeds."]
    settings = run["setting"].unique()
    if len(settings) < 2:
        notes += [f"Ours, whatever the paper trained: {text}." for text in settings]
        del columns["setting"]
    if "same_sign" in columns:
        known = frame["same_sign"][frame["same_sign"] != ""]
        notes.append(
            "A gain is what tweaks add to the plain training; of the same sign as in "
            f"the paper: {int((known == 'yes').sum())} of {len(known)} that were run "
            "with their plain training."
        )
    shown = frame[list(columns)].assign(sparsity=frame["sparsity"].map("{:g}".format))
    scale = f", {sweep.scale} scale" if sweep.scale else ""
    return Table(name, study.title + scale, shown.rename(columns=columns), tuple(notes))


def _ours(entry: Entry | None, density: float, rows: pd.DataFrame) -> dict[str, Any]:
    """What an entry's networks reach at a density."""
    own = rows.iloc[:0]
    if entry is not None:
        close = np.isclose(rows["density"], density, rtol=_TOLERANCE, atol=0)
        own = rows[close & (rows["config_hash"] == entry.cell.hash)]
    if own.empty:
        nothing = {"mean": math.nan, "std": math.nan, "seeds": 0}
        return {"ours": NOT_RUN, "setting": "", **nothing}
    accuracy = 100 * own["test_accuracy"].to_numpy()
    first, number = own.iloc[0], len(own)
    std = float(accuracy.std(ddof=1)) if number > 1 else math.nan
    diverged = int(own["diverged"].sum())
    setting = (
        f"{first['dataset_title']}, {first['model']}, {first['epochs']} epochs, "
        f"{words.counted(number, 'seed')}" + f" ({diverged} diverged)" * bool(diverged)
    )
    return {
        "ours": _spread(accuracy.mean(), std),
        "setting": setting,
        "mean": float(accuracy.mean()),
        "std": std,
        "seeds": number,
    }


def _spread(mean: float, std: float) -> str:
    return f"{mean:.2f}" + (f"±{std:.2f}" if std == std else "")


def _same_signs(frame: pd.DataFrame) -> list[str]:
    """For every line, whether its tweak's gain has the same sign in both."""
    where = ["architecture", "dataset", "mask", "sparsity"]
    plain = frame[frame["tweak"] == "plain"].set_index(where)
    signs = []
    for _, line in frame.iterrows():
        place = tuple(line[where])
        if line["tweak"] == "plain" or place not in plain.index:
            signs.append("")
            continue
        without = plain.loc[place]
        gains = [line[name] - without[name] for name in ("published_mean", "mean")]
        product = np.sign(gains).prod()
        signs.append({1.0: "yes", -1.0: "no"}.get(float(product), ""))
    return signs
