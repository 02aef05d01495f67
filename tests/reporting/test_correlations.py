"""Table 1, from rows written by hand."""

import dataclasses
import json
import math

import pandas as pd
import pytest
from markup import parsed, text

from sparse_gf.reporting import correlations, render
from sparse_gf.specs import CapacitySpec, OptimizerSpec
from sparse_gf.studies import sweep as sweep_lib

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
    frame = correlations.of(cells(ALL, TWO))
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
    line = of(correlations.of(frame), "gf1")
    assert line["differences"] == "20 of the 21 cells of its tables"
    last = rows(ALL, optimizer=table4[20].optimizer, variant=table4[20].variant)
    line = of(correlations.of(pd.concat([frame, last])), "gf1")
    assert line["differences"] == ""


def test_a_measure_of_ones_own_is_a_line_of_its_own():
    own = {"measures": ("mine:flow#01234567",)}
    frame = rows(ALL, **own).assign(**{"mine:flow": (1.0, 2.0, 3.0) * 2})
    found = correlations.of(frame)
    assert of(found, "mine:flow")["sparse_test_loss"] == 1
    assert "| mine:flow | 1.000 " in render.markdown(correlations.layout(found))
    # What is measured beside changes nothing: it sets no cells apart.
    both = correlations.of(pd.concat([frame, cells(TWO)]))
    assert list(both["measure"]) == ["gf1", "gf2", "egf1", "egf2"]


def test_sizes_are_taken_before_the_mean():
    # tau is 1 and -1/3.
    line = of(correlations.of(cells(ALL, ONE)), "gf1")
    assert line["sparse_test_loss"] == pytest.approx((1 + 1 / 3) / 2)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_diverged_network_is_the_worst(loss):
    line = of(correlations.of(rows((1.0, 2.0, loss))), "gf1")
    assert line["sparse_test_loss"] == pytest.approx(1)


def test_cells_without_a_tau_are_left_out_and_counted():
    frame = correlations.of(cells(ALL, (5.0, 5.0, 5.0)))
    line = of(frame, "gf1")
    assert line["sparse_test_loss"] == pytest.approx(1)
    assert math.isnan(line["sparse_test_loss_low"])
    assert line["sparse_test_loss_without_tau"] == 1
    constant = of(frame, "egf2")
    assert math.isnan(constant["sparse_test_loss"])
    assert constant["sparse_test_loss_without_tau"] == 2
    assert constant["dense_test_loss_without_tau"] == 1
    shown = render.markdown(correlations.layout(frame))
    assert "| EGF₂ | — (0.360) 2 without tau |" in shown
    assert "1.000 (0.298) 1 without tau" in shown


def test_cells_trained_otherwise_are_not_averaged():
    title = "Fashion-MNIST, 5,120 of 60,000 training images"
    frame = correlations.of(
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
    shown = render.markdown(correlations.layout(frame))
    assert f"Fashion-MNIST, 500 epochs, 2 cells. Not as in the paper: {NONE_OF_21}" in (
        shown
    )
    assert (
        f"{title}, 5 epochs, 1 cell. Not as in the paper: train_examples 5120, not all;"
    ) in shown


def test_data_that_are_not_the_papers_are_said_so():
    jpeg = rows(ALL, dataset="cifar10", epochs=1000, title="CIFAR-10 (JPEG)")
    line = of(correlations.of(jpeg), "gf1")
    assert line["differences"] == f"dataset CIFAR-10 (JPEG), not CIFAR-10; {ONE_OF_53}"
    assert line["sparse_test_loss_published"] == 0.44
    digits = rows(ALL, dataset="digits", epochs=10, title="Digits")
    line = of(correlations.of(digits), "gf1")
    assert line["differences"] == "dataset Digits"
    assert math.isnan(line["sparse_test_loss_published"])
    shown = render.markdown(correlations.layout(correlations.of(digits)))
    assert "| ‖g‖₁ | 1.000 |" in shown


def test_groups_with_the_same_heading_stay_apart():
    two = [rows(ALL, dataset="digits", epochs=10, title="Digits", l2=x) for x in (1, 2)]
    root = parsed(render.html(correlations.layout(correlations.of(pd.concat(two)))))
    assert [len(body.findall("tr/td")) for body in root.findall("tbody")] == [16, 16]


def test_correlations_in_html_and_latex():
    frame = correlations.of(cells(ALL, TWO))
    root = parsed(render.html(correlations.layout(frame)))
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
    lines = render.latex(correlations.layout(frame)).splitlines()
    (line,) = (line for line in lines if line.startswith(r"$\|$g$\|$$_1$ & "))
    assert line.count(" & ") == 4
    assert (
        r"\begin{tabular}{@{}c@{}}0.667 {\scriptsize (0.355)} \\ "
        r"{\scriptsize {[}0.333, 1.000{]}}\end{tabular}"
    ) in line


def test_no_rows_give_a_table_without_rows():
    frame = correlations.of(rows(ALL).iloc[:0])
    assert frame.empty
    assert "sparse_test_loss_published" in frame
    for write in (render.markdown, render.html, render.latex):
        assert "Table 1" in write(correlations.layout(frame))
