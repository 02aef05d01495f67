"""Studies of the second paper, against what it says."""

import math

import numpy as np
import pytest

from sparse_gf import studies
from sparse_gf.studies import jaiswal2022, published

STUDIES = [name for name in studies.NAMES if name.startswith("tost_")]


@pytest.mark.parametrize("scale", studies.SCALES)
@pytest.mark.parametrize(
    ("name", "numbers"),
    [("tost_table2", 124), ("tost_table3", 12), ("tost_table4", 30)],
)
def test_every_published_number_has_one_entry_and_density(name, numbers, scale):
    entries = studies.get(name, scale).entries
    placed = [(e, number) for e in entries for number in e.accuracies]
    assert sorted(number for _, number in placed) == sorted(published.accuracies(name))
    assert len(placed) == numbers
    for entry, number in placed:
        cell = entry.cell
        assert sum(math.isclose(d, number.density) for d in cell.mask.density) == 1
        assert cell.tost == jaiswal2022.TWEAKS[number.tweak]
        if scale == "paper":
            assert cell.dataset == number.dataset
            model = number.architecture.lower().replace("-", "")
            assert cell.model.removesuffix("_wide") == model
    assert all(entry.accuracies for entry in entries)


def test_the_papers_protocol():
    for name in STUDIES:
        for cell in studies.get(name).cells:
            assert (cell.epochs, cell.batch_size, cell.l2) == (180, 128, 2e-4)
            assert len(cell.seeds) == 3
            schedule = cell.learning_rate_schedule()
            factors = [float(schedule(e)) for e in (90, 91, 135, 136)]
            assert factors == pytest.approx([1, 0.1, 0.1, 0.01])


def cells(name, scale="paper"):
    return {(e.row, e.column): e.cell for e in studies.get(name, scale).entries}


@pytest.mark.parametrize("scale", studies.SCALES)
def test_networks_of_several_studies_are_trained_once(scale):
    alone, permanent = cells("tost_table4", scale), cells("tost_figure6", scale)
    row = "ResNet-18, CIFAR-100, LTH"
    for column in ("plain", "GSw", "GSk"):
        assert permanent[row, column].hash == alone[row, column].hash
    assert len({cell.hash for cell in permanent.values()}) == 6
    along = cells("tost_figure9", scale)
    for name in ("tost_figure8", "tost_figure10"):
        assert cells(name, scale) == along
    row = "ResNet-18, CIFAR-100, SNIP"
    assert cells("tost_figure2", scale)[row, "plain"].hash == along[row, "plain"].hash
    table = cells("tost_table2", scale).values()
    assert len({cell.hash for cell in table}) == (44 if scale == "paper" else 11)


def test_permanent_tweaks_stay_to_the_end():
    permanent = cells("tost_figure6")
    row = "ResNet-18, CIFAR-100, LTH"
    skips = permanent[row, "permanent skips"]
    last = skips.ghosts.gates(skips.epochs)
    assert float(last.alpha) == 1
    gone = permanent[row, "GSk"]
    last = gone.ghosts.gates(gone.epochs)
    assert float(last.alpha) == 0
    for name in ("swish", "mish"):
        cell = permanent[row, f"permanent {name.title()}"]
        assert (cell.activation, cell.tost) == (name, "")


def test_tickets_lose_a_fifth_a_round_down_to_each_density():
    for name in STUDIES:
        for cell in studies.get(name).cells:
            if cell.mask.schedule == "imp":
                kept = [1.0, *(d for d in cell.mask.density if d < 1)]
                shares = np.divide(kept[1:], kept[:-1])
                assert (shares > 0.8 - 1e-4).all()
                assert (shares < 0.99).all()
    for cell in studies.get("tost_figure7").cells:
        assert cell.mask.density == jaiswal2022.TICKET_DENSITIES
    removed = [round(100 * (1 - d)) for d in jaiswal2022.TICKET_DENSITIES]
    assert removed[:8] + removed[-1:] == [20, 36, 49, 59, 67, 74, 79, 83, 97]


@pytest.mark.parametrize("scale", ["small", "smoke"])
def test_small_scales_take_no_rounds_between(scale):
    for name, wanted in {
        "tost_table1": (0.1,),
        "tost_table3": (0.15, 0.1, 0.05),
        "tost_table4": (0.25, 0.2, 0.15, 0.1, 0.05),
        "tost_table5": (1.0, 0.8, 0.25, 0.05),
    }.items():
        for cell in studies.get(name, scale).cells:
            assert cell.mask.density == wanted
    for cell in studies.get("tost_figure7", scale).cells:
        assert len(cell.mask.density) == 3
    models = {cell.model for cell in studies.get("tost_figure7", scale).cells}
    assert models == ({"vgg11", "mobilenet"} if scale == "small" else {"mlp_3_50"})
