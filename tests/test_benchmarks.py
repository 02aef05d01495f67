"""What the benchmarks count and print; no timings."""

import ast
import importlib
import json
import math
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


PROGRAM = """
HloModule jit_f, entry_computation_layout={...}

%fused (p.0: f32[9,4], p.1: s32[]) -> f32[1,4] {
  %p.0 = f32[9,4]{1,0} parameter(0)
  %p.1 = s32[] parameter(1)
  %zero.1 = s32[] constant(0)
  %row.1 = f32[1,4]{1,0} dynamic-slice(%p.0, %p.1, %zero.1), dynamic_slice_sizes={1,4}
  ROOT %twice.1 = f32[1,4]{1,0:T(8,128)S(1)} add(%row.1, %row.1)
}

%body (arg: (s32[], f32[9,4], f32[2,8,8,6], /*index=3*/f32[3,3,3,4])) -> (s32[]) {
  %arg = (s32[], f32[9,4]{1,0}, f32[2,8,8,6]{3,2,1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%arg), index=0
  %all.1 = f32[9,4]{1,0} get-tuple-element(%arg), index=1
  %images.1 = f32[2,8,8,6]{3,2,1,0} get-tuple-element(%arg), index=2
  %kernel.1 = f32[4,3,3,3]{3,2,1,0} get-tuple-element(%arg), index=3
  %kernel.2 = f32[4,3,3,3]{3,2,1,0} bitcast(%kernel.1)
  %some = f32[1,4]{1,0} fusion(%all.1, %i.1), kind=kLoop, calls=%fused
  %part = ((f32[9,4]{1,0}), f32[2,4]{1,0:S(1)}, s32[]{:S(2)}) slice-start(%all.1)
  %there = f32[2,4]{1,0:S(1)} slice-done(%part)
  %five.1 = f32[5,3,3]{2,1,0:S(1)} get-tuple-element(%arg), index=4
  %five.2 = f32[5,3,3]{2,1,0:S(1)} convolution(%five.1, %five.1), \
window={size=5 stride=4 lhs_dilate=5}, dim_labels=0bf_0io->0bf, \
operand_precision={highest,highest}
  %conv = (f32[2,8,8,4]{3,2,1,0}, u8[0]{0}) custom-call(%images.1, %kernel.2), \
window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, feature_group_count=2, \
operand_precision={highest,highest}, custom_call_target="__cudnn$convForward"
  ROOT %out = (s32[]) tuple(%i.1)
}

%below (own: (s32[])) -> pred[] {
  %own = (s32[]) parameter(0)
  %i.2 = s32[] get-tuple-element(%own), index=0
  %ten = s32[] constant(10)
  ROOT %is.below = pred[] compare(%i.2, %ten), direction=LT
}

ENTRY %main (a: f32[5]) -> f32[5] {
  %a = f32[5]{0} parameter(0)
  %state = (s32[]) tuple()
  %loop = (s32[]) while(%state), condition=%below, body=%body
  ROOT %b = f32[5]{0} negate(%a)
}
"""


def test_a_compiled_program_is_counted(benchmarks):
    hlo = benchmarks("hlo")
    module = hlo.Module(PROGRAM)
    launches = list(module.launches())
    assert hlo.num_kernels(launches) == 4 * 10 + 1
    # A row of the matrix and the index; what is made of it stays in fast memory, and
    # so do two rows that are copied there, and five products.
    row, rows = 16 + 4, 32
    images, kernel, made = (4 * n for n in (2 * 8 * 8 * 6, 4 * 27, 2 * 8 * 8 * 4))
    assert (
        hlo.num_bytes(launches) == 10 * (row + rows + images + kernel + made) + 2 * 20
    )
    # Two groups of channels: each output is of 3 x 3 pixels of 3 channels.
    (loop,) = module.loops()
    flops = [launch.flops for launch in module.launches(loop.body)]
    assert (loop.trips, flops) == (10, [0, 0, 2 * 5 * 27, 2 * (2 * 8 * 8 * 4) * 27])
    ways = {"cudnn$convForward highest": 1, "convolution highest": 1}
    assert module.algorithms(loop.body) == ways
    assert [*module.windows()] == [(5,), (3, 3)]
    # At a byte and an operation a second all but the convolution waits for bytes.
    assert hlo.seconds(launches, 1, 1) == 10 * (row + rows + flops[2] + flops[3]) + 40


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("digits", 32), ("resnet8", 175)])
def test_an_h100_would_run_what_is_needed(benchmarks, monkeypatch, name, most):
    pytest.importorskip("jax_plugins.xla_cuda12", reason="no compiler for an H100")
    import jax

    compiled = benchmarks("compiled")
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    cell = compiled.masked_cell("resnet8", 2)
    if name == "digits":
        cell = compiled.CapacitySpec(dense_widths=(7,))
    fast = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        device = compiled.TARGETS["h100"].sharding()
        module = compiled.compiled(cell, device, "advance").module
    except NotImplementedError:
        pytest.skip("JAX takes the plugin without a GPU only for JAX_PLATFORMS=cpu")
    finally:
        jax.config.update("jax_disable_most_optimizations", fast)
    (loop,) = [loop for loop in module.loops() if loop.trips > 1]
    values = module.computations[loop.body].instructions
    launches = list(module.launches(loop.body))
    assert len(launches) <= most
    assert all(max(window) <= 7 for window in module.windows())

    (group,) = compiled.programs(cell)[0].groups
    sizes = {
        len(group.seeds) * leaf.size
        for leaf in jax.tree.leaves(group.shapes.params)
        if leaf.ndim > 1
    }

    def arrays(name, dtype):
        return [math.prod(s) for d, s in values[name].arrays if d == dtype]

    # A mask becomes floats only where weights, or their gradients, are made.
    for kernel, _, _, flops in launches:
        masks = {n for own in kernel.operands for n in arrays(own, "pred")} & sizes
        floats = {n for own in kernel.operands for n in arrays(own, "f32")}
        assert flops or masks <= floats

    def maker(name):
        own = values[name]
        follow = own.opcode in ("bitcast", "get-tuple-element", "copy")
        return maker(own.operands[0]) if follow else name

    # The optimizer writes a layer's weights and moments in one pass.
    root = values[module.computations[loop.body].root]
    written = [n for n in root.operands if sizes & set(arrays(n, "f32"))]
    layers = sum(leaf.ndim > 1 for leaf in jax.tree.leaves(group.shapes.params))
    assert len(written) > layers
    makers = {launch.kernel.name for launch in launches}
    assert len({maker(name) for name in written} & makers) <= layers


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
