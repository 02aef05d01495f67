"""Table 4 at the paper's scale on one GPU, projected from measured epochs.

21 cells, 630 networks, 500 epochs of all of Fashion-MNIST and 11 measurements.
"""

import jax

from benchmarks import cells, harness, roofline
from sparse_gf.specs import CapacitySpec, OptimizerSpec

OPTIMIZERS = ("adagrad", "adam", "momentum")
VARIANTS = ("NR", "L2", "DA", "SC", "BN", "DA_SC_BN", "DA_L2_SC_BN")


def main() -> None:
    """Compiles every cell and times a few epochs and a measurement of each."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--noise", action="store_true", help="images of noise")
    args = parser.parse_args()
    if jax.default_backend() != "gpu":
        raise SystemExit("benchmarks.gpu_table4 needs a GPU.")
    dataset = (
        roofline.random_images("fashion_mnist", 60_000)
        if args.noise
        else harness.dataset_of("fashion_mnist", args.data_dir, 0, 0)
    )
    totals = [0.0] * args.repetitions
    figures = []
    for optimizer in OPTIMIZERS:
        for variant in VARIANTS:
            cell = CapacitySpec(
                dataset="fashion_mnist",
                optimizer=OptimizerSpec(optimizer),
                variant=variant,
                epochs=500,
            )
            made = []
            starting = harness.seconds(
                lambda cell=cell, made=made: made.append(cells.start(cell, dataset))
            )
            (running,) = made
            starting += harness.seconds(running.measure)
            first = harness.seconds(running.advance)
            epochs = [harness.seconds(running.advance) for _ in range(args.repetitions)]
            # Compiling is in the first epoch where it was not done before.
            starting += max(0.0, first - min(epochs))
            measuring = harness.seconds(running.measure)
            for number, epoch in enumerate(epochs):
                totals[number] += starting + 500 * epoch + 11 * measuring
            figures.append(
                harness.Figure(
                    f"{optimizer} {variant}: an epoch of 30 networks (measurement "
                    f"{measuring:.2f} s, compiling and making {starting:.0f} s)",
                    epochs,
                    "s",
                )
            )
            del running, made
    harness.write(
        "gpu_table4",
        "benchmarks.gpu_table4",
        [
            harness.Figure(
                "Table 4 at paper scale (21 cells, 630 networks x 500 epochs of "
                "Fashion-MNIST), projected from measured epochs",
                [total / 60 for total in totals],
                "min",
                "<= 60",
            ),
            *figures,
        ],
    )


if __name__ == "__main__":
    main()
