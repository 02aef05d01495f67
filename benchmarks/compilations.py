"""How many programs a cell compiles, and how often they are used again.

A fresh process trains a cell and then another one of the same shapes (other seeds and
learning rate); a second process does the same with the first one's cache on disk.
"""

import argparse
import collections
import dataclasses
import json
import sys
from typing import Any

from benchmarks import harness

COMPILED = "/jax/core/compile/backend_compile_duration"
HIT = "/jax/compilation_cache/cache_hits"


def child(name: str, data_dir: str) -> None:
    """Trains both cells and prints what was compiled for each."""
    import jax

    counts: collections.Counter[str] = collections.Counter()
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: counts.update([event])
    )
    jax.monitoring.register_event_listener(lambda event, **_: counts.update([event]))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

    from sparse_gf import ensemble
    from sparse_gf.experiment import capacity
    from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec

    ensemble.use_all_cores()
    first = CapacitySpec(dataset=name, train_examples=256, test_examples=100)
    second = dataclasses.replace(
        first, seeds=(7, 8, 9), optimizer=OptimizerSpec(learning_rate=0.1)
    )
    part = harness.dataset_of(name, data_dir, 256, 100)
    seen = []
    for cell in (first, second):
        before = dict(counts)
        data = ensemble.to_device(part, cell.dtype)
        for chunk in capacity.plan(cell, RunSpec()):
            networks = capacity.ensemble_of(cell, chunk)
            start = ensemble.begin(networks, data, ensemble.prepare(networks, data, 2))
            ensemble.fit(networks, data, start, (1, 2))
        seen.append({k: counts[k] - before.get(k, 0) for k in (COMPILED, HIT)})
    print(json.dumps({"cells": seen}))


def main() -> None:
    """Runs two processes per data set."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.data_dir)
        return
    figures = []
    for name, title in (("digits", "Digits"), ("fashion_mnist", "Fashion-MNIST")):
        command = [sys.executable, "-m", "benchmarks.compilations"]
        command += ["--child", name, "--data_dir", args.data_dir]
        with harness.temporary_folder() as folder:
            processes: list[dict[str, Any]] = [
                harness.run_json(command, JAX_COMPILATION_CACHE_DIR=folder)
                for _ in range(2)
            ]
        first, second = (process["cells"] for process in processes)
        # The event counts programs that came from the cache, too.
        fresh = [cell[COMPILED] - cell[HIT] for cell in first]
        again = [cell[COMPILED] - cell[HIT] for cell in second]
        scale = f"{title} cell, 30 networks"
        figures += [
            harness.Figure(f"{scale}: programs compiled", fresh[:1], "", "<= 6"),
            harness.Figure(
                f"{scale}: compiled for a second cell of the same shapes",
                fresh[1:],
                "",
                "<= 0",
            ),
            harness.Figure(
                f"{scale}: compiled in a second process ({second[0][HIT]} read from "
                "the cache on disk)",
                again[:1],
                "",
                "<= 0",
            ),
        ]
    harness.write("compilations", "benchmarks.compilations", figures)


if __name__ == "__main__":
    main()
