"""The Fashion-MNIST cell per epoch, against PyTorch as two single-thread processes.

788 units, 5 widths x 3 seeds x 2 arms, after compilation. A tenth of an epoch (46 of
468 steps) is timed, in turn with the same of PyTorch and with a 2048^3 product.
"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import cells, harness
from sparse_gf.specs import CapacitySpec

STEPS = 46


def main() -> None:
    """Times our epochs, theirs, and products, in turn."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    args = parser.parse_args()
    cell = CapacitySpec(dataset="fashion_mnist", train_examples=STEPS * 128)
    dataset = harness.dataset_of("fashion_mnist", args.data_dir, STEPS * 128, 0)
    product = jax.jit(lambda a, b: a @ b)
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(2048, 2048)), "float32")
    jax.block_until_ready(product(matrix, matrix))
    with harness.temporary_folder() as folder:
        flags = ["--data", harness.save(dataset, folder)]
        flags += ["--dense_widths", harness.widths(cell.dense_widths)]
        commands = [
            harness.pytorch(*flags, "--threads", "1", "--part", f"{part}/2")
            for part in (1, 2)
        ]
        running = cells.start(cell, dataset)
        running.advance()
        servers = harness.Servers(commands)
        ours, theirs, products = [], [], []
        for _ in harness.repeat(args.repetitions):
            ours.append(harness.seconds(running.advance))
            products.append(
                min(
                    harness.seconds(lambda: product(matrix, matrix).block_until_ready())
                    for _ in range(10)
                )
            )
            theirs.append(servers.epoch())
        servers.close()
    flops = cells.epoch_flops(cell, STEPS * 128)
    best = 2 * 2048**3 / min(products)
    scale = (
        f"Fashion-MNIST cell, 30 networks, {STEPS} steps (0.1 epoch) after compiling"
    )
    harness.write(
        "fashion_mnist",
        "benchmarks.fashion_mnist",
        [
            harness.Figure(
                f"{scale}: two single-thread PyTorch processes / sparse_gf",
                [t / o for o, t in zip(ours, theirs, strict=True)],
                "x",
                ">= 1.2",
                "Both are at the machine's rate of matrix products; see "
                "`benchmarks/README.md`.",
            ),
            harness.Figure(
                f"{scale}: matrix-product efficiency ({flops / 1e9:.0f} GFLOP / time / "
                f"best rate of a 2048^3 product, {best / 1e9:.0f} GFLOP/s)",
                [flops / o / best for o in ours],
                "",
                ">= 0.6",
            ),
            harness.Figure(f"{scale}: sparse_gf", ours, "s"),
            harness.Figure(f"{scale}: two PyTorch processes", theirs, "s"),
        ],
    )


if __name__ == "__main__":
    main()
