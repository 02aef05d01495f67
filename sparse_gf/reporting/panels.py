"""Figures of many cells side by side, from result rows alone."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sparse_gf.reporting import columns, scales
from sparse_gf.reporting.figures import (
    LOOKS,
    MAX_BANDED,
    at_the_edge,
    band,
    escaped,
    narrower,
    new_figure,
    not_finite,
    over_seeds,
)
from sparse_gf.reporting.scales import Scale

ARMS = {
    "sparse": {"linestyle": "-"},
    "dense": {"linestyle": (0, (3, 1.5)), "markerfacecolor": "white"},
}
"""How arms differ where colours and markers tell something else."""


class Panel(NamedTuple):
    """What one panel shows, named after its column, of the measure of its row.

    ``curves`` are means and standard deviations over seeds by (line, arm); the vertical
    axis may be shared by the panels of the row, and notes say what is missing.
    """

    name: Any
    measure: str
    curves: Mapping[tuple[Any, str], pd.DataFrame]
    scale: Scale
    shared: bool
    notes: tuple[str, ...]


def arrange(
    rows: pd.DataFrame, measures: Sequence[str]
) -> tuple[list[list[Panel]], dict[Any, int]]:
    """Arranges results of both arms against dense width, of many cells side by side.

    Panels of one measure share their vertical axis unless one of them would then use
    less than a third of it. An axis over more than two decades is logarithmic, but
    never that of accuracy, and a few outliers do not stretch it. A mean is a gap if
    one of its networks is not finite; each panel says how many of its networks are not.

    There is a row of panels for each measure. ``row`` and ``column`` of the rows, which
    are those of a study's table, name a network's panel and its line, in the order in
    which they first appear.

    Returns:
        The panels row by row, and the number of each line.

    Raises:
        ValueError: If there are more lines than can be told apart, or if several
            networks share panel, line, arm, width and seed.
    """
    lines = rows["column"].unique()
    if len(lines) > len(LOOKS):
        raise ValueError(f"{len(lines)} lines; {len(LOOKS)} can be told apart")
    if rows.duplicated(["row", "column", "arm", "dense_width", "seed"]).any():
        raise ValueError("several cells have the same row and column")
    parts = dict(list(columns.in_percent(rows).groupby("row", sort=False)))
    made = [_row(parts, measure) for measure in measures]
    return made, {name: number for number, name in enumerate(lines)}


def _row(parts: Mapping[Any, pd.DataFrame], measure: str) -> list[Panel]:
    """The panels of one measure, one for each part of the rows."""
    curves = {
        name: {
            key: over_seeds(own, measure)
            for key, own in part.groupby(["column", "arm"], sort=False)
        }
        for name, part in parts.items()
    }
    means = {
        n: np.concatenate([c["mean"] for c in own.values()])
        for n, own in curves.items()
    }
    together = np.concatenate(list(means.values()))
    may_be_log = measure != "test_accuracy"
    shared = _readable_together(list(means.values()), may_be_log)
    made = []
    for name, own in curves.items():
        scale = scales.of(together if shared else means[name], may_be_log)
        zeros = int((means[name] <= 0).sum()) if scale.log else 0
        notes = (
            not_finite(parts[name][measure]),
            f"means of 0, not drawn: {zeros}" if zeros else "",
        )
        found = tuple(filter(None, notes))
        made.append(Panel(name, measure, own, scale, shared, found))
    return made


def draw(rows: pd.DataFrame, measures: Sequence[str], title: str) -> Any:
    """Draws what ``arrange`` arranges as a ``Figure``, around few lines with bands."""
    arranged, lines = arrange(rows, measures)
    looks = {name: LOOKS[number] for name, number in lines.items()}
    names = [own.name for own in arranged[0]]
    width = max(2.1, min(4.6, 6.8 / len(names)))
    figure = new_figure(0.5 + width * len(names), 1.0 + 2.4 * len(measures), title)
    grid = figure.subplots(len(measures), len(names), sharex=True, squeeze=False)
    for row, own in zip(grid, arranged, strict=True):
        _draw_row(row, own, looks)
    grid[0, 0].set_xticks(sorted(rows["dense_width"].unique()))
    for axes in grid[-1]:
        axes.set_xlabel("Dense width", fontsize=9)
    _name_columns(grid, names)
    _legend_below(figure, looks)
    return figure


def _draw_row(
    row: Any, panels: Sequence[Panel], looks: Mapping[Any, tuple[str, str]]
) -> None:
    """Draws one measure, each panel into its own axes."""
    for axes, panel in zip(row, panels, strict=True):
        _set_scale(axes, row[0] if panel.shared else axes, panel)
        _draw_curves(axes, panel, looks)
        _say_what_is_missing(axes, panel)
    row[0].set_ylabel(columns.axis(panels[0].measure), fontsize=9)


def _draw_curves(axes: Any, panel: Panel, looks: Mapping[Any, tuple[str, str]]) -> None:
    """Draws the means of each (line, arm), and bands where there are few lines."""
    log = panel.scale.log
    for number, ((name, arm), curve) in enumerate(panel.curves.items()):
        color, marker = looks[name]
        style = {"color": color, "marker": marker, **ARMS[arm], **narrower(number)}
        drawn = curve.where(curve["mean"] > 0) if log else curve
        axes.plot(drawn.index, drawn["mean"], **style)
        if len(looks) <= MAX_BANDED:
            # Half a decade is left of a band that has no end on a logarithmic axis.
            band(axes, drawn, color, drawn["mean"] / 3 if log else -np.inf)
        at_the_edge(axes, drawn["mean"], panel.scale, color)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def _readable_together(means: Sequence[np.ndarray], may_be_log: bool) -> bool:
    """Whether each panel uses a third or more of a vertical axis that all share."""
    scale = scales.of(np.concatenate(means), may_be_log)
    low, high = np.log10(scale[:2]) if scale.log else scale[:2]
    least = (high - low) / 3
    return not any(scales.spread(values, scale.log) < least for values in means)


def _set_scale(axes: Any, leader: Any, panel: Panel) -> None:
    """Sets up a vertical axis; that of ``leader`` is the same."""
    if axes is not leader:
        axes.sharey(leader)
        axes.tick_params(labelleft=False)
    if panel.scale.log:
        axes.set_yscale("log")
    else:
        # Without a common offset, which would stand where notes do.
        axes.yaxis.set_major_formatter("{x:g}")
    if not _is_drawn(panel):
        axes.set_yticks([])


def _is_drawn(panel: Panel) -> bool:
    return any(np.isfinite(curve["mean"]).any() for curve in panel.curves.values())


def _say_what_is_missing(axes: Any, panel: Panel) -> None:
    """Says above a panel which networks and means are not in it."""
    width = axes.figure.get_figwidth() / axes.get_subplotspec().get_gridspec().ncols
    lines = [
        line for note in panel.notes for line in textwrap.wrap(note, int(12 * width))
    ]
    axes.set_title("\n".join(lines), fontsize=7)
    if not _is_drawn(panel):
        axes.text(
            0.5,
            0.5,
            "no finite mean",
            transform=axes.transAxes,
            ha="center",
            fontsize=8,
        )


def _name_columns(grid: Any, names: Sequence[Any]) -> None:
    """Names the columns of panels, above the notes of the first row."""
    lines = max(len(axes.get_title().splitlines()) for axes in grid[0])
    for axes, name in zip(grid[0], names, strict=True):
        axes.annotate(
            escaped(name),
            (0.5, 1),
            xytext=(0, 5 + 10 * lines),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold",
        )


def _legend_below(figure: Any, looks: Mapping[Any, tuple[str, str]]) -> None:
    """Explains arms in the first column of a legend and lines in the others."""
    from matplotlib.lines import Line2D

    def entry(label: Any, **style: Any) -> Any:
        name = escaped(label)
        return Line2D([], [], markersize=5, linewidth=1.1, label=name, **style)

    widest = max(len(str(name)) for name in looks)
    columns = max(2, int(figure.get_figwidth() / (0.6 + 0.07 * widest)))
    height = max(len(ARMS), math.ceil(len(looks) / (columns - 1)))
    arms = [entry(a, color="#444444", marker="o", **style) for a, style in ARMS.items()]
    lines = [entry(name, color=c, marker=m) for name, (c, m) in looks.items()]
    # A legend fills its columns evenly, from the top.
    handles = [
        handle
        for part in (arms, lines)
        for handle in [*part, *[entry("", linestyle="")] * (-len(part) % height)]
    ]
    banded = len(looks) <= MAX_BANDED
    figure.set_figheight(figure.get_figheight() + 0.2 * height)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles) // height,
        frameon=False,
        fontsize=8,
        title="Mean ± standard deviation over seeds" if banded else "Mean over seeds",
        title_fontsize=8,
    )
