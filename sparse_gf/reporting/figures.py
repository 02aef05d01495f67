"""Figures, from result rows alone; ``panels`` has those of many cells."""

import functools
import io
import math
import pathlib
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sparse_gf.core import files, words
from sparse_gf.reporting import columns, scales
from sparse_gf.reporting.scales import Scale

STYLES = {
    "sparse": {"color": "#0b6fb8", "marker": "o", "linestyle": "-"},
    "dense": {"color": "#d1661f", "marker": "s", "linestyle": "--"},
}
"""How each arm is drawn where a line is an arm; readable without colour."""

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

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
"""Line styles of the first lines, of those after the last of ``LOOKS``, and so on."""

MAX_BANDED = 4
"""So many lines may have bands; those of more hide one another."""

MAX_TOGETHER = 8
"""So many kinds of networks under masks are drawn into one panel."""


class Axis(NamedTuple):
    """What results are drawn against.

    It is a column of the rows, a factor of its values as they are shown, the name of
    the axis, the column that says which line a network is of, and whether the axis is
    logarithmic.
    """

    column: str
    factor: int
    label: str
    line: str
    log: bool


WIDTH = Axis("dense_width", 1, "Dense width (units per hidden layer)", "arm", False)
"""For networks of a comparison, a line per arm."""

DENSITY = Axis("density", 100, "Density (active weights, %)", "line", True)
"""For networks under masks, a line per kind of mask; see ``densities.with_lines``."""


def against(
    axis: Axis,
    rows: pd.DataFrame,
    column: str,
    title: str,
    label: str = "",
    axes: Any = None,
    looks: Mapping[Any, Mapping[str, Any]] = STYLES,
    scale: Scale | None = None,
) -> Any:
    """A result of networks against their width or density.

    Drawn are the mean over seeds, each seed as a dot, and around few lines one standard
    deviation as a band.

    Args:
        axis: ``WIDTH`` or ``DENSITY``.
        rows: See ``reporting``.
        column: What to draw.
        title: Above the figure.
        label: Name of the vertical axis; the column's own if left out.
        axes: To draw into, which keep their title; those of a new figure if None.
        looks: How lines are drawn by name, others in turn as ``style`` has it.
        scale: Of the vertical axis; that of these rows if None.

    Returns:
        The Matplotlib ``Figure``.
    """
    rows = columns.in_percent(rows) if column == "test_accuracy" else rows
    rows = rows.assign(place=axis.factor * rows[axis.column])
    axes = new_figure(7.0, 4.0, title).subplots() if axes is None else axes
    banded = rows[axis.line].nunique() <= MAX_BANDED
    scale = scale or _scale(rows, column)
    if scale.log:
        axes.set_yscale("log")
    for number, (name, part) in enumerate(parts_of(rows, axis.line)):
        look = looks.get(name) or style(number)
        curve = over_seeds(part, column, "place")
        drawn = {"label": escaped(name), **narrower(number), **look}
        axes.plot(curve.index, curve["mean"], **drawn)
        if banded:
            floor = curve["mean"] / 3 if scale.log else -np.inf
            band(axes, curve, look["color"], floor)
        dots = {"linestyle": "none", "marker": ".", "alpha": 0.6}
        axes.plot(part["place"], part[column], color=look["color"], **dots)
        values = part.set_index("place")[column]
        at_the_edge(axes, values, scale, look["color"])
    if missing := not_finite(rows[column]):
        axes.set_title(missing, fontsize=9)
    _set_ticks(axes, rows["place"], axis.log)
    shown = "mean ± sd; dots: seeds" if banded else "mean; dots: seeds"
    return named(axes, axis.label, label or columns.label(column), shown)


def of_columns(
    axis: Axis, rows: pd.DataFrame, drawn: Iterable[str], title: str
) -> Iterator[tuple[str, Any]]:
    """Draws some columns, each with the name of its figure.

    As ``against`` does; networks under masks of many kinds as ``by_mask`` does.
    """
    apart = axis is DENSITY and has_panels(rows)
    draw = by_mask if apart else functools.partial(against, axis)
    for column in drawn:
        yield columns.file_name(column), draw(rows, column, title)


def has_panels(rows: pd.DataFrame) -> bool:
    """Whether networks under masks are too many kinds for one panel.

    Masks that differ in nothing else stay together: they are what is compared.
    """
    many = rows[DENSITY.line].nunique() > MAX_TOGETHER
    return many and rows["beside_mask"].nunique() > 1


