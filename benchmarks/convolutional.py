"""Training ResNet-20, two networks at once, against PyTorch as two processes.

Batches of 128 images of CIFAR's size, random ones, after compilation, without
augmentation; ours under masks of half the weights, which are multiplied as dense ones.
"""

import sys

import jax
import numpy as np

from benchmarks import cells, harness
from sparse_gf import data as data_lib
from sparse_gf import ensemble
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import masked
from sparse_gf.specs import MaskedSpec, MaskSpec, RunSpec

STEPS = 8


def random_images(count: int) -> Dataset:
    """A data set of CIFAR's shapes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, count).astype(np.int32)
    few = slice(0, 128)
    title = data_lib.info("cifar10").title
    arrays = (images, labels, images[few], labels[few])
    return Dataset("cifar10", f"{title} (random)", *arrays, 10, "random", "")


def start(cell: MaskedSpec, dataset: Dataset) -> cells.Running:
    """Compiles a cell's networks and makes them."""
    (chunk,) = masked.plan(cell, RunSpec())
    networks = masked.ensemble_of(cell, chunk)
    on_device = ensemble.to_device(dataset, cell.dtype)
    shapes = ensemble.prepare(networks, on_device, 1)
    state = ensemble.begin(networks, on_device, shapes).state
    return cells.Running(networks, on_device, state)


def main() -> None:
    """Times our steps and theirs in turn."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    cell = MaskedSpec(
        model="resnet20",
        mask=MaskSpec(density=(0.5,)),
        seeds=(0, 1),
        l2=5e-4,
        data_augmentation=False,
        train_examples=STEPS * 128,
    )
    running = start(cell, random_images(STEPS * 128))
    running.advance()
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    command = [sys.executable, "-m", "benchmarks.pytorch_resnet"]
    command += ["--steps", str(STEPS), "--device", device]
    servers = harness.Servers([command, command])
    ours, theirs = [], []
    for _ in harness.repeat(args.repetitions):
        ours.append(harness.seconds(running.advance) / STEPS)
        theirs.append(servers.epoch() / STEPS)
    servers.close()
    scale = f"ResNet-20, 2 networks at once, batches of 128, {STEPS} steps, {device}"
    harness.write(
        "convolutional",
        "benchmarks.convolutional",
        [
            harness.Figure(
                f"{scale}: two single-thread PyTorch processes / sparse_gf",
                [t / o for o, t in zip(ours, theirs, strict=True)],
                "x",
                ">= 1",
                "XLA's convolutions for CPUs (Eigen's) are slower than PyTorch's "
                "(oneDNN's); see `benchmarks/README.md`.",
            ),
            harness.Figure(f"{scale}: sparse_gf", ours, "s a step of both"),
            harness.Figure(f"{scale}: PyTorch", theirs, "s a step of both"),
        ],
    )


if __name__ == "__main__":
    main()
