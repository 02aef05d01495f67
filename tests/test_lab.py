"""Comparisons and sweeps from Python, as a notebook would have them."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import sparse_gf as sg
from sparse_gf import lab, stats
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import engines
from sparse_gf.lab import train
from sparse_gf.specs import CapacitySpec, RunSpec

SMALL = {
    "dataset": "digits",
    "hidden_layers": 1,
    "dense_widths": (8, 16),
    "seeds": (0, 1),
    "epochs": 1,
    "measurements": 1,
    "train_examples": 64,
    "batch_size": 32,
}


@pytest.fixture(scope="module")
def shares():
    return []


@pytest.fixture(scope="module")
def found(tmp_path_factory, shares):
    grid = SMALL | {"variant": ("NR", "L2")}
    workdir = tmp_path_factory.mktemp("lab") / "new"
    made = sg.sweep(grid, workdir, progress=lambda share, _: shares.append(share))
    assert (workdir / "networks.parquet").exists()
    return made, workdir, grid


def test_a_sweep_gives_what_was_found_and_prints_nothing(found, shares, capsys):
    made, _, _ = found
    assert capsys.readouterr() == ("", "")
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    assert list(made.networks.groupby("variant").size()) == [8, 8]
    assert len(made.measurements) == 16
    assert repr(made) == "Results of 2 cells, 16 networks"


def test_p_values_are_those_of_the_networks(found):
    frame = found[0].p_values()
    assert list(frame["variant"]) == ["NR", "L2"]
    for cell, line in frame.iterrows():
        rows = found[0].of(config_hash=cell).networks.sort_values("seed")
        arms = [
            rows[rows["arm"] == arm].sort_values(["dense_width", "seed"])
            for arm in ("sparse", "dense")
        ]
        sparse, dense = (arm["test_accuracy"].to_numpy() for arm in arms)
        assert line["p"] == stats.wilcoxon_greater(sparse, dense).p_value
        np.testing.assert_allclose(line["difference"], 100 * np.mean(sparse - dense))
        assert line["low"] <= line["difference"] <= line["high"]
    np.testing.assert_array_equal(frame["holm"], stats.holm(frame["p"]))


def test_a_table_for_a_paper_and_rows_for_anything(found, tmp_path):
    text = found[0].to_latex()
    assert (
        text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    )
    assert "NR & " in text
    assert "L2 & " in text
    path = tmp_path / "rows.csv"
    assert found[0].to_csv(path) == path.read_text()
    rows = pd.read_csv(io.StringIO(path.read_text()))
    counts = rows["layer_num_active"].map(json.loads)
    assert list(counts.map(sum)) == list(rows["num_active"])
    assert json.loads(rows["layers"][0]) == ["Dense_0/kernel", "Dense_1/kernel"]


def test_plots_go_into_axes_that_are_given(found):
    one = found[0].of(variant="L2")
    axes = Figure().subplots()
    axes.set_title("mine")
    assert one.plot("egf2", ax=axes) is axes
    assert axes.get_title() == "mine"
    assert [line.get_label() for line in axes.lines[::2]] == ["sparse", "dense"]
    with pytest.raises(UserError, match="several cells"):
        found[0].plot()
    with pytest.raises(UserError, match="column is 'loss'"):
        one.plot("loss")


def test_finished_cells_are_read_and_not_trained_again(found, monkeypatch):
    _, workdir, grid = found
    monkeypatch.setitem(engines.ENGINES, "local", None)
    again = sg.sweep(grid, workdir)
    pd.testing.assert_frame_equal(again.networks, found[0].networks)
    pd.testing.assert_frame_equal(
        lab.read(workdir).p_values().sort_index(), again.p_values().sort_index()
    )
    one = sg.compare(SMALL, workdir)
    assert len(one.networks) == 8


def test_what_fails_is_said_beside_what_was_found(found, monkeypatch):
    _, workdir, grid = found

    def fail(cells, options, folder, watch):
        for cell in cells:
            watch.fail(cell, UserError("no memory"))

    monkeypatch.setitem(engines.ENGINES, "local", fail)
    made = sg.sweep(grid | {"variant": ("NR", "BN")}, workdir)
    assert list(made.networks["variant"].unique()) == ["NR"]
    ((_, reason),) = made.failed.items()
    assert "no memory" in reason
    with pytest.raises(errors.Failed, match="no memory"):
        sg.sweep([CapacitySpec(**SMALL, variant="SC")], workdir)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sg.compare({"epocs": 1}), "epocs"),
        (lambda: sg.compare(SMALL, progress="loud"), "progress is 'loud'"),
        (lambda: sg.sweep({"variant": ("NR",), "epocs": 1}, "w"), "epocs"),
        (lambda: sg.sweep([1], "w"), r"grid is \[1\]"),
        (lambda: sg.sweep({"variant": "XX"}, "w"), "XX"),
        (lambda: lab.read("/nowhere"), "/nowhere"),
    ],
)
def test_mistakes_are_said_before_anything_is_trained(call, message, tmp_path):
    with pytest.raises(UserError, match=message):
        call()


@pytest.fixture(scope="module")
def many(found):
    """Rows of four variants, whose accuracies are known."""
    rows = found[0].of(variant="NR").networks
    parts = [
        rows.assign(variant=name, test_accuracy=rows["test_accuracy"] + shift)
        for name, shift in (("NR", 0.0), ("BN", 0.3), ("L2", 0.1), ("SC", 0.2))
    ]
    return lab.Results(pd.concat(parts, ignore_index=True), found[0].measurements)


def test_methods_are_ranked_over_widths_and_seeds(many):
    ranks = many.ranks("variant")
    assert ranks.mean == {"BN": 1, "SC": 2, "L2": 3, "NR": 4}
    assert ranks.num_blocks == 4
    means = many.interquartile_means("variant", arm="dense")
    differences = means["value"] - means["value"]["NR"]
    np.testing.assert_allclose(differences[["BN", "L2", "SC"]], [0.3, 0.1, 0.2])
    assert (means["low"] <= means["high"]).all()
    axes = many.plot_ranks("variant")
    shown = " ".join(text.get_text() for text in axes.texts)
    assert "BN  1.00" in shown
    assert "critical difference 2.35" in shown
    with pytest.raises(UserError, match="1 methods; it needs three"):
        many.ranks("activation")


def test_what_is_measured_can_end_the_training(tmp_path):
    told = []

    def measured(epoch, networks):
        told.append((epoch, {(own["arm"], own["seed"]) for own in networks}))
        assert all(own["egf2"] > 0 for own in networks)
        raise StopIteration(epoch)

    asked = SMALL | {"epochs": 2, "measurements": 2}
    with pytest.raises(StopIteration):
        sg.compare(asked, tmp_path, measured=measured)
    assert told == [
        (1, {(arm, seed) for arm in ("sparse", "dense") for seed in (0, 1)})
    ]
    assert not any((tmp_path / "cells").glob("*.parquet"))


def test_a_finished_cell_says_what_it_did_not_keep(found):
    _, workdir, grid = found
    options = RunSpec(save_masks=True, save_networks="measured", log="tensorboard")
    # Logs are made of the rows.
    wanted = "keep masks, networks, which only.*removing .*parquet"
    with pytest.warns(UserWarning, match=f"2 finished cells did not {wanted}"):
        sg.sweep(grid, workdir, options=options)
    with pytest.warns(UserWarning, match=f"1 finished cell did not {wanted}"):
        sg.compare(SMALL, workdir, options=options)


def test_a_bar_is_printed_where_one_is_asked_for(capsys):
    pytest.importorskip("tqdm")
    with train._monitor("tqdm") as monitor:
        monitor.progress(0.5, "half")
    assert re.search(r"50%\|.*\| half", capsys.readouterr().err)
    with train._monitor(None) as monitor:
        monitor.progress(0.5, "half")
    assert capsys.readouterr() == ("", "")
