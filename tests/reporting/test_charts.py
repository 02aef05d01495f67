"""Charts of the page, and the scales of their axes."""

import numpy as np
import pandas as pd
import pytest
from markup import parsed

from sparse_gf.reporting import cell_charts, charts, columns, scales
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting.charts import Labels, Line

TEN = [90.0, 91, 92, 93, 94, 95, 96, 97, 98, 99]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (0, 1, False, False)),
        ([np.nan, np.inf, 3.0], (3, 3, False, False)),
        (TEN, (90, 99, False, False)),
        # One of eleven flattens ten; two of twelve are no exception.
        ([*TEN, 10.0], (90, 99, False, True)),
        ([*TEN, 10.0, 11.0], (10, 99, False, False)),
        # Few values have no outliers.
        ([90.0, 91.0, 10.0], (10, 91, False, False)),
        # Zeros have no place on decades.
        ([0.0, 1e-3, 1e-2, 1.0], (1e-3, 1, True, False)),
        ([1.0, 10.0, 100.0], (1, 100, False, False)),
    ],
)
def test_scales_by_hand(values, expected):
    assert scales.of(np.array(values)) == pytest.approx(expected)


def test_accuracy_is_never_logarithmic_and_epochs_have_no_outliers():
    assert not scales.of(np.array([0.01, 1, 90.0]), may_be_log=False).log
    assert not scales.of(np.array([*TEN, 10.0]), may_be_cut=False).cut


def drawn(curve, **options):
    line = Line("a <b>", "k0", pd.Series(curve), **options)
    scale = scales.of(charts.values([line]))
    return charts.chart([line], Labels("t", "x", "y"), scale=scale)


def test_a_line_has_its_values_a_gap_and_what_is_beyond():
    found = drawn({1: 1.5, 2: np.nan, 3: 2.5, 4: 3.5})
    root = parsed(found)
    assert root.find(".//title").text == "a <b> — 1: 1.5, 3: 2.5, 4: 3.5"
    (path,) = (p.get("d") for p in root.iter("path") if p.get("class") == "line")
    # As many places as values: after the gap it begins anew.
    assert [part.count(",") for part in path.split("M")] == [0, 1, 2]
    assert len(list(root.iter("use"))) == 3
    outlier = drawn(dict(enumerate([*TEN, 10.0])))
    assert "▼ 10" in outlier
    assert "▲" not in outlier


def test_thirty_lines_look_different():
    assert len({charts.look(number) for number in range(30)}) == 30
    styles = [tuple(map(str, plots.style(n).values())) for n in range(40)]
    assert len(set(styles)) == 40


def test_curves_over_epochs_are_of_arms_by_width_and_of_densities():
    places = [
        (arm, w, e) for arm in ("sparse", "dense") for w in (7, 20) for e in (1, 5)
    ]
    frame = pd.DataFrame(places, columns=["arm", "dense_width", "epoch"])
    frame = frame.assign(test_accuracy=0.5, egf2=np.arange(8.0), density=0.05)
    by_width = cell_charts.over_epochs(plots.WIDTH, frame, columns.DRAWN)
    assert by_width.count('<svg class="chart"') == 2
    assert "<title>dense, width 20 — 1: 6, 5: 7</title>" in by_width
    by_density = cell_charts.over_epochs(plots.DENSITY, frame, columns.DRAWN)
    assert "<title>5% of weights — 1: 3, 5: 4</title>" in by_density
