"""The studies of the paper, against counts and values read off its tables."""

import collections
import csv
import pathlib

import pytest

from sparse_gf.core.errors import UserError
from sparse_gf.specs import OptimizerSpec
from sparse_gf.studies import tessera2021

# Rows x columns, as the paper's tables are printed.
SIZES = {
    "table3a": (5, 8),
    "table3b": (5, 6),
    "table3c": (5, 6),
    "table4": (3, 7),
    "table5a": (5, 5),
    "table5b": (5, 4),
    "table5c": (2, 4),
    "table6a": (5, 10),
    "table6b": (5, 6),
}


def networks(cells):
    return sum(2 * len(cell.dense_widths) * len(cell.seeds) for cell in cells)


@pytest.mark.parametrize("name", tessera2021.TABLES)
def test_a_table_is_a_full_grid_of_distinct_cells(name):
    study = tessera2021.study(name)
    places = {(entry.row, entry.column) for entry in study.entries}
    rows, columns = SIZES[name]
    assert len({row for row, _ in places}) == rows
    assert len({column for _, column in places}) == columns
    assert len(places) == len(study.entries) == len(study.cells) == rows * columns


def test_every_published_value_is_in_one_place():
    path = (
        pathlib.Path(tessera2021.__file__).parents[1]
        / "published"
        / "wilcoxon_p_values.csv"
    )
    with path.open() as lines:
        values = sorted(float(row["p_value"]) for row in csv.DictReader(lines))
    entries = [
        e for name in tessera2021.TABLES for e in tessera2021.study(name).entries
    ]
    assert len(values) == 254
    assert sorted(entry.published for entry in entries) == values


@pytest.mark.parametrize(
    ("table", "row", "column", "published", "fields"),
    [
        ("table4", "Mom (0.9)", "BN", 0.0, "fashion_mnist BN relu 500"),
        ("table6a", "SGD", "DA_L2_SC_BN", 0.004, "cifar100 DA_L2_SC_BN relu 1000"),
        ("table5c", "Adam", "SReLU", 0.006, "cifar10 DA_SC_BN srelu 1000"),
        ("table3c", "SGD", "ELU", 0.056, "cifar100 DA_L2_SC_BN elu 1000"),
        ("table3c", "RMSProp", "Swish", 0.167, "cifar100 DA_SC_BN swish 1000"),
    ],
)
def test_entries_read_off_the_paper(table, row, column, published, fields):
    found = [
        e
        for e in tessera2021.study(table).entries
        if (e.row, e.column) == (row, column)
    ]
    assert [entry.published for entry in found] == [published]
    cell = found[0].cell
    assert cell.hidden_layers == 4
    words = (cell.dataset, cell.variant, cell.activation, str(cell.epochs))
    assert fields.split() == list(words)


def test_learning_rates_of_the_tables():
    rates = {
        name: {cell.optimizer.learning_rate for cell in tessera2021.study(name).cells}
        for name in tessera2021.TABLES
    }
    high = {name for name, found in rates.items() if found == {0.1}}
    assert high == {"table3b", "table3c", "table5b"}
    assert all(found in ({0.1}, {0.001}) for found in rates.values())


def test_the_relu_column_of_table_3c_is_the_best_variant_of_table_3b():
    """The published values say so: equal p-values, equal cells."""
    variants = {
        (e.row, e.cell): e.published for e in tessera2021.study("table3b").entries
    }
    relu = [e for e in tessera2021.study("table3c").entries if e.column == "ReLU"]
    assert len(relu) == 5
    for entry in relu:
        assert variants[entry.row, entry.cell] == entry.published


def test_the_size_of_the_whole_grid():
    """Over 600 networks on Fashion-MNIST, over 10,000 on CIFAR."""
    by_dataset = collections.defaultdict(list)
    for cell in tessera2021.study("table2").cells:
        by_dataset[cell.dataset].append(cell)
    assert networks(by_dataset["fashion_mnist"]) == 3 * 7 * 30 == 630
    cifar = by_dataset["cifar10"] + by_dataset["cifar100"]
    # CIFAR-10: 5a, 5b and 5c share none, 25 + 20 + 8. CIFAR-100: 6a's 50 hold 3a's 40;
    # 3b has 30; 3c and 6b add 25 each, for their ReLU columns are in 3b and in 6a.
    assert len(cifar) == 3 * (53 + 50 + 30 + 25 + 25)
    assert networks(cifar) == 16470 > 10_000


def test_shared_cells_are_equal_and_counted_once():
    assert set(tessera2021.study("table3a").cells) < set(
        tessera2021.study("table6a").cells
    )
    assert tessera2021.study("figure2").cells == tessera2021.study("table3a").cells
    assert len(tessera2021.study("table1").cells) == 21 + 183
    assert set(tessera2021.study("table1").cells) < set(
        tessera2021.study("table2").cells
    )


@pytest.mark.parametrize("scale", tessera2021.SCALES)
@pytest.mark.parametrize("name", tessera2021.STUDIES)
def test_every_study_expands_at_every_scale(name, scale):
    study = tessera2021.study(name, scale)
    assert study.entries
    datasets = {cell.dataset for cell in study.cells}
    if scale == "smoke":
        assert datasets == {"digits"}
    if scale == "small":
        assert datasets <= {"fashion_mnist", "cifar10"}
        assert all(cell.epochs < 100 for cell in study.cells)


def test_every_figure_of_multilayer_perceptrons_has_a_study():
    numbers = {
        int(n.removeprefix("figure")) for n in tessera2021.STUDIES if "figure" in n
    }
    assert numbers == {2, 3, *range(8, 14), *range(15, 24)}


def test_figure_23_compares_decoupled_decay_with_l2():
    cells = {
        e.column: e.cell for e in tessera2021.study("figure23").entries if e.row == "BN"
    }
    assert cells["AdamW"].optimizer == OptimizerSpec("adamw", 0.1)
    assert cells["AdamW"].optimizer.decay > 0
    assert cells["AdamW"].variant == "BN"
    assert cells["Adam + L2"].variant == "L2_BN"
    assert cells["Adam + L2"].optimizer.decay == 0


def test_published_correlations():
    found = {(c.dataset, c.measure): c.values for c in tessera2021.correlations()}
    assert len(found) == 12
    assert found["cifar10", "egf2"]["sparse", "test_loss"] == 0.451
    assert found["fashion_mnist", "gf2"]["dense", "test_accuracy"] == 0.329
    assert found["cifar100", "gf1"]["dense", "test_loss"] == 0.325


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match=r"study is 'table7'.*table3a"):
        tessera2021.study("table7")
    with pytest.raises(UserError, match="Did you mean 'smoke'"):
        tessera2021.study("table4", "smok")
