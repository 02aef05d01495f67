"""Tables as the paper lays them out, from comparisons and rows written by hand."""

import dataclasses
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from sparse_gf import stats
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import p_values as tables
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec
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
    return tables.p_values(asked, found | {"of another sweep": compared(0.5)}, "Data")


def parsed(fragment):
    return ElementTree.fromstring(fragment.replace("<br>", "<br/>"))


def html_cells(fragment):
    """By place, the element of each cell of a table."""
    root = parsed(fragment)
    columns = [th.text for th in root.findall("thead/tr/th")]
    return {
        (row.find("th").text, column): td
        for row in root.findall("tbody/tr")
        for column, td in zip(columns, row.findall("td"), strict=True)
    }


def text(element):
    return " ".join("".join(element.itertext()).split())


def test_the_layout_is_that_of_the_entries():
    laid_out = table()
    assert laid_out.rows == ("Adam", "SGD")
    assert laid_out.columns == ("NR", "L2_BN", NASTY)
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
    assert "over the 2 finished cells of this table" in tables.markdown(table())


def test_two_cells_in_one_place_are_refused():
    asked = sweep()
    twice = asked.study._replace(entries=asked.study.entries + asked.study.entries[:1])
    with pytest.raises(UserError, match="2 cells in row 'Adam', column 'NR'"):
        tables.p_values(dataclasses.replace(asked, study=twice), {}, "Data")


def test_every_study_with_published_p_values_can_be_laid_out():
    for name in tessera2021.TABLES:
        asked = sweep_lib.expand({"study": name, "scale": "paper"})
        assert len(tables.p_values(asked, {}, "").slots) == len(asked.study.entries)


def test_html_cells_say_what_was_found_and_what_was_published():
    shown = html_cells(tables.html(table(), lambda slot: None))
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
    shown = html_cells(tables.html(table(), lambda slot: None))
    assert shown["Adam", "NR"].find("strong").text == "0.010"
    assert shown["Adam", "L2_BN"].find("strong") is None


def test_only_cells_with_a_p_value_are_coloured():
    shown = html_cells(tables.html(table(), lambda slot: None))
    coloured = {place for place, td in shown.items() if td.get("style")}
    assert coloured == {("Adam", "NR"), ("Adam", "L2_BN")}
    style = shown["Adam", "L2_BN"].get("style")
    # A tenth of the way from green to yellow: 99 + 15.6, 190 + 4.5, 123 + 0.9.
    assert style == "background-color:#73c27c;color:#1a1a1a"


def test_links_lead_where_they_are_told():
    def href(slot):
        return f'#{slot.entry.cell.hash}"&' if slot.comparison else None

    laid_out = table()
    shown = html_cells(tables.html(laid_out, href))
    links = {place: td.find("a") for place, td in shown.items()}
    for place, slot in laid_out.slots.items():
        if slot.comparison is None:
            assert links[place] is None
        else:
            assert links[place].get("href") == f'#{slot.entry.cell.hash}"&'


def test_html_escapes_names_and_says_how_the_numbers_came_about():
    fragment = tables.html(table(), lambda slot: None)
    assert "<b>" not in fragment
    caption = text(parsed(fragment).find("caption"))
    assert caption.startswith("Table <4>. Data, 1 epoch, 4 pairs a cell; 3 of 5 cells")
    assert "H1: sparse > dense (exact; zero differences dropped)" in caption
    assert "Tessera et al. 2021, Fashion-MNIST, 500 epochs" in caption
    assert "Diverged: networks of both arms" in caption
    assert "—: not run" in caption


def test_notes_are_only_about_what_is_shown():
    place = {("Adam", "NR"): (None, compared(0.5))}
    caption = tables.markdown(table(place))
    for absent in ("Diverged", "In parentheses", "not run"):
        assert absent not in caption
    assert "1 of 1 cells run" in caption
    assert "over the 1 finished cell of" in caption


