"""What measuring gradient flow costs, as a share of training.

All quantities at 11 epochs, on the whole training set (the default probe) and with the
test scores that belong to a measurement.
"""

import dataclasses

from benchmarks import cells, harness
from sparse_gf.specs import CapacitySpec

STEPS = 46


def main() -> None:
    """Times an epoch and a measurement in turn."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    args = parser.parse_args()
    figures = []
    for title, cell, test in (
        ("Digits", CapacitySpec(dense_widths=(7, 20, 34, 48, 61)), 0),
        # The proportions of the whole: 60,000 and 10,000 images.
        (
            "Fashion-MNIST (a tenth)",
            CapacitySpec(dataset="fashion_mnist", train_examples=STEPS * 128),
            STEPS * 128 // 6,
        ),
    ):
        dataset = harness.dataset_of(
            cell.dataset, args.data_dir, cell.train_examples, test
        )
        for name, probe in (("whole training set", 0), ("a third of it", 3)):
            probed = dataclasses.replace(
                cell, probe_size=len(dataset.train_labels) // probe if probe else 0
            )
            running = cells.start(probed, dataset)
            running.advance()
            running.measure()
            pairs = [
                (harness.seconds(running.advance), harness.seconds(running.measure))
                for _ in harness.repeat(args.repetitions)
            ]
            for epochs in (100, 500):
                figures.append(
                    harness.Figure(
                        f"{title}, 30 networks, probe: {name}: 11 measurements / "
                        f"{epochs} epochs",
                        [11 * m / (epochs * a) for a, m in pairs],
                        "",
                        "<= 0.05" if not probe or epochs == 100 else "",
                        "The gradient over the whole training set has the products of "
                        "an epoch: 11 of 100 epochs are 0.11 of them by count, less "
                        "what optimizer and small batches add to training. The paper "
                        "trains 500 and 1000 epochs."
                        if not probe and epochs == 100
                        else "",
                    )
                )
    harness.write("gradient_flow", "benchmarks.gradient_flow", figures)


if __name__ == "__main__":
    main()
