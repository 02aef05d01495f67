"""Ensembles: many networks in one program. The only place that says ``vmap``.

The members of a program form a grid of seeds x networks. Networks that share a seed
share its batches, so these are gathered and augmented once per seed.

The grid is divided over all local devices, as whole rows or as whole columns, whichever
leaves each device less to do. A number that the devices do not divide is filled up with
networks that are in the grid already: they are trained and forgotten on devices that
would wait otherwise. So of four devices, one waits for three seeds of one network, and
three seeds of five networks take as long as five networks on one device, not 3.75.
"""

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import (
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)
from jaxtyping import Array, Bool, Int

from sparse_gf import gradient_flow, train, tree
from sparse_gf import masks as masks_lib
from sparse_gf.types import Dataset

InitFn = Callable[[Int[Array, ""], Any], train.TrainState]
"""``init(seed, member)`` makes one network; hashable, so that programs are reused."""


class Measurement(NamedTuple):
    """Everything that is measured of a network at the end of an epoch.

    Attributes:
        flow: Gradient flow on the probe.
        test: Scores on the test set.
        diverged: Whether any training loss was not finite so far, or the loss on the
            probe or the test set is not.
        num_active: Active weights of each layer, counted in the masks.
        isolated_units: Units, logits included, without active input weights.
    """

    flow: gradient_flow.GradientFlow
    test: train.Evaluation
    diverged: Bool[Array, ""]
    num_active: dict[str, Int[Array, ""]]
    isolated_units: Int[Array, ""]


@dataclasses.dataclass
class Progress:
    """How far an ensemble has come.

    Attributes:
        epoch: Epochs trained.
        state: ``train.TrainState`` with leading axes [seeds, networks], one of them
            filled up where several devices share the grid.
        history: A ``Measurement`` of NumPy arrays [points, seeds, networks], filled up
            to the epoch and zeros beyond.
    """

    epoch: int
    state: Any
    history: Any


class Programs(NamedTuple):
    """The programs of an ensemble; states have axes [seeds, networks, ...].

    With several devices, one of these axes may be longer than the seeds or networks
    that were given, which are its beginning.

    Attributes:
        init: (seeds [seeds], members [networks, ...]) to the state.
        advance: (state, data, seeds [seeds], epoch) to the state an epoch later; the
            state given is used up.
        measure: (state, data) to a ``Measurement`` with the axes of the state.
    """

    init: Callable[..., Any]
    advance: Callable[..., Any]
    measure: Callable[..., Any]


@functools.lru_cache(maxsize=64)
def programs(recipe: train.Recipe, init: InitFn) -> Programs:
    """Maps the functions of one network over seeds and networks, and jits them.

    Matrix products are computed in the parameters' full precision: some accelerators
    would round float32 factors to TensorFloat-32 by default.

    Equal arguments give the same programs: nothing is compiled twice in a process,
    whatever the members' arrays hold.
    """
    exact = jax.default_matmul_precision("highest")
    epoch = exact(functools.partial(train.epoch, recipe))

    @exact
    def measure(state: train.TrainState, data: train.Data) -> Measurement:
        test = train.evaluate(recipe, state, data.test_images, data.test_labels, data)
        flow = train.measure(recipe, state, data)
        kernels = tree.kernels(state.masks)
        finite = jnp.isfinite(flow.loss) & jnp.isfinite(test.loss)
        return Measurement(
            flow=flow,
            test=test,
            # The last step's damage shows in no training loss.
            diverged=state.diverged | ~finite,
            num_active={path: jnp.sum(mask) for path, mask in kernels.items()},
            isolated_units=sum(
                (masks_lib.isolated_units(mask) for mask in kernels.values()),
                jnp.zeros((), jnp.int32),
            ),
        )

    def init_all(seeds: Int[Array, " seeds"], members: Any) -> train.TrainState:
        # One after another: a network's random numbers need more memory than it does.
        def row(seed: Int[Array, ""]) -> train.TrainState:
            return jax.lax.map(functools.partial(init, seed), members)

        return jax.lax.map(row, seeds)

    # Inner axis: networks, which share data, seed and epoch. Outer axis: seeds.
    advance = jax.vmap(epoch, in_axes=(0, None, None, None))
    advance = jax.vmap(advance, in_axes=(0, None, 0, None))
    measure = jax.vmap(jax.vmap(measure, in_axes=(0, None)), in_axes=(0, None))
    functions = Programs(init_all, advance, measure)
    if jax.local_device_count() > 1:
        functions = _on_all_devices(functions)
    return Programs(
        init=jax.jit(functions.init),
        advance=jax.jit(functions.advance, donate_argnums=0),
        measure=jax.jit(functions.measure),
    )


