"""Published numbers, against values read off the papers."""

import pytest

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