def by_mask(rows: pd.DataFrame, column: str, title: str) -> Any:
    """A result of networks under masks against density, a panel for each mask.

    Lines are what else differs, in every panel by one look; for ``rows`` see
    ``densities.with_lines``.
    """
    axis = DENSITY._replace(line="beside_mask")
    # Numbers of outliers at the edge of a panel would lie on each other.
    scale = _scale(rows, column, may_be_cut=False)
    masks = list(rows.groupby("mask_line", sort=False))
    names = rows[axis.line].unique()
    looks = {name: style(number) for number, name in enumerate(names)}
    across = min(3, len(masks))
    down = math.ceil(len(masks) / across)
    figure = new_figure(3.0 * across + 1.2, 2.4 * down + 0.6, title)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    used, left = list(grid.flat)[: len(masks)], list(grid.flat)[len(masks) :]
    known: dict[str, Any] = {}
    for axes, (mask, part) in zip(used, masks, strict=True):
        against(axis, part, column, "", axes=axes, looks=looks, scale=scale)
        axes.get_legend().remove()
        note = axes.get_title()
        axes.set_title("\n".join(filter(None, (escaped(mask), note))), fontsize=9)
        handles, labels = axes.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    for axes in used:
        _set_ticks(axes, axis.factor * rows[axis.column], axis.log)
        axes.tick_params(labelsize=8)
        axes.label_outer()
    for axes in left:
        axes.remove()
    # Above an empty place there is a last panel too.
    for axes in used[-across:]:
        axes.set_xlabel(axis.label, fontsize=8)
        axes.tick_params(labelbottom=True)
    figure.legend(
        known.values(),
        known,
        loc="outside right center",
        frameon=False,
        fontsize=8,
        title="mean; dots: seeds",
        title_fontsize=8,
    )
    return figure


def style(number: int) -> dict[str, Any]:
    """Colour, marker and line style of the line with a number: 40 that differ."""
    color, marker = LOOKS[number % len(LOOKS)]
    dash = DASHES[number // len(LOOKS) % len(DASHES)]
    return {"color": color, "marker": marker, "linestyle": dash}


def narrower(number: int) -> dict[str, float]:
    """Widths that fall with a line's number: of lines on each other each is seen."""
    return {
        "linewidth": max(2.6 - 0.35 * number, 1.0),
        "markersize": max(6.5 - 0.5 * number, 4.0),
    }


def named(axes: Any, x: str, y: str, legend: str) -> Any:
    """Names axes and, at their right, where no line is, lines; gives the figure."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    axes.legend(frameon=False, title=legend, fontsize=8, title_fontsize=8, **place)
    axes.grid(alpha=0.25)
    return axes.figure


def at_the_edge(axes: Any, values: pd.Series, scale: Scale, color: str) -> None:
    """Keeps an axis to its scale; each outlier is an arrow at its edge and a number.

    ``values`` are those of one line by place. Nothing is done where nothing is cut off.
    """
    if not scale.cut:
        return
    ends = np.log10(scale[:2]) if scale.log else np.array(scale[:2])
    room = 0.08 * (ends[1] - ends[0])
    low, high = ends[0] - room, ends[1] + room
    axes.set_ylim((10**low, 10**high) if scale.log else (low, high))
    beyond = values[np.isfinite(values) & ~values.between(*scale[:2])]
    for place, value in beyond.items():
        up = value > scale.high
        axes.annotate(
            f"{'▲' if up else '▼'} {value:.3g}",
            (place, float(up)),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top" if up else "bottom",
            fontsize=7,
            color=color,
        )


def parts_of(rows: pd.DataFrame, line: str) -> list[tuple[Any, pd.DataFrame]]:
    """The rows of every line by name: arms as ``STYLES`` has them, others as found."""
    parts = dict(list(rows.groupby(line, sort=False)))
    names = dict.fromkeys((*STYLES, *parts))
    return [(name, parts[name]) for name in names if name in parts]


def _set_ticks(axes: Any, places: pd.Series, log: bool) -> None:
    """Puts a tick at every width, and at densities whose numbers have room."""
    ticks = sorted(set(places))
    if log:
        # Whole weights are not exactly the wanted share: 9.999% are 10%.
        places = places.map("{:.3g}".format).astype(float)
        axes.set_xscale("log")
        ticks = _apart(places)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _scale(rows: pd.DataFrame, column: str, may_be_cut: bool = True) -> Scale:
    values = rows[column].to_numpy(float)
    return scales.of(values, column != "test_accuracy", may_be_cut)


def _apart(places: pd.Series) -> list[float]:
    """Places at least an eighth of the axis apart, those of most networks first."""
    counts = places.value_counts().sort_index(ascending=False)
    least = 0.125 * np.log10(places.max() / places.min())
    kept: list[float] = []
    for place in counts.sort_values(ascending=False, kind="stable").index:
        if all(abs(np.log10(place / other)) >= least for other in kept):
            kept.append(place)
    return sorted(kept)


def layer_norms(measurements: pd.DataFrame, title: str) -> Any:
    """Each layer's masked gradient 2-norm along training of a cell, as a ``Figure``.

    It has a row of panels per arm, a column per width, and a line per layer, the mean
    over seeds.
    """
    widths = sorted(measurements["dense_width"].unique())
    figure = new_figure(2.2 * max(len(widths), 2) + 1.6, 4.8, title)
    grid = figure.subplots(
        len(STYLES), len(widths), sharex=True, sharey=True, squeeze=False
    )
    for row, arm in zip(grid, STYLES, strict=True):
        row[0].set_ylabel(f"{arm}\ngradient 2-norm")
        for axes, width in zip(row, widths, strict=True):
            chosen = (measurements["arm"] == arm) & (
                measurements["dense_width"] == width
            )
            _draw_layers(axes, measurements[chosen])
    for axes, width in zip(grid[0], widths, strict=True):
        axes.set_title(f"dense width {width}", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("Epoch")
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(),
        loc="outside right center",
        frameon=False,
        title="mean over seeds",
    )
    return figure


def _draw_layers(axes: Any, measurements: pd.DataFrame) -> None:
    """Draws every layer's norm along training, the mean over networks."""
    import matplotlib

    by_epoch = measurements.groupby("epoch")["layer_norms2"]
    means = by_epoch.apply(lambda norms: np.mean(np.stack(list(norms)), axis=0))
    norms = np.stack(list(means))
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, norms.shape[1]))
    for layer, (values, color) in enumerate(zip(norms.T, colors, strict=True), 1):
        name = f"layer {layer}"
        axes.plot(means.index, values, color=color, marker=".", label=name)
    if (norms > 0).any():
        # All nine ticks of a decade take a quarter of the time of the whole figure.
        axes.set_yscale("log", subs=(2, 5))
    axes.grid(alpha=0.25)


