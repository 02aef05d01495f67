"""Ensembles: many networks in one program. The only place that says ``vmap``.

An ensemble is a few groups of networks; those of a group have equal shapes, and each
has its own seed. Every local device holds its share of every group. What a device does
with its share depends on what is fast there (``benchmarks/README.md``):

- ``SIDE_BY_SIDE`` (accelerators): all networks take each step together, in batched
  matrix products. A network alone would leave an accelerator idle.
- ``ONE_BY_ONE`` (CPUs): every network trains a whole epoch before the next one does,
  which keeps it in the cache of its core; each core is a device of its own (see
  ``use_all_cores``).

Where the devices do not divide a group, some hold one network less than others. Side by
side, their place is filled with a network of zeros; one by one, there is nothing to do.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import resource
import sys
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
from sparse_gf.errors import UserError
from sparse_gf.ghosts import Gates
from sparse_gf.programs import Program, release_memory
from sparse_gf.types import Dataset

InitFn = Callable[[Int[Array, ""], Any, train.Data], train.TrainState]
"""``init(seed, member, data)`` makes one network; hashable: programs are reused."""

MAX_CPU_DEVICES = 16
"""Most cores that become devices: each holds the whole data set."""


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


class Group(NamedTuple):
    """Networks of equal shapes.

    Attributes:
        recipe: What they share.
        shapes: Shapes and types of one network's state.
        seeds: One per network, int32.
        members: Arrays [networks, ...] in which the networks differ besides.
    """

    recipe: train.Recipe
    shapes: train.TrainState
    seeds: np.ndarray
    members: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks that are trained together.

    Attributes:
        groups: At least one.
        init: Makes a network of any group, given its seed and its entry in the group's
            ``members``. Its arrays may be larger than the group's shapes: the
            network's are their leading blocks.
    """

    groups: tuple[Group, ...]
    init: InitFn

    @property
    def programs(self) -> "Programs":
        """The programs; shared by all ensembles of equal recipes."""
        recipes = tuple(group.recipe for group in self.groups)
        mapping = ONE_BY_ONE if jax.default_backend() == "cpu" else SIDE_BY_SIDE
        return programs(recipes, self.init, mapping)


@dataclasses.dataclass
class Progress:
    """How far an ensemble has come.

    Attributes:
        epoch: Epochs trained.
        state: A ``train.TrainState`` per group, with a leading axis of places: those
            of the first device, of the second, and so on.
        history: A ``Measurement`` per group, of NumPy arrays [points, networks],
            filled up to the epoch and zeros beyond.
    """

    epoch: int
    state: Any
    history: Any


class Programs(NamedTuple):
    """The programs of an ensemble.

    Attributes:
        init: (seeds [devices], members [devices, ...], data) to as many states, as
            ``init`` makes them.
        advance: (state, data, seeds, counts, epoch) to the state an epoch later; the
            state given is used up. Per group, ``seeds`` are [places] and ``counts``
            [devices] is how many places each device uses.
        measure: (state, data, counts, epoch) to a ``Measurement`` [places] per group.
    """

    init: Program
    advance: Program
    measure: Program


class Mapping(NamedTuple):
    """How a device goes through its networks.

    Attributes:
        update: ``update(function, count, state, own, *shared)`` replaces every entry
            of ``state`` [places, ...] by ``function(entry, own entry, *shared)``.
        collect: ``collect(function, count, state, *shared)`` gives the results of
            ``function(entry, *shared)``, stacked.

    Only the first ``count`` entries matter.
    """

    update: Callable[..., Any]
    collect: Callable[..., Any]


def _update_side_by_side(
    function: Callable[..., Any], count: Any, state: Any, own: Any, *shared: Any
) -> Any:
    del count
    axes = (0, 0, *(None for _ in shared))
    return jax.vmap(function, axes)(state, own, *shared)


def _collect_side_by_side(
    function: Callable[..., Any], count: Any, state: Any, *shared: Any
) -> Any:
    del count
    return jax.vmap(function, (0, *(None for _ in shared)))(state, *shared)


def _update_one_by_one(
    function: Callable[..., Any], count: Any, state: Any, own: Any, *shared: Any
) -> Any:
    def body(place: Int[Array, ""], state: Any) -> Any:
        new = function(_at(place, state), _at(place, own), *shared)
        return _set_at(place, state, new)

    # The state goes through the loop in place: there is no second one.
    return jax.lax.fori_loop(0, count, body, state)


