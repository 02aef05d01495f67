"""What became of every published number, from comparisons written by hand."""

import dataclasses
import json
import math

import pandas as pd
import pytest

from sparse_gf import specs, stats
from sparse_gf.reporting import ledger
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.specs import CapacitySpec, OptimizerSpec
from sparse_gf.studies import published, tessera2021
from sparse_gf.studies import sweep as sweep_lib


def compared(p, effect=0.5):
    return Comparison(
        title="",
        table=pd.DataFrame(),
        wilcoxon=stats.Wilcoxon(p, 0.0, 15, 0, False, "exact", "wilcox"),
        rank_biserial=effect,
        difference=(0.0, 0.0, 0.0),
        num_diverged={"dense": 1, "sparse": 2},
        num_isolated=0.0,
        notes=(),
    )


def rows(spec, title, worst=(3.0, 3.0)):
    """Rows of one cell; EGF and the whole gradient rank its three networks.

    The loss is 1, 2, 3. EGF has another order where its worst network is not the third.
    """
    measures = {
        "gf1": (1.0, 3.0, 2.0),
        "gf2": (1.0, 2.0, 3.0),
        "egf1": (1.0, 2.0, worst[0]),
        "egf2": (1.0, 2.0, worst[1]),
    }
    return pd.DataFrame(
        {
            "dataset": spec.dataset,
            "dataset_title": title,
            "epochs": spec.epochs,
            "train_examples": spec.train_examples or 60_000,
            "test_examples": 10_000,
            "config_hash": spec.hash,
            "config": json.dumps(dataclasses.asdict(spec)),
            "arm": arm,
            "dense_width": number,
            "seed": 0,
            "test_loss": number + 1.0,
            "test_accuracy": -number - 1.0,
            **{name: values[number] for name, values in measures.items()},
        }
        for arm in ("sparse", "dense")
        for number in range(3)
    )


FASHION = CapacitySpec(dataset="fashion_mnist", epochs=500)
NO_ROWS = rows(FASHION, "").iloc[:0]


def sweep(study="table4", scale="small", **changes):
    return sweep_lib.expand({"study": study, "scale": scale, **changes})


def cell(asked, row, column):
    (found,) = (
        entry.cell
        for entry in asked.study.entries
        if (entry.row, entry.column) == (row, column)
    )
    return found


def line(entries, study, row, column, **where):
    """The only such line; None where a value is missing."""
    part = entries[entries["study"] == study]
    for name, value in {"row": row, "column": column, **where}.items():
        part = part[part[name] == value]
    (found,) = part.to_dict("records")
    return {name: None if pd.isna(value) else value for name, value in found.items()}


def of_tables(entries):
    """The lines about p-values and correlations."""
    return entries[entries["study"].isin([*tessera2021.TABLES, "table1"])]


@pytest.fixture(scope="module")
def nothing():
    """The ledger of an empty work directory."""
    return ledger.make([], {}, NO_ROWS)


def test_nothing_was_run(nothing):
    assert tuple(nothing.columns) == ledger.COLUMNS
    assert nothing["paper"].value_counts().to_dict() == {
        "tessera2021": 254 + 48 + len(published.facts()),
        "jaiswal2022": 201,
    }
    entries = of_tables(nothing)
    assert len(entries) == 254 + 48
    assert set(entries["status"]) == {"not run"}
    for column in ("value", "holm", "finding", "same_side", "rank_biserial", "low"):
        assert entries[column].isna().all()
    assert set(entries["scale"]) == {"paper"}
    assert set(entries["differences"]) == {""}
    assert dict(zip(entries["paper_dataset"], entries["epochs"], strict=True)) == {
        "Fashion-MNIST": 500,
        "CIFAR-10": 1000,
        "CIFAR-100": 1000,
    }
    assert entries["published"].notna().all()
    sizes = entries.groupby("paper_dataset")["train_examples"].unique().map(list)
    assert sizes.to_dict() == {
        "Fashion-MNIST": [60_000],
        "CIFAR-10": [50_000],
        "CIFAR-100": [50_000],
    }
    assert set(entries["test_examples"]) == {10_000}


