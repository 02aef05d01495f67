"""The studies of the paper, against counts and values read off its tables."""

import collections

import pytest

from sparse_gf import studies
from sparse_gf.specs import OptimizerSpec
from sparse_gf.studies import published, tessera2021
from sparse_gf.studies import sweep as sweep_lib

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
    """Section 3.3: 600 networks on Fashion-MNIST, over 10,000 on CIFAR."""
    by_dataset = collections.defaultdict(list)
    for cell in studies.get("table2").cells:
        by_dataset[cell.dataset].append(cell)
    # Table 4 alone has 21 cells of 30 networks.
    assert networks(by_dataset["fashion_mnist"]) == 3 * 7 * 30 == 630
    cifar = by_dataset["cifar10"] + by_dataset["cifar100"]
    # CIFAR-10: 5a, 5b and 5c share none, 25 + 20 + 8. CIFAR-100: 6a's 50 hold 3a's 40;
    # 3b has 30; 3c and 6b add 25 each, for their ReLU columns are in 3b and in 6a.
    assert len(cifar) == 3 * (53 + 50 + 30 + 25 + 25)
    assert networks(cifar) == 16470 > 10_000
    assert {cell.hidden_layers for cell in cifar} == {1, 2, 4}


def test_shared_cells_are_equal_and_counted_once():
    assert set(studies.get("table3a").cells) < set(studies.get("table6a").cells)
    assert len(studies.get("table1").cells) == 21 + 183
    assert set(studies.get("table1").cells) < set(studies.get("table2").cells)


@pytest.mark.parametrize("name", STUDIES)
def test_small_is_the_whole_protocol_on_reduced_images(name):
    study = studies.get(name, "small")
    for cell in study.cells:
        place = (cell.dataset, cell.image_size)
        assert place in (("fashion_mnist", 14), ("cifar10", 8))
        assert 2000 <= cell.train_examples <= 4000
        assert (cell.test_examples, cell.probe_size, cell.measurements) == (0, 0, 11)
        assert cell.seeds == (0, 1, 2)
        if cell.kind == "capacity":
            assert (cell.epochs, cell.max_width) == (500, 200)
            assert cell.dense_widths == (40, 80, 120, 160, 180)
        else:
            assert cell.epochs == 200
    # Places that the paper's data sets tell apart may be of one cell.
    assert len(study.entries) == len(studies.get(name).entries) or name in (
        "table1",
        "table2",
    )


@pytest.mark.parametrize("name", STUDIES)
def test_smoke_needs_no_files(name):
    for cell in studies.get(name, "smoke").cells:
        assert cell.dataset == "digits"


def test_every_figure_that_needs_training_has_a_study():
    numbers = {int(n.removeprefix("figure")) for n in STUDIES if "figure" in n}
    # 1, 6 and 7 are drawings, 14 is of functions.
    assert numbers == {2, 3, 4, 5, *range(8, 14), *range(15, 25)}


CAPTIONS = {
    "figure2": "cifar100, 0.001 0.1, regularization",
    "figure3": "cifar100, 0.001, activations",
    **dict.fromkeys(("figure8", "figure9", "figure10"), "cifar100, 0.001, unsaid"),
    **dict.fromkeys(("figure11", "figure12", "figure13"), "cifar100, 0.1, unsaid"),
    "figure15": "fashion_mnist, 0.001, regularization",
    "figure16": "cifar10, 0.001, regularization",
    "figure17": "cifar10, 0.1, regularization",
    "figure18": "cifar10, 0.001, activations",
    "figure19": "cifar100, 0.001, regularization",
    "figure20": "cifar100, 0.001, activations",
    "figure21": "cifar100, 0.1, regularization",
    "figure22": "cifar100, 0.1, activations",
    "figure23": "cifar100, 0.1, regularization",
}
"""What the captions say: data set, learning rates, and what is varied. Of appendix B's
they say no more than the first two."""


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions_of_comparisons(name):
    dataset, rates, varied = CAPTIONS[name].split(", ")
    cells = studies.get(name).cells
    assert {cell.dataset for cell in cells} == {dataset}
    assert {f"{cell.optimizer.learning_rate:g}" for cell in cells} == {*rates.split()}
    if varied == "regularization":
        assert {cell.activation for cell in cells} == {"relu"}
    if varied == "activations":
        assert len({cell.activation for cell in cells}) >= 4
    depths = {1, 2, 4} if name == "figure19" else {4}
    assert {cell.hidden_layers for cell in cells} == depths


