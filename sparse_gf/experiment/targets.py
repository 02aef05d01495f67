"""Accelerators that training can be planned for, from public datasheets.

Datasheets of GPUs give most rates of matrix units with sparsity: these are without it,
and half. Products in float64 run on matrix units too, at twice the vector rate.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sparse_gf import ensemble

LAUNCH = 2e-6
"""Assumed of every device."""


class Target(NamedTuple):
    """One device.

    Attributes:
        title: Which it is.
        memory: Bytes.
        machine: What the planner is told: one device, whose memory is what JAX takes of
            it unless it is told otherwise.
        bandwidth: Bytes per second of its memory.
        launch: Seconds that a kernel takes, however little it does; in no datasheet.
        rates: Floating-point operations per second in matrix products, by the
            precision or the type of a cell; without sparsity.
        source: Where the numbers were published.
    """

    title: str
    memory: float
    machine: ensemble.Machine
    bandwidth: float
    launch: float
    rates: Mapping[str, float]
    source: str


TARGETS = {
    "h100": Target(
        "NVIDIA H100 SXM, 80 GB",
        80e9,
        ensemble.Machine(0.75 * 80e9, 1, one_by_one=False),
        3.35e12,
        LAUNCH,
        {
            "float32": 67e12,
            "tensorfloat32": 494.7e12,
            "bfloat16": 989.4e12,
            "float64": 67e12,
        },
        "NVIDIA H100 Tensor Core GPU datasheet, SXM5, and architecture whitepaper",
    ),
    "a100": Target(
        "NVIDIA A100 SXM, 80 GB",
        80e9,
        ensemble.Machine(0.75 * 80e9, 1, one_by_one=False),
        2.039e12,
        LAUNCH,
        {
            "float32": 19.5e12,
            "tensorfloat32": 156e12,
            "bfloat16": 312e12,
            "float64": 19.5e12,
        },
        "NVIDIA A100 Tensor Core GPU datasheet, A100 80GB SXM",
    ),
    "v5e": Target(
        "Google TPU v5e, one chip",
        16e9,
        ensemble.Machine(16e9, 1, one_by_one=False),
        # One version of the page has 800 GiB/s, 5% more.
        819e9,
        LAUNCH,
        # XLA computes a product in float32 as six in bfloat16.
        {"float32": 197e12 / 6, "bfloat16": 197e12},
        "Google Cloud documentation, page TPU v5e, key chip specifications",
    ),
}
"""By name."""
