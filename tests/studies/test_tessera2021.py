"""The studies of the paper, against counts and values read off its tables."""

import collections

import pytest

from sparse_gf import data, studies
from sparse_gf.specs import OptimizerSpec
from sparse_gf.studies import published, tessera2021

STUDIES = tuple(tessera2021.PAPER.studies)

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
    study = studies.get(name)
    places = {(entry.row, entry.column) for entry in study.entries}
    rows, columns = SIZES[name]
    assert len({row for row, _ in places}) == rows
    assert len({column for _, column in places}) == columns
    assert len(places) == len(study.entries) == len(study.cells) == rows * columns


def test_every_published_value_is_in_one_place():
    values = sorted(number.value for number in published.p_values())
    entries = [e for name in tessera2021.TABLES for e in studies.get(name).entries]
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
        e for e in studies.get(table).entries if (e.row, e.column) == (row, column)
    ]
    assert [entry.published for entry in found] == [published]
    cell = found[0].cell
    assert cell.hidden_layers == 4
    words = (cell.dataset, cell.variant, cell.activation, str(cell.epochs))
    assert fields.split() == list(words)


def test_learning_rates_of_the_tables():
    rates = {
        name: {cell.optimizer.learning_rate for cell in studies.get(name).cells}
        for name in tessera2021.TABLES
    }
    high = {name for name, found in rates.items() if found == {0.1}}
    assert high == {"table3b", "table3c", "table5b"}
    assert all(found in ({0.1}, {0.001}) for found in rates.values())


def test_the_relu_column_of_table_3c_is_the_best_variant_of_table_3b():
    """The published values say so: equal p-values, equal cells."""
    variants = {(e.row, e.cell): e.published for e in studies.get("table3b").entries}
    relu = [e for e in studies.get("table3c").entries if e.column == "ReLU"]
    assert len(relu) == 5
    for entry in relu:
        assert variants[entry.row, entry.cell] == entry.published


def test_the_size_of_the_whole_grid():
    """Over 600 networks on Fashion-MNIST, over 10,000 on CIFAR."""
    by_dataset = collections.defaultdict(list)
    for cell in studies.get("table2").cells:
        by_dataset[cell.dataset].append(cell)
    assert networks(by_dataset["fashion_mnist"]) == 3 * 7 * 30 == 630
    cifar = by_dataset["cifar10"] + by_dataset["cifar100"]
    # CIFAR-10: 5a, 5b and 5c share none, 25 + 20 + 8. CIFAR-100: 6a's 50 hold 3a's 40;
    # 3b has 30; 3c and 6b add 25 each, for their ReLU columns are in 3b and in 6a.
    assert len(cifar) == 3 * (53 + 50 + 30 + 25 + 25)
    assert networks(cifar) == 16470 > 10_000


def test_shared_cells_are_equal_and_counted_once():
    assert set(studies.get("table3a").cells) < set(studies.get("table6a").cells)
    assert studies.get("figure2").cells == studies.get("table3a").cells
    assert len(studies.get("table1").cells) == 21 + 183
    assert set(studies.get("table1").cells) < set(studies.get("table2").cells)


@pytest.mark.parametrize("scale", studies.SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_expands_at_every_scale(name, scale):
    study = studies.get(name, scale)
    assert study.entries
    if "hidden_layers" not in vars(study.cells[0]):
        return
    datasets = {cell.dataset for cell in study.cells}
    if scale == "smoke":
        assert datasets == {"digits"}
    if scale == "small":
        assert datasets <= {"fashion_mnist", "cifar10"}
        assert all(cell.epochs < 100 for cell in study.cells)


def test_every_figure_that_needs_training_has_a_study():
    numbers = {int(n.removeprefix("figure")) for n in STUDIES if "figure" in n}
    # 1, 6 and 7 are drawings, 14 is of functions.
    assert numbers == {2, 3, 4, 5, *range(8, 14), *range(15, 25)}


def test_figure_23_compares_decoupled_decay_with_l2():
    cells = {e.column: e.cell for e in studies.get("figure23").entries if e.row == "BN"}
    assert cells["AdamW"].optimizer == OptimizerSpec("adamw", 0.1)
    assert cells["AdamW"].optimizer.decay > 0
    assert cells["AdamW"].variant == "BN"
    assert cells["Adam + L2"].variant == "L2_BN"
    assert cells["Adam + L2"].optimizer.decay == 0


def test_the_papers_wide_resnets():
    """Section 4.2, with the protocol of Zagoruyko and Komodakis (section 3.4)."""
    for name, lines in {"figure4": 6, "figure5": 6, "figure24": 7}.items():
        cells = studies.get(name).cells
        assert len(cells) == lines
        for cell in cells:
            assert (cell.dataset, cell.model) == ("cifar100", "wrn_28_10")
            assert (cell.epochs, cell.batch_size) == (200, 128)
            assert cell.mask.density[0] == 1.0
            assert cell.mask.density[-1] == 0.01
            schedule = cell.learning_rate_schedule()
            factors = [float(schedule(e)) for e in (60, 61, 120, 121, 160, 161)]
            expected = [1, 0.2, 0.2, 0.04, 0.04, 0.008]
            assert factors == pytest.approx(expected)
            assert cell.l2 in (0.0, 5e-4)
    magnitude = studies.get("figure5").cells[0]
    assert magnitude.pruning().epoch == 100
    assert {c.activation for c in studies.get("figure24").cells} == {"swish"}


def test_data_sets_of_wide_resnets_are_known():
    for name in ("figure4", "figure5", "figure24", "masks"):
        for scale in ("paper", "small"):
            for cell in studies.get(name, scale).cells:
                assert cell.info == data.info(cell.dataset)
