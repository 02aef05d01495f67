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
    over_seeds,
    parts_of,
)


def by_place(
    axis: Axis, rows: pd.DataFrame, title: str, drawn: Sequence[str]
) -> Markup:
    """Results of networks against their width or density, a chart for each column.

    Names of charts begin with the title.
    """
    rows = columns.in_percent(rows).assign(place=axis.factor * rows[axis.column])
    made, lines = [], []
    for column in drawn:
        lines = list(_by_place(axis, rows, column))
        name = f"{title}{columns.spoken(column)} by {_PLACES[axis]}"
        labels = Labels(name, axis.label, columns.heading(column))
        scale = scales.of(charts.values(lines), column != "test_accuracy")
        made.append(charts.chart(lines, labels, scale=scale, log_x=axis.log))
    shown = "mean ± sd" if len(lines) <= MAX_BANDED else "mean"
    key = charts.legend(lines, f"{shown} over seeds; small dots: networks")
    return charts.figure(made, f"By {_PLACES[axis]}", key)


_PLACES = {WIDTH: "dense width", DENSITY: "density"}


def _by_place(axis: Axis, rows: pd.DataFrame, column: str) -> Iterator[Line]:
    parts = parts_of(rows, axis.line)
    for number, (name, part) in enumerate(parts):
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
