"""Laws of every table, whatever it shows: one table of members, a few renderings."""

import importlib.util
import pathlib
import re

import pandas as pd
import pytest
import rich.console
from markup import parsed, text
from rows_by_hand import comparison, under_mask

from sparse_gf import studies
from sparse_gf.analyses import figures as analysis_figures
from sparse_gf.reporting import (
    accuracies,
    correlations,
    densities,
    p_values,
    render,
)
from sparse_gf.reporting import comparison as comparison_lib
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec
from sparse_gf.studies import sweep as sweep_lib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CELL = CapacitySpec(dense_widths=(7, 20), seeds=(0, 1))


def compared():
    return comparison_lib.compare(pd.DataFrame(comparison(CELL))).layout()


def of_masks():
    cells = [MaskedSpec(mask=MaskSpec(name)) for name in ("snip", "grasp")]
    rows = [
        under_mask(c, d, s, 0.5) for c in cells for d in (0.1, 0.05) for s in (0, 1)
    ]
    return densities.summarise(pd.DataFrame(rows)).layout()


def of_p_values():
    sweep = sweep_lib.expand({"study": "table4", "scale": "smoke"})
    return p_values.layout(p_values.of(sweep, {}, "Digits"))


def of_correlations():
    return correlations.layout(correlations.of(pd.DataFrame(comparison(CELL))))


def of_accuracies():
    sweep = sweep_lib.expand({"study": "tost_table4", "scale": "smoke"})
    cell = sweep.study.cells[0]
    rows = [under_mask(cell, cell.mask.density[-1], seed, 0.5) for seed in (0, 1)]
    return accuracies.layout(sweep, pd.DataFrame(rows))


def of_activity():
    rows = [
        dict.fromkeys(analysis_figures.VARIED, 0)
        | {"layer": layer, "mask_method": method, "value": 0.25, "epoch": 1, "seed": 0}
        for layer in ("Dense_0", "Dense_1")
        for method in ("snip", "grasp")
    ]
    return analysis_figures.activity_layout(pd.DataFrame(rows))


def of_collapse():
    path = ROOT / "experiments" / "layer_collapse.py"
    spec = importlib.util.spec_from_file_location("layer_collapse", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = pd.read_csv(ROOT / "experiments" / "layer_collapse" / "masks.csv")
    return module.layout(rows, "a network")


# By name: the table, how many rows and columns it has, and some of its words.
TABLES = {
    "comparison": (compared, 2, 6, "Dense width|20 |EGF₂|rank-biserial"),
    "densities": (of_masks, 4, 7, "Density %|snip, global|Layer collapse"),
    "p_values": (of_p_values, 3, 8, "Adagrad|DA_L2_SC_BN|not run"),
    "correlations": (of_correlations, 4, 5, "‖g‖₁|EGF₂|Kendall"),
    "accuracies": (of_accuracies, 30, 8, "ResNet-18|71.12±0.30|Run: 1 of 30"),
    "activity": (of_activity, 2, 3, "Dense_1|25.0|close to 0"),
    "collapse": (of_collapse, 13, 6, "synflow|Empty layers of 10"),
}


@pytest.fixture(scope="module", params=TABLES)
def member(request):
    make, *expected = TABLES[request.param]
    return make(), *expected


def test_markdown_has_a_cell_for_every_place(member):
    table, rows, columns, words = member
    shown = render.markdown(table)
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    # Escaped bars stand within cells.
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {columns + 1}
    assert len(lines) == rows + 2 * len(table.blocks)
    for word in words.split("|"):
        assert word in shown
    assert not re.search(r"\n\n\n|\n$\n", shown)


def test_html_has_a_cell_for_every_place_and_is_well_formed(member):
    table, rows, columns, words = member
    root = parsed(render.html(table))
    found = root.findall("tbody/tr[td]")
    assert len(found) == rows
    assert {len(row) for row in (*found, root.find("thead/tr"))} == {columns}
    said = text(root)
    for word in words.split("|"):
        assert word.strip() in said


def test_latex_has_a_cell_for_every_place(member):
    table, rows, columns, _ = member
    lines = render.latex(table).splitlines()
    begin = next(line for line in lines if line.startswith(r"\begin{tabular}"))
    assert re.fullmatch(rf"\\begin{{tabular}}{{l[lcr]{{{columns - 1}}}}}", begin)
    body = [line for line in lines if line.endswith(r" \\") and " & " in line]
    assert len(body) == rows + 1
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {columns - 1}


def test_a_terminal_shows_every_row(member):
    table, rows, columns, _ = member
    shown = render.terminal(table)
    assert shown.row_count == rows
    assert len(shown.columns) == columns
    assert rich.console.Console(width=400).render_lines(shown)


def test_every_way_in_which_studies_are_shown_has_a_member():
    assert studies.SHOWN.keys() <= {"cells"} | {
        name.replace("_", "-") if name == "p_values" else name for name in TABLES
    }


def test_markup_in_names_is_text():
    nasty = '<b>&"|_%$#{}~^\\ *`[x]'
    table = render.plain("kind", nasty, ("", nasty), [(nasty, nasty)], [nasty])
    assert text(parsed(render.html(table))).count(nasty) == 5
    shown = render.markdown(table)
    assert shown.count(r'\<b>&"\|\_%\$#{}\~^\\ \*\`\[x\]') == 5
    escaped = (
        r'$<$b$>$\&"$|$\_\%\$\#\{\}\textasciitilde{}\textasciicircum{}'
        r"\textbackslash{} {*}`{[}x{]}"
    )
    assert render.latex(table).count(escaped) == 5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_x_", r"\_x\_"),
        ("EGF_2 of a_b", "EGF_2 of a_b"),
        ("&lt; & b", r"\&lt; & b"),
        ("two\nlines", "two lines"),
        ("# x", r"\# x"),
        ("> x", r"\> x"),
        ("- x", r"\- x"),
        ("12. x", r"12\. x"),
        ("-0.5", "-0.5"),
        ("1.5", "1.5"),
    ],
)
def test_names_are_text_in_markdown_wherever_they_stand(name, expected):
    block = render.Block(name, "", ())
    table = render.Table("kind", "", (), (block,))
    assert render.markdown(table).splitlines()[0] == expected


def test_a_row_of_latex_does_not_begin_with_an_option():
    table = render.plain("kind", "", ("", "x"), [("[2pt]", 1), ("*", 2)])
    shown = render.latex(table)
    assert "\n{[}2pt{]} & 1" in shown
    assert "\n{*} & 2" in shown