def _collect_one_by_one(
    function: Callable[..., Any], count: Any, state: Any, *shared: Any
) -> Any:
    # Jitted, it is traced once for its shapes and its loop.
    function = jax.jit(function)
    places = jax.tree.leaves(state)[0].shape[0]
    one = jax.eval_shape(function, _at(0, state), *shared)
    empty = jax.tree.map(lambda s: jnp.zeros((places, *s.shape), s.dtype), one)

    def body(place: Int[Array, ""], results: Any) -> Any:
        return _set_at(place, results, function(_at(place, state), *shared))

    return jax.lax.fori_loop(0, count, body, empty)


def _at(place: Any, tree: Any) -> Any:
    def at(x: Array) -> Array:
        return jax.lax.dynamic_index_in_dim(x, place, keepdims=False)

    return jax.tree.map(at, tree)


def _set_at(place: Any, tree: Any, new: Any) -> Any:
    def set_at(x: Array, entry: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(x, entry, place, 0)

    return jax.tree.map(set_at, tree, new)


SIDE_BY_SIDE = Mapping(_update_side_by_side, _collect_side_by_side)
ONE_BY_ONE = Mapping(_update_one_by_one, _collect_one_by_one)


@functools.lru_cache(maxsize=64)
def programs(
    recipes: tuple[train.Recipe, ...], init: InitFn, mapping: Mapping
) -> Programs:
    """Maps the functions of one network over the networks of all groups.

    Equal arguments give the same programs: nothing is compiled twice in a process,
    whatever the members' arrays hold.

    Args:
        recipes: One per group.
        init: Of ``Ensemble``.
        mapping: ``SIDE_BY_SIDE`` or ``ONE_BY_ONE``.
    """

    def init_all(
        seeds: Int[Array, " places"], members: Any, data: train.Data
    ) -> train.TrainState:
        return jax.lax.map(lambda own: init(own[0], own[1], data), (seeds, members))

    def advance(
        state: Any, data: train.Data, seeds: Any, counts: Any, epoch: Int[Array, ""]
    ) -> Any:
        return tuple(
            mapping.update(
                functools.partial(_epoch, recipe),
                counts[group][0],
                state[group],
                seeds[group],
                data,
                epoch,
            )
            for group, recipe in enumerate(recipes)
        )

    def measure(
        state: Any, data: train.Data, counts: Any, epoch: Int[Array, ""]
    ) -> Any:
        return tuple(
            mapping.collect(
                functools.partial(_measure, recipe),
                counts[group][0],
                state[group],
                data,
                epoch,
            )
            for group, recipe in enumerate(recipes)
        )

    own, shared = PartitionSpec(_MEMBERS), PartitionSpec()
    return Programs(
        init=Program(_on_each_device(init_all, own, own, shared)),
        advance=Program(
            _on_each_device(advance, own, shared, own, own, shared),
            donate_argnums=0,
        ),
        measure=Program(_on_each_device(measure, own, shared, own, shared)),
    )


def _epoch(
    recipe: train.Recipe,
    state: train.TrainState,
    seed: Int[Array, ""],
    data: train.Data,
    number: Int[Array, ""],
) -> train.TrainState:
    return train.epoch(recipe, state, data, seed, number)


def _measure(
    recipe: train.Recipe,
    state: train.TrainState,
    data: train.Data,
    number: Int[Array, ""],
) -> Measurement:
    def scores(
        state: train.TrainState, gates: Gates | None
    ) -> tuple[train.Evaluation, gradient_flow.GradientFlow]:
        images, labels = data.test_images, data.test_labels
        return (
            train.evaluate(recipe, state, images, labels, data, gates),
            train.measure(recipe, state, data, gates),
        )

    # The network as it was in the epoch that is over.
    number = recipe.pruning.schedule_epoch(number)
    test, flow = train.in_phase(recipe, number, scores, state)
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


def to_device(dataset: Dataset, dtype: str) -> train.Data:
    """Puts a data set on every device, images as uint8."""
    mean, std = dataset.channel_statistics()
    arrays = {
        "train_images": dataset.train_images,
        "train_labels": dataset.train_labels,
        "test_images": dataset.test_images,
        "test_labels": dataset.test_labels,
        "mean": mean.astype(dtype),
        # A constant channel has no spread to divide by.
        "std": np.where(std > 0, std, 1).astype(dtype),
    }
    # Here and not in every call of a program, which would copy it every time.
    return train.Data(**jax.device_put(arrays, _sharding(PartitionSpec())))


def prepare(
    ensemble: Ensemble, data: train.Data, points: int, *, init: bool = True
) -> Progress:
    """Starts compiling, and gives an ensemble's progress as shapes only.

    Args:
        ensemble: The networks.
        data: On the devices.
        points: Number of measurements that the history has room for.
        init: Whether there are networks to be made.

    Returns:
        The progress, its state with the sharding that the programs give it.
    """
    places = _places(ensemble)
    sharding = _sharding(PartitionSpec(_MEMBERS))

    def in_places(shapes: train.TrainState, at: "_Places") -> Any:
        return jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(
                (at.num_places, *s.shape), s.dtype, sharding=sharding
            ),
            shapes,
        )

    groups = ensemble.groups
    state = tuple(in_places(g.shapes, at) for g, at in zip(groups, places, strict=True))
    seeds, counts = seeds_and_counts(ensemble)
    run = ensemble.programs
    if init:
        run.init.prepare(*_next_to_make(groups[0], [0]), data)
    run.advance.prepare(state, data, seeds, counts, np.int32(0))
    measurements = run.measure.prepare(state, data, counts, np.int32(0))
    history = tuple(
        jax.tree.map(
            lambda s, g=group: jax.ShapeDtypeStruct((points, len(g.seeds)), s.dtype),
            measurement,
        )
        for group, measurement in zip(groups, measurements, strict=True)
    )
    return Progress(0, state, history)


