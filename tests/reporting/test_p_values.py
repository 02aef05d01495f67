"""Tables of p-values, from comparisons written by hand."""

import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pytest
from markup import html_cells, parsed, text

from sparse_gf import stats
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import p_values, render
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.specs import CapacitySpec, RunSpec
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.studies import tessera2021
from sparse_gf.studies.study import Entry, Study
from sparse_gf.studies.sweep import Sweep


def compared(p, effect=0.5, diverged=0):
    return Comparison(
        title="",
        table=pd.DataFrame(),
        wilcoxon=stats.Wilcoxon(p, 0.0, 4, 0, False, "exact", "wilcox"),
        rank_biserial=effect,
        difference=(0.0, 0.0, 0.0),
        num_diverged={"dense": 0, "sparse": diverged},
        num_isolated=0.0,
        notes=(),
    )


def cell(seed):
    return CapacitySpec(dense_widths=(7, 20), seeds=(seed, seed + 1), epochs=1)


NASTY = '<b>&"|_%$#{}~^\\ *`[x]'

# Two rows of three columns; the last place of the second row is absent. By place: the
# published p-value, and what was found, None where it was not run.
PLACES = {
    ("Adam", "NR"): (0.02, compared(0.01, -1.0)),
    ("Adam", "L2_BN"): (0.0, compared(0.05)),
    ("Adam", NASTY): (None, None),
    ("SGD", "NR"): (1.0, compared(math.nan, math.nan, diverged=3)),
    ("SGD", "L2_BN"): (0.123, None),
}


def sweep(places=PLACES):
    entries = tuple(
        Entry(row, column, cell(seed), published)
        for seed, ((row, column), (published, _)) in enumerate(places.items())
    )
    return Sweep(Study("table4", "Table <4>", entries, ()), "paper", {}, RunSpec())


def table(places=PLACES):
    asked = sweep(places)
    pairs = zip(asked.study.entries, places.values(), strict=True)
    found = {entry.cell.hash: compared for entry, (_, compared) in pairs if compared}
    return p_values.of(asked, found | {"of another sweep": compared(0.5)}, "Data")


def html():
    return render.html(p_values.layout(table()))


def markdown(places=PLACES):
    return render.markdown(p_values.layout(table(places)))


def latex():
    return render.latex(p_values.layout(table()))


def test_the_layout_is_that_of_the_entries():
    laid_out = table()
    shown = p_values.layout(laid_out)
    assert [name for name, _ in shown.blocks[0].rows] == ["Adam", "SGD"]
    assert shown.columns == ("NR", "L2_BN", NASTY)
    assert ("SGD", NASTY) not in laid_out.slots
    assert laid_out.slots["SGD", "L2_BN"].comparison is None
    assert laid_out.slots["SGD", "L2_BN"].entry.published == 0.123


def test_holm_counts_the_finished_cells_that_have_a_p_value():
    slots = table().slots
    # Two tests: 2 x 0.01, then 1 x 0.05.
    assert slots["Adam", "NR"].holm == pytest.approx(0.02)
    assert slots["Adam", "L2_BN"].holm == pytest.approx(0.05)
    assert math.isnan(slots["SGD", "NR"].holm)
    assert slots["SGD", "L2_BN"].holm is None
    assert "over the 2 finished cells of this table" in markdown()


def test_two_cells_in_one_place_are_refused():
    asked = sweep()
    twice = asked.study._replace(entries=asked.study.entries + asked.study.entries[:1])
    with pytest.raises(UserError, match="2 cells in row 'Adam', column 'NR'"):
        p_values.of(dataclasses.replace(asked, study=twice), {}, "Data")


def test_every_study_with_published_p_values_can_be_laid_out():
    for name in tessera2021.TABLES:
        asked = sweep_lib.expand({"study": name, "scale": "paper"})
        assert len(p_values.of(asked, {}, "").slots) == len(asked.study.entries)


def test_html_cells_say_what_was_found_and_what_was_published():
    shown = html_cells(html())
    assert {place: text(td) for place, td in shown.items()} == {
        ("Adam", "NR"): "0.010 † (0.020)r -1.00",
        ("Adam", "L2_BN"): "0.050 (0.000)r +0.50",
        ("Adam", NASTY): "—",
        ("SGD", "NR"): "NaN (1.000)3 diverged",
        ("SGD", "L2_BN"): "— (0.123)",
        ("SGD", NASTY): "",
    }
    assert {place: td.get("class") for place, td in shown.items()} == {
        ("Adam", "NR"): "done significant holm",
        ("Adam", "L2_BN"): "done",
        ("Adam", NASTY): "not-run",
        ("SGD", "NR"): "done diverged",
        ("SGD", "L2_BN"): "not-run",
        ("SGD", NASTY): "absent",
    }


def test_p_of_exactly_the_level_is_not_significant():
    shown = html_cells(html())
    assert shown["Adam", "NR"].find("strong").text == "0.010"
    assert shown["Adam", "L2_BN"].find("strong") is None


