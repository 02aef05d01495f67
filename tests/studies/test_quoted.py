"""Numbers outside of the papers' large tables, read off the papers by hand."""

import collections
import csv
import importlib.resources

import pytest

from sparse_gf import budgets, data
from sparse_gf.studies import jaiswal2022, quoted


def published(name):
    file = importlib.resources.files("sparse_gf") / "published" / f"{name}.csv"
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_table_1_of_the_toolkit():
    found = {(one.activation, one.stage): one.percent for one in quoted.activities()}
    assert len(found) == len(quoted.activities()) == 12
    by_activation = {
        name: [found[name, stage] for stage in (1, 2, 3, 4)]
        for name in ("ReLU", "Swish", "Mish")
    }
    assert by_activation == {
        "ReLU": [27.14, 39.33, 39.48, 57.93],
        "Swish": [0.31, 0.26, 0.24, 0.20],
        "Mish": [1.09, 1.14, 1.03, 0.95],
    }
    places = {
        (one.architecture, one.mask, one.dataset, one.sparsity)
        for one in quoted.activities()
    }
    assert places == {("ResNet-18", "LTH", "cifar100", 0.9)}


def test_table_5_of_the_toolkit():
    table = [gain for gain in quoted.gains() if gain.source == "Table 5"]
    assert len(table) == 8
    assert {(gain.tweak, gain.sparsity): gain.points for gain in table} == {
        ("GSk", 0.0): -0.77,
        ("GSk", 0.2): 0.03,
        ("GSk", 0.75): 0.56,
        ("GSk", 0.95): 2.15,
        ("GSw", 0.0): 0.11,
        ("GSw", 0.2): 0.29,
        ("GSw", 0.75): 0.24,
        ("GSw", 0.95): 1.28,
    }
    assert {(gain.against, gain.relation) for gain in table} == {("plain", "equal")}


def test_gains_of_the_text():
    text = [gain for gain in quoted.gains() if gain.source != "Table 5"]
    assert collections.Counter(gain.source for gain in text) == {
        "Section 3.2": 5,
        "Section 3.3": 5,
        "Section 3.4": 4,
        "Section 4.3": 1,
    }
    late = {g.tweak: (g.relation, g.points) for g in text if g.source == "Section 3.4"}
    assert late == {
        "late GSk": ("equal", -0.917),
        "late GSw": ("equal", -0.429),
        "abrupt GSk": ("below", -1.2),
        "abrupt GSw": ("below", -1.2),
    }
    for gain in quoted.gains():
        assert gain.dataset in data.INFO
        assert gain.architecture in jaiswal2022.ARCHITECTURES
        assert gain.relation in ("equal", "about", "above", "below")


def accuracies():
    """Of Tables 2 to 4 by architecture, data set, mask, sparsity and recipe."""
    found = {}
    for name in ("tost_table2", "tost_table3", "tost_table4"):
        for row in published(name):
            mask, _, tweak = row.get("recipe", row.get("mask")).partition(" + ")
            recipe = tweak or {"yes": "ToST"}.get(row.get("tost"), "plain")
            place = row["architecture"], row["dataset"], mask, float(row["sparsity"])
            found[(*place, recipe)] = float(row["accuracy_mean"])
    return found


def test_gains_of_the_text_are_those_of_the_tables():
    printed = accuracies()
    checked = 0
    for gain in quoted.gains():
        dataset = {"tinyimagenet": "tiny_imagenet"}.get(gain.dataset, gain.dataset)
        place = gain.architecture, dataset, gain.mask, gain.sparsity
        ends = [printed.get((*place, name)) for name in (gain.tweak, gain.against)]
        if None in ends:
            continue
        checked += 1
        points = ends[0] - ends[1]
        if gain.relation == "equal":
            assert points == pytest.approx(gain.points, abs=0.005), gain
        elif gain.relation == "above":
            assert gain.points < points < gain.points + 0.1, gain
        else:
            assert points == pytest.approx(gain.points, abs=0.7), gain
    # Four of Table 5, five of section 3.2, five of section 3.3: the others name
    # densities and ghosts that the tables do not have.
    assert checked == 14


def test_facts_are_those_of_the_protocol():
    found = collections.defaultdict(list)
    for fact in quoted.facts():
        assert set(fact.datasets) <= set(data.INFO)
        if fact.value not in found[fact.name]:
            found[fact.name].append(fact.value)
    assert found["networks_trained"] == [600, 10_000, 200]
    assert found["dense_width"] == list(budgets.dense_widths(3072))
    assert found["max_width"] == [budgets.max_width(3072)]
    assert found["hidden_layers"] == [1, 2, 4]
    assert found["wrn_milestone"] == [60, 120, 160]
    networks = (
        found["dense_widths_per_cell"][0]
        * found["seeds_per_cell"][0]
        * found["architectures_per_cell"][0]
    )
    assert found["networks_per_cell"] == [networks] == [30]
    assert len(quoted.facts()) == 46
