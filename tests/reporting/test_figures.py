"""Figures of many cells, from rows written by hand."""

import itertools

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from sparse_gf import activations
from sparse_gf.reporting import cell_charts, functions, panels
from sparse_gf.reporting import figures as plots

WIDTHS = (7, 20)
CELLS = [("sgd", "NR"), ("sgd", "L2"), ("adam", "NR"), ("adam", "L2")]


def rows(cells=CELLS):
    """Two seeds of two widths: a cell's EGF_2 is 1 to 8 times its place in the list."""
    found = [
        {"optimizer": optimizer, "variant": variant, "arm": arm}
        | {"dense_width": width, "seed": seed}
        for optimizer, variant in cells
        for arm in ("sparse", "dense")
        for width in WIDTHS
        for seed in (0, 1)
    ]
    frame = pd.DataFrame(found)
    place = 1 + np.arange(len(frame)) // 8
    egf2 = place * (1.0 + np.arange(len(frame)) % 8)
    return frame.assign(test_accuracy=0.5 + egf2 / 100, egf2=egf2)


def against(axis, frame, column="egf2"):
    (axes,) = plots.against(axis, frame, column, "title").axes
    return axes


def test_width_and_density_are_drawn_alike():
    """The same networks once as arms by width, once as kinds of masks by density."""
    frame = rows(CELLS[:1])
    frame["line"] = frame["arm"].map({"sparse": "snip", "dense": "grasp"})
    frame["density"] = frame["dense_width"] / 100
    width = against(plots.WIDTH, frame, "test_accuracy")
    density = against(plots.DENSITY, frame, "test_accuracy")
    for axes, names in ((width, ("sparse", "dense")), (density, ("snip", "grasp"))):
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert list(lines[names[0]].get_xdata()) == pytest.approx([7, 20])
        assert list(lines[names[0]].get_ydata()) == pytest.approx([51.5, 53.5])
        assert list(lines[names[1]].get_ydata()) == pytest.approx([55.5, 57.5])
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["7", "20"]
        assert axes.get_ylabel() == "Test accuracy %"
        # Two lines are few: each has a band, and a dot for every network.
        assert len(axes.collections) == 2
        dots = [line for line in axes.get_lines() if line.get_linestyle() == "None"]
        assert [len(line.get_xdata()) for line in dots] == [4, 4]
    assert (width.get_xscale(), density.get_xscale()) == ("linear", "log")
    assert against(plots.WIDTH, frame).get_ylabel() == "EGF$_2$, mean over training"


def test_densities_that_differ_by_a_weight_have_one_tick():
    frame = rows(CELLS[:1]).assign(line="snip")
    frame["density"] = frame["seed"].map({0: 0.09999, 1: 0.1})
    axes = against(plots.DENSITY, frame)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10"]


def test_many_kinds_of_masks_have_no_bands():
    many = pd.concat(
        [rows(CELLS[:1]).assign(line=str(i), density=0.1) for i in range(5)]
    )
    axes = against(plots.DENSITY, many)
    assert not axes.collections
    assert axes.get_legend().get_title().get_text() == "mean; dots: seeds"


def of_many_masks(densities=(0.02, 0.05, 0.1)):
    """Five tweaks under two masks, and one that one mask alone has."""
    kinds = [(m, t) for m in ("random", "snip") for t in "abcde"] + [("snip", "f")]
    return pd.concat(
        rows(CELLS[:1]).assign(
            line=f"{mask}, {tweak}",
            mask_line=mask,
            beside_mask=tweak,
            density=density,
        )
        for mask, tweak in kinds
        for density in densities
    )


def test_many_kinds_of_masks_have_a_panel_each_and_one_readable_legend():
    frame = of_many_masks()
    frame.loc[frame["mask_line"] == "snip", "egf2"] *= 1000
    [(name, figure)] = plots.of_columns(plots.DENSITY, frame, ["egf2"], "title")
    figure.draw_without_rendering()
    random, snip = figure.axes
    assert (name, random.get_title(), snip.get_title()) == ("egf2", "random", "snip")
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list("abcdef")
    # Whole and beside the panels, which every measured network is in.
    box = legend.get_window_extent()
    assert figure.bbox.contains(*box.min)
    assert figure.bbox.contains(*box.max)
    assert box.x0 > snip.get_window_extent().x1
    assert random.get_ylim() == snip.get_ylim()
    low, high = snip.get_ylim()
    assert low < frame["egf2"].min() < frame["egf2"].max() < high
    # A line has one look in both panels.
    colors = [
        {line.get_label(): line.get_color() for line in axes.get_lines()}
        for axes in (random, snip)
    ]
    assert all(colors[0][tweak] == colors[1][tweak] for tweak in "abcde")


