"""What training a cell takes on paper: memory, operations, bytes, and so time.

A step's operations are those of its matrix products and convolutions: three with every
kernel, two with the first, whose input needs no gradient. Its bytes are the fewest that
programs of separate kernels move: every weight is read forward, backward and by the
optimizer, which writes it; gradients are written and read, moments read and written,
masks read; and what layers put out is written and read forward, read again backward,
with a gradient that is written and read. Kernels are as many as programs compiled for
an H100 had for each product, with normalisation and without.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from sparse_gf import ensemble, training
from sparse_gf.core import tree, words
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import members
from sparse_gf.experiment.members import Group, Groups, Job
from sparse_gf.experiment.shapes import Network
from sparse_gf.experiment.targets import Target
from sparse_gf.masks import connectivity
from sparse_gf.specs import Cell

KERNELS, NORMALISED = 3, 7
"""Kernels for each product of a step; those of networks with batch statistics."""

SAMPLE_FLOPS, SAMPLE_SECONDS = 2e10, 0.5
"""Least operations of an epoch, and least time, that a speed is measured on."""


class Projection(NamedTuple):
    """What training takes; of several cells, their sums and their most.

    Attributes:
        at_once: Most networks that are trained at once.
        parts: Parts into which memory divides the cells.
        memory: Most bytes that the networks of a part take, by the planner's estimate.
        flops: Floating-point operations of products.
        moved: Bytes that training steps move.
        seconds: Of it all.
        waiting: Of these, those of steps that memory bounds.
        launching: Of these, those of steps that kernels' launches bound.
    """

    cells: int
    networks: int
    at_once: int
    parts: int
    memory: float
    flops: float
    moved: float
    seconds: float
    waiting: float
    launching: float


def total(projections: Iterable[Projection]) -> Projection:
    """All of them together, one after another."""
    each = zip(*projections, strict=True)
    most = {"at_once", "memory"}
    return Projection(
        *(
            max(values) if name in most else sum(values)
            for name, values in zip(Projection._fields, each, strict=True)
        )
    )


def project(job: Job, target: Target) -> Projection:
    """Counts what a cell takes on one device, and its time at the device's roofline.

    Raises:
        UserError: If the device has no products of the cell's precision.
    """
    cell, machine = job.cell, target.machine
    precision = precision_of(cell)
    if precision not in target.rates:
        raise UserError(
            f"{target.title} has no published rate for {precision}; it has those for "
            f"{', '.join(target.rates)}."
        )
    steps = cell.num_examples // cell.batch_size * job.epochs
    flops = moved = seconds = waiting = launching = memory = 0.0
    chunks = job.plan(machine=machine)
    for chunk in chunks:
        step = _flops(job, chunk.groups)
        own = sum(group.size * step_bytes(job.network(group)) for group in chunk.groups)
        computing, moving = step / target.rates[precision], own / target.bandwidth
        kernels = sum(step_kernels(job.network(group)) for group in chunk.groups)
        launches = kernels * target.launch
        longest = max(computing, moving, launches)
        measuring = step * _measuring_steps(job)
        flops, moved = flops + step * steps + measuring, moved + own * steps
        seconds += steps * longest + measuring / target.rates[precision]
        waiting += steps * longest * (longest == moving)
        launching += steps * longest * (longest == launches)
        needed = sum(
            members.need(job.network(group), group, machine) for group in chunk.groups
        )
        memory = max(memory, needed)
    sizes = [chunk.num_networks for chunk in chunks]
    counts = 1, sum(sizes), max(sizes), len(sizes)
    return Projection(*counts, memory, flops, moved, seconds, waiting, launching)


def precision_of(cell: Cell) -> str:
    """Of a cell's products, as targets have their rates."""
    return cell.precision if cell.dtype == "float32" else cell.dtype


def step_bytes(network: Network) -> float:
    """Bytes that a training step of one network moves at least; see the module."""
    state = network.state
    return (
        6 * ensemble.num_bytes(state.params)
        + 2 * ensemble.num_bytes(state.opt_state)
        + ensemble.num_bytes(state.masks)
        + 5 * network.recipe.batch_size * network.output_bytes
    )


