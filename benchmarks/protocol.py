"""Epochs of the protocol's cell against nothing but the products in them.

The cell of Table 4 at the small scale: 200 units, Fashion-MNIST at 14 x 14, 2,000
images. The bare loop has the same matrix products in the same order, one network after
another on every core, and no optimizer, mask, activation or order of images.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import cells, harness, roofline
from sparse_gf import data as data_lib
from sparse_gf import ensemble, studies
from sparse_gf.ensemble.places import on_each_device, sharding_of
from sparse_gf.specs import CapacitySpec


def bare_epoch(cell: CapacitySpec, running: cells.Running, steps: int) -> Any:
    """A function that computes the products of an epoch, and waits for them.

    The gradients become the next step's weights, so that no product can be left out.
    All numbers are 0, which costs a CPU as much as others do.
    """
    images = jnp.zeros((cell.batch_size, cell.info.input_dim))

    def step(weights: Any, _: None) -> tuple[Any, None]:
        inputs = [images]
        for weight in weights:
            inputs.append(_product(inputs[-1], weight))
        gradient: Any = inputs.pop()
        new: list[Any] = []
        for weight, x in zip(reversed(weights), reversed(inputs), strict=True):
            new.insert(0, _product(x.T, gradient))
            gradient = _product(gradient, weight.T) if x is not images else None
        return new, None

    def one(weights: Any, seed: Any) -> Any:
        del seed
        return jax.lax.scan(step, weights, None, steps)[0]

    def train(networks: Any, seeds: Any, counts: Any) -> Any:
        groups = zip(networks, seeds, counts, strict=True)
        return [
            ensemble.ONE_BY_ONE.update(one, count[0], weights, own)
            for weights, own, count in groups
        ]

    own = jax.sharding.PartitionSpec("members")
    weights = [
        [
            jax.device_put(np.zeros(kernel.shape, np.float32), sharding_of(own))
            for kernel in jax.tree.leaves(group.params)
        ]
        for group in running.state
    ]
    run = jax.jit(on_each_device(train, own, own, own))
    fixed = ensemble.seeds_and_counts(running.networks)
    return lambda: jax.block_until_ready(run(weights, *fixed))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


def main() -> None:
    """Times epochs of both in turn."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    args = parser.parse_args()
    (cell, *_) = studies.get("table4", "small").cells
    assert isinstance(cell, CapacitySpec)
    steps = cell.num_examples // cell.batch_size
    noise = roofline.random_images(cell.dataset, cell.num_examples)
    running = cells.start(cell, data_lib.resized(noise, cell.image_size))
    bare = bare_epoch(cell, running, steps)
    for warm in (bare, running.advance):
        warm()
    epochs: list[tuple[float, float]] = []
    products: list[tuple[float, float]] = []
    for _ in harness.repeat(args.repetitions):
        products.append(_seconds(bare))
        epochs.append(_seconds(running.advance))
    flops = cells.epoch_flops(cell, cell.num_examples)
    what = f"Table 4's cell at the small scale, {cell.num_networks} networks, an epoch"
    figures = [
        harness.Figure(
            f"{what}: rate of training / rate of its bare products, {clock}",
            [one[at] / own[at] for one, own in zip(products, epochs, strict=True)],
            "x",
            ">= 0.75",
            "In turn.",
        )
        for at, clock in enumerate(("by the clock", "by processor time"))
    ]
    for name, found in (("training", epochs), ("bare products", products)):
        rates = [flops / own[1] / 1e9 for own in found]
        unit = "GFLOP/s of a processor"
        figures.append(harness.Figure(f"{what}: {name}", rates, unit))
    harness.write("protocol", "benchmarks.protocol", figures)


def _seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one call by the clock, and of all processors."""
    start, used = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - used


if __name__ == "__main__":
    main()