def test_few_kinds_of_masks_are_in_one_panel():
    frame = of_many_masks()
    frame = frame[frame["mask_line"] == "snip"]
    [(_, figure)] = plots.of_columns(plots.DENSITY, frame, ["egf2"], "title")
    assert len(figure.axes) == 1


def test_many_masks_that_differ_in_nothing_else_are_compared_in_one_panel():
    frame = pd.concat(
        rows(CELLS[:1]).assign(line=mask, mask_line=mask, beside_mask="", density=0.1)
        for mask in "abcdefghijklm"
    )
    [(_, figure)] = plots.of_columns(plots.DENSITY, frame, ["egf2"], "title")
    [axes] = figure.axes
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == list("abcdefghijklm")
    assert len(cell_charts.under_masks(frame, "", ["egf2"])) == 1


def test_densities_whose_numbers_would_touch_have_no_tick():
    """Rounds of a search leave 80, 64, 51.2 % ...; those of most networks stay."""
    rounds = [0.8**i for i in range(1, 18)]
    frame = of_many_masks([*rounds, 0.02, 0.05, 0.1, 0.02, 0.05, 0.1])
    axes = against(plots.DENSITY, frame[frame["mask_line"] == "snip"])
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert {"2", "5", "10"} <= {text.get_text() for text in axes.get_xticklabels()}


def draw(frame, *measures):
    placed = frame.assign(row=frame["optimizer"], column=frame["variant"])
    return panels.draw(placed, measures, "title")


def curves(axes):
    """The drawn means by colour and line style."""
    return {
        (to_hex(line.get_color()), line.get_linestyle()): list(line.get_ydata())
        for line in axes.get_lines()
    }


def names(figure):
    """What stands above the columns of panels."""
    return [axes.texts[-1].get_text() for axes in figure.axes if axes.texts]


FIRST, SECOND = (color for color, _ in plots.LOOKS[:2])


def test_panels_draw_the_means_of_every_line_and_arm():
    figure = draw(rows(), "test_accuracy", "egf2")
    assert len(figure.axes) == 2 * 2
    assert names(figure) == ["sgd", "adam"]
    # In order of appearance, not of the alphabet: NR is the first colour.
    assert curves(figure.axes[2]) == {
        (FIRST, "-"): [1.5, 3.5],
        (FIRST, "--"): [5.5, 7.5],
        (SECOND, "-"): [3, 7],
        (SECOND, "--"): [11, 15],
    }
    assert curves(figure.axes[1])[SECOND, "--"] == pytest.approx([50 + 22, 50 + 30])
    assert all(
        list(line.get_xdata()) == [7, 20]
        for axes in figure.axes
        for line in axes.get_lines()
    )
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "Test accuracy %",
        "",
        "EGF$_2$",
        "",
    ]
    assert figure.axes[2].get_xlabel() == "Dense width"


def test_arms_differ_in_markers_and_the_legend_names_everything_once():
    figure = draw(rows(), "egf2")
    faces = {
        line.get_linestyle(): line.get_markerfacecolor()
        for line in figure.axes[0].get_lines()
    }
    assert faces["--"] == "white"
    assert faces["-"] != "white"
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["sparse", "dense", "NR", "L2"]


