"""Charts of a study on the page: many small ones with one legend."""

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from sparse_gf.reporting import charts, columns, panels
from sparse_gf.reporting.charts import Labels, Line
from sparse_gf.reporting.figures import LOOKS, MAX_BANDED

_SIZES = {True: (430, 230), False: (236, 190)}
"""Of a panel, where there are at most two beside each other, and of more."""


def figure(rows: pd.DataFrame, measures: Sequence[str], caption: str) -> Markup:
    """Results of both arms against dense width; see ``panels.arrange``."""
    arranged, numbers = panels.arrange(rows, measures)
    wide = len(arranged[0]) <= 2
    drawn = [_panel(own, numbers, _SIZES[wide]) for row in arranged for own in row]
    few = len(numbers) <= MAX_BANDED
    key = charts.legend(_named(numbers), "mean ± sd over seeds" if few else "")
    return charts.figure(drawn, caption, key, 0 if wide else len(arranged[0]))


def _panel(
    panel: panels.Panel, numbers: dict[str, int], size: tuple[int, int]
) -> Markup:
    lines = [
        Line(
            name=f"{name}, {arm}",
            look=charts.look(numbers[name])[0],
            curve=curve["mean"],
            marker=numbers[name],
            dashed=int(arm == "dense"),
            sd=curve["sd"] if len(numbers) <= MAX_BANDED else None,
        )
        for (name, arm), curve in panel.curves.items()
    ]
    measure = columns.heading(panel.measure)
    labels = Labels(f"{panel.name}: {measure} by dense width", "Dense width", measure)
    drawn = charts.chart(lines, labels, scale=panel.scale, size=size)
    notes = Markup("<br>").join(panel.notes)
    return Markup("<div><b>{}</b>{}<small>{}</small></div>").format(
        panel.name, drawn, notes
    )


def _named(numbers: dict[str, int]) -> list[Line]:
    nothing = pd.Series(dtype=float)
    grey = [Line(arm, "grey", nothing, 0, int(arm == "dense")) for arm in columns.ARMS]
    return grey + [
        Line(str(name), f"k{number}", nothing, number % len(LOOKS))
        for name, number in numbers.items()
    ]