def to_device(dataset: Dataset, dtype: str) -> train.Data:
    """Puts a data set on every device, images as uint8."""
    mean, std = dataset.channel_statistics()
    data = train.Data(
        train_images=jnp.asarray(dataset.train_images),
        train_labels=jnp.asarray(dataset.train_labels),
        test_images=jnp.asarray(dataset.test_images),
        test_labels=jnp.asarray(dataset.test_labels),
        mean=jnp.asarray(mean.astype(dtype)),
        # A constant channel has no spread to divide by.
        std=jnp.asarray(np.where(std > 0, std, 1).astype(dtype)),
    )
    if jax.local_device_count() == 1:
        return data
    # Here and not in every call of a program, which would copy it every time.
    return jax.device_put(data, NamedSharding(_mesh(), PartitionSpec()))


def shapes(
    programs: Programs,
    seeds: Sequence[int],
    members: Any,
    data: train.Data,
    points: int,
) -> Progress:
    """An ensemble's progress as shapes only: nothing is computed.

    Args:
        programs: Of the ensemble.
        seeds: One per row of the grid.
        members: Arrays [networks, ...] in which the networks of a row differ.
        data: On the device; only shapes are read.
        points: Number of measurements that the history has room for.

    Returns:
        The progress, its state with the sharding that the programs give it.
    """
    state = jax.eval_shape(programs.init, np.asarray(seeds, np.int32), members)
    measurement = jax.eval_shape(programs.measure, state, data)
    shape = (points, len(seeds), _num_networks(members))
    history = jax.tree.map(lambda s: jax.ShapeDtypeStruct(shape, s.dtype), measurement)
    sharding = _sharding(*state.diverged.shape)
    state = jax.tree.map(lambda s: s.update(sharding=sharding), state)
    return Progress(0, state, history)


def begin(
    programs: Programs, seeds: Sequence[int], members: Any, shapes: Progress
) -> Progress:
    """Makes the networks before the first step, and an empty history."""
    state = programs.init(np.asarray(seeds, np.int32), members)
    history = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes.history)
    return Progress(0, state, history)