def test_only_p_values_that_say_something_are_coloured():
    shown = html_cells(html())
    styles = {place: td.get("style") for place, td in shown.items() if td.get("style")}
    # 0.05 is not below the level.
    colour = "background-color:#c6dbef;color:#1a1a1a"
    assert styles == {("Adam", "NR"): colour}


def test_links_lead_to_the_cells_of_a_page():
    laid_out = table()
    shown = html_cells(render.html(p_values.layout(laid_out, linked=True)))
    links = {place: td.find("a") for place, td in shown.items()}
    for place, slot in laid_out.slots.items():
        if slot.comparison is None:
            assert links[place] is None
        else:
            assert links[place].get("href") == f"#cell-{slot.entry.cell.hash}"


def test_html_escapes_names_and_says_how_the_numbers_came_about():
    fragment = html()
    assert "<b>" not in fragment
    caption = text(parsed(fragment).find("caption"))
    assert caption.startswith("Table <4>. Data, 1 epoch, 4 pairs a cell; 3 of 5 cells")
    assert "H1: sparse > dense (exact; zero differences dropped)" in caption
    assert "Tessera et al. 2021, Fashion-MNIST, 500 epochs" in caption
    assert "Diverged: networks of both arms" in caption
    assert "—: not run" in caption


def test_notes_are_only_about_what_is_shown():
    place = {("Adam", "NR"): (None, compared(0.5))}
    caption = markdown(place)
    for absent in ("Diverged", "In parentheses", "not run"):
        assert absent not in caption
    assert "1 of 1 cell run" in caption
    assert "over the 1 finished cell of" in caption


def test_markdown_has_a_place_for_each_cell():
    lines = [line for line in markdown().splitlines() if "|" in line]
    head, ruler, adam, sgd = lines
    assert ruler == "| :--- | :---: | :---: | :---: |"
    assert adam == "| Adam | **0.010** † (0.020) r -1.00 | 0.050 (0.000) r +0.50 | — |"
    assert sgd == "| SGD | NaN (1.000) 3 diverged | — (0.123) |  |"
    # What Markdown would read as markup is escaped.
    assert head == r'|  | NR | L2_BN | \<b>&"\|\_%\$#{}\~^\\ \*\`\[x\] |'


def test_latex_has_a_place_for_each_cell():
    lines = latex().splitlines()
    adam, sgd = (line for line in lines if line.startswith(("Adam", "SGD")))
    assert adam == (
        r"Adam & \cellcolor[HTML]{C6DBEF}\begin{tabular}{@{}c@{}}\textbf{0.010} "
        r"\textsuperscript{\dag{}} {\scriptsize (0.020)} \\ {\scriptsize r -1.00}"
        r"\end{tabular} & \begin{tabular}{@{}c@{}}0.050 "
        r"{\scriptsize (0.000)} \\ {\scriptsize r +0.50}\end{tabular} & --- \\"
    )
    assert sgd == (
        r"SGD & \begin{tabular}{@{}c@{}}NaN {\scriptsize (1.000)} \\ {\scriptsize 3 "
        r"diverged}\end{tabular} & --- {\scriptsize (0.123)} &  \\"
    )
    assert r"\begin{tabular}{lccc}" in lines
    # After a line break a star or a bracket would be the break's own.
    escaped = (
        r'$<$b$>$\&"$|$\_\%\$\#\{\}\textasciitilde{}\textasciicircum{}'
        r"\textbackslash{} {*}`{[}x{]}"
    )
    assert rf" & NR & L2\_BN & {escaped} \\" in lines


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0, "#6baed6"),
        (0.001, "#9ecae1"),
        (0.01, "#c6dbef"),
        (0.0499, "#c6dbef"),
        (0.05, ""),
        (0.5, ""),
        (0.95, ""),
        (0.9501, "#fdd0a2"),
        (0.995, "#fdae6b"),
        (1.0, "#fd8d3c"),
        (math.nan, ""),
    ],
)
def test_colours_by_hand(p, expected):
    assert p_values.colour(p) == expected


def luminance(colour):
    """Relative luminance as in WCAG 2."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_text_can_be_read_on_every_colour():
    ink = luminance("#1a1a1a")
    for colour in (own for _, *sides in p_values.STEPS for own in sides):
        # What WCAG 2 asks for in its level AA.
        assert (luminance(colour) + 0.05) / (ink + 0.05) >= 4.5
        assert colour in p_values.legend()


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0, "0.000"),
        (2.0**-15, r"\<0.001"),
        (0.05, "0.050"),
        (1 - 2.0**-15, ">0.999"),
        (1.0, "1.000"),
    ],
)
def test_p_values_do_not_round_to_certainty(p, shown):
    text = markdown({("Adam", "NR"): (None, compared(p))})
    (line,) = (line for line in text.splitlines() if line.startswith("| Adam"))
    assert re.split(r"[ *]+", line)[3] == shown
