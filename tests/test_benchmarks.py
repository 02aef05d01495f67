"""What the benchmarks count and print; no timings."""

import ast
import importlib
import json
import pathlib
import runpy
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def benchmarks(monkeypatch):
    """Modules of the benchmarks; they are no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))

    def get(name):
        return importlib.import_module(f"benchmarks.{name}")

    yield get
    for name in [n for n in sys.modules if n.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


def test_flops_of_an_epoch_are_those_of_its_products(benchmarks):
    cells = benchmarks("cells")
    cell = cells.CapacitySpec(dense_widths=(7,), seeds=(0, 1), hidden_layers=2)
    # 64 x w, w x w, w x 10: forward, weights' gradients, and activations' gradients but
    # for the images; two networks an arm.
    per_image = sum(2 * 2 * (2 * 64 * w + 3 * (w * w + 10 * w)) for w in (68, 7))
    # 1,442 images are 11 whole batches of 128.
    assert cells.epoch_flops(cell, 1442) == 11 * 128 * per_image
    padded = 2 * 2 * 2 * (2 * 64 * 68 + 3 * (68 * 68 + 10 * 68))
    assert cells.epoch_flops(cell, 1442, "padded") == 11 * 128 * padded


@pytest.mark.parametrize(("optimizer", "passes"), [("adam", 9), ("momentum", 7)])
def test_bytes_of_a_step_are_counted_once_per_pass(benchmarks, optimizer, passes):
    roofline = benchmarks("roofline")
    cell = roofline.CapacitySpec(
        dataset="fashion_mnist",
        dense_widths=(79,),
        seeds=(0,),
        hidden_layers=1,
        optimizer=roofline.OptimizerSpec(optimizer),
    )
    expected = 0
    for width in (788, 79):
        first, last = 784 * width, 10 * width
        # Read forward, written and read as gradient, read and written by the
        # optimizer; moments read and written; the last layer read once more.
        expected += 4 * passes * (first + last) + (first + last) + 4 * last
    assert roofline.step_bytes(cell) == expected


def test_memory_is_planned_by_the_compiler(benchmarks):
    memory = benchmarks("memory")
    cell = memory.CapacitySpec(dense_widths=(7,), seeds=(0, 1), hidden_layers=1)
    ((networks, most),) = memory.most_bytes(cell, 10**9)
    # Weights, two moments, and masks, and the data set beside them.
    states = 4 * 13 * (64 * 68 + 68 * 10)
    images = 64 * 1797
    assert networks == 4
    assert states + images < most < 10 * (states + images)


@pytest.mark.parametrize(
    ("target", "values", "reached"),
    [
        (">= 10", [9, 10, 30], True),
        (">= 10", [9, 9.9, 30], False),
        ("<= 0", [0], True),
        ("<= 0.05", [0.04, 0.06, 0.07], False),
    ],
)
def test_a_target_is_reached_by_the_median(benchmarks, target, values, reached):
    assert benchmarks("harness").Figure("x", values, "", target).reached is reached


def test_the_table_holds_every_number_and_why_targets_were_missed(
    benchmarks, monkeypatch, tmp_path
):
    harness = benchmarks("harness")
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    harness.write(
        "one",
        "benchmarks.one",
        [
            harness.Figure("speed", [3.0, 1.0, 2.0], "x", ">= 4", "Too little time."),
            harness.Figure("time", [0.5], "s"),
        ],
    )
    content = json.loads((tmp_path / "one.json").read_text())
    assert content["figures"][0]["median"] == 2.0
    assert content["machine"]["jax"]
    table = (tmp_path / "README.md").read_text()
    assert (
        "| speed [1] | 2 x | 1 | 3 | 3 | >= 4 | **no** | `python -m benchmarks.one` |"
        in table
    )
    assert "1. Too little time." in table
    assert (
        "| time | 0.5 s | 0.5 | 0.5 | 1 |  |  | `python -m benchmarks.one` |" in table
    )


def test_the_baseline_is_given_what_the_package_trains(benchmarks, tmp_path):
    harness = benchmarks("harness")
    dataset = harness.dataset_of("digits", "", 300, 100)
    with np.load(harness.save(dataset, str(tmp_path))) as saved:
        for name in ("train_images", "train_labels", "test_images", "test_labels"):
            np.testing.assert_array_equal(saved[name], getattr(dataset, name))


def test_the_stand_in_for_jaxtyping_has_all_that_the_package_imports():
    path = ROOT / "benchmarks" / "standins" / "jaxtyping.py"
    names = runpy.run_path(str(path))
    wanted = set()
    for file in (ROOT / "sparse_gf").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "jaxtyping":
                wanted |= {alias.name for alias in node.names}
    assert "Float" in wanted
    assert wanted <= set(names)
    assert names["Float"][names["Array"], "any shape"]