def step_flops(network: Network) -> float:
    """Floating-point operations of a training step of one network; see the module."""
    found = _positions(network.recipe.model, network.image_shape)
    kernels = tree.kernels(network.state.params)
    each = [2 * kernels[path].size * own for path, own in found.items()]
    return network.recipe.batch_size * (3 * sum(each) - each[0])


def step_kernels(network: Network) -> int:
    """About how many kernels a step of networks side by side has; see the module."""
    layers = len(_positions(network.recipe.model, network.image_shape))
    each = NORMALISED if network.state.batch_stats else KERNELS
    return each * (3 * layers - 1)


@functools.lru_cache(maxsize=64)
def _positions(model: nn.Module, image_shape: tuple[int, ...]) -> dict[str, int]:
    return connectivity.positions(model, image_shape)


def _flops(job: Job, groups: Groups) -> float:
    """Of one training step of all networks of groups."""
    return sum(group.size * step_flops(job.network(group)) for group in groups)


def _measuring_steps(job: Job) -> float:
    """Training steps with as many operations as all measurements of a cell."""
    cell = job.cell
    tested = cell.test_examples or cell.info.test_size
    images = (cell.probe_size or cell.num_examples) + tested / 3
    return len(job.measured) * images / cell.batch_size


def measured(job: Job) -> Target:
    """This machine, with the rate at which it trains networks of a cell.

    A few steps on noise, as a cell is trained here: on CPUs one network of each group
    on every core, elsewhere all that fit. The rate holds for other cells with such
    networks; all else is counted.
    """
    machine = members.here()
    groups = job.plan()[0].groups
    if machine.one_by_one:
        groups = tuple(_first(group, machine.devices) for group in groups)
    steps, seconds = _timed(job, groups)
    rate = steps * _flops(job, groups) / seconds
    return Target(
        f"this machine, {machine.devices} x {jax.local_devices()[0].device_kind}",
        machine.memory * machine.devices,
        machine,
        math.inf,
        0.0,
        {precision_of(job.cell): rate},
        f"measured: {words.counted(steps, 'step')} of "
        f"{words.counted(sum(group.size for group in groups), 'network')} in "
        f"{words.duration(seconds)}",
    )


def _timed(job: Job, groups: Groups) -> tuple[int, float]:
    """Steps of training, and the seconds that they took."""
    cell, networks = job.cell, job.chunk(groups).make(None)
    steps = math.ceil(SAMPLE_FLOPS / _flops(job, groups))
    steps = min(max(steps, 2), cell.num_examples // cell.batch_size)
    data = _noise(cell, steps * cell.batch_size)
    shapes, *fixed = ensemble.arguments(networks)
    state: Any = jax.tree.map(
        lambda s: jax.device_put(np.zeros(s.shape, s.dtype), s.sharding), shapes
    )
    start, epoch = 0.0, 0
    # The first epoch warms caches.
    while epoch < 2 or time.perf_counter() - start < SAMPLE_SECONDS:
        start = start if epoch > 1 else time.perf_counter()
        number = np.int32(epoch + 1)
        state = networks.programs.advance(state, data, *fixed, number)
        jax.block_until_ready(state)
        epoch += 1
    return (epoch - 1) * steps, time.perf_counter() - start


def _first(group: Group, networks: int) -> Group:
    return dataclasses.replace(group, networks=group.networks[:networks])


def _noise(cell: Cell, examples: int) -> training.Data:
    """A data set for timing, on the devices."""
    info, draw = cell.info, np.random.default_rng(0)
    dtype = np.uint8 if info.dtype == "uint8" else cell.dtype
    images = draw.integers(0, 256, (examples, *info.image_shape)).astype(dtype)
    labels = draw.integers(0, info.num_classes, examples, np.int32)
    channel = np.full(info.image_shape[-1:], 0.5, cell.dtype)
    arrays: Any = (images, labels, images, labels, channel, channel)
    return ensemble.on_devices(training.Data(*arrays))