def begin(ensemble: Ensemble, data: train.Data, shapes: Progress) -> Progress:
    """Makes the networks before the first step, and an empty history.

    One network at a time on each device: its random numbers need more memory than it
    does.

    Args:
        ensemble: The networks.
        data: On the devices.
        shapes: From ``prepare``.

    Raises:
        UserError: If a network cannot be made.
    """
    run = ensemble.programs
    arrays = [
        jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), state)
        for state in shapes.state
    ]
    devices = jax.local_device_count()
    for group, at, state in zip(
        ensemble.groups, _places(ensemble), arrays, strict=True
    ):
        for first in range(0, len(group.seeds), devices):
            networks = list(range(first, min(first + devices, len(group.seeds))))
            made = jax.device_get(run.init(*_next_to_make(group, networks), data))
            if made.diverged.any():
                raise UserError(
                    "the scores that a mask is made of are not finite; "
                    "--config.dtype=float64 has the range for deep networks."
                )
            for number, network in enumerate(networks):
                _place(state, int(at.of_network[network]), made, number)
    sharding = _sharding(PartitionSpec(_MEMBERS))
    leaves, structure = jax.tree.flatten(arrays)
    del arrays, state
    # One by one, so that an ensemble is not in memory twice.
    for number in range(len(leaves)):
        leaves[number] = jax.device_put(leaves[number], sharding)
    jax.block_until_ready(leaves)
    release_memory()
    history = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes.history)
    return Progress(0, tuple(jax.tree.unflatten(structure, leaves)), history)


