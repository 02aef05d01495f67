"""Studies of the second paper, against what it says."""

import math

import numpy as np
import pytest

from sparse_gf import studies
from sparse_gf.models import catalog
from sparse_gf.studies import jaiswal2022, published
from sparse_gf.studies import sweep as sweep_lib

STUDIES = [name for name in studies.NAMES if name.startswith("tost_")]

TICKETS = "ResNet-18, CIFAR-100, LTH"


def by_place(name, scale="paper"):
    """Cells by row, column and density."""
    return {
        (entry.row, entry.column, density): entry.cell
        for entry in studies.get(name, scale).entries
        for density in entry.cell.mask.density
    }


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("scale", studies.SCALES)
def test_a_cell_is_a_number_of_the_paper(name, scale):
    entries = studies.get(name, scale).entries
    assert len(by_place(name, scale)) == len(entries)
    assert {len(entry.cell.mask.density) for entry in entries} == {1}


@pytest.mark.parametrize("scale", studies.SCALES)
@pytest.mark.parametrize(
    ("name", "numbers"),
    [("tost_table2", 124), ("tost_table3", 12), ("tost_table4", 30)],
)
def test_every_published_number_has_one_entry(name, numbers, scale):
    entries = studies.get(name, scale).entries
    assert len(entries) == numbers
    placed = [(entry, *entry.accuracies) for entry in entries]
    assert {len(place) for place in placed} == {2}
    assert sorted(n for _, n in placed) == sorted(published.accuracies(name))
    for entry, number in placed:
        cell = entry.cell
        assert math.isclose(*cell.mask.density, number.density)
        assert cell.tost == jaiswal2022.TWEAKS[number.tweak]
        if scale == "paper":
            assert cell.dataset == number.dataset
            model = number.architecture.lower().replace("-", "")
            assert cell.model.removesuffix("_wide") == model


@pytest.mark.parametrize("name", STUDIES)
def test_the_papers_protocol(name):
    """Section 3.1, at full length at small scale too."""
    for scale in ("paper", "small"):
        for cell in studies.get(name, scale).cells:
            assert (cell.epochs, cell.batch_size, cell.l2) == (180, 128, 2e-4)
            assert (cell.optimizer.name, cell.optimizer.learning_rate) == (
                "momentum",
                0.1,
            )
            schedule = cell.learning_rate_schedule()
            factors = [float(schedule(e)) for e in (90, 91, 135, 136)]
            assert factors == pytest.approx([1, 0.1, 0.1, 0.01])
    assert {len(cell.seeds) for cell in studies.get(name).cells} == {3}


@pytest.mark.parametrize("name", STUDIES)
def test_small_is_on_reduced_images(name):
    for cell in studies.get(name, "small").cells:
        place = (cell.dataset, cell.image_size)
        assert place in (("fashion_mnist", 14), ("cifar10", 8))
        assert 2000 <= cell.train_examples <= 4000
        assert (cell.model, len(cell.seeds)) in (("mlp_4_200", 5), ("resnet8", 3))


@pytest.mark.parametrize("name", STUDIES)
def test_smoke_needs_no_files(name):
    assert {cell.dataset for cell in studies.get(name, "smoke").cells} == {"digits"}


@pytest.mark.parametrize("scale", studies.SCALES)
def test_every_recipe_trains_the_tickets_of_one_search(scale):
    """Sections 2.3 and 3.1: the same mask with the toolkit and without."""
    for name in STUDIES:
        for (row, column, density), cell in by_place(name, scale).items():
            if not row.endswith("LTH"):
                assert not cell.needs
                continue
            (search,) = cell.needs
            assert (search.tost, search.activation) == ("", "relu")
            assert density in search.mask.density
            rest = row, "plain", density
            plain = by_place(name, scale).get(rest)
            assert plain is None or plain.needs == (search,), column


def test_searches_prune_a_fifth_a_round_and_stop_where_tables_want():
    for name in STUDIES:
        for cell in studies.get(name).cells:
            for search in cell.needs:
                kept = np.array([1.0, *search.mask.density])
                shares = kept[1:] / kept[:-1]
                assert (shares > 0.8 - 1e-4).all()
                assert (shares < 0.99).all()