def test_published_values_and_what_they_say(nothing):
    entries = nothing
    # Table 4 of the paper, Adam.
    published = {
        "NR": (0.17, "no difference"),
        "L2": (0.995, "dense better"),
        "DA": (0.088, "no difference"),
        "SC": (0.012, "sparse better"),
        "BN": (0.02, "sparse better"),
        "DA_SC_BN": (0.0, "sparse better"),
        "DA_L2_SC_BN": (0.076, "no difference"),
    }
    part = entries[(entries["study"] == "table4") & (entries["row"] == "Adam")]
    assert published == {
        column: (p, finding)
        for column, p, finding in zip(
            part["column"], part["published"], part["published_finding"], strict=True
        )
    }
    egf1 = line(entries, "table1", "CIFAR-10, EGF₁", "Dense, test accuracy")
    assert egf1["published"] == 0.252


def test_a_config_gives_its_cell_back():
    entries = ledger.make([sweep()], {}, NO_ROWS)
    part = entries[entries["study"].isin(tessera2021.TABLES)]
    for config, config_hash in zip(part["config"], part["config_hash"], strict=True):
        assert specs.from_config(json.loads(config))[0].hash == config_hash


@pytest.mark.parametrize(
    ("column", "p", "finding", "same_side", "same_finding"),
    [
        # Published: 0.17, 0.995, 0.088, 0.012, 0.02.
        ("NR", 0.3, "no difference", True, True),
        ("NR", 0.6, "no difference", False, True),
        ("NR", 0.049, "sparse better", True, False),
        ("L2", 0.04, "sparse better", False, False),
        ("L2", 0.951, "dense better", True, True),
        ("L2", 0.95, "no difference", True, False),
        ("DA", 0.5, "no difference", None, True),
        ("SC", math.nan, None, None, None),
        ("BN", 0.05, "no difference", True, False),
    ],
)
def test_agreement_by_hand(column, p, finding, same_side, same_finding):
    asked = sweep()
    comparisons = {cell(asked, "Adam", column).hash: compared(p, -0.25)}
    found = line(ledger.make([asked], comparisons, NO_ROWS), "table4", "Adam", column)
    assert found["status"] == "done"
    assert found["value"] == (None if math.isnan(p) else p)
    assert found["finding"] == finding
    assert found["same_side"] is same_side
    assert found["same_finding"] is same_finding
    assert found["rank_biserial"] == -0.25
    assert (found["num_pairs"], found["num_diverged"]) == (15, 3)


def test_holm_is_within_the_table():
    asked = sweep("table4"), sweep("table5a")
    comparisons = {
        cell(asked[0], "Adam", "NR").hash: compared(0.01),
        cell(asked[0], "Adam", "L2").hash: compared(0.03),
        cell(asked[1], "Adam", "NR").hash: compared(0.02),
    }
    entries = ledger.make(asked, comparisons, NO_ROWS)
    holm = {
        place: line(entries, *place)["holm"]
        for place in (
            ("table4", "Adam", "NR"),
            ("table4", "Adam", "L2"),
            ("table5a", "Adam", "NR"),
        )
    }
    assert list(holm.values()) == pytest.approx([0.02, 0.03, 0.02])


def test_the_setting_is_told():
    asked = sweep(epochs=7)
    spec = cell(asked, "Adam", "NR")
    title = "Fashion-MNIST, 5,120 of 60,000 training images"
    comparisons = {spec.hash: compared(0.3)}
    entries = ledger.make([asked], comparisons, rows(spec, title))
    done, waiting = (line(entries, "table4", "Adam", c) for c in ("NR", "L2"))
    assert done["config_hash"] == spec.hash
    assert done["dataset"] == title
    assert (waiting["status"], waiting["dataset"]) == ("not run", "Fashion-MNIST")
    for found in (done, waiting):
        assert found["scale"] == "small"
        assert (found["epochs"], found["train_examples"]) == (7, 2000)
        assert found["test_examples"] == 10_000
        assert found["differences"] == (
            "image_size 14, not 0; train_examples 2000, not all; epochs 7, not 500; "
            "max_width 200, not 0; dense_widths 40, 80, 120, 160, 180, not 79, 236, "
            "394, 552, 709"
        )