def fit(
    ensemble: Ensemble,
    data: train.Data,
    progress: Progress,
    measured: Sequence[int],
    after_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Trains an ensemble up to the last measured epoch.

    Args:
        ensemble: The networks.
        data: On the devices.
        progress: Where to start from; its state is used up.
        measured: Epochs, from 1, ascending, at whose end the networks are measured.
        after_epoch: Called after every epoch, when it has been computed.

    Returns:
        The progress after the last epoch.
    """
    run, places = ensemble.programs, _places(ensemble)
    seeds, counts = seeds_and_counts(ensemble)
    for epoch in range(progress.epoch + 1, measured[-1] + 1):
        state = run.advance(progress.state, data, seeds, counts, np.int32(epoch))
        progress = Progress(epoch, state, progress.history)
        if epoch in measured:
            measurement = run.measure(state, data, counts, np.int32(epoch))
            _wait(measurement)
            point = measured.index(epoch)
            _write(progress.history, point, jax.device_get(measurement), places)
        _wait(state)
        after_epoch(progress)
    return progress


def seeds_and_counts(ensemble: Ensemble) -> tuple[Any, Any]:
    """The seeds [places] and counts [devices] of all groups, as programs take them."""

    def spread(group: Group, at: _Places) -> np.ndarray:
        seeds = np.zeros(at.num_places, np.int32)
        seeds[at.of_network] = group.seeds
        return seeds

    places = _places(ensemble)
    groups = zip(ensemble.groups, places, strict=True)
    return tuple(spread(*own) for own in groups), tuple(at.counts for at in places)


def network_bytes(shapes: train.TrainState) -> float:
    """Bytes of device memory that one network needs in training.

    Its state, gradients like the params, and half as much again for activations and
    temporaries.

    Args:
        shapes: Shapes of one network's state.
    """

    def num_bytes(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

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
    if group.is_file() and (text := group.read_text().strip()).isdecimal():
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


def _wait(tree: Any) -> None:
    """Waits until arrays are computed, and lets an interrupt through meanwhile.

    JAX's own waiting hears no Ctrl-C before it is over, which may be an hour.
    """
    start = time.monotonic()
    for array in jax.tree.leaves(tree):
        while not array.is_ready():
            time.sleep(min(0.05, 0.0002 + 0.02 * (time.monotonic() - start)))


def _write(
    history: Any, point: int, measurement: Any, places: Sequence["_Places"]
) -> None:
    """Fills one point of all groups' histories in place."""
    for own, values, at in zip(history, measurement, places, strict=True):

        def write(buffer: np.ndarray, value: np.ndarray, at: _Places = at) -> None:
            buffer[point] = value[at.of_network]

        jax.tree.map(write, own, values)


def _next_to_make(group: Group, networks: list[int]) -> tuple[np.ndarray, Any]:
    """Seeds and members of the networks that the devices make next, one each."""
    # Devices that have none to make repeat the first.
    filled = networks + networks[:1] * (jax.local_device_count() - len(networks))
    return group.seeds[filled], jax.tree.map(lambda x: x[filled], group.members)


def _place(state: Any, place: int, made: Any, number: int) -> None:
    """Copies one network into its place, cut to its size."""

    def copy(own: np.ndarray, new: np.ndarray) -> None:
        own[place] = new[number][tuple(slice(size) for size in own.shape[1:])]

    jax.tree.map(copy, state, made)


_MEMBERS = "members"  # The axis of the mesh.


class _Places(NamedTuple):
    """Where the networks of a group are.

    Attributes:
        of_network: Each network's index among the places of all devices.
        counts: Networks of each device; they are in its first places.
        num_places: Of all devices together, a multiple of their number.
    """

    of_network: np.ndarray
    counts: np.ndarray
    num_places: int


def _places(ensemble: Ensemble) -> tuple[_Places, ...]:
    """Divides every group over the devices so that these have about equal work."""
    sizes = [len(group.seeds) for group in ensemble.groups]
    costs = [
        sum(leaf.size for leaf in jax.tree.leaves(group.shapes.params))
        for group in ensemble.groups
    ]
    return divide(sizes, costs, jax.local_device_count())


def places(ensemble: Ensemble) -> tuple[np.ndarray, ...]:
    """Where each network of each group is on the leading axis of a progress's state."""
    return tuple(at.of_network for at in _places(ensemble))


def divide(
    sizes: Sequence[int], costs: Sequence[float], devices: int
) -> tuple[_Places, ...]:
    """Divides groups of networks over devices.

    Args:
        sizes: Networks of each group.
        costs: Of one network of each group, in any unit.
        devices: Their number.

    Returns:
        Per group, the networks' places. A device's share of a group is rounded down
        or up; up on those devices that have least to do, costly groups first.
    """
    loads = np.zeros(devices)
    places: dict[int, _Places] = {}
    for group in sorted(range(len(sizes)), key=lambda g: -costs[g]):
        counts = np.full(devices, sizes[group] // devices, np.int32)
        counts[np.argsort(loads, kind="stable")[: sizes[group] % devices]] += 1
        loads += counts * costs[group]
        most = int(counts.max())
        of_network = np.concatenate(
            [device * most + np.arange(count) for device, count in enumerate(counts)]
        )
        places[group] = _Places(of_network, counts, devices * most)
    return tuple(places[group] for group in range(len(sizes)))


def _mesh() -> Mesh:
    """All local devices in a row."""
    devices = jax.local_devices()
    return jax.make_mesh(
        (len(devices),), (_MEMBERS,), axis_types=(AxisType.Auto,), devices=devices
    )


def _sharding(spec: PartitionSpec) -> Sharding:
    if jax.local_device_count() == 1:
        return SingleDeviceSharding(jax.local_devices()[0])
    return NamedSharding(_mesh(), spec)


def _on_each_device(
    function: Callable[..., Any], *arguments: PartitionSpec
) -> Callable[..., Any]:
    """Has every device run a program on its own part of the ensemble.

    Under ``shard_map`` a device sees its part alone, as if there were no other: devices
    exchange nothing.
    """
    if jax.local_device_count() == 1:
        return function
    # Nothing is reduced over devices, so nothing can be wrong about what is equal on
    # all of them; and scans may start from constants, which are.
    return jax.shard_map(
        function,
        mesh=_mesh(),
        in_specs=arguments,
        out_specs=PartitionSpec(_MEMBERS),
        check_vma=False,
    )
