"""What the sparse training toolkit costs: tweaks per step, eigenvalues per epoch.

ResNet-20, batches of 128 images of CIFAR's size, random ones, after compilation,
without augmentation. A network per core; all figures are ratios within one run.
"""

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import cells, convolutional, harness
from sparse_gf import curvature, losses
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import masked
from sparse_gf.specs import MaskedSpec, MaskSpec, ScheduleSpec
from sparse_gf.specs.toolkit import GskSpec, LrsiSpec

STEPS = 4
NUM = 5
TOLERANCE = 1e-2

# Ghosts are on for half of the epochs, more than are timed.
PLAIN = MaskedSpec(
    model="resnet20",
    mask=MaskSpec(density=(0.05,)),
    seeds=(0, 1),
    l2=2e-4,
    data_augmentation=False,
    epochs=1000,
    schedule=ScheduleSpec("step", (500,)),
    train_examples=STEPS * 128,
)

TWEAKS: dict[str, dict[str, Any]] = {
    "GSw": {"tost": "gsw"},
    "GSk": {"tost": "gsk"},
    "GSk, projection as released": {"tost": "gsk", "gsk": GskSpec(kind="projection")},
    "LS": {"tost": "ls"},
    "GSw, GSk and LS": {"tost": "gsw,gsk,ls"},
}


def main() -> None:
    """Times epochs with each tweak, rescaling, and eigenvalues."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    dataset = convolutional.random_images(STEPS * 128)
    plain = convolutional.start(PLAIN, dataset)
    plain.advance()
    scale = f"ResNet-20, {jax.local_device_count()} networks at once, batches of 128"
    figures = []
    for name, changes in TWEAKS.items():
        running = convolutional.start(_with(**changes), dataset)
        running.advance()
        ratios = []
        for _ in harness.repeat(args.repetitions):
            step = harness.seconds(running.advance)
            ratios.append(step / harness.seconds(plain.advance))
        figures.append(
            harness.Figure(f"{scale}: a step with {name} / a plain one", ratios, "x")
        )
    rescaling = _rescaling_seconds(dataset)
    epoch = [harness.seconds(plain.advance) for _ in harness.repeat(args.repetitions)]
    figures.append(
        harness.Figure(
            f"{scale}: an iteration of LRsI (2 x 128 images) / a plain step",
            [rescaling / (own / STEPS) for own in epoch],
            "x",
        )
    )
    alone = convolutional.start(_with(seeds=(0,)), dataset)
    alone.advance()
    products, ratios = _eigenvalues(alone, max(1, args.repetitions - 2))
    figures.append(
        harness.Figure(
            f"ResNet-20: top {NUM} eigenvalues, residuals {TOLERANCE}, {products} "
            "products / an epoch over the same examples",
            ratios,
            "x",
            "<= 20",
            "A product costs at least three gradients.",
        )
    )
    harness.write("toolkit", "benchmarks.toolkit", figures)


def _with(**changes: Any) -> MaskedSpec:
    return dataclasses.replace(PLAIN, **changes)


def _rescaling_seconds(dataset: Dataset) -> float:
    """Seconds of one iteration: the difference of many and few."""
    seconds = []
    for iterations in (2, 12):
        cell = _with(tost="lrsi", lrsi=LrsiSpec(iterations=iterations))
        running = convolutional.start(cell, dataset)
        (group,) = running.networks.groups
        make = functools.partial(
            running.networks.programs.init, group.seeds, group.members, running.data
        )
        jax.block_until_ready(make())
        start = time.perf_counter()
        jax.block_until_ready(make())
        seconds.append(time.perf_counter() - start)
    return (seconds[1] - seconds[0]) / 10


def _eigenvalues(running: cells.Running, repetitions: int) -> tuple[int, list[float]]:
    """Products, and times over those of an epoch; both of one network alone."""
    recipe = masked.recipe(PLAIN)
    data = running.data
    images = (data.train_images / 255).astype(jnp.float32)
    batches = curvature.in_batches((images, data.train_labels), 128)
    state = jax.tree.map(lambda x: jnp.asarray(x[0]), running.state[0])

    @jax.jit
    def run(params: Any, own: Any, batch_stats: Any) -> curvature.Eigenpairs:
        def loss_fn(params: Any, batch: Any) -> Any:
            variables = {"params": params, "batch_stats": batch_stats}
            logits: Any = recipe.model.apply(variables, batch[0])
            return losses.cross_entropy(logits, batch[1])

        return curvature.top_eigenpairs(
            curvature.mean_over_batches(loss_fn, batches),
            params,
            own,
            num=NUM,
            key=jax.random.key(0),
            tolerance=TOLERANCE,
        )

    call = functools.partial(run, state.params, state.masks, state.batch_stats)
    products = int(jax.block_until_ready(call()).products)
    ratios = []
    for _ in harness.repeat(repetitions):
        once = harness.seconds(lambda: jax.block_until_ready(call()))
        ratios.append(once / harness.seconds(running.advance))
    return products, ratios


if __name__ == "__main__":
    main()