def test_another_data_set_is_told():
    found = line(ledger.make([sweep("table3a")], {}, NO_ROWS), "table3a", "Adam", "NR")
    assert found["paper_dataset"] == "CIFAR-100"
    # Fashion-MNIST stands for it at small scale.
    assert found["dataset"] == "Fashion-MNIST"
    assert found["differences"].startswith("dataset Fashion-MNIST, not CIFAR-100; ")


def test_each_setting_that_was_asked_for_has_a_line():
    only = {"optimizer": ("adam",)}
    # The first and the last are of the same setting.
    asked = sweep(only=only), sweep(epochs=7), sweep()
    entries = ledger.make(asked, {}, NO_ROWS)
    part = entries[entries["study"] == "table4"]
    assert part.groupby(["row", "column"]).size().unique().tolist() == [2]
    assert sorted(part["epochs"].unique()) == [7, 500]


def test_a_cell_that_was_not_asked_for_has_the_papers_own_line():
    asked = sweep(only={"optimizer": ("adam",), "variant": ("NR",)})
    entries = ledger.make([asked], {}, NO_ROWS)
    assert len(of_tables(entries)) == 254 + 48
    assert line(entries, "table4", "Adam", "NR")["scale"] == "small"
    other = line(entries, "table4", "Adagrad", "NR")
    assert (other["scale"], other["epochs"]) == ("paper", 500)


def test_cells_of_other_tables_that_are_done_with_it_are_found():
    """Digits stand for all data sets at this scale: Table 5a's cells are in 3a."""
    asked = sweep("table3a", "smoke", only={"variant": ("NR",)})
    comparisons = {cell(asked, "Adam", "NR").hash: compared(0.3)}
    entries = ledger.make([asked], comparisons, NO_ROWS)
    found = line(entries, "table5a", "Adam", "NR")
    assert (found["status"], found["scale"]) == ("done", "smoke")


def test_cells_at_the_papers_scale_are_found_whoever_asked():
    own = sweep(scale="paper")
    spec = cell(own, "Adam", "NR")
    entries = ledger.make([sweep()], {spec.hash: compared(0.3)}, NO_ROWS)
    found = line(entries, "table4", "Adam", "NR", scale="paper")
    assert found["status"] == "done"
    assert found["differences"] == ""
    assert line(entries, "table4", "Adam", "NR", scale="small")["status"] == "not run"


def test_finished_cells_are_found_without_the_record_of_their_sweep():
    spec = cell(sweep(), "Adam", "NR")
    entries = ledger.make([], {spec.hash: compared(0.3)}, NO_ROWS)
    found = line(entries, "table4", "Adam", "NR")
    assert (found["status"], found["scale"]) == ("done", "small")
    assert line(entries, "table4", "Adam", "L2")["scale"] == "paper"


def test_a_grid_is_no_setting_of_a_study():
    grid = {"dataset": ("fashion_mnist",), "variant": ("NR",)}
    asked = sweep_lib.expand({"grid": grid, "epochs": 5})
    (spec,) = asked.study.cells
    assert spec == cell(sweep(scale="paper", epochs=5), "Adam", "NR")
    entries = ledger.make([asked], {spec.hash: compared(0.3)}, NO_ROWS)
    assert line(entries, "table4", "Adam", "NR")["status"] == "not run"


def test_settings_that_a_table_does_not_allow_are_left_out():
    # CIFAR has no 60,000 training images. At small scale Fashion-MNIST stands for
    # CIFAR-100, so that cells of Table 4 are cells of other tables too.
    entries = ledger.make([sweep(train_examples=60_000)], {}, NO_ROWS)
    scales = entries[entries["study"].isin(tessera2021.TABLES)].groupby("study")[
        "scale"
    ]
    assert {study: set(found) for study, found in scales} == {
        study: {"small"}
        if study == "table4"
        else {"paper", "small"}
        if study in ("table3a", "table6a", "table6b")
        else {"paper"}
        for study in tessera2021.TABLES
    }


