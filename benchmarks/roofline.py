"""The share of the roofline that a training epoch reaches.

The floor of a step is the larger of its bytes over the measured copy bandwidth and its
floating-point operations over the measured rate of matrix products, counted here; on a
TPU bytes are no floor, see ``step_bytes``.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import cells, harness
from sparse_gf import data as data_lib
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import capacity
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec

MOMENTS = {"adam": 2, "momentum": 1}


def step_bytes(cell: CapacitySpec) -> int:
    """Bytes that one step of all networks moves where no cache helps, in float32.

    Every weight is read in the forward pass, again for the gradient of the activations
    (not in the first layer) and by the optimizer, which writes it; its gradient is
    written and read; each moment is read and written; and the mask, a byte, is read.
    Activations and images are left out: at batch 128 they are a few percent. It is a
    floor where what a kernel writes goes to memory, as on GPUs with more weights than
    their cache holds. It is none where an update stays in fast memory until it is read,
    as compilers for TPUs arrange it: there a step may move less.
    """
    inputs = data_lib.info(cell.dataset).input_dim
    total = 0
    for chunk in capacity.plan(cell, RunSpec(networks_per_program=10**9)):
        for group in chunk:
            first = inputs * group.width
            hidden = (cell.hidden_layers - 1) * group.width**2 + group.width * 10
            passes = 4 * (5 + 2 * MOMENTS[cell.optimizer.name]) + 1
            total += group.size * (passes * (first + hidden) + 4 * hidden)
    return total


def bandwidth() -> float:
    """Bytes per second of a copy that no cache holds, reads and writes counted."""
    size = 2**28 if jax.default_backend() == "cpu" else 2**32
    source = jnp.zeros(size // 4, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    copy(source).block_until_ready()
    best = min(
        harness.seconds(lambda: copy(source).block_until_ready()) for _ in "x" * 9
    )
    return 2 * size / best


def product_rate() -> float:
    """Best rate of float32 matrix products in full precision."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.asarray(
        np.random.default_rng(0).normal(size=(size, size)), jnp.float32
    )
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    product(matrix).block_until_ready()
    best = min(
        harness.seconds(lambda: product(matrix).block_until_ready()) for _ in "x" * 9
    )
    return 2 * size**3 / best


def random_images(name: str, examples: int) -> Dataset:
    """A data set of noise, for timing where the files are not at hand."""
    info = data_lib.info(name)
    draw = np.random.default_rng(0)

    def images(count: int) -> np.ndarray:
        return draw.integers(0, 256, (count, *info.image_shape), np.uint8)

    def labels(count: int) -> np.ndarray:
        return draw.integers(0, info.num_classes, count).astype(np.int32)

    return Dataset(
        name=name,
        title=f"{info.title} (noise)",
        train_images=images(examples),
        train_labels=labels(examples),
        test_images=images(1000),
        test_labels=labels(1000),
        num_classes=info.num_classes,
        source="noise",
        fingerprint="0" * 16,
    )


def main() -> None:
    """Times epochs at both sizes and with both optimizers."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="of an epoch; 0: default")
    parser.add_argument("--datasets", default="fashion_mnist,cifar10")
    args = parser.parse_args()
    on_cpu = jax.default_backend() == "cpu"
    steps = args.steps or (10 if on_cpu else 390)
    figures = []
    copy, rate = bandwidth(), product_rate()
    for name in args.datasets.split(","):
        for optimizer in MOMENTS:
            cell = dataclasses.replace(
                CapacitySpec(dataset=name, train_examples=steps * 128),
                optimizer=OptimizerSpec(optimizer),
            )
            running = cells.start(cell, random_images(name, steps * 128))
            running.advance()
            times = [
                harness.seconds(running.advance)
                for _ in harness.repeat(args.repetitions)
            ]
            flops = cells.epoch_flops(cell, steps * 128) / steps
            floors = step_bytes(cell) / copy, flops / rate
            figures.append(
                harness.Figure(
                    f"{data_lib.info(name).title} cell, {optimizer}, {steps} steps: "
                    f"floor {max(floors) * 1e3:.3g} ms a step (bytes "
                    f"{floors[0] * 1e3:.3g} at {copy / 1e9:.0f} GB/s, products "
                    f"{floors[1] * 1e3:.3g} at {rate / 1e9:.0f} GFLOP/s) / measured",
                    [max(floors) * steps / time for time in times],
                    "",
                    "" if on_cpu else ">= 0.7",
                )
            )
            del running
    where = "cpu" if on_cpu else "gpu"
    harness.write(f"roofline_{where}", "benchmarks.roofline", figures)


if __name__ == "__main__":
    main()
