"""Peak memory of training, against what must be in it.

Parameters, masks, gradients and optimizer state of all networks, and the data set once.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import Any

import jax

from benchmarks import cells, harness
from sparse_gf import ensemble
from sparse_gf.experiment import capacity
from sparse_gf.specs import CapacitySpec, RunSpec

STEPS = 4


def needed(networks: ensemble.Ensemble, data: Any) -> int:
    """Bytes of params, masks, gradients, optimizer states, and data."""
    total = num_bytes(data)
    for group in networks.groups:
        state = group.shapes
        own = (state.params, state.masks, state.params, state.opt_state)
        total += len(group.seeds) * num_bytes(own)
    return total


def num_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def status(key: str) -> int:
    """A number of bytes from Linux's account of this process."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}.")


def child(data_dir: str) -> None:
    """Trains and measures an epoch of the Fashion-MNIST cell; prints its peak."""
    cell = CapacitySpec(dataset="fashion_mnist", train_examples=0)
    whole = harness.dataset_of(cell.dataset, data_dir, 0, 0)
    device = jax.local_devices()[0]
    before = status("VmRSS")
    # The whole data set in memory; only a few steps of it are trained.
    few = dataclasses.replace(
        whole,
        train_images=whole.train_images[: STEPS * 128],
        train_labels=whole.train_labels[: STEPS * 128],
    )
    resident = ensemble.to_device(whole, cell.dtype)
    running = cells.start(cell, few)
    for program in running.networks.programs:
        program.wait()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    running.advance()
    running.measure()
    if device.platform == "cpu":
        peak = status("VmHWM") - before
    else:
        peak = (device.memory_stats() or {})["peak_bytes_in_use"]
    print(json.dumps({"peak": peak, "needed": needed(running.networks, resident)}))


def most_bytes(cell: CapacitySpec, memory: int) -> list[tuple[int, int]]:
    """What the programs of a cell allocate where a device has ``memory``.

    Compiled for shapes only, as accelerators run them; nothing is trained.

    Args:
        cell: The cell.
        memory: Bytes.

    Returns:
        For every kind of chunk the number of its networks and its programs' most
        bytes.
    """
    devices, available = jax.local_device_count, ensemble.device_memory
    jax.local_device_count, ensemble.device_memory = lambda: 1, lambda: memory
    try:
        found = {}
        for chunk in capacity.plan(cell, RunSpec()):
            networks = capacity.ensemble_of(cell, chunk)
            programs = ensemble.programs(
                tuple(group.recipe for group in networks.groups),
                networks.init,
                ensemble.SIDE_BY_SIDE,
            )
            kind = tuple((group.width, group.size) for group in chunk)
            if kind not in found:
                found[kind] = (
                    sum(group.size for group in chunk),
                    _of_programs(networks, programs, cell),
                )
        return list(found.values())
    finally:
        jax.local_device_count, ensemble.device_memory = devices, available


def _of_programs(
    networks: ensemble.Ensemble, programs: ensemble.Programs, cell: CapacitySpec
) -> int:
    of = cells.arguments(networks, cell)
    compiled = (
        programs.advance.compiled(*of["advance"]),
        programs.measure.compiled(*of["measure"]),
    )
    return max(map(cells.planned_bytes, compiled))


def main() -> None:
    """Measures the peak in a fresh process, and plans CIFAR-10."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    if args.child:
        child(args.data_dir)
        return
    command = [sys.executable, "-m", "benchmarks.memory", "--child"]
    runs = [
        harness.run_json([*command, "--data_dir", args.data_dir])
        for _ in harness.repeat(args.repetitions)
    ]
    chunks = most_bytes(CapacitySpec(dataset="cifar10"), 16 * 10**9)
    harness.write(
        "memory",
        "benchmarks.memory",
        [
            harness.Figure(
                "Fashion-MNIST cell, 30 networks, all images: peak memory / (params, "
                f"masks, gradients, optimizer state, data: "
                f"{runs[0]['needed'] / 1e9:.2f} GB)",
                [run["peak"] / run["needed"] for run in runs],
                "x",
                "<= 1.5",
                "Resident memory of the process beyond what it had before the data "
                "set was put on the devices; what compilers left behind counts.",
            ),
            harness.Figure(
                "CIFAR-10 cell where an accelerator has 16 GB: most that a program "
                "allocates, as planned by XLA for a CPU (chunks of "
                f"{', '.join(str(size) for size, _ in chunks)} networks)",
                [most / 1e9 for _, most in chunks],
                "GB",
                "<= 16",
            ),
        ],
    )


if __name__ == "__main__":
    main()
