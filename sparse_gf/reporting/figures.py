"""Figures, from result rows alone."""

import functools
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

STYLES = {
    "sparse": {"color": "#0b6fb8", "marker": "o", "linestyle": "-"},
    "dense": {"color": "#d1661f", "marker": "s", "linestyle": "--"},
}
"""How each arm is drawn where a line is an arm; readable without colour."""

ARMS = {
    "sparse": {"linestyle": "-"},
    "dense": {"linestyle": (0, (3, 1.5)), "markerfacecolor": "white"},
}
"""How arms differ where colours and markers tell something else."""

LOOKS = (
    ("#332288", "o"),
    ("#e69f00", "s"),
    ("#33bbee", "^"),
    ("#bd1f01", "D"),
    ("#000000", "v"),
    ("#94a4a2", "P"),
    ("#882255", "X"),
    ("#b9ac70", "<"),
    ("#aa4499", "p"),
    ("#a96b59", ">"),
)
"""Colour and marker of each line. The colours are distinct for protanopes and
deuteranopes too: at least 19 apart in CIELAB."""

MAX_BANDED = 4
"""So many lines may have bands; those of more hide one another."""

LABELS = {
    "test_accuracy": "Test accuracy %",
    "test_loss": "Test loss",
    "egf1": "EGF$_1$",
    "egf2": "EGF$_2$",
    "gf1": r"$\|g\|_1$",
    "gf2": r"$\|g\|_2$",
}
"""What the vertical axis of each measure is called."""

ACTIVATIONS = {
    "relu": "ReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "swish": "Swish",
    "srelu": "SReLU",
    "sigmoid": "Sigmoid",
    "mish": "Mish",
}
"""The activations of Table 2 of Tessera et al. 2021 and Mish, as they are called."""


SOFT_BETAS = (1, 2, 5, 10, 100)
"""Of the soft neurons that are drawn."""


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
    figure = new_figure(6.0, 4.0, title)
    axes = figure.subplots()
    for arm, style in STYLES.items():
        part = rows[rows["arm"] == arm]
        curve = _over_seeds(part, column)
        axes.plot(curve.index, curve["mean"], label=arm, **style)
        _band(axes, curve, style["color"])
        axes.plot(
            part["dense_width"],
            part[column],
            linestyle="none",
            marker=".",
            color=style["color"],
            alpha=0.6,
        )
    axes.set_title(_not_finite(rows[column]), fontsize=9)
    axes.set_xticks(sorted(rows["dense_width"].unique()))
    axes.set_xlabel("Dense width (units per hidden layer)")
    axes.set_ylabel(label)
    axes.legend(frameon=False, title="mean ± sd; dots: seeds")
    axes.grid(alpha=0.25)
    return figure


def against_density(rows: pd.DataFrame, column: str, label: str, title: str) -> Any:
    """A result of networks under masks against density, a line per kind of mask.

    Args:
        rows: One row per network, with a column ``line`` that says which line it is of.
        column: What to draw: mean over seeds, each seed as a dot.
        label: Name of the vertical axis.
        title: Above the figure.

    Returns:
        A Matplotlib ``Figure``.
    """
    figure = new_figure(6.0, 4.0, title)
    axes = figure.subplots()
    looks = itertools.cycle(LOOKS)
    for name, part in rows.groupby("line", sort=False):
        color, marker = next(looks)
        part = part.assign(percent=100 * part["density"])
        curve = _over_seeds(part, column, "percent")
        axes.plot(curve.index, curve["mean"], color=color, marker=marker, label=name)
        axes.plot(
            part["percent"],
            part[column],
            linestyle="none",
            marker=".",
            color=color,
            alpha=0.6,
        )
    axes.set_title(_not_finite(rows[column]), fontsize=9)
    axes.set_xscale("log")
    ticks = sorted({float(f"{100 * density:.3g}") for density in rows["density"]})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("Density (active weights, %)")
    axes.set_ylabel(label)
    axes.legend(frameon=False, title="mean; dots: seeds", fontsize=8)
    axes.grid(alpha=0.25)
    return figure


