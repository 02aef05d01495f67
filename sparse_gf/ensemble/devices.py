"""Devices: their number, and how much memory they and their networks take."""

import contextlib
import os
import pathlib
import resource
import sys
from typing import Any, NamedTuple

import jax

from sparse_gf import training

MAX_CPU_DEVICES = 16
"""Most cores that become devices: each holds the whole data set."""


def use_all_cores() -> None:
    """Makes every CPU core a device; before JAX has been used, or it does nothing.

    A number of CPU devices that the user has set stays.
    """
    wanted = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]
    flags = os.environ.get("XLA_FLAGS", "")
    if wanted > 0 or "xla_force_host_platform_device_count" in flags:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(cores, MAX_CPU_DEVICES))


class Machine(NamedTuple):
    """What decides how many networks are trained at once.

    Attributes:
        memory: Bytes of one device.
        devices: Their number.
        one_by_one: Whether a device trains its networks one after another.
    """

    memory: float
    devices: int
    one_by_one: bool


def one_by_one() -> bool:
    """Whether a device trains its networks one after another, as CPUs do."""
    return jax.default_backend() == "cpu"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that a device, or its compiler, has too little memory."""
    return "RESOURCE_EXHAUSTED" in str(error)


def program_bytes(program: jax.stages.Compiled) -> int:
    """Bytes of each device that a program needs: arguments, results, temporaries."""
    plan = program.memory_analysis()
    assert plan is not None
    return plan.argument_size_in_bytes + bytes_beside_arguments(program)


def bytes_beside_arguments(program: jax.stages.Compiled) -> int:
    """Bytes of each device that a program needs beside its arguments."""
    plan = program.memory_analysis()
    assert plan is not None
    results = plan.output_size_in_bytes - plan.alias_size_in_bytes
    return results + plan.temp_size_in_bytes


def num_bytes(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def network_bytes(shapes: training.TrainState) -> float:
    """Bytes of device memory that one network needs in training.

    Its state, gradients like the params, and half as much again for activations and
    temporaries.
    """
    return 1.5 * (num_bytes(shapes) + num_bytes(shapes.params))


def device_memory() -> int:
    """Bytes of memory that one device has, used or not.

    On CPUs that is their share of the machine's, or of what the process's control
    group is allowed.
    """
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return statistics["bytes_limit"]
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    group = pathlib.Path("/sys/fs/cgroup/memory.max")
    if group.is_file() and (text := group.read_text("utf-8").strip()).isdecimal():
        limits.append(int(text))
    return min(limits) // jax.local_device_count()


def peak_memory() -> int:
    """Most bytes of memory that this process has used so far.

    Of its busiest accelerator; on CPUs of the whole process.
    """
    statistics = [device.memory_stats() or {} for device in jax.local_devices()]
    if all("peak_bytes_in_use" in own for own in statistics):
        return max(own["peak_bytes_in_use"] for own in statistics)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
