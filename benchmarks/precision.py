"""What a lower precision of products and convolutions does to accuracy and EGF.

The same networks of a cell at each precision, all else the same. On a CPU both lower
precisions are emulated to the bit in the factors; sums are float32's. TensorFloat-32's
units may sum otherwise.
"""

import dataclasses
from typing import Any

import numpy as np

from benchmarks import harness
from sparse_gf import ensemble, experiment
from sparse_gf.core.types import Dataset
from sparse_gf.models import products
from sparse_gf.specs import CapacitySpec, Cell, MaskedSpec, MaskSpec, RunSpec

CELLS: dict[str, tuple[str, Cell]] = {
    "mlp": ("Digits", CapacitySpec(dense_widths=(7, 20, 34, 48, 61))),
    "resnet8": (
        "Digits, ResNet-8",
        MaskedSpec(
            dataset="digits",
            model="resnet8",
            mask=MaskSpec(density=(1.0, 0.2)),
            seeds=tuple(range(5)),
            epochs=10,
            measurements=3,
            data_augmentation=False,
        ),
    ),
}
"""A title and what is trained in float32."""


def finished(cell: Cell, dataset: Dataset) -> tuple[np.ndarray, Any]:
    """The arm of each network of a cell's only group, and what was measured of it."""
    ensemble.use_all_cores()
    job = experiment.job(cell, RunSpec())
    (chunk,) = job.plan()
    networks = chunk.make(None)
    data = ensemble.to_device(dataset, cell.dtype)
    shapes = ensemble.prepare(networks, data, len(job.measured))
    start = ensemble.begin(networks, data, shapes)
    (history,) = ensemble.fit(networks, data, start, job.measured).history
    (identities,) = chunk.identities
    return np.array([own.columns["arm"] for own in identities]), history


def main() -> None:
    """Trains each cell at every precision."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--cells", default=",".join(CELLS))
    for name in parser.parse_args().cells.split(","):
        harness.write(
            f"precision_{name}",
            f"benchmarks.precision --cells={name}",
            [
                dataclasses.replace(figure, values=[float(v) for v in figure.values])
                for figure in figures(*CELLS[name])
            ],
        )


def figures(title: str, cell: Cell) -> list[harness.Figure]:
    """Accuracy and EGF of a cell's networks at every precision."""
    dataset = harness.dataset_of("digits", "", 0, 0)
    found = []
    full: Any = None
    for precision in ("float32", *sorted(products.NAMES - {"float32"}, reverse=True)):
        arms, history = finished(
            dataclasses.replace(cell, precision=precision), dataset
        )
        accuracy = 100 * history.test.num_correct[-1] / len(dataset.test_labels)
        egf = history.flow.egf2.mean(axis=0)
        if full is None:
            full = accuracy, egf
        for arm in ("sparse", "dense"):
            own = arms == arm
            networks = f"{np.sum(own)} networks x {cell.epochs} epochs"
            scale = f"{title}, {arm}, {networks}, {precision}"
            found += [
                harness.Figure(f"{scale}: test accuracy", list(accuracy[own]), "%"),
                harness.Figure(f"{scale}: EGF_2", list(egf[own]), ""),
            ]
            if precision != "float32":
                found += [
                    harness.Figure(
                        f"{scale}: accuracy less that of the same network in float32",
                        list((accuracy - full[0])[own]),
                        "points",
                    ),
                    harness.Figure(
                        f"{scale}: EGF_2 / that of the same network in float32",
                        list((egf / full[1])[own]),
                        "x",
                    ),
                ]
    return found


if __name__ == "__main__":
    main()