def test_table_1_and_the_sides_of_effective_gradient_flow():
    # tau of EGF_1 is 1, of ||g||_1 1/3; of EGF_2 1/3, of ||g||_2 1.
    frame = rows(FASHION, "Fashion-MNIST", worst=(3.0, 1.5))
    entries = ledger.make([], {}, frame)
    found = {
        (measure, column): line(entries, "table1", f"Fashion-MNIST, {measure}", column)
        for measure in ("‖g‖₁", "EGF₁", "EGF₂")
        for column in ("Sparse, test loss", "Dense, test loss")
    }
    egf1 = found["EGF₁", "Sparse, test loss"]
    assert egf1["status"] == "done"
    assert egf1["value"] == pytest.approx(1)
    assert egf1["low"] is None
    assert (egf1["published"], egf1["num_cells"]) == (0.419, 1)
    assert egf1["num_without_tau"] == 0
    # Trained as in the paper, but Table 1 is over all cells of its tables.
    assert egf1["scale"] is None
    assert egf1["differences"] == "1 of the 21 cells of its tables"
    # The paper: 0.419 against 0.355.
    assert egf1["same_side"] is True
    # 0.365 against 0.365: no side.
    assert found["EGF₁", "Dense, test loss"]["same_side"] is None
    # 0.36 against 0.282.
    assert found["EGF₂", "Sparse, test loss"]["same_side"] is False
    assert found["‖g‖₁", "Sparse, test loss"]["same_side"] is None
    others = of_tables(entries)
    cifar = others[others["paper_dataset"].str.startswith("CIFAR")]
    assert set(cifar["status"]) == {"not run"}


def test_table_1_has_a_line_per_group_of_cells():
    small = dataclasses.replace(FASHION, epochs=5)
    others = [
        dataclasses.replace(small, optimizer=OptimizerSpec(learning_rate=rate))
        for rate in (0.1, 0.2)
    ]
    frame = pd.concat([rows(spec, "Fashion-MNIST") for spec in (FASHION, *others)])
    entries = ledger.make([], {}, frame)
    part = entries[entries["study"] == "table1"]
    assert len(part) == 48 + 16
    found = line(part, "table1", "Fashion-MNIST, EGF₁", "Sparse, test loss", epochs=5)
    assert found["num_cells"] == 2
    # Both cells have the same tau.
    assert (found["low"], found["high"]) == pytest.approx((1, 1))
    assert found["scale"] is None
    assert found["differences"].startswith("epochs 5, not 500; 0 of the 21 cells")


def test_digits_say_nothing_about_table_1():
    frame = rows(CapacitySpec(), "Digits")
    entries = ledger.make([], {}, frame)
    assert set(entries["status"]) == {"not run", "protocol"}


def test_the_ledger_can_be_read_again(tmp_path):
    asked = sweep()
    comparisons = {cell(asked, "Adam", "NR").hash: compared(0.3)}
    entries = ledger.make([asked], comparisons, rows(FASHION, "Fashion-MNIST"))
    entries.to_csv(tmp_path / "ledger.csv", index=False)
    again = pd.read_csv(
        tmp_path / "ledger.csv", dtype=entries.dtypes.to_dict(), keep_default_na=True
    )
    assert list(again.columns) == list(entries.columns)
    for column in ("value", "published", "same_side", "num_pairs", "epochs"):
        pd.testing.assert_series_equal(again[column], entries[column])


def test_summary_by_hand():
    asked = sweep()
    title = "Fashion-MNIST, 5,120 of 60,000 training images"
    spec = cell(asked, "Adam", "NR")
    comparisons = {
        spec.hash: compared(0.3),  # Published 0.17: both agree.
        cell(asked, "Adam", "L2").hash: compared(0.04),  # 0.995: neither.
        cell(asked, "Adam", "DA").hash: compared(0.5),  # 0.088: the finding.
    }
    entries = ledger.make([asked], comparisons, rows(spec, title))
    found = ledger.summary(entries)
    table4 = found[found["study"] == "table4"].to_dict("records")
    # One line, whatever the data of cells that were not run are called.
    assert [
        {name: counts[name] for name in list(counts)[:-1]} for counts in table4
    ] == [
        {
            "study": "table4",
            "scale": "small",
            "trained_on": f"{title} and Fashion-MNIST",
            "numbers": 21,
            "done": 3,
            "not_run": 18,
            "same_side": "1 of 2",
            "same_finding": "2 of 3",
        }
    ]
    (table5c,) = found[found["study"] == "table5c"].to_dict("records")
    assert (table5c["numbers"], table5c["done"], table5c["same_side"]) == (8, 0, "")
    assert found["numbers"].sum() == len(entries)
