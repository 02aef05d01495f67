"""Figures of many cells side by side, from result rows alone."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf.reporting import columns
from sparse_gf.reporting.figures import (
    LOOKS,
    MAX_BANDED,
    band,
    escaped,
    new_figure,
    not_finite,
    over_seeds,
)

ARMS = {
    "sparse": {"linestyle": "-"},
    "dense": {"linestyle": (0, (3, 1.5)), "markerfacecolor": "white"},
}
"""How arms differ where colours and markers tell something else."""


def draw(
    rows: pd.DataFrame,
    measures: Sequence[str],
    *,
    panel: str,
    line: str,
    title: str,
) -> Any:
    """Results of both arms against dense width, of many cells side by side.

    Panels of one measure share their vertical axis unless one of them would then use
    less than a third of it. An axis over more than two decades is logarithmic, but
    never that of accuracy. A mean is a gap if one of its networks is not finite; each
    panel says how many of its networks are not.

    Args:
        rows: One row per network, of several cells, with the columns of
            ``results.NETWORKS`` and those that ``panel`` and ``line`` name.
        measures: What to draw, columns of the rows: a row of panels for each, with
            means over seeds and, around few lines, one standard deviation as a band.
        panel: Column whose values are the columns of panels (an optimizer), in the
            order in which they first appear.
        line: Column whose values are the lines (a variant, an activation), likewise.
        title: Above the figure.

    Returns:
        A Matplotlib ``Figure``.

    Raises:
        ValueError: If there are more lines than can be told apart, or if several
            networks share panel, line, arm, width and seed.
    """
    names, lines = list(rows[panel].unique()), list(rows[line].unique())
    if len(lines) > len(LOOKS):
        raise ValueError(f"{len(lines)} lines; {len(LOOKS)} can be told apart")
    if rows.duplicated([panel, line, "arm", "dense_width", "seed"]).any():
        raise ValueError(f"several cells have the same {panel} and {line}")
    looks = dict(zip(lines, LOOKS, strict=False))
    rows = columns.in_percent(rows)
    parts = [rows[rows[panel] == name] for name in names]
    width = max(2.1, min(4.6, 6.8 / len(names)))
    figure = new_figure(0.5 + width * len(names), 1.0 + 2.4 * len(measures), title)
    grid = figure.subplots(len(measures), len(names), sharex=True, squeeze=False)
    for row, measure in zip(grid, measures, strict=True):
        _draw_row(row, parts, measure, line, looks)
    grid[0, 0].set_xticks(sorted(rows["dense_width"].unique()))
    for axes in grid[-1]:
        axes.set_xlabel("Dense width", fontsize=9)
    _name_columns(grid, names)
    _legend_below(figure, looks)
    return figure


def _draw_row(
    row: Any,
    parts: Sequence[pd.DataFrame],
    measure: str,
    line: str,
    looks: Mapping[Any, tuple[str, str]],
) -> None:
    """Draws one measure, each part of the rows into its own panel."""
    curves = [
        {
            key: over_seeds(own, measure)
            for key, own in part.groupby([line, "arm"], observed=True, sort=False)
        }
        for part in parts
    ]
    means = [np.concatenate([c["mean"] for c in own.values()]) for own in curves]
    together = np.concatenate(means)
    may_be_log = measure != "test_accuracy"
    shared = _readable_together(means, may_be_log)
    for axes, part, own, values in zip(row, parts, curves, means, strict=True):
        scaled = together if shared else values
        log = may_be_log and _spread(scaled, log=True) > 2
        _set_scale(axes, row[0] if shared else axes, scaled, log)
        _draw_curves(axes, own, looks, log)
        _say_what_is_missing(axes, part[measure], values, log)
    row[0].set_ylabel(columns.axis(measure), fontsize=9)


def _draw_curves(
    axes: Any,
    curves: Mapping[Any, pd.DataFrame],
    looks: Mapping[Any, tuple[str, str]],
    log: bool,
) -> None:
    """Draws the means of each (line, arm), and bands where there are few lines."""
    for (name, arm), curve in curves.items():
        color, marker = looks[name]
        style = {"color": color, "marker": marker, **ARMS[arm]}
        drawn = curve.where(curve["mean"] > 0) if log else curve
        axes.plot(drawn.index, drawn["mean"], markersize=4, linewidth=1.1, **style)
        if len(looks) <= MAX_BANDED:
            # Half a decade is left of a band that has no end on a logarithmic axis.
            band(axes, drawn, color, drawn["mean"] / 3 if log else -np.inf)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def _spread(values: np.ndarray, log: bool) -> float:
    """Largest minus smallest value, or decades between the positive ones.

    NaN where fewer than two values count.
    """
    kept = values[np.isfinite(values) & ((values > 0) | (not log))]
    if len(kept) < 2:
        return math.nan
    return float(np.ptp(np.log10(kept) if log else kept))


def _readable_together(means: Sequence[np.ndarray], may_be_log: bool) -> bool:
    """Whether each panel uses a third or more of a vertical axis that all share."""
    together = np.concatenate(means)
    log = may_be_log and _spread(together, log=True) > 2
    least = _spread(together, log) / 3
    return not any(_spread(values, log) < least for values in means)


def _set_scale(axes: Any, leader: Any, values: np.ndarray, log: bool) -> None:
    """Sets up a vertical axis for values; that of ``leader`` is the same."""
    if axes is not leader:
        axes.sharey(leader)
        axes.tick_params(labelleft=False)
    if log:
        axes.set_yscale("log")
    else:
        # Without a common offset, which would stand where notes do.
        axes.yaxis.set_major_formatter("{x:g}")
    if not np.isfinite(values).any():
        axes.set_yticks([])


def _say_what_is_missing(
    axes: Any, networks: pd.Series, means: np.ndarray, log: bool
) -> None:
    """Says above a panel which networks and means are not in it."""
    zeros = int((means <= 0).sum()) if log else 0
    notes = [
        not_finite(networks),
        f"means of 0, not drawn: {zeros}" if zeros else "",
    ]
    width = axes.figure.get_figwidth() / axes.get_subplotspec().get_gridspec().ncols
    lines = [line for note in notes for line in textwrap.wrap(note, int(12 * width))]
    axes.set_title("\n".join(lines), fontsize=7)
    if not np.isfinite(means).any():
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