def test_few_lines_have_bands_of_one_standard_deviation_and_many_have_none():
    axes = draw(rows(), "egf2").axes[0]
    assert len(axes.collections) == 4
    # Sparse NR at width 7: 1 and 2, with a standard deviation of sqrt(1/2).
    heights = axes.collections[0].get_paths()[0].vertices
    at_7 = heights[heights[:, 0] == 7][:, 1]
    assert at_7.min() == pytest.approx(1.5 - 0.5**0.5)
    assert at_7.max() == pytest.approx(1.5 + 0.5**0.5)
    many = rows([("sgd", str(i)) for i in range(plots.MAX_BANDED + 1)])
    assert not draw(many, "egf2").axes[0].collections


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_that_is_not_finite_is_a_gap_and_counted(value):
    frame = rows()
    # One of the two seeds of sparse NR at width 20.
    frame.loc[2, "egf2"] = value
    sgd, adam = draw(frame, "egf2").axes
    np.testing.assert_array_equal(curves(sgd)[FIRST, "-"], [1.5, np.nan])
    note = sgd.get_title().replace("\n", " ")
    assert note == "1 of 16 networks are not finite and not drawn"
    assert adam.get_title() == ""


def test_a_panel_without_finite_values_says_so():
    frame = rows()
    frame.loc[frame["optimizer"] == "sgd", "egf2"] = np.nan
    sgd, adam = draw(frame, "egf2").axes
    assert "no finite mean" in [text.get_text() for text in sgd.texts]
    assert "no finite mean" not in [text.get_text() for text in adam.texts]
    assert "16 of 16" in sgd.get_title()


def test_a_missing_combination_is_absent_and_keeps_the_colours_of_the_others():
    sgd, adam = draw(rows([CELLS[0], CELLS[1], CELLS[3]]), "egf2").axes
    assert len(sgd.get_lines()) == 4
    assert {color for color, _ in curves(adam)} == {SECOND}


def test_a_gradient_flow_over_more_than_two_decades_is_logarithmic():
    frame = rows()
    assert {axes.get_yscale() for axes in draw(frame, "egf2").axes} == {"linear"}
    frame.loc[frame["variant"] == "L2", ["egf2", "test_accuracy"]] /= 1000
    figure = draw(frame, "test_accuracy", "egf2")
    scales = [axes.get_yscale() for axes in figure.axes]
    assert scales == ["linear", "linear", "log", "log"]
    # All that is drawn is inside of the axes that the panels share.
    drawn = [y for axes in figure.axes[2:] for ys in curves(axes).values() for y in ys]
    for axes in figure.axes[2:]:
        bottom, top = axes.get_ylim()
        assert bottom < min(drawn)
        assert max(drawn) < top
        # Where values stand follows from the scale: a decade has one height.
        heights = axes.transData.transform([(7, 0.01), (7, 0.1), (7, 1)])[:, 1]
        assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1])


def test_means_of_zero_on_a_logarithmic_axis_are_gaps_and_counted():
    frame = rows()
    frame.loc[frame["variant"] == "L2", "egf2"] /= 1000
    frame.loc[[0, 1], "egf2"] = 0
    sgd, adam = draw(frame, "egf2").axes
    np.testing.assert_array_equal(curves(sgd)[FIRST, "-"], [np.nan, 3.5])
    assert sgd.get_title() == "means of 0, not drawn: 1"
    assert adam.get_title() == ""


def test_panels_share_an_axis_unless_one_of_them_would_be_flat():
    sgd, adam = draw(rows(), "egf2").axes
    assert sgd.get_ylim() == adam.get_ylim()
    frame = rows()
    frame.loc[frame["optimizer"] == "sgd", "egf2"] /= 50
    sgd, adam = draw(frame, "egf2").axes
    assert sgd.get_ylim()[1] < 1 < adam.get_ylim()[1]


def test_ten_lines_can_be_told_apart_and_more_are_refused():
    ten = rows([("sgd", str(i)) for i in range(10)])
    axes = draw(ten, "egf2").axes[0]
    looks = {(line.get_color(), line.get_marker()) for line in axes.get_lines()}
    assert len(looks) == 10
    with pytest.raises(ValueError, match="11 lines"):
        draw(rows([("sgd", str(i)) for i in range(11)]), "egf2")


def test_cells_that_would_be_averaged_in_silence_are_refused():
    with pytest.raises(ValueError, match="same row and column"):
        draw(rows([CELLS[0], CELLS[0]]), "egf2")


def at(line, x):
    """What a line has at x."""
    xs, ys = line.get_data()
    return ys[np.argmin(np.abs(np.asarray(xs) - x))]


