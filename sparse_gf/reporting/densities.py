"""Networks under masks: scores against density, from result rows alone."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sparse_gf import results
from sparse_gf.core import files, words
from sparse_gf.reporting import comparison
from sparse_gf.reporting import figures as plots

COLUMNS = {
    "mask": "Mask",
    "density": "Density %",
    "num_active": "Active weights",
    "accuracy": "Test accuracy %",
    "loss": "Test loss",
    "egf2": "EGF_2",
    "collapsed": "Empty layers",
}
"""Columns of a summary's table and how they are headed.

Accuracy, loss and EGF_2 are texts, mean and standard deviation over seeds.
"""

TWEAKS = {"gsw": "GSw", "gsk": "GSk", "lrsi": "LRsI", "ls": "LS"}
"""Tweaks of the sparse training toolkit and how the paper calls them."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was found of networks under masks.

    Attributes:
        title: Data set, network and training in one line.
        table: One row per kind of mask and density; see ``COLUMNS``.
        notes: Sentences that belong to it.
    """

    title: str
    table: pd.DataFrame
    notes: tuple[str, ...]


def summarise(rows: pd.DataFrame) -> Summary:
    """Summarises networks under masks of one data set and model.

    Args:
        rows: One row per network, of one cell or of several.
    """
    rows = with_lines(rows)
    found = [
        _line(name, density, part)
        for (name, density), part in rows.groupby(["line", "density"], sort=False)
    ]
    table = pd.DataFrame(found, columns=list(COLUMNS))
    return Summary(_title(rows), table, tuple(_notes(rows)))


def with_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds ``line``, the kind of mask, and whatever else differs between cells."""
    masks = rows.apply(_mask, axis=1)
    tweaks = rows.apply(_tweaks, axis=1)
    if tweaks.nunique() > 1:
        masks = masks + ", " + tweaks
    varied = [
        name
        for name in ("model", "optimizer", "learning_rate", "variant", "activation")
        if rows[name].nunique() > 1
    ]
    for name in varied:
        masks = masks + ", " + rows[name].map(_spoken)
    ordered = rows.assign(line=masks, density=rows["density"].round(6))
    order = ["line", "density"]
    return ordered.sort_values(order, ascending=[True, False], kind="stable")


def markdown(summary: Summary) -> str:
    """The summary as a Markdown page."""
    header = list(COLUMNS.values())
    lines = [
        f"# {summary.title}",
        "",
        "| " + " | ".join(header) + " |",
        "|" + " ---: |" * len(header),
        *(
            "| " + " | ".join(map(str, row)) + " |"
            for row in summary.table.itertuples(index=False)
        ),
        "",
        *(f"- {note}" for note in summary.notes),
    ]
    return "\n".join(lines) + "\n"


def spoken_tweaks(tost: str, options: Mapping[str, Any]) -> str:
    """Tweaks of the toolkit as the paper calls them.

    Args:
        tost: Names with commas, in the order of ``TWEAKS``.
        options: By name of a tweak its options, of which ``schedule`` is looked at:
            ghosts may be there for good.

    Returns:
        Such as ``"GSw + LS"`` or ``"permanent GSk"``; ``"ToST"`` for all tweaks,
        ``"plain"`` for none.
    """
    names = tost.split(",") if tost else []

    def spoken(name: str) -> str:
        permanent = dict(options.get(name, {})).get("schedule") == "permanent"
        return "permanent " * permanent + TWEAKS.get(name, name)

    together = " + ".join(map(spoken, names))
    if names == list(TWEAKS):
        permanent = [spoken(name) for name in names if spoken(name) != TWEAKS[name]]
        return ", ".join(["ToST", *permanent])
    return together or "plain"


def write(folder: pathlib.Path, summary: Summary, rows: pd.DataFrame) -> None:
    """Writes the table and figures of networks under masks.

    Args:
        folder: Where ``table.md``, ``accuracy`` and ``egf2`` go, figures as PNG and
            SVG.
        summary: Of the rows.
        rows: One row per network.
    """
    files.write_text(folder / "table.md", markdown(summary))
    lines = with_lines(rows)
    for name, column, label in (
        ("accuracy", "test_accuracy", "Test accuracy %"),
        ("egf2", "egf2", "EGF$_2$, mean over training"),
    ):
        scaled = lines.assign(test_accuracy=100 * lines["test_accuracy"])
        figure = plots.against_density(scaled, column, label, summary.title)
        results.write_figure(folder, name, figure)


def write_cell(
    workdir: pathlib.Path, summary: Summary, rows: pd.DataFrame
) -> pathlib.Path:
    """Writes table, figures and config of one finished cell; returns their folder."""
    first = rows.iloc[0]
    folder = results.cell_folder(workdir, first["dataset"], first["config_hash"])
    write(folder, summary, rows)
    text = comparison.config_file(first["config"])
    files.write_text(folder / "config.py", text)
    return folder


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


def _line(name: Any, density: Any, part: pd.DataFrame) -> tuple[Any, ...]:
    def spread(column: str, scale: float, form: str, sd: str) -> str:
        values = scale * part[column]
        mean = f"{values.mean(skipna=False):{form}}"
        if len(values) == 1:
            return mean
        return f"{mean}±{values.std(ddof=1, skipna=False):{sd}}"

    empty = [sum(int(n) == 0 for n in counts) for counts in part["layer_num_active"]]
    return (
        name,
        f"{100 * density:.3g}",
        _range(part["num_active"].tolist()),
        spread("test_accuracy", 100, ".2f", ".2f"),
        spread("test_loss", 1, ".3f", ".2g"),
        spread("egf2", 1, ".3g", ".1g"),
        _range(empty),
    )


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _title(rows: pd.DataFrame) -> str:
    def one(column: str, form: str = "") -> str:
        values = rows[column].unique()
        return f"{values[0]:{form}}" if len(values) == 1 else ""

    epochs = f"{one('epochs')} epochs" if one("epochs") else ""
    optimizer = f"{one('optimizer')} {one('learning_rate', 'g')}".strip()
    parts = [one(name) for name in ("dataset_title", "model")]
    tweaks = set(rows.apply(_tweaks, axis=1)) - {"plain"}
    shared = tweaks.pop() if len(tweaks) == 1 and (rows["tost"] != "").all() else ""
    parts += [optimizer, one("variant"), one("activation"), shared, epochs]
    return ", ".join(part for part in parts if part)


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    seeds = rows["seed"].nunique()
    yield (
        f"Mean ± standard deviation over {words.counted(seeds, 'seed')}; EGF_2 is "
        "the mean over the measured epochs."
    )
    diverged = int(rows["diverged"].sum())
    if diverged:
        yield f"Diverged networks: {diverged}; they count in all means."
    for line, part in rows.groupby("line", sort=False):
        empty = sorted(
            {
                layer
                for layers, counts in zip(
                    part["layers"], part["layer_num_active"], strict=True
                )
                for layer, count in zip(layers, counts, strict=True)
                if count == 0
            }
        )
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