def test_markdown_has_a_place_for_each_cell():
    lines = [line for line in tables.markdown(table()).splitlines() if "|" in line]
    head, ruler, adam, sgd = lines
    assert ruler == "| :--- | :---: | :---: | :---: |"
    assert adam == "| Adam | **0.010** † (0.020) r -1.00 | 0.050 (0.000) r +0.50 | — |"
    assert sgd == "| SGD | NaN (1.000) 3 diverged | — (0.123) |  |"
    # What Markdown would read as markup is escaped.
    assert head == r'| | NR | L2_BN | \<b>&"\|_%$#{}~^\\ \*\`\[x\] |'


def test_latex_has_a_place_for_each_cell():
    lines = tables.latex(table()).splitlines()
    adam, sgd = (line for line in lines if line.startswith(("Adam", "SGD")))
    assert adam == (
        r"Adam & \cellcolor[HTML]{66BF7B}\begin{tabular}{@{}c@{}}\textbf{0.010} "
        r"\textsuperscript{\dag{}} {\scriptsize (0.020)} \\ {\scriptsize r -1.00}"
        r"\end{tabular} & \cellcolor[HTML]{73C27C}\begin{tabular}{@{}c@{}}0.050 "
        r"{\scriptsize (0.000)} \\ {\scriptsize r +0.50}\end{tabular} & --- \\"
    )
    assert sgd == (
        r"SGD & \begin{tabular}{@{}c@{}}NaN {\scriptsize (1.000)} \\ {\scriptsize 3 "
        r"diverged}\end{tabular} & --- {\scriptsize (0.123)} &  \\"
    )
    assert r"\begin{tabular}{l*{3}{c}}" in lines
    escaped = (
        r'$<$b$>$\&"$|$\_\%\$\#\{\}\textasciitilde{}\textasciicircum{}'
        r"\textbackslash{} *`[x]"
    )
    assert rf" & NR & L2\_BN & {escaped} \\" in lines


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0, "#63be7b"),
        # A fifth of the way to yellow: 99 + 31.2, 190 + 9, 123 + 1.8.
        (0.1, "#82c77d"),
        (0.5, "#ffeb84"),
        (1.0, "#f8696b"),
        (math.nan, ""),
    ],
)
def test_colours_by_hand(p, expected):
    assert tables.colour(p) == expected


