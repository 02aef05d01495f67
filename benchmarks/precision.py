"""What a lower precision of matrix products does to accuracy and EGF.

The digits cell, 30 networks x 100 epochs, at each precision, all else the same.
On a CPU TensorFloat-32 is emulated to the bit in its factors.
"""

import dataclasses
from typing import Any

import numpy as np

from benchmarks import harness
from sparse_gf import ensemble, training
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import capacity
from sparse_gf.models import products
from sparse_gf.specs import CapacitySpec, RunSpec


def finished(cell: CapacitySpec, dataset: Dataset) -> tuple[tuple, Any]:
    """Which networks a cell's only group has, and what was measured of them."""
    ensemble.use_all_cores()
    ((group,),) = capacity.plan(cell, RunSpec())
    networks = capacity.ensemble_of(cell, (group,))
    data = ensemble.to_device(dataset, cell.dtype)
    measured = training.measured_epochs(cell.epochs, cell.measurements)
    shapes = ensemble.prepare(networks, data, len(measured))
    start = ensemble.begin(networks, data, shapes)
    (history,) = ensemble.fit(networks, data, start, measured).history
    return group.networks, history


def main() -> None:
    """Trains the cell at every precision."""
    harness.arguments(__doc__).parse_args()
    dataset = harness.dataset_of("digits", "", 0, 0)
    figures = []
    full: Any = None
    for precision in ("float32", *sorted(products.NAMES - {"float32"}, reverse=True)):
        cell = dataclasses.replace(
            CapacitySpec(dense_widths=(7, 20, 34, 48, 61)), precision=precision
        )
        networks, history = finished(cell, dataset)
        arms = np.array([arm for arm, _, _ in networks])
        accuracy = 100 * history.test.num_correct[-1] / len(dataset.test_labels)
        egf = history.flow.egf2.mean(axis=0)
        if full is None:
            full = accuracy, egf
        for arm in capacity.ARMS:
            own = arms == arm
            scale = f"Digits, {arm}, 15 networks x 100 epochs, {precision}"
            figures += [
                harness.Figure(f"{scale}: test accuracy", list(accuracy[own]), "%"),
                harness.Figure(f"{scale}: EGF_2", list(egf[own]), ""),
            ]
            if precision != "float32":
                figures += [
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
    harness.write(
        "precision",
        "benchmarks.precision",
        [
            dataclasses.replace(figure, values=[float(v) for v in figure.values])
            for figure in figures
        ],
    )


if __name__ == "__main__":
    main()
