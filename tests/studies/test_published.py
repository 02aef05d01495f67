"""Published numbers, against values read off the papers."""

import collections

import pytest

from sparse_gf import studies
from sparse_gf.studies import published


def test_correlations():
    found = {(c.dataset, c.measure): c.values for c in published.correlations()}
    assert len(found) == 12
    assert found["cifar10", "egf2"]["sparse", "test_loss"] == 0.451
    assert found["fashion_mnist", "gf2"]["dense", "test_accuracy"] == 0.329
    assert found["cifar100", "gf1"]["dense", "test_loss"] == 0.325


def test_p_values():
    found = {(n.study, n.optimizer, n.variant): n for n in published.p_values()}
    assert len(found) == 254
    number = found["table5b", "Adagrad", "L2_BN"]
    assert (number.value, number.dataset, number.learning_rate) == (
        0.953,
        "cifar10",
        0.1,
    )
    assert (number.axis, number.hidden_layers) == ("regularization", 4)
    assert found["table3c", "Mom (0.9)", "ELU"].axis == "activation"


@pytest.mark.parametrize(
    ("study", "place", "mean", "std"),
    [
        ("tost_table2", ("ResNet-32", "cifar10", "dense", "plain", 0), 94.8, None),
        (
            "tost_table2",
            ("ResNet-50", "cifar100", "Random Pruning", "ToST", 0.98),
            41.99,
            4.51,
        ),
        (
            "tost_table3",
            ("ResNet-50", "tinyimagenet", "SNIP", "plain", 0.85),
            58.91,
            0.23,
        ),
        ("tost_table4", ("ResNet-18", "cifar100", "LTH", "LRsI", 0.75), 73.93, 0.15),
    ],
)
def test_accuracies(study, place, mean, std):
    (number,) = (n for n in published.accuracies(study) if n[:5] == place)
    assert (number.mean, number.std) == (mean, std)
    assert number.density == pytest.approx(1 - place[4])


def test_activation_sparsities():
    found = {
        (n.activation, n.layer): n.percent for n in published.activation_sparsities()
    }
    assert len(found) == 12
    assert found["ReLU", 4] == 57.93
    assert found["Mish", 1] == 1.09


def test_gains():
    found = {(g.source, g.tweak, g.sparsity): g for g in published.gains()}
    table5 = [gain for gain in published.gains() if gain.source == "Table 5"]
    assert len(table5) == 8
    assert found["Table 5", "GSk", 0.0].value == -0.77
    late = found["Section 3.4", "late GSk", 0.95]
    assert (late.against, late.value) == ("GSk", -0.917)
    abrupt = found["Section 3.4", "abrupt GSw", 0.95]
    assert (abrupt.relation, abrupt.value) == ("below", -1.2)


def test_gains_of_table_5_are_differences_of_table_4():
    """At 75 and 95% removed, where both tables have the networks."""
    table4 = {
        (n.tweak, n.sparsity): n.mean for n in published.accuracies("tost_table4")
    }
    for gain in published.gains():
        if gain.source == "Table 5" and gain.sparsity in (0.75, 0.95):
            with_tweak = table4[gain.tweak, gain.sparsity]
            difference = with_tweak - table4["plain", gain.sparsity]
            assert difference == pytest.approx(gain.value, abs=0.006)


def test_facts_of_the_first_paper_hold_for_its_studies():
    facts = collections.defaultdict(set)
    for fact in published.facts():
        facts[fact.name, fact.dataset].add(fact.value)
    assert facts["networks_trained", "fashion_mnist"] == {600}
    (table4,) = {cell.epochs for cell in studies.get("table4").cells}
    assert facts["epochs", "fashion_mnist"] == {table4}
    (cifar,) = {cell.epochs for cell in studies.get("table3a").cells}
    assert facts["epochs", "cifar10 and cifar100"] == {cifar}
    cell = studies.get("table3a").cells[0]
    assert facts["dense_width", "cifar10 and cifar100"] == {*cell.dense_widths}
    assert facts["l2", ""] == {cell.l2}
    assert facts["measured_epochs", ""] == {cell.measurements}
    assert facts["networks_per_cell", ""] == {cell.num_networks}
    depths = {cell.hidden_layers for cell in studies.get("table2").cells}
    assert facts["hidden_layers", ""] == depths
