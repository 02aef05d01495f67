"""Charts of networks on the page: by width, by density, and over epochs."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from sparse_gf.reporting import charts, columns, scales
from sparse_gf.reporting.charts import Labels, Line
from sparse_gf.reporting.figures import (
    DENSITY,
    MAX_BANDED,
    WIDTH,
    Axis,
    has_panels,
    over_seeds,
    parts_of,
)


def under_masks(rows: pd.DataFrame, title: str, drawn: Sequence[str]) -> list[Markup]:
    """Results of networks against density; of many kinds, a figure for each mask.

    For ``rows`` see ``densities.with_lines``, for the rest ``by_place``.
    """
    if not has_panels(rows):
        return [by_place(DENSITY, rows, title, drawn)]
    axis = DENSITY._replace(line="beside_mask")
    names = list(rows[axis.line].unique())
    return [
        by_place(axis, part, f"{title}{mask}, ", drawn, f"{mask}, by density", names)
        for mask, part in rows.groupby("mask_line", sort=False)
    ]


def by_place(
    axis: Axis,
    rows: pd.DataFrame,
    title: str,
    drawn: Sequence[str],
    heading: str = "",
    names: Sequence[str] = (),
) -> Markup:
    """Results of networks against their width or density, a chart for each column.

    Names of charts begin with the title. ``names`` are of the lines that have a look of
    their own in several figures; left out, of those that are here.
    """
    rows = columns.in_percent(rows).assign(place=axis.factor * rows[axis.column])
    made, lines = [], []
    for column in drawn:
        lines = list(_by_place(axis, rows, column, names))
        name = f"{title}{columns.spoken(column)} by {_PLACES[axis.column]}"
        labels = Labels(name, axis.label, columns.heading(column))
        scale = scales.of(charts.values(lines), column != "test_accuracy")
        made.append(charts.chart(lines, labels, scale=scale, log_x=axis.log))
    shown = "mean ± sd" if len(lines) <= MAX_BANDED else "mean"
    key = charts.legend(lines, f"{shown} over seeds; small dots: networks")
    return charts.figure(made, heading or f"By {_PLACES[axis.column]}", key)


_PLACES = {"dense_width": "dense width", "density": "density"}


def _by_place(
    axis: Axis, rows: pd.DataFrame, column: str, names: Sequence[str]
) -> Iterator[Line]:
    parts = parts_of(rows, axis.line)
    names = names or [name for name, _ in parts]
    for name, part in parts:
        number = names.index(name)
        curve = over_seeds(part, column, "place")
        look, marker, dashed = charts.look(number)
        if name in charts.ARMS:
            look, marker, dashed = name, charts.ARMS[name][0], int(name == "dense")
        yield Line(
            name=str(name),
            look=look,
            curve=curve["mean"],
            marker=marker,
            dashed=dashed,
            sd=curve["sd"] if len(parts) <= MAX_BANDED else None,
            dots=part.set_index("place")[column],
        )


def over_epochs(axis: Axis, measured: pd.DataFrame, drawn: Sequence[str]) -> Markup:
    """What was measured of a cell in training, a line per arm and width, or density."""
    measured = columns.in_percent(measured)
    made, key = [], Markup("")
    for column in drawn:
        lines = list(_OVER_EPOCHS[axis](measured, column))
        labels = Labels(
            f"{columns.spoken(column)} over epochs", "Epoch", columns.heading(column)
        )
        # A first epoch is far from the others, and no outlier.
        values = charts.values(lines)
        scale = scales.of(values, column != "test_accuracy", may_be_cut=False)
        made.append(charts.chart(lines, labels, scale=scale))
        whole = [line for line in lines if line.opacity == 1]
        named = [line._replace(name=line.name.partition(",")[0]) for line in whole]
        note = "mean over seeds" + "; fainter: narrower" * (len(named) < len(lines))
        key = charts.legend(named, note)
    return charts.figure(made, "Over epochs", key)


def _arms_over_epochs(measured: pd.DataFrame, column: str) -> Iterator[Line]:
    widths = sorted(measured["dense_width"].unique())
    faint = np.linspace(1, 0.35, len(widths))[::-1]
    curves = over_seeds(measured, column, "arm", "dense_width", "epoch")["mean"]
    for arm in columns.ARMS:
        for width, opacity in zip(widths, faint, strict=True):
            name, dashed = f"{arm}, width {width}", int(arm == "dense")
            curve = curves[arm, width]
            yield Line(name, arm, curve, None, dashed, opacity=float(opacity))


def _densities_over_epochs(measured: pd.DataFrame, column: str) -> Iterator[Line]:
    parts = measured.groupby("density", sort=True)
    for number, (density, part) in enumerate(parts):
        curve = over_seeds(part, column, "epoch")["mean"]
        look, marker, dashed = charts.look(number)
        yield Line(f"{100 * density:.3g}% of weights", look, curve, marker, dashed)


_OVER_EPOCHS = {WIDTH: _arms_over_epochs, DENSITY: _densities_over_epochs}