def test_activation_functions_and_derivatives_at_points_by_hand():
    left, right = functions.activation_functions().axes
    values, derivatives = (
        {line.get_label().split(" ")[0]: line for line in axes.get_lines()}
        for axes in (left, right)
    )
    assert list(values) == list(derivatives) == list(functions.ACTIVATIONS.values())
    for name, x, value, derivative in [
        ("ReLU", -2, 0, 0),
        ("ReLU", 2, 2, 1),
        ("PReLU", -2, -0.5, 0.25),
        ("PReLU", 2, 2, 1),
        ("ELU", -1, np.exp(-1) - 1, np.exp(-1)),
        ("Swish", 0, 0, 0.5),
        ("SReLU", -2, -0.4, 0.2),
        ("SReLU", 0.5, 0.5, 1),
        ("SReLU", 2, 2, 1),
        ("Sigmoid", 0, 0.5, 0.25),
    ]:
        assert at(values[name], x) == pytest.approx(value, abs=1e-5), (name, x)
        assert at(derivatives[name], x) == pytest.approx(derivative, abs=1e-5), name
    labels = [line.get_label() for line in left.get_lines()]
    assert "PReLU (slope = 0.25)" in labels
    assert "SReLU (t_right = 1, a_right = 1, t_left = 0, a_left = 0.2)" in labels


def test_figure_14_has_the_papers_six_functions_and_swish_alone_falls():
    """Table 2 names them; caption: of these Swish alone has negative derivatives."""
    named = {"ReLU", "PReLU", "ELU", "Swish", "SReLU", "Sigmoid"}
    _, right = functions.activation_functions().axes
    falls = {
        line.get_label().split(" ")[0]: np.nanmin(line.get_ydata()) < 0
        for line in right.get_lines()
    }
    assert falls == {name: name == "Swish" for name in named}


def test_soft_neurons_at_points_by_hand():
    left, right = functions.soft_neurons().axes
    values, derivatives = (
        {line.get_label(): line for line in axes.get_lines()} for axes in (left, right)
    )
    betas = {f"PSwish, $\\beta$ = {beta}": beta for beta in (1, 2, 5, 10, 100)}
    assert set(values) == set(derivatives) == {"Swish", "ReLU", *betas}
    # sigmoid(2) = 0.880797, and its derivative there 0.104994.
    for name, x, value, derivative in [
        ("ReLU", -2, 0, 0),
        ("ReLU", 2, 2, 1),
        ("Swish", 0, 0, 0.5),
        ("Swish", 2, 2 * 0.880797, 0.880797 + 2 * 0.104994),
        ("PSwish, $\\beta$ = 2", 1, 0.880797, 0.880797 + 2 * 0.104994),
        ("PSwish, $\\beta$ = 2", -1, -0.119203, 0.119203 - 2 * 0.104994),
        ("PSwish, $\\beta$ = 100", 2, 2, 1),
        ("PSwish, $\\beta$ = 100", 0, 0, 0.5),
    ]:
        assert at(values[name], x) == pytest.approx(value, abs=1e-5), (name, x)
        assert at(derivatives[name], x) == pytest.approx(derivative, abs=1e-5), name
    for name, beta in betas.items():
        x, y = values[name].get_data()
        ours = activations.pswish(jnp.asarray(x, jnp.float32), beta)
        np.testing.assert_allclose(y, ours, atol=1e-5)
        numeric = np.gradient(y, x)
        drawn = derivatives[name].get_ydata()
        np.testing.assert_allclose(drawn, numeric, atol=2e-6 * beta**2 + 1e-3)
        gap = np.abs(np.maximum(x, 0) - y).max()
        assert gap == pytest.approx(0.2785 / beta, rel=0.01)


def test_derivatives_jump_where_they_are_not_continuous():
    _, right = functions.activation_functions().axes
    gaps = {
        line.get_label().split(" ")[0]: np.asarray(line.get_xdata())[
            np.isnan(line.get_ydata())
        ]
        for line in right.get_lines()
    }
    for name, where in gaps.items():
        if name in ("ReLU", "PReLU", "SReLU"):
            assert where == pytest.approx([0], abs=0.011), name
        else:
            assert len(where) == 0, name


def test_equal_figures_are_equal_bytes():
    one, other = (
        plots.svg(plots.against(plots.WIDTH, rows(), "egf2", "t")) for _ in "ab"
    )
    assert one == other
