"""Trains the digits cell and says how long each part took; run by ``digits``."""

import time

_STARTED = time.perf_counter()

import json  # noqa: E402 - the clock starts before the imports.

import jax  # noqa: E402

from sparse_gf import (  # noqa: E402
    data,
    ensemble,
    training,
)
from sparse_gf.experiment import capacity  # noqa: E402
from sparse_gf.specs import CapacitySpec, RunSpec  # noqa: E402


def main() -> None:
    """Trains, measures and prints JSON."""
    imported = time.perf_counter()
    # Also programs that compile in less than a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    ensemble.use_all_cores()
    cell = CapacitySpec(dense_widths=(7, 20, 34, 48, 61))
    (chunk,) = capacity.plan(cell, RunSpec())
    networks = capacity.ensemble_of(cell, chunk)
    device_data = ensemble.to_device(data.load(cell.dataset), cell.dtype)
    measured = training.measured_epochs(cell.epochs, cell.measurements)
    shapes = ensemble.prepare(networks, device_data, len(measured))
    progress = ensemble.begin(networks, device_data, shapes)
    for program in networks.programs:
        program.wait()
    made = time.perf_counter()
    (history,) = ensemble.fit(networks, device_data, progress, measured).history
    done = time.perf_counter()
    correct = history.test.num_correct[-1]
    print(
        json.dumps(
            {
                "imports": imported - _STARTED,
                "compiling_and_making": made - imported,
                "training": done - made,
                "accuracy": float(correct.mean()) / len(device_data.test_labels),
                "egf2": float(history.flow.egf2.mean()),
            }
        )
    )


if __name__ == "__main__":
    main()