def test_the_trainings_of_table_4():
    """Eighteen rounds from three seeds, once; then five tickets by six recipes."""
    cells = studies.get("tost_table4").cells
    (search,) = {search for cell in cells for search in cell.needs}
    assert search.num_networks == 18 * 3
    assert sum(cell.num_networks for cell in cells) == 5 * 6 * 3
    assert search.num_networks + sum(cell.num_networks for cell in cells) == 144


@pytest.mark.parametrize("scale", studies.SCALES)
def test_trained_tickets_are_shared(scale):
    table4 = set(studies.get("tost_table4", scale).cells)
    for name in ("tost_figure8", "tost_figure9", "tost_figure10"):
        assert set(studies.get(name, scale).cells) <= table4
    for name, others in {
        "tost_table1": {"Swish", "Mish"},
        "tost_table5": {"dense", "0.8"},
        "tost_figure2": {"dense"},
        "tost_figure6": {"permanent", "late", "abrupt"},
    }.items():
        for (row, column, density), cell in by_place(name, scale).items():
            own = any(w in f"{row} {column} {density}" for w in others)
            assert (cell in table4) != own, (name, row, column, density)
    table2 = set(studies.get("tost_table2", scale).cells)
    toolkit = studies.get("tost_toolkit", scale)
    shared = {e.column for e in toolkit.entries if e.cell in table2}
    assert shared == {"plain", "ToST"}


def test_table_1_has_the_ticket_of_90_percent_under_three_activations():
    places = by_place("tost_table1")
    assert {column: cell.activation for (_, column, _), cell in places.items()} == {
        "ReLU": "relu",
        "Swish": "swish",
        "Mish": "mish",
    }
    assert {(row, density) for row, _, density in places} == {(TICKETS, 0.1)}
    assert len({cell.needs for cell in places.values()}) == 1
    study = studies.get("tost_table1")
    assert (study.analysis, study.saves) == ("activity", "last")
    stages = {n.layer for n in published.activation_sparsities()}
    assert stages == {1, 2, 3, 4}


def test_table_3_is_its_header_and_not_its_caption():
    """The caption says 90, 95 and 98% removed, the header 85, 90 and 95."""
    assert {density for _, _, density in by_place("tost_table3")} == {0.15, 0.1, 0.05}


def test_first_layers_are_those_of_the_images():
    for name in STUDIES:
        for cell in studies.get(name).cells:
            tiny = cell.dataset == "tinyimagenet"
            assert cell.stem == ("tinyimagenet" if tiny else "cifar")


def test_table_5_has_a_dense_network_and_three_tickets():
    places = by_place("tost_table5")
    removed = {round(100 * (1 - density)) for _, _, density in places}
    assert removed == {0, 20, 75, 95}
    assert {column for _, column, _ in places} == {"plain", "GSk", "GSw"}
    printed = {
        (g.tweak, g.sparsity) for g in published.gains() if g.source == "Table 5"
    }
    assert printed == {
        (column, round(1 - density, 6))
        for _, column, density in places
        if column != "plain"
    }


def test_figures_of_the_ticket_of_90_percent():
    """Captions of Figures 2, 8, 9 and 10: ResNet-18, CIFAR-100, LTH."""
    for name, columns, analysis in (
        ("tost_figure2", {"plain"}, ("eigenvalues", "measured")),
        ("tost_figure8", {*jaiswal2022.TWEAKS}, ("along", "last")),
        ("tost_figure9", {"plain", "ToST"}, ("eigenvalues", "measured")),
        ("tost_figure10", {*jaiswal2022.TWEAKS}, ("input", "last")),
    ):
        study = studies.get(name)
        assert (study.analysis, study.saves) == analysis
        places = by_place(name)
        tickets = [place for place in places if place[0] == TICKETS]
        assert {column for _, column, _ in tickets} == columns
        assert {density for _, _, density in tickets} == {0.1}
        for place, cell in places.items():
            assert (cell.dataset, cell.model) == ("cifar100", "resnet18")
            # The dense network of Figure 2 is our addition.
            assert place in tickets or (name, place[2]) == ("tost_figure2", 1.0)