def luminance(colour):
    """Relative luminance as in WCAG 2."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_text_can_be_read_on_every_colour():
    ink = luminance("#1a1a1a")
    for p in np.linspace(0, 1, 101):
        # What WCAG 2 asks for in its level AA.
        assert (luminance(tables.colour(p)) + 0.05) / (ink + 0.05) >= 4.5


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
    text = tables.markdown(table({("Adam", "NR"): (None, compared(p))}))
    (line,) = (line for line in text.splitlines() if line.startswith("| Adam"))
    assert re.split(r"[ *]+", line)[3] == shown


# Measures of three networks, which rank them 1, 2, 3, and their losses. Of the three
# pairs, as many as are said are in the same order.
ALL, TWO, ONE = (1.0, 2.0, 3.0), (1.0, 3.0, 2.0), (2.0, 3.0, 1.0)


def rows(losses, title="Fashion-MNIST", measure=(1.0, 2.0, 3.0), **changes):
    """Rows of one cell: three networks per arm, all with the same losses."""
    spec = CapacitySpec(**{"dataset": "fashion_mnist", "epochs": 500} | changes)
    return pd.DataFrame(
        {
            "dataset": spec.dataset,
            "dataset_title": title,
            "epochs": spec.epochs,
            "train_examples": 60_000,
            "test_examples": 10_000,
            "config_hash": spec.hash,
            "config": json.dumps(dataclasses.asdict(spec)),
            "arm": arm,
            "dense_width": width,
            "seed": 0,
            "gf1": value,
            "gf2": value,
            "egf1": value,
            "egf2": 1.0 if arm == "sparse" else value,
            "test_loss": loss,
            "test_accuracy": -loss,
        }
        for arm in ("sparse", "dense")
        for width, value, loss in zip((7, 20, 33), measure, losses, strict=True)
    )


def cells(*all_losses, **changes):
    """Cells that differ in their learning rate, which does not set them apart."""
    return pd.concat(
        [
            rows(losses, optimizer=OptimizerSpec(learning_rate=number + 1.0), **changes)
            for number, losses in enumerate(all_losses)
        ],
        ignore_index=True,
    )


# Table 4 has 3 x 7 cells on Fashion-MNIST; Tables 5a-c 25 + 20 + 8 on CIFAR-10.
NONE_OF_21, ONE_OF_21 = (
    "0 of the 21 cells of its tables",
    "1 of the 21 cells of its tables",
)
ONE_OF_53 = "1 of the 53 cells of its tables"


def of(frame, measure):
    (line,) = frame[frame["measure"] == measure].to_dict("records")
    return line


def test_correlations_by_hand():
    frame = tables.correlations(cells(ALL, TWO))
    assert list(frame["measure"]) == ["gf1", "gf2", "egf1", "egf2"]
    line = of(frame, "gf1")
    # tau is (3 - 0) / 3 and (2 - 1) / 3.
    assert line["sparse_test_loss"] == pytest.approx((1 + 1 / 3) / 2)
    # Of the means of two resampled cells a quarter is the least, a quarter the most.
    assert line["sparse_test_loss_low"] == pytest.approx(1 / 3)
    assert line["sparse_test_loss_high"] == pytest.approx(1)
    # Accuracy falls as loss rises: the sizes of tau are the same.
    assert line["dense_test_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert line["num_cells"] == 2
    # Learning rates 1 and 2 are in none of the paper's tables.
    assert line["differences"] == f"{NONE_OF_21}; 2 cells that its tables do not have"
    # The paper's Table 1, FMNIST, ||g||_1.
    assert line["sparse_test_loss_published"] == 0.355
    assert line["dense_test_accuracy_published"] == 0.354


def test_all_cells_of_the_papers_tables_are_as_in_the_paper():
    table4 = sweep_lib.expand({"study": "table4", "scale": "paper"}).study.cells
    frame = pd.concat(
        [
            rows(ALL, optimizer=cell.optimizer, variant=cell.variant)
            for cell in table4[:20]
        ]
    )
    line = of(tables.correlations(frame), "gf1")
    assert line["differences"] == "20 of the 21 cells of its tables"
    last = rows(ALL, optimizer=table4[20].optimizer, variant=table4[20].variant)
    line = of(tables.correlations(pd.concat([frame, last])), "gf1")
    assert line["differences"] == ""


def test_sizes_are_taken_before_the_mean():
    # tau is 1 and -1/3.
    line = of(tables.correlations(cells(ALL, ONE)), "gf1")
    assert line["sparse_test_loss"] == pytest.approx((1 + 1 / 3) / 2)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_diverged_network_is_the_worst(loss):
    line = of(tables.correlations(rows((1.0, 2.0, loss))), "gf1")
    assert line["sparse_test_loss"] == pytest.approx(1)


def test_cells_without_a_tau_are_left_out_and_counted():
    frame = tables.correlations(cells(ALL, (5.0, 5.0, 5.0)))
    line = of(frame, "gf1")
    assert line["sparse_test_loss"] == pytest.approx(1)
    assert math.isnan(line["sparse_test_loss_low"])
    assert line["sparse_test_loss_without_tau"] == 1
    constant = of(frame, "egf2")
    assert math.isnan(constant["sparse_test_loss"])
    assert constant["sparse_test_loss_without_tau"] == 2
    assert constant["dense_test_loss_without_tau"] == 1
    shown = tables.correlations_markdown(frame)
    assert "| EGF₂ | — (0.360) 2 without tau |" in shown
    assert "1.000 (0.298) 1 without tau" in shown


def test_cells_trained_otherwise_are_not_averaged():
    title = "Fashion-MNIST, 5,120 of 60,000 training images"
    frame = tables.correlations(
        pd.concat(
            [
                cells(ALL, ONE),
                rows(TWO, epochs=5, l2=0.5),
                rows(TWO, epochs=5, train_examples=5120, title=title),
            ]
        )
    )
    assert list(frame["group"]) == [0] * 4 + [1] * 4 + [2] * 4
    assert list(frame["num_cells"]) == [2] * 4 + [1] * 8
    assert list(frame["differences"].unique()) == [
        f"{NONE_OF_21}; 2 cells that its tables do not have",
        f"l2 0.5, not 0.0001; epochs 5, not 500; {ONE_OF_21}",
        f"train_examples 5120, not all; epochs 5, not 500; {ONE_OF_21}",
    ]
    shown = tables.correlations_markdown(frame)
    assert f"Fashion-MNIST, 500 epochs, 2 cells. Not as in the paper: {NONE_OF_21}" in (
        shown
    )
    assert (
        f"{title}, 5 epochs, 1 cell. Not as in the paper: train_examples 5120, not all;"
    ) in shown


def test_data_that_are_not_the_papers_are_said_so():
    jpeg = rows(ALL, dataset="cifar10", epochs=1000, title="CIFAR-10 (JPEG)")
    line = of(tables.correlations(jpeg), "gf1")
    assert line["differences"] == f"dataset CIFAR-10 (JPEG), not CIFAR-10; {ONE_OF_53}"
    assert line["sparse_test_loss_published"] == 0.44
    digits = rows(ALL, dataset="digits", epochs=10, title="Digits")
    line = of(tables.correlations(digits), "gf1")
    assert line["differences"] == "dataset Digits"
    assert math.isnan(line["sparse_test_loss_published"])
    assert "| ‖g‖₁ | 1.000 |" in tables.correlations_markdown(
        tables.correlations(digits)
    )


def test_groups_with_the_same_heading_stay_apart():
    two = [rows(ALL, dataset="digits", epochs=10, title="Digits", l2=x) for x in (1, 2)]
    root = parsed(tables.correlations_html(tables.correlations(pd.concat(two))))
    assert [len(body.findall("tr/td")) for body in root.findall("tbody")] == [16, 16]


def test_correlations_in_html_and_latex():
    frame = tables.correlations(cells(ALL, TWO))
    root = parsed(tables.correlations_html(frame))
    assert root.get("class") == "correlations"
    heads = [th.text for th in root.findall("thead/tr/th")]
    assert heads == [
        "Sparse, test loss",
        "Sparse, test accuracy",
        "Dense, test loss",
        "Dense, test accuracy",
    ]
    heading, first, *_ = root.findall("tbody/tr")
    assert text(heading) == (
        "Fashion-MNIST, 500 epochs, 2 cells. Not as in the paper: "
        f"{NONE_OF_21}; 2 cells that its tables do not have."
    )
    assert text(first.find("td")) == "0.667 (0.355)[0.333, 1.000]"
    lines = tables.correlations_latex(frame).splitlines()
    (line,) = (line for line in lines if line.startswith(r"$\|$g$\|$$_1$ & "))
    assert line.count(" & ") == 4
    assert (
        r"\begin{tabular}{@{}c@{}}0.667 {\scriptsize (0.355)} \\ "
        r"{\scriptsize [0.333, 1.000]}\end{tabular}"
    ) in line


def test_no_rows_give_a_table_without_rows():
    frame = tables.correlations(rows(ALL).iloc[:0])
    assert frame.empty
    assert "sparse_test_loss_published" in frame
    for render in (
        tables.correlations_markdown,
        tables.correlations_html,
        tables.correlations_latex,
    ):
        assert "Table 1" in render(frame)
