"""Figures and tables of what ``analyses`` found, from its rows alone."""

import math
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf.reporting import densities, render
from sparse_gf.reporting import figures as plots

VARIED = {
    **dict.fromkeys(("dataset", "model", "mask_method"), str),
    "density": lambda value: f"{100 * value:.3g}%",
    **dict.fromkeys(("arm", "dense_width", "activation"), str),
    "tost": lambda value: densities.spoken_tweaks(value, {}),
}
"""Columns that tell networks apart, seeds and epochs aside, and how values are said."""

LABELS = {
    "eigenvalues": "Largest eigenvalue of the Hessian",
    "trace": "Trace of the Hessian",
    "density": "Density of eigenvalues",
    "along": "Test loss",
    "weights": "Training loss",
    "input": "Test loss",
}
"""What each kind of value is called."""

AXES = {
    "density": ("Eigenvalue", ""),
    "along": ("Distance along the top eigenvector", ""),
    "weights": ("First direction", "Second direction"),
    "input": ("First direction (standard deviations)", "Second direction"),
}


def with_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds ``label``: what differs between networks, in words."""
    varied = [name for name in VARIED if rows[name].nunique() > 1]
    words = [rows[name].map(VARIED[name]) for name in varied]
    labels = list(map(", ".join, zip(*words, strict=True))) if words else "network"
    return rows.assign(label=labels)


def draw(rows: pd.DataFrame, kind: str) -> Any:
    """The Matplotlib ``Figure`` of one kind of analysis, of its rows."""
    rows = with_labels(rows)
    if kind in ("eigenvalues", "trace"):
        return _by_epoch(rows, kind)
    last = rows[rows["epoch"] == rows["epoch"].max()]
    return _surfaces(last, kind) if kind in ("weights", "input") else _lines(last, kind)


def activity_layout(rows: pd.DataFrame) -> render.Table:
    """Activation sparsity as a table: a row per layer, a column per network.

    Means over seeds, in per cent, after the last epoch. Networks with stages have a row
    for the mean over the layers of each, which Table 1 of Jaiswal et al. (2022) calls a
    layer.
    """
    last = with_labels(rows[rows["epoch"] == rows["epoch"].max()])
    stages = last["layer"].str.extract(r"Stage_([1-9])", expand=False)
    by_stage = last.assign(layer="Stage " + stages + ", mean")[stages.notna()]
    last = pd.concat([last, by_stage])
    means = last.groupby(["layer", "label"], sort=False)["value"].mean().unstack()
    means = means.reindex(last["layer"].unique())
    values = [
        (layer, *(f"{100 * share:.1f}" for share in shares))
        for layer, shares in means.iterrows()
    ]
    title = "Share of activations close to 0 on the test set, %"
    return render.plain("activity", title, ("Layer", *means.columns), values)


def _by_epoch(rows: pd.DataFrame, kind: str) -> Any:
    """Draws values along training, means over seeds; of eigenvalues the first."""
    first = rows[rows["x"].isin([0, math.nan])]
    axes = plots.new_figure(7.0, 4.0, LABELS[kind] + " along training").subplots()
    for number, (label, part) in enumerate(first.groupby("label", sort=False)):
        look = plots.style(number) | plots.narrower(number)
        curve = part.groupby("epoch")["value"].mean()
        axes.plot(curve.index, curve, label=plots.escaped(label), **look)
        axes.plot(part["epoch"], part["value"], ".", color=look["color"], alpha=0.5)
    return plots.named(axes, "Epoch", LABELS[kind], "mean; dots: seeds")


def _lines(rows: pd.DataFrame, kind: str) -> Any:
    axes = plots.new_figure(7.0, 4.0, LABELS[kind]).subplots()
    for place, (label, part) in enumerate(rows.groupby("label", sort=False)):
        look = plots.style(place) | plots.narrower(place) | {"marker": ""}
        for number, (_, one) in enumerate(part.groupby("seed")):
            name = plots.escaped(label) if number == 0 else None
            axes.plot(one["x"], one["value"], label=name, alpha=0.8, **look)
    if kind == "density":
        axes.set_yscale("log")
        axes.set_ylim(bottom=1e-5)
    return plots.named(axes, AXES[kind][0], LABELS[kind], "a line per seed")


def _surfaces(rows: pd.DataFrame, kind: str) -> Any:
    """One panel per kind of network, of its first seed, on one scale of colours."""
    rows = rows[rows["seed"] == rows["seed"].min()]
    parts = list(rows.groupby("label", sort=False))
    columns = min(len(parts), 3)
    height = -(-len(parts) // columns)
    figure = plots.new_figure(3.2 * columns + 1, 3.0 * height, LABELS[kind])
    grid = figure.subplots(height, columns, squeeze=False, sharex=True, sharey=True)
    values = rows["value"][np.isfinite(rows["value"])]
    levels = np.linspace(values.min(), values.quantile(0.98), 15)
    shown = None
    for axes in grid.flat[len(parts) :]:
        axes.set_visible(False)
    for axes, (label, part) in zip(grid.flat, parts, strict=False):
        plane = part.pivot(index="y", columns="x", values="value")
        shown = axes.contourf(
            plane.columns, plane.index, plane, levels=levels, extend="both"
        )
        axes.set_title(plots.escaped(label), fontsize=8)
        axes.set_xlabel(AXES[kind][0], fontsize=8)
        axes.set_ylabel(AXES[kind][1], fontsize=8)
    figure.colorbar(shown, ax=grid.ravel().tolist(), label=LABELS[kind])
    return figure
