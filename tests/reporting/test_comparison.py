"""Tables and figures, from rows written by hand."""

import importlib.util
import json

import pandas as pd
import pytest

from sparse_gf import results, specs
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import cell_folder, render
from sparse_gf.reporting import comparison as comparison_lib
from sparse_gf.reporting import figures as plots
from sparse_gf.specs import CapacitySpec, RunSpec

CELL = 4 * "abc"

ACCURACY = {
    # Right answers of 100, per (width, seed): sparse, dense.
    (7, 0): (50, 40),
    (7, 1): (54, 44),
    (20, 0): (90, 91),
    (20, 1): (92, 92),
}


def rows(**changes):
    shared = {
        "kind": "capacity",
        "dataset": "digits",
        "dataset_title": "Digits",
        "hidden_layers": 1,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "variant": "DA_SC",
        "activation": "relu",
        "epochs": 5,
        "test_examples": 100,
        "config": json.dumps(specs.to_config(CapacitySpec(epochs=5), RunSpec())),
        "config_hash": CELL,
        "diverged": False,
    }
    found = [
        shared
        | {
            "arm": arm,
            "dense_width": width,
            "seed": seed,
            "num_active": 10 * width,
            "isolated_units": 3 if arm == "sparse" else 0,
            "test_accuracy": correct / 100,
            "egf2": 0.1 * (seed + 1),
            "measurements": [
                {"epoch": epoch, "layer_norms2": [0.1, 0.2]} for epoch in (1, 5)
            ],
        }
        | changes
        for (width, seed), pair in ACCURACY.items()
        for arm, correct in zip(("sparse", "dense"), pair, strict=True)
    ]
    return found


def test_comparison_by_hand():
    comparison = comparison_lib.compare(pd.DataFrame(rows()))
    table = comparison.table
    assert list(table["dense_width"]) == [7, 20]
    assert list(table["num_active"]) == [70, 200]
    # Mean and standard deviation (n - 1) of 50, 54 and of 40, 44.
    assert table["sparse_accuracy"].iloc[0] == "52.00±2.83"
    assert table["dense_accuracy"].iloc[0] == "42.00±2.83"
    assert table["sparse_egf2"].iloc[0] == "0.15±0.07"
    # Differences +10, +10, -1, 0: the zero is dropped, ranks 2.5, 2.5, 1. Of the
    # eight sign patterns W+ >= 5 in two: (+, +, -) and (+, +, +).
    assert comparison.wilcoxon.statistic == 5
    assert comparison.wilcoxon.p_value == pytest.approx(2 / 8)
    assert comparison.wilcoxon.num_zeros == 1
    assert comparison.wilcoxon.has_ties
    assert comparison.rank_biserial == pytest.approx((5 - 1) / 6)
    assert comparison.difference[0] == pytest.approx((10 + 10 - 1 + 0) / 4)
    assert comparison.num_isolated == 3


def test_rounding_errors_of_shares_do_not_break_ties():
    """0.3 - 0.2 and 0.2 - 0.1 differ in binary; ten answers are ten answers."""
    frame = pd.DataFrame(rows())
    frame["test_accuracy"] = [0.3, 0.2, 0.2, 0.1, 0.5, 0.6, 0.7, 0.7]
    assert comparison_lib.compare(frame).wilcoxon.has_ties


def test_markdown_says_what_was_tested_and_what_changes_nothing():
    text = render.markdown(comparison_lib.compare(pd.DataFrame(rows())).layout())
    assert "| 7 | 70 | 52.00±2.83 | 42.00±2.83 |" in text
    assert "p = 0.25 (exact, 4 pairs, mid-ranks for ties, 1 zero dropped)" in text
    assert "SC changes nothing with one hidden layer" in text
    assert "DA crops digits but does not flip them" in text
    assert "Diverged networks: 0 dense, 0 sparse" in text