def gates(cell):
    """Of every epoch; None where the network is the plain one."""
    ghosts = cell.ghosts
    return [
        ghosts.gates(epoch) if ghosts.are_on(epoch) else None
        for epoch in range(1, cell.epochs + 1)
    ]


@pytest.mark.parametrize("scale", studies.SCALES)
def test_figure_6_has_ghosts_permanent_tweaks_and_ablations(scale):
    """Caption: 80, 85, 90 and 95%; section 3.4: late and abrupt ghosts at 95%."""
    places = by_place("tost_figure6", scale)
    found = {}
    for _, column, density in places:
        found.setdefault(column, []).append(round(100 * (1 - density)))
    everywhere = ("plain", "GSw", "GSk", "permanent Swish", "permanent skips")
    assert found == {
        **{column: [80, 85, 90, 95] for column in everywhere},
        **{f"{when} GS{x}": [95] for when in ("late", "abrupt") for x in "wk"},
    }
    at_95 = {column: places[TICKETS, column, 0.05] for column in found}
    decay, second = at_95["plain"].schedule.milestones
    for tweak, start, end in (("GSw", 1, 100), ("GSk", 1, 0)):
        name = {"GSw": "beta", "GSk": "alpha"}[tweak]
        fading, late, abrupt = (
            [gate and float(getattr(gate, name)) for gate in gates(at_95[column])]
            for column in (tweak, f"late {tweak}", f"abrupt {tweak}")
        )
        assert fading[decay - 1 : decay + 1] == [end, None]
        assert late[second - 1 : second + 1] == [end, None]
        assert late[decay] not in (start, end, None)
        last = round(0.9 * at_95["plain"].epochs)
        assert last > second
        assert abrupt[: last - 1] == [start] * (last - 1)
        assert abrupt[last - 1 :] == [end] + [None] * (len(abrupt) - last)
    skips = gates(at_95["permanent skips"])
    assert {float(gate.alpha) for gate in skips} == {1}
    swish = at_95["permanent Swish"]
    assert (swish.activation, swish.tost) == ("swish", "")
    assert swish.needs == at_95["plain"].needs


def test_figure_7_is_of_both_networks_on_both_data_sets_after_16_rounds():
    places = by_place("tost_figure7")
    assert {row for row, _, _ in places} == {
        f"{network}, {dataset}, LTH"
        for network in ("VGG-16", "MobileNet")
        for dataset in ("CIFAR-10", "CIFAR-100")
    }
    removed = sorted({round(100 * (1 - density)) for _, _, density in places})
    assert removed[:8] + removed[-1:] == [20, 36, 49, 59, 67, 74, 79, 83, 97]
    assert len(places) == 4 * 2 * 16
    for cell in studies.get("tost_figure7").cells:
        (search,) = cell.needs
        assert len(search.mask.density) == 16


def test_resnet_104_has_a_study():
    """The abstract names it; no number of it is printed."""
    cells = studies.get("tost_resnet104").cells
    assert {cell.model for cell in cells} == {"resnet104"}
    assert {cell.dataset for cell in cells} == {"cifar10", "cifar100"}
    assert catalog.make("resnet104", 10) is not None


def test_the_toolkit_is_under_every_mask_of_table_2():
    places = by_place("tost_toolkit")
    masks = {row.split(", ")[2] for row, _, _ in places}
    printed = {n.mask for n in published.accuracies("tost_table2")}
    assert masks == printed - {"dense"}
    assert {column for _, column, _ in places} == {*jaiswal2022.TWEAKS}


def test_schedules_of_ghosts_are_options():
    """The paper publishes no schedule."""
    asked = {"study": "tost_table4", "gsw_schedule": "cosine", "gsw_end": 50.0}
    for cell in sweep_lib.expand(asked).study.cells:
        assert (cell.gsw.schedule, cell.gsw.end) == ("cosine", 50)