def new_figure(width: float, height: float, title: str) -> Any:
    """An empty Matplotlib ``Figure`` with a title, sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(escaped(textwrap.fill(title, int(11 * width))), fontsize=10)
    return figure


def escaped(name: Any) -> str:
    """A name as Matplotlib draws it, which takes what is between dollars for TeX."""
    return str(name).replace("$", r"\$")


def write(folder: pathlib.Path, name: str, figure: Any) -> bytes:
    """Writes a Matplotlib figure as PNG and SVG; returns the SVG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    # It is laid out by now, and once is enough.
    figure.set_layout_engine("none")
    files.write_bytes(folder / f"{name}.png", buffer.getvalue())
    files.write_bytes(folder / f"{name}.svg", drawn := svg(figure))
    return drawn


def svg(figure: Any, fonttype: str = "path") -> bytes:
    """A figure as SVG: equal figures give equal bytes.

    ``fonttype`` is Matplotlib's ``svg.fonttype``; ``"none"`` leaves texts to the
    reader's own font, in half of the bytes.
    """
    import matplotlib

    buffer = io.BytesIO()
    # Otherwise names inside of the file are random, and it has a date.
    with matplotlib.rc_context({"svg.fonttype": fonttype, "svg.hashsalt": "sparse_gf"}):
        figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None})
    return buffer.getvalue()


def over_seeds(rows: pd.DataFrame, column: str, *places: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds, one row per width, density or epoch."""
    finite = rows[column].where(np.isfinite(rows[column]))
    groups = finite.groupby([rows[place] for place in places or ("dense_width",)])
    # A diverged network leaves a gap: it must not be left out of a mean.
    whole = groups.count() == groups.size()
    return pd.DataFrame(
        {"mean": groups.mean().where(whole), "sd": groups.std(ddof=1).fillna(0)}
    )


def band(axes: Any, curve: pd.DataFrame, color: str, floor: Any = -np.inf) -> None:
    """Draws one standard deviation around the mean, nowhere below ``floor``."""
    lower = np.maximum(curve["mean"] - curve["sd"], floor)
    upper = curve["mean"] + curve["sd"]
    axes.fill_between(curve.index, lower, upper, color=color, alpha=0.15, linewidth=0)


def not_finite(values: pd.Series) -> str:
    """Says how many networks are not finite; empty if none is."""
    missing = int((~np.isfinite(values)).sum())
    if not missing:
        return ""
    whole = words.counted(len(values), "network")
    are = "is" if len(values) == 1 else "are"
    return f"{missing} of {whole} {are} not finite and not drawn"