def test_written_report_has_every_file_and_its_config_gives_the_cell_back(tmp_path):
    results.prepare(tmp_path)
    results.write_cell(tmp_path, CELL, rows(), 1.5)
    frame = results.read(tmp_path, CELL)
    folder = cell_folder.write(tmp_path, cell_folder.look(frame), frame)
    names = {"table.md", "config.py"}
    for figure in ("accuracy", "egf2", "layer_norms"):
        names |= {f"{figure}.png", f"{figure}.svg"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(path.stat().st_size > 100 for path in folder.iterdir())
    spec = importlib.util.spec_from_file_location("cell", folder / "config.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert specs.from_config(module.get_config()) == (CapacitySpec(epochs=5), RunSpec())


@pytest.mark.parametrize(
    "config", ['{"a=print(1), b": 1}', '{"epochs)\\n": 1}', "[1]", "not json", "null"]
)
def test_no_config_file_is_made_of_what_is_no_config(config):
    """A key becomes part of a program."""
    with pytest.raises(UserError):
        cell_folder.config_file(config)


def test_what_is_in_a_config_file_is_text(tmp_path):
    nasty = 3 * "'" + 3 * '"' + "\\\n$(x)"
    made = cell_folder.config_file(json.dumps({"data_dir": nasty, "mask": {nasty: 1}}))
    names = {}
    exec(made, names)
    assert names["get_config"]().data_dir == nasty


@pytest.mark.parametrize("name", ["$x^$", "a $ b", "$$", "\\$", "$\\frac$"])
def test_dollars_in_names_are_drawn(name):
    frame = pd.DataFrame(rows()).assign(line=name, density=0.1)
    figure = plots.against(plots.DENSITY, frame, "test_accuracy", f"title {name}")
    figure.draw_without_rendering()
    assert figure.get_suptitle().replace(r"\$", "$") == f"title {name}"


def test_figures_draw_the_means_of_both_arms():
    frame = pd.DataFrame(rows())
    figure = plots.against(plots.WIDTH, frame, "test_accuracy", "title")
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["sparse"].get_xdata()) == [7, 20]
    assert figure.axes[0].get_title() == ""
    assert list(lines["sparse"].get_ydata()) == pytest.approx([52, 91])
    assert list(lines["dense"].get_ydata()) == pytest.approx([42, 91.5])


def test_layer_norms_have_a_panel_per_arm_and_width_and_a_line_per_layer():
    long = pd.DataFrame(
        [
            {"arm": row["arm"], "dense_width": row["dense_width"]} | measurement
            for row in rows()
            for measurement in row["measurements"]
        ]
    )
    figure = plots.layer_norms(long, "title")
    assert len(figure.axes) == 2 * 2
    for axes in figure.axes:
        assert [list(line.get_ydata()) for line in axes.get_lines()] == [
            [0.1, 0.1],
            [0.2, 0.2],
        ]


def test_a_diverged_network_shows_in_the_means():
    frame = pd.DataFrame(rows())
    frame.loc[0, "egf2"] = float("nan")
    frame.loc[0, "diverged"] = True
    comparison = comparison_lib.compare(frame)
    assert frame.loc[0, "arm"] == "sparse"
    assert comparison.table["sparse_egf2"].iloc[0] == "nan±nan"
    assert comparison.num_diverged == {"dense": 0, "sparse": 1}


def test_the_test_is_the_one_asked_for():
    comparison = comparison_lib.compare(pd.DataFrame(rows()), "asymptotic", "pratt")
    assert comparison.wilcoxon.method == "asymptotic"
    assert "1 zero ranked, then dropped" in comparison.lines()[0]


def test_figures_say_what_they_cannot_draw():
    frame = pd.DataFrame(rows())
    frame["egf2"] = float("nan")
    (axes,) = plots.against(plots.WIDTH, frame, "egf2", "title").axes
    assert axes.get_title() == "8 of 8 networks are not finite and not drawn"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[:-1], "the dense network of dense width 20 and seed 1"),
        (lambda found: [*found, found[0]], "is twice"),
        (lambda found: [r for r in found if r["arm"] == "dense"], "the sparse network"),
    ],
)
def test_networks_without_a_partner_are_named(change, message):
    with pytest.raises(UserError, match=message):
        comparison_lib.compare(pd.DataFrame(change(rows())))