def fit(
    programs: Programs,
    seeds: Sequence[int],
    data: train.Data,
    progress: Progress,
    measured: Sequence[int],
    after_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Trains an ensemble up to the last measured epoch.

    Args:
        programs: Of the ensemble.
        seeds: One per row of the grid.
        data: On the device.
        progress: Where to start from; its state is used up.
        measured: Epochs, from 1, ascending, at whose end the networks are measured.
        after_epoch: Called after every epoch, when it has been computed.

    Returns:
        The progress after the last epoch.
    """
    rows = np.asarray(seeds, np.int32)
    for epoch in range(progress.epoch + 1, measured[-1] + 1):
        state = programs.advance(progress.state, data, rows, np.int32(epoch))
        progress = Progress(epoch, state, progress.history)
        if epoch in measured:
            measurement = programs.measure(state, data)
            _wait(measurement.diverged)
            point = measured.index(epoch)
            _write(progress.history, point, jax.device_get(measurement))
        _wait(state.diverged)
        after_epoch(progress)
    return progress


def networks_at_once(state_shapes: train.TrainState, memory: int) -> int:
    """How many networks one device may hold.

    A network needs its state, gradients like the params, and half as much again for
    activations and temporaries; a fifth of the memory stays free for the data set
    and the compiler.

    Args:
        state_shapes: Shapes of one network's state, from ``jax.eval_shape``.
        memory: Bytes of one device.
    """

    def num_bytes(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    needed = 1.5 * (num_bytes(state_shapes) + num_bytes(state_shapes.params))
    return max(1, int(0.8 * memory / needed))


def networks_per_device(num_seeds: int, num_networks: int) -> int:
    """How many networks of a grid each device holds, filled up."""
    layout = _layout(num_seeds, num_networks)
    return layout.num_seeds * layout.num_networks // jax.local_device_count()


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
    if group.is_file() and (text := group.read_text().strip()).isdecimal():
        limits.append(int(text))
    return min(limits) // jax.local_device_count()


def _wait(array: jax.Array) -> None:
    """Waits until an array is computed, and lets an interrupt through meanwhile.

    JAX's own waiting hears no Ctrl-C before it is over, which may be an hour.
    """
    start = time.monotonic()
    while not array.is_ready():  # pyright: ignore[reportAttributeAccessIssue]
        time.sleep(min(0.05, 0.0002 + 0.02 * (time.monotonic() - start)))


def _write(history: Measurement, point: int, measurement: Measurement) -> None:
    """Fills one point of a history in place."""

    def write(buffer: np.ndarray, value: np.ndarray) -> None:
        # Without what fills up the grid.
        seeds, networks = buffer.shape[1:]
        buffer[point] = value[:seeds, :networks]

    jax.tree.map(write, history, measurement)


_MEMBERS = "members"  # The axis of the mesh.


class _Layout(NamedTuple):
    """How a grid of seeds x networks lies on several devices.

    Attributes:
        num_seeds: Rows, filled up.
        num_networks: Columns, filled up.
        seeds: Of arrays [seeds, ...].
        networks: Of arrays [networks, ...].
        grid: Of arrays [seeds, networks, ...].
    """

    num_seeds: int
    num_networks: int
    seeds: PartitionSpec
    networks: PartitionSpec
    grid: PartitionSpec


def _layout(num_seeds: int, num_networks: int) -> _Layout:
    """The layout of a grid, or of one that has been filled up: it is the same."""
    devices = jax.local_device_count()
    rows, columns = -(-num_seeds // devices), -(-num_networks // devices)
    whole, divided = PartitionSpec(), PartitionSpec(_MEMBERS)
    # If equal, the seeds: fewer of them on a device are fewer batches to make.
    if rows * num_networks <= num_seeds * columns:
        return _Layout(rows * devices, num_networks, divided, whole, divided)
    grid = PartitionSpec(None, _MEMBERS)
    return _Layout(num_seeds, columns * devices, whole, divided, grid)


def _mesh() -> Mesh:
    """All local devices in a row."""
    devices = jax.local_devices()
    return jax.make_mesh(
        (len(devices),), (_MEMBERS,), axis_types=(AxisType.Auto,), devices=devices
    )


def _sharding(num_seeds: int, num_networks: int) -> Sharding:
    """Where the programs leave a state [seeds, networks, ...]."""
    if jax.local_device_count() == 1:
        return SingleDeviceSharding(jax.local_devices()[0])
    return NamedSharding(_mesh(), _layout(num_seeds, num_networks).grid)


def _on_all_devices(one: Programs) -> Programs:
    """Has every device run the programs on its own part of the grid.

    Under ``shard_map`` a device sees its part alone, as if there were no other: devices
    exchange nothing, and each initializes its networks one after another.
    """
    mesh, shared = _mesh(), PartitionSpec()

    def divided(
        program: Callable[..., Any], layout: _Layout, *arguments: PartitionSpec
    ) -> Callable[..., Any]:
        # Nothing is reduced over devices, so nothing can be wrong about what is equal
        # on all of them; and scans may start from constants, which are.
        return jax.shard_map(
            program,
            mesh=mesh,
            in_specs=arguments,
            out_specs=layout.grid,
            check_vma=False,
        )

    def init(seeds: Int[Array, " seeds"], members: Any) -> train.TrainState:
        layout = _layout(seeds.shape[0], _num_networks(members))
        members = jax.tree.map(lambda x: _fill_up(x, layout.num_networks), members)
        run = divided(one.init, layout, layout.seeds, layout.networks)
        return run(_fill_up(seeds, layout.num_seeds), members)

    def advance(
        state: train.TrainState,
        data: train.Data,
        seeds: Int[Array, " seeds"],
        number: Int[Array, ""],
    ) -> train.TrainState:
        layout = _layout(*state.diverged.shape)
        run = divided(one.advance, layout, layout.grid, shared, layout.seeds, shared)
        return run(state, data, _fill_up(seeds, layout.num_seeds), number)

    def measure(state: train.TrainState, data: train.Data) -> Measurement:
        layout = _layout(*state.diverged.shape)
        return divided(one.measure, layout, layout.grid, shared)(state, data)

    return Programs(init, advance, measure)


def _num_networks(members: Any) -> int:
    return jax.tree.leaves(members)[0].shape[0]


def _fill_up(x: Array, size: int) -> Array:
    """Repeats the entries of an array [n, ...], in order, up to [size, ...]."""
    return x[np.arange(size) % x.shape[0]]