def panels(
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
        measures: What to draw, keys of ``LABELS``: a row of panels for each, with means
            over seeds and, around few lines, one standard deviation as a band.
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
    rows = rows.assign(test_accuracy=100 * rows["test_accuracy"])
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
    figure = new_figure(2.2 * max(len(widths), 2) + 1.6, 4.8, title)
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


def activation_functions() -> Any:
    """Activation functions and their derivatives (Tessera et al. 2021, Figure 14).

    Drawn on [-5, 5] as the package computes them, with learned parameters at their
    start values, which the legend gives.

    Returns:
        A Matplotlib ``Figure``: functions left, derivatives right.
    """
    figure = new_figure(9.0, 4.4, "Activation functions and their derivatives")
    left, right = figure.subplots(1, 2)
    inputs = np.linspace(-5, 5, 1001, dtype=np.float32)
    for i, (name, shown) in enumerate(ACTIVATIONS.items()):
        values, derivatives, start = _activation(name, inputs)
        label = f"{shown} ({start})" if start else shown
        # Ever narrower: several are the same function of positive inputs.
        style = {"color": LOOKS[i][0], "linewidth": 4.2 - 0.5 * i, "label": label}
        style["solid_capstyle"] = "butt"
        left.plot(inputs, values, **style)
        right.plot(*_cut_at_jumps(inputs, derivatives), **style)
    _label_functions(figure, left, right, "Learned parameters at their start values")
    return figure


def soft_neurons() -> Any:
    """PSwish for rising beta, and its derivative (Jaiswal et al. 2022, Figures 3, 5).

    Drawn on [-3, 3] between Swish, which it is at beta = 1, and ReLU, to which it
    tends: x s with s = sigmoid(beta x), and s + beta x s (1 - s).

    Returns:
        A Matplotlib ``Figure``: functions left, derivatives right.
    """
    figure = new_figure(9.0, 4.4, "Ghost soft neurons: PSwish, Swish and ReLU")
    left, right = figure.subplots(1, 2)
    x = np.linspace(-3, 3, 2401)
    # Both are the same as others for most inputs: wide, with those others upon them.
    for name, color, values, derivative in (
        ("Swish", "#bdb6e8", x * _sigmoid(x), _soft_derivative(x, 1)),
        ("ReLU", "#d9d0a6", np.maximum(x, 0), np.where(x > 0, 1.0, 0.0)),
    ):
        style = {"color": color, "linewidth": 6, "label": name}
        style["solid_capstyle"] = "butt"
        left.plot(x, values, **style)
        right.plot(*_cut_at_jumps(x, derivative), **style)
    for beta, (color, _) in zip(SOFT_BETAS, LOOKS, strict=False):
        style = {"color": color, "label": f"PSwish, $\\beta$ = {beta}"}
        left.plot(x, x * _sigmoid(beta * x), **style)
        right.plot(x, _soft_derivative(x, beta), **style)
    _label_functions(figure, left, right)
    return figure


def _label_functions(figure: Any, left: Any, right: Any, heading: str = "") -> None:
    """Titles, grids and one legend for functions and their derivatives."""
    left.set_title("$f(x)$", fontsize=10)
    right.set_title("$f\\,'(x)$", fontsize=10)
    for axes in (left, right):
        axes.set_xlabel("$x$")
        axes.grid(alpha=0.25)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        title=heading or None,
        title_fontsize=8,
    )


def new_figure(width: float, height: float, title: str) -> Any:
    """An empty Matplotlib ``Figure`` with a title, sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(textwrap.fill(title, int(11 * width)), fontsize=10)
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
            key: _over_seeds(own, measure)
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
    row[0].set_ylabel(LABELS[measure], fontsize=9)


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
            _band(axes, drawn, color, drawn["mean"] / 3 if log else -np.inf)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def _over_seeds(
    rows: pd.DataFrame, column: str, against: str = "dense_width"
) -> pd.DataFrame:
    """Mean and standard deviation over seeds, one row per dense width or density."""
    finite = rows[column].where(np.isfinite(rows[column]))
    groups = finite.groupby(rows[against])
    return pd.DataFrame(
        {
            # A diverged network leaves a gap: it must not be left out of a mean.
            "mean": groups.agg(lambda values: values.mean(skipna=False)),
            "sd": groups.std(ddof=1).fillna(0),
        }
    )


def _band(axes: Any, curve: pd.DataFrame, color: str, floor: Any = -np.inf) -> None:
    """Draws one standard deviation around the mean, nowhere below ``floor``."""
    lower = np.maximum(curve["mean"] - curve["sd"], floor)
    upper = curve["mean"] + curve["sd"]
    axes.fill_between(curve.index, lower, upper, color=color, alpha=0.15, linewidth=0)


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
        _not_finite(networks),
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


def _not_finite(values: pd.Series) -> str:
    missing = int((~np.isfinite(values)).sum())
    if not missing:
        return ""
    return f"{missing} of {len(values)} networks are not finite and not drawn"


def _name_columns(grid: Any, names: Sequence[Any]) -> None:
    """Names the columns of panels, above the notes of the first row."""
    lines = max(len(axes.get_title().splitlines()) for axes in grid[0])
    for axes, name in zip(grid[0], names, strict=True):
        axes.annotate(
            str(name),
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
        return Line2D([], [], markersize=5, linewidth=1.1, label=str(label), **style)

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


def _activation(name: str, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Values and derivatives of an activation, and its start values in words."""
    import jax

    from sparse_gf import activations

    start, x = "", jax.numpy.asarray(inputs)
    if name in activations.LEARNED:
        module = activations.LEARNED[name]()
        variables = module.init(jax.random.key(0), x)
        function = functools.partial(module.apply, variables)
        learned = variables["params"].items()
        start = ", ".join(f"{key} = {values[0]:g}" for key, values in learned)
    else:
        function = activations.get(name)
    derivative = jax.grad(lambda x: function(x).sum())
    return np.asarray(function(x)), np.asarray(derivative(x)), start


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2  # Without an overflow of exp.


def _soft_derivative(x: np.ndarray, beta: float) -> np.ndarray:
    s = _sigmoid(beta * x)
    return s + beta * x * s * (1 - s)


def _cut_at_jumps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Puts a gap where neighbours differ by more than any smooth derivative does."""
    jumps = np.flatnonzero(np.abs(np.diff(y)) > 0.1) + 1
    return np.insert(x, jumps, x[jumps]), np.insert(y, jumps, np.nan)