def test_what_figures_draw():
    """Appendix B: EGF_1 in Figures 8 and 11, ||g||_1 in 9 and 12, ||g||_2 in 10, 13."""
    drawn = {name: studies.get(name).measures for name in STUDIES}
    for measure, names in {
        "egf1": ("figure8", "figure11"),
        "gf1": ("figure9", "figure12"),
        "gf2": ("figure10", "figure13"),
        "test_accuracy": ("figure4",),
        "egf2": ("figure24",),
    }.items():
        for name in names:
            assert drawn[name] == (measure,)
    for name in ("figure2", "figure3", "figure5", "figure16", "figure19", "figure23"):
        assert drawn[name] == ("test_accuracy", "egf2")


def test_figures_8_to_13_are_of_the_regularizations_of_figures_19_and_21():
    low = {cell for cell in studies.get("figure19").cells if cell.hidden_layers == 4}
    for name in ("figure8", "figure9", "figure10"):
        assert set(studies.get(name).cells) == low
    for name in ("figure11", "figure12", "figure13"):
        assert set(studies.get(name).cells) == set(studies.get("figure21").cells)


def by_place(name, scale="paper"):
    return {(e.row, e.column): e.cell for e in studies.get(name, scale).entries}


def test_figure_2_has_both_rates_and_l2_with_batchnorm():
    """Section 4.1.2 reads L2_BN and DA_L2_SC_BN off parts c and d, and off b."""
    places = by_place("figure2")
    for rate in ("0.001", "0.1"):
        for variant in ("BN", "L2_BN", "DA_BN", "DA_SC_BN", "DA_L2_SC_BN"):
            cell = places[f"Adam, {rate}", variant]
            assert cell.variant == variant
            assert cell.optimizer == OptimizerSpec("adam", float(rate))
    # Without BatchNorm only at the low rate, as Table 3.
    assert ("Adam, 0.001", "NR") in places
    assert ("Adam, 0.1", "NR") not in places


def test_figures_19_and_21_have_all_optimizers_of_figure_2():
    low = {cell for cell in studies.get("figure19").cells if cell.hidden_layers == 4}
    high = set(studies.get("figure21").cells)
    assert low | high == set(studies.get("figure2").cells)


def test_figures_20_and_22_have_all_of_figure_3():
    """Figure 3's caption names the low rate, and Figure 20 as its whole."""
    assert studies.get("figure3").cells == studies.get("figure20").cells
    assert studies.get("figure3").cells == studies.get("table6b").cells


def test_figure_19_has_every_regularization_at_three_depths():
    places = by_place("figure19")
    assert len(places) == 3 * 5 * 10
    variants = {column for _, column in places}
    assert variants == {entry.column for entry in studies.get("table6a").entries}
    assert places["Adam, 1 hidden layer", "SC_BN"].hidden_layers == 1
    printed = [
        e.row for e in studies.get("figure19").entries if e.published is not None
    ]
    assert len(printed) == 50
    assert all(row.endswith("4 hidden layers") for row in printed)


def test_figure_16_may_be_read_at_another_depth():
    asked = {"study": "figure16", "hidden_layers": 2}
    cells = sweep_lib.expand(asked).study.cells
    assert {cell.hidden_layers for cell in cells} == {2}
    assert set(cells) < set(studies.get("table2").cells)


def test_figure_23_compares_decoupled_decay_with_l2_of_the_same_strength():
    """Section 3.2 names one strength, 1e-4; PyTorch's default for AdamW is 0.01."""
    places = by_place("figure23")
    assert {row for row, _ in places} == {"BN", "DA_SC_BN"}
    for row, with_l2 in (("BN", "L2_BN"), ("DA_SC_BN", "DA_L2_SC_BN")):
        coupled = places[row, "Adam + L2"]
        assert (coupled.variant, coupled.l2, coupled.optimizer.decay) == (
            with_l2,
            1e-4,
            0,
        )
        for column, decay in {"AdamW": 1e-4, "AdamW, 0.01": 0.01}.items():
            cell = places[row, column]
            assert (cell.optimizer.name, cell.variant) == ("adamw", row)
            assert cell.optimizer.decay == decay
            assert cell.penalties == (0, 0)


