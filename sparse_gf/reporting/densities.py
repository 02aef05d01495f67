"""Networks under masks: scores against density, from result rows alone."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from sparse_gf.core import words
from sparse_gf.reporting import columns, render
from sparse_gf.reporting import figures as plots

TWEAKS = {"gsw": "GSw", "gsk": "GSk", "lrsi": "LRsI", "ls": "LS"}
"""Tweaks of the sparse training toolkit and how the paper calls them."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was found of networks under masks.

    Attributes:
        title: Data set, network and training in one line.
        table: One row per kind of mask and density; see ``_headings``.
        notes: Sentences that belong to it.
    """

    title: str
    table: pd.DataFrame
    notes: tuple[str, ...]

    def layout(self, spelling: str = "text") -> render.Table:
        """The table; a kind of mask that all networks have stands in its title.

        For ``spelling`` see ``columns.spelled``.
        """
        title, table = self.title, self.table
        headings = _headings(spelling, table)
        kinds = table["mask"].unique()
        if len(kinds) == 1:
            title = f"{title}: {kinds[0]}"
            table = table.drop(columns="mask")
            del headings["mask"]
        values = table.itertuples(index=False)
        return render.plain("densities", title, headings.values(), values, self.notes)

    def lines(self) -> list[str]:
        """The notes, one per line."""
        return list(self.notes)

    def brief(self, rows: pd.DataFrame) -> str:
        """What was found, in one line."""
        means = rows.groupby("density")["test_accuracy"].mean()
        found = [f"{mean:.2%} at {100 * d:.3g}%" for d, mean in means.items()]
        return ", ".join(reversed(found))

    def figures(
        self, rows: pd.DataFrame, measurements: pd.DataFrame | None = None
    ) -> Iterator[tuple[str, Any]]:
        """Draws networks against density, each figure with its name."""
        drawn = (*columns.DRAWN, *columns.own(rows))
        yield from plots.of_columns(plots.DENSITY, with_lines(rows), drawn, self.title)


def _headings(spelling: str, table: pd.DataFrame) -> dict[str, str]:
    """How the columns of a summary's table are headed.

    Accuracy, loss and measures are texts, mean and standard deviation over seeds.
    """
    known = {
        "mask": "Mask",
        "density": "Density %",
        "num_active": "Active weights",
        "accuracy": "Test accuracy %",
        "loss": "Test loss",
        **columns.spelled(spelling),
        "collapsed": "Empty layers",
    }
    return {column: known.get(column, column) for column in table.columns}


def summarise(rows: pd.DataFrame) -> Summary:
    """Summarises networks under masks of one data set and model, and of any cells."""
    rows = with_lines(rows)
    shown = (*columns.SHOWN, *columns.own(rows))
    found = [
        _line(name, density, part, shown)
        for (name, density), part in rows.groupby(["line", "density"], sort=False)
    ]
    return Summary(_title(rows), pd.DataFrame(found), tuple(_notes(rows)))


def with_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds ``line``: the kind of mask, and whatever else differs between cells.

    The two are in ``mask_line`` and ``beside_mask`` as well.
    """
    masks = rows.apply(_mask, axis=1)
    tweaks = rows.apply(_tweaks, axis=1)
    beside = [tweaks] if tweaks.nunique() > 1 else []
    varied = [
        name
        for name in ("model", "optimizer", "learning_rate", "variant", "activation")
        if rows[name].nunique() > 1
    ]
    beside += [rows[name].map(_spoken) for name in varied]
    spoken = pd.concat(beside, axis=1).agg(", ".join, axis=1) if beside else ""
    ordered = rows.assign(
        line=masks + ", " + spoken if beside else masks,
        mask_line=masks,
        beside_mask=spoken,
        density=rows["density"].round(6),
    )
    order = ["line", "density"]
    return ordered.sort_values(order, ascending=[True, False], kind="stable")


def spoken_tweaks(tost: str, options: Mapping[str, Any]) -> str:
    """Tweaks of the toolkit as the paper calls them.

    Of their options it says ``schedule`` and ``last_epoch``: ghosts may be there for
    good, end at once, or at another epoch than by default.

    Returns:
        Such as ``"GSw + LS"``, ``"permanent GSk"`` or ``"GSk to epoch 135"``;
        ``"ToST"`` for all tweaks, ``"plain"`` for none.
    """
    names = tost.split(",") if tost else []
    spoken = [_spoken_tweak(name, options.get(name, {})) for name in names]
    if names == list(TWEAKS):
        return ", ".join(["ToST", *(s for s in spoken if s not in TWEAKS.values())])
    return " + ".join(spoken) or "plain"


def _spoken_tweak(name: str, own: Mapping[str, Any]) -> str:
    schedule, last = own.get("schedule"), own.get("last_epoch")
    how = f"{schedule} " if schedule in ("permanent", "abrupt") else ""
    return how + TWEAKS.get(name, name) + (f" to epoch {last}" if last else "")


def _tweaks(row: Any) -> str:
    return spoken_tweaks(row["tost"], json.loads(row["config"]))


def _spoken(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _mask(row: Any) -> str:
    method = row["mask_method"]
    schedule = {"init": "", "one_shot": "one-shot ", "imp": "iterative "}
    before = schedule.get(row["mask_schedule"], row["mask_schedule"] + " ")
    place = row["mask_distribution"]
    return f"{before}{method}" + (f", {place}" if place != "given" else "")


def _line(
    name: Any, density: Any, part: pd.DataFrame, shown: Iterable[str]
) -> dict[str, Any]:
    empty = [sum(int(n) == 0 for n in counts) for counts in part["layer_num_active"]]
    return {
        "mask": name,
        "density": f"{100 * density:.3g}",
        "num_active": words.numbers(part["num_active"]),
        "accuracy": columns.spread(100 * part["test_accuracy"]),
        "loss": columns.spread(part["test_loss"], ".3f", ".2g"),
        **{own: columns.spread(part[own], ".3g", ".1g") for own in shown},
        "collapsed": words.numbers(empty),
    }


def _title(rows: pd.DataFrame) -> str:
    def one(column: str, form: str = "") -> str:
        values = rows[column].unique()
        return f"{values[0]:{form}}" if len(values) == 1 else ""

    epochs = words.counted(one("epochs"), "epoch") if one("epochs") else ""
    optimizer = f"{one('optimizer')} {one('learning_rate', 'g')}".strip()
    parts = [one(name) for name in ("dataset_title", "model")]
    tweaks = set(rows.apply(_tweaks, axis=1)) - {"plain"}
    shared = tweaks.pop() if len(tweaks) == 1 and (rows["tost"] != "").all() else ""
    parts += [optimizer, one("variant"), one("activation"), shared, epochs]
    return ", ".join(part for part in parts if part)


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    seeds = words.counted(rows["seed"].nunique(), "seed")
    yield columns.MEANS.replace("seeds", seeds)
    diverged = int(rows["diverged"].sum())
    if diverged:
        yield f"Diverged networks: {diverged}; they count in all means."
    for line, part in rows.groupby("line", sort=False):
        layers = part.explode(["layers", "layer_num_active"])
        empty = sorted(set(layers["layers"][layers["layer_num_active"] == 0]))
        if empty:
            more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
            yield f"Layer collapse under {line}: {', '.join(empty[:3])}{more} empty."
    kept = {
        path
        for config in rows["config"].unique()
        for path in json.loads(config)["mask"]["dense_layers"]
    }
    if kept:
        yield f"Not pruned: {', '.join(sorted(kept))}."
