"""Figures, from result rows alone."""

# pandas infers a union of all it could return where a column is looked up.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import textwrap
from typing import Any

import numpy as np
import pandas as pd

STYLES = {
    "sparse": {"color": "#0b6fb8", "marker": "o", "linestyle": "-"},
    "dense": {"color": "#d1661f", "marker": "s", "linestyle": "--"},
}
"""How each arm is drawn in every figure; readable without colour."""


def against_width(rows: pd.DataFrame, column: str, label: str, title: str) -> Any:
    """A result of both arms against dense width.

    Args:
        rows: One row per network, of one cell.
        column: What to draw: mean over seeds, one standard deviation as a band, each
            seed as a dot.
        label: Name of the vertical axis.
        title: Above the figure.

    Returns:
        A Matplotlib ``Figure``.
    """
    figure = _figure(6.0, 4.0, title)
    axes = figure.subplots()
    for arm, style in STYLES.items():
        part = rows[rows["arm"] == arm]
        groups = part.groupby("dense_width")[column]
        # A diverged network's NaN leaves a gap: it must not be left out of a mean.
        mean = groups.agg(lambda values: values.mean(skipna=False))
        spread = groups.std(ddof=1).fillna(0)
        axes.plot(mean.index, mean, label=arm, **style)
        axes.fill_between(
            mean.index,
            mean - spread,
            mean + spread,
            color=style["color"],
            alpha=0.15,
            linewidth=0,
        )
        axes.plot(
            part["dense_width"],
            part[column],
            linestyle="none",
            marker=".",
            color=style["color"],
            alpha=0.6,
        )
    missing = int((~np.isfinite(rows[column])).sum())
    if missing:
        text = f"{missing} of {len(rows)} networks are not finite and not drawn"
        axes.set_title(text, fontsize=9)
    axes.set_xticks(sorted(rows["dense_width"].unique()))
    axes.set_xlabel("Dense width (units per hidden layer)")
    axes.set_ylabel(label)
    axes.legend(frameon=False, title="mean ± sd; dots: seeds")
    axes.grid(alpha=0.25)
    return figure


def layer_norms(measurements: pd.DataFrame, title: str) -> Any:
    """Each layer's masked gradient 2-norm along training, both arms, every width.

    Args:
        measurements: One row per network and measured epoch, of one cell.
        title: Above the figure.

    Returns:
        A Matplotlib ``Figure``: a row of panels per arm, a line per layer, the mean
        over seeds.
    """
    import matplotlib

    widths = sorted(measurements["dense_width"].unique())
    figure = _figure(2.2 * max(len(widths), 2) + 1.6, 4.8, title)
    grid = figure.subplots(
        len(STYLES), len(widths), sharex=True, sharey=True, squeeze=False
    )
    num_layers = len(measurements["layer_norms2"].iloc[0])
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, num_layers))
    for row, arm in zip(grid, STYLES, strict=True):
        row[0].set_ylabel(f"{arm}\ngradient 2-norm")
        for axes, width in zip(row, widths, strict=True):
            chosen = (measurements["arm"] == arm) & (
                measurements["dense_width"] == width
            )
            by_epoch = measurements[chosen].groupby("epoch")["layer_norms2"]
            norms = by_epoch.apply(lambda n: np.mean(np.stack(list(n)), axis=0))
            for layer, color in enumerate(colors):
                values = [norm[layer] for norm in norms]
                axes.plot(
                    norms.index,
                    values,
                    color=color,
                    marker=".",
                    label=f"layer {layer + 1}",
                )
            if any(np.any(norm > 0) for norm in norms):
                axes.set_yscale("log")
            axes.grid(alpha=0.25)
    for axes, width in zip(grid[0], widths, strict=True):
        axes.set_title(f"dense width {width}", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("Epoch")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside right center",
        frameon=False,
        title="mean over seeds",
    )
    return figure


def _figure(width: float, height: float, title: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(textwrap.fill(title, int(11 * width)), fontsize=10)
    return figure