def test_the_papers_wide_resnets():
    """Section 3.4: the parameters of those who made them, for all optimizers."""
    for name in ("figure4", "figure5", "figure24"):
        for cell in studies.get(name).cells:
            assert (cell.dataset, cell.model) == ("cifar100", "wrn_28_10")
            assert (cell.epochs, cell.batch_size) == (200, 128)
            assert cell.optimizer.learning_rate == 0.1
            assert cell.mask.density[0] == 1.0
            assert cell.mask.density[-1] == 0.01
            schedule = cell.learning_rate_schedule()
            factors = [float(schedule(e)) for e in (60, 61, 120, 121, 160, 161)]
            expected = [1, 0.2, 0.2, 0.04, 0.04, 0.008]
            assert factors == pytest.approx(expected)
            assert cell.l2 in (0.0, 5e-4)


def test_about_200_wide_resnets():
    """Section 3.4 says 200; one figure's worth under random masks is nearest."""
    assert sum(cell.num_networks for cell in studies.get("figure4").cells) == 180


def test_figures_4_and_24_are_of_the_same_networks():
    """Section 4.2: L2 or not, Swish, and Swish with AdamW for Adam."""
    assert studies.get("figure4").cells == studies.get("figure24").cells
    places = by_place("figure4")
    assert {row for row, _ in places} == {"Adagrad", "Adam", "Mom (0.9)"}
    columns = {
        column: places["Adam", column] for row, column in places if row == "Adam"
    }
    assert {name: (c.activation, c.l2) for name, c in columns.items()} == {
        "ReLU": ("relu", 0),
        "ReLU, L2": ("relu", 5e-4),
        "Swish": ("swish", 0),
        "Swish (AdamW)": ("swish", 0),
    }
    adamw = columns["Swish (AdamW)"].optimizer
    assert (adamw.name, adamw.decay) == ("adamw", 5e-4)
    assert len(places) == 3 * 3 + 1
    for cell in places.values():
        assert (cell.mask.method, cell.mask.distribution) == ("random", "uniform")


def test_figure_5_prunes_every_layer_alike_after_half_of_the_epochs():
    """Section 4.3: 100 epochs dense, 100 of fine-tuning; L2_BN and DA_L2_SC_BN."""
    places = by_place("figure5")
    assert len(places) == 3 * 4
    for cell in places.values():
        assert cell.pruning().epoch == 100
        assert (cell.mask.method, cell.mask.distribution) == ("magnitude", "uniform")
    l2 = places["Adam", "L2_BN"]
    assert (l2.variant, l2.l2) == ("L2_BN", 5e-4)
    assert places["Adam", "BN"].variant == "BN"
    assert places["Adam", "DA_L2_SC_BN"].variant == "DA_L2_SC_BN"


def test_activations_are_the_six_of_table_2_and_other_prelus_are_options():
    six = {"relu", "prelu", "elu", "swish", "srelu", "sigmoid"}
    for name in ("table3c", "table6b", "figure3", "figure20", "figure22"):
        cells = studies.get(name).cells
        assert {cell.activation for cell in cells} == six
        assert not any(cell.penalise_activations for cell in cells)
    only = {"study": "table3c", "only": {"activation": ("prelu",)}}
    other = {"activation": "prelu_shared", "penalise_activations": True}
    found = sweep_lib.expand(only | other).study.cells
    assert len(found) == len(sweep_lib.expand(only).study.cells) == 5
    for cell in found:
        assert (cell.activation, cell.penalise_activations) == ("prelu_shared", True)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"learning_rate": 0.001}, ("momentum", 0.001, "uniform")),
        ({"optimizer": "nesterov"}, ("nesterov", 0.1, "uniform")),
        ({"distribution": "global"}, ("momentum", 0.1, "global")),
    ],
)
def test_other_readings_of_wide_resnets_are_options(asked, expected):
    only = {"only": {"optimizer": ("momentum",)}}
    for cell in sweep_lib.expand({"study": "figure5", **only, **asked}).study.cells:
        optimizer = cell.optimizer
        assert (
            optimizer.name,
            optimizer.learning_rate,
            cell.mask.distribution,
        ) == expected


def test_adamw_of_wide_resnets_may_decay_as_pytorchs_default():
    asked = {"study": "figure4", "only": {"optimizer": ("adamw",)}}
    (ours,) = sweep_lib.expand(asked).study.cells
    (theirs,) = sweep_lib.expand(asked | {"weight_decay": 0.01}).study.cells
    assert (ours.optimizer.decay, theirs.optimizer.decay) == (5e-4, 0.01)
