"""Numbers of the second paper, and of the protocols, in the ledger."""

import pandas as pd
import pytest
from rows_by_hand import under_mask

from sparse_gf import results, studies
from sparse_gf.reporting import ledger_facts, ledger_masks
from sparse_gf.studies import published

NO_ROWS = pd.DataFrame(columns=[field.name for field in results.NETWORKS])
TICKETS = "ResNet-18, CIFAR-100, LTH"


@pytest.fixture(scope="module")
def nothing():
    return pd.DataFrame(ledger_masks.lines(NO_ROWS))


def test_every_number_of_the_second_paper_stands_once(nothing):
    assert set(nothing["status"]) == {"not run"}
    assert set(nothing["scale"]) == {"paper"}
    assert nothing["study"].value_counts().to_dict() == {
        "tost_table2": 124,
        "tost_table3": 12,
        "tost_table4": 30,
        "tost_table1": 12,
        "tost_table5": 8,
        "tost_text": 15,
    }
    assert not nothing.duplicated(["study", "row", "column"]).any()
    numbers = [
        *(
            n.mean
            for study in published.ACCURACIES
            for n in published.accuracies(study)
        ),
        *(n.percent for n in published.activation_sparsities()),
        *(gain.value for gain in published.gains()),
    ]
    assert sorted(nothing["published"]) == sorted(numbers)
    assert {"CIFAR-10", "CIFAR-100", "TinyImageNet"} == set(nothing["paper_dataset"])


def cell(study, column, density):
    """The small cell of tickets in a study."""
    (found,) = (
        entry.cell
        for entry in studies.get(study, "small").entries
        if (entry.row, entry.column) == (TICKETS, column)
        and entry.cell.mask.density == (density,)
    )
    return found


def trained(accuracies, density=0.05):
    """Networks of three seeds of tickets, by the tweak."""
    return pd.DataFrame(
        under_mask(cell("tost_table4", tweak, density), density, seed, accuracy)
        for tweak, found in accuracies.items()
        for seed, accuracy in enumerate(found)
    )


def lines(rows, analyses=None, **where):
    found = pd.DataFrame(ledger_masks.lines(rows, analyses))
    for name, value in where.items():
        found = found[found[name] == value]
    return found.to_dict("records")


def test_accuracies_and_gains_by_hand():
    rows = trained({"plain": (0.50, 0.52, 0.54), "GSk": (0.51, 0.51, 0.54)})
    plain, gsk = lines(rows, study="tost_table4", status="done")
    assert (plain["column"], plain["scale"]) == ("plain, 95% removed", "small")
    assert (plain["published"], plain["value"]) == (69.57, pytest.approx(52))
    assert 50 <= plain["low"] < 52 < plain["high"] <= 54
    assert plain["num_pairs"] == 3
    assert plain["differences"].startswith("dataset fashion_mnist, not cifar100; ")
    assert gsk["published"] == 71.72
    # Ours the mean of 1, -1 and 0: on no side of theirs.
    assert pd.isna([line["same_side"] for line in (plain, gsk)]).all()
    found = lines(rows, column="GSk minus plain, 95% removed", status="done")
    assert [line["study"] for line in found] == ["tost_table5", "tost_text"]
    for gain in found:
        assert gain["published"] == 2.15
        assert gain["value"] == pytest.approx(0, abs=1e-9)
        assert (gain["low"], gain["high"]) == pytest.approx((-1, 1))


@pytest.mark.parametrize(("gsk", "side"), [(0.6, True), (0.4, False)])
def test_the_sign_of_a_gain(gsk, side):
    rows = trained({"plain": (0.5,) * 3, "GSk": (gsk,) * 3})
    (line,) = lines(rows, study="tost_table4", column="GSk, 95% removed")
    assert line["same_side"] is side
    for gain in lines(rows, column="GSk minus plain, 95% removed"):
        assert gain["same_side"] is side


def test_a_gain_takes_both_networks():
    rows = trained({"GSk": (0.5, 0.5, 0.6)})
    found = lines(rows, column="GSk minus plain, 95% removed")
    assert {line["status"] for line in found} == {"not run"}


def test_activations_are_those_of_the_last_epoch_by_stage():
    relu = cell("tost_table1", "ReLU", 0.1)
    rows = pd.DataFrame([under_mask(relu, 0.1, seed, 0.5) for seed in (0, 1)])
    analyses = pd.DataFrame(
        {
            "kind": "activity",
            "config_hash": relu.hash,
            "seed": seed,
            "epoch": epoch,
            "layer": f"Stage_{stage}/Block_{block}",
            "value": (1 + seed + block + 2 * stage) / 10 if epoch else 0.9,
        }
        for epoch in (0, 180)
        for seed in (0, 1)
        for stage in (0, 1)
        for block in (0, 1)
    )
    (line,) = lines(rows, analyses, status="done", study="tost_table1")
    assert (line["row"], line["column"]) == (TICKETS, "ReLU, layer 1")
    # Percent: means over blocks are 35 and 45.
    assert (line["value"], line["low"], line["high"]) == pytest.approx((40, 35, 45))
    assert line["published"] == published.activation_sparsities()[0].percent


def test_numbers_of_the_protocol_are_those_of_the_studies():
    facts = pd.DataFrame(ledger_facts.lines())
    assert len(facts) == len(published.facts())
    assert set(facts["status"]) == {"protocol"}
    known = facts.dropna(subset="value")
    other = known[~known["same_finding"].astype(bool)]
    # The paper rounds, or does not say which networks it counts.
    assert set(other["column"]) == {
        "networks trained, MLPs",
        "networks trained, wide ResNets",
    }
    widths = known[known["column"] == "dense width, units"]
    assert list(widths["value"]) == [308, 923, 1538, 2153, 2768]
    (epochs,) = facts.loc[
        (facts["row"] == "Section 2.1") & (facts["dataset"] == "Fashion-MNIST"), "value"
    ]
    assert epochs == 500
