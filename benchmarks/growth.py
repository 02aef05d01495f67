"""How time and memory grow with members, width, depth and data.

Fashion-MNIST sizes on noise (time does not depend on the images), Adam; memory is what
XLA plans for the training program on one device.
"""

import dataclasses
import json

import jax
import numpy as np

from benchmarks import cells, harness, roofline
from sparse_gf import ensemble
from sparse_gf.experiment import capacity
from sparse_gf.specs import CapacitySpec

STEPS = 8
BASE = CapacitySpec(
    dataset="fashion_mnist",
    dense_widths=(394,),
    seeds=(0, 1, 2, 3),
    train_examples=STEPS * 128,
)
AXES = {
    "networks": (1, 2, 4, 8, 16),
    "width": (98, 197, 394, 788),
    "hidden layers": (1, 2, 4, 8),
    "training images": (1024, 2048, 4096, 8192),
}


def start(axis: str, value: int) -> cells.Running:
    """Dense networks, four of them of width 394 but for the axis' value."""
    changes = {
        "networks": {"seeds": tuple(range(value))},
        "width": {"dense_widths": (value,)},
        "hidden layers": {"hidden_layers": value},
        "training images": {"train_examples": value},
    }[axis]
    cell = dataclasses.replace(BASE, **changes)
    (width,) = cell.dense_widths
    networks = tuple(("dense", width, seed) for seed in cell.seeds)
    dataset = roofline.random_images(cell.dataset, cell.train_examples)
    return cells.start_chunk(cell, (capacity.Group(networks, width),), dataset)


def program_bytes(running: cells.Running) -> int:
    """What the training program holds: arguments, results, temporaries."""
    seeds, counts = ensemble.seeds_and_counts(running.networks)
    program = running.networks.programs.advance.compiled(
        running.state, running.data, seeds, counts, np.int32(1)
    )
    return cells.planned_bytes(program)


def plot(curves: dict[str, list[dict[str, float]]]) -> None:
    """Draws time and memory against each axis, with the line of proportionality."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(curves), figsize=(13, 6), layout="constrained")
    for column, (name, points) in enumerate(curves.items()):
        x = [point["value"] for point in points]
        for row, (key, label) in enumerate(
            (("milliseconds", "time of a step (ms)"), ("megabytes", "memory (MB)"))
        ):
            y = [point[key] for point in points]
            axis = axes[row][column]
            axis.loglog(x, y, "o-", color="tab:blue", label="measured")
            slope = 2 if name == "width" else 1
            line = [y[-1] * (value / x[-1]) ** slope for value in x]
            label_line = "square" if slope == 2 else "proportional"
            axis.loglog(x, line, ":", color="tab:gray", label=label_line)
            axis.set_xticks(x, [str(value) for value in x])
            axis.minorticks_off()
            # More images are more steps, not longer ones.
            is_epoch = name == "training images" and row == 0
            axis.set_xlabel(name + (" (time of an epoch)" if is_epoch else ""))
            axis.set_ylabel(label if column == 0 else "")
            axis.legend(frameon=False)
    figure.savefig(harness.RESULTS / "growth.png", dpi=120)


def main() -> None:
    """Times every point and draws the curves."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    curves: dict[str, list[dict[str, float]]] = {}
    figures = []
    for axis, values in AXES.items():
        for value in values:
            running = start(axis, value)
            running.advance()
            times = [harness.seconds(running.advance) for _ in range(args.repetitions)]
            # A pass over more images is more steps.
            steps = STEPS if axis != "training images" else 1
            memory = program_bytes(running) * jax.local_device_count() / 1e6
            figure = harness.Figure(
                f"Dense networks, {axis} {value}: "
                + ("an epoch" if steps == 1 else "a step")
                + f" ({memory:.0f} MB)",
                [time / steps * 1e3 for time in times],
                "ms",
            )
            figures.append(figure)
            curves.setdefault(axis, []).append(
                {"value": value, "milliseconds": figure.median, "megabytes": memory}
            )
    harness.write("growth", "benchmarks.growth", figures)
    plot(curves)
    print(json.dumps(curves))


if __name__ == "__main__":
    main()
