"""How many cells each study has, beside what the papers print or say."""

from typing import NamedTuple

import pytest

from sparse_gf import studies
from sparse_gf.studies import published, sweep
from sparse_gf.terminal import console


class Count(NamedTuple):
    """Cells of a study, the paper's count of them, and where that stands.

    The paper's is None where it says none; then the source says what ours is made of.
    """

    cells: int
    paper: int | None
    source: str


P_VALUES = "p-values that are printed"

COUNTS = {
    "table1": Count(204, None, "all cells of Tables 3 to 6, equal ones once"),
    "table2": Count(570, None, "those on CIFAR at 1, 2 and 4 hidden layers"),
    "table3a": Count(40, 40, P_VALUES),
    "table3b": Count(30, 30, P_VALUES),
    "table3c": Count(30, 30, P_VALUES),
    "table4": Count(21, 21, P_VALUES),
    "table5a": Count(25, 25, P_VALUES),
    "table5b": Count(20, 20, P_VALUES),
    "table5c": Count(8, 8, P_VALUES),
    "table6a": Count(50, 50, P_VALUES),
    "table6b": Count(30, 30, P_VALUES),
    "figure2": Count(80, None, "Tables 6a and 3b: both rates"),
    "figure3": Count(30, None, "Table 6b: the low rate of its caption"),
    "figure4": Count(10, None, "3 optimizers x (ReLU, L2, Swish), and Swish (AdamW)"),
    "figure5": Count(12, None, "3 optimizers x (BN, L2_BN, DA_SC_BN, DA_L2_SC_BN)"),
    **{f"figure{n}": Count(50, None, "Table 6a") for n in (8, 9, 10)},
    **{f"figure{n}": Count(30, None, "Table 3b") for n in (11, 12, 13)},
    "figure15": Count(21, 21, "Table 4"),
    "figure16": Count(25, 25, "Table 5a"),
    "figure17": Count(20, 20, "Table 5b"),
    "figure18": Count(8, 8, "Table 5c"),
    "figure19": Count(
        150, 3 * 5 * 10, "caption: 3 depths x 5 optimizers x all of Table 6a"
    ),
    "figure20": Count(30, 30, "Table 6b"),
    "figure21": Count(30, 30, "Table 3b"),
    "figure22": Count(30, 30, "Table 3c"),
    "figure23": Count(6, None, "2 variants x (Adam + L2, AdamW with both decays)"),
    "figure24": Count(10, None, "Figure 4"),
    "masks": Count(6, None, "ours"),
    "tost_table1": Count(3, 12 // 4, "12 numbers of 4 stages each"),
    "tost_table2": Count(124, 124, "accuracies that are printed"),
    "tost_table3": Count(12, 12, "accuracies that are printed"),
    "tost_table4": Count(30, 30, "accuracies that are printed"),
    "tost_table5": Count(12, 8 + 4, "8 gains that are printed, over 4 plain networks"),
    "tost_figure2": Count(2, None, "the ticket of its caption, and a dense network"),
    "tost_figure6": Count(24, None, "5 lines at 4 sparsities, 4 ablations at 95%"),
    "tost_figure7": Count(
        128, 2 * 2 * 2 * 16, "2 networks x 2 data sets x 2 lines x 16 rounds"
    ),
    "tost_figure8": Count(6, None, "plain, each tweak, all"),
    "tost_figure9": Count(2, 2, "caption: with and without ToST"),
    "tost_figure10": Count(6, None, "plain, each tweak, all"),
    "tost_resnet104": Count(62, None, "ours: what Table 2 has of a network"),
    "tost_toolkit": Count(90, None, "ours: 5 masks x 6 recipes x 3 sparsities"),
}


def test_every_study_is_counted():
    assert set(COUNTS) == set(studies.NAMES)


@pytest.mark.parametrize("name", COUNTS)
def test_the_number_of_cells(name):
    count = COUNTS[name]
    assert len(studies.get(name).cells) == count.cells
    assert count.paper in (count.cells, None)


def test_printed_numbers_are_counted_as_they_are_in_the_files():
    p_values = [number.study for number in published.p_values()]
    for name, count in COUNTS.items():
        if count.source == P_VALUES:
            assert p_values.count(name) == count.paper
        if count.source.startswith("accuracies"):
            assert len(published.accuracies(name)) == count.paper
    assert len(published.activation_sparsities()) == 12
    assert sum(g.source == "Table 5" for g in published.gains()) == 8


def test_a_dry_run_lists_and_counts_the_cells(tmp_path, capsys):
    for name, count in COUNTS.items():
        console.list_sweep(
            sweep.expand({"study": name, "scale": "paper"}), str(tmp_path)
        )
        *cells, total, _ = capsys.readouterr().out.splitlines()
        # The searches for tickets come before the cells that train them.
        searches = {need for cell in studies.get(name).cells for need in cell.needs}
        assert len(cells) == count.cells + len(searches)
        assert f": 0 of {len(cells)} cells are done" in total
        # Each says what tells it from the others.
        assert len(set(cells)) == len(cells)
        described = [line.split(maxsplit=3)[3] for line in cells]
        assert len(set(described)) == len(described), name
