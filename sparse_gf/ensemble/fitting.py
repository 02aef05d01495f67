"""Ensembles: many networks, trained in one program.

An ensemble is a few groups of networks; those of a group have equal shapes, and each
has its own seed. Every local device holds its share of every group. Where the devices
do not divide a group, some hold one network less than others. Side by side, their place
is filled with a network of zeros; one by one, there is nothing to do.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec

from sparse_gf import training
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.ensemble import mapping
from sparse_gf.ensemble.devices import (
    bytes_beside_arguments,
    is_out_of_memory,
    num_bytes,
    one_by_one,
)
from sparse_gf.ensemble.mapping import InitFn, Programs
from sparse_gf.ensemble.places import MEMBERS, Places, divide, sharding_of
from sparse_gf.ensemble.program import release_memory


class Group(NamedTuple):
    """Networks of equal shapes.

    Attributes:
        recipe: What they share.
        shapes: Shapes and types of one network's state.
        seeds: One per network, int32.
        members: Arrays [networks, ...] in which the networks differ besides.
    """

    recipe: training.Recipe
    shapes: training.TrainState
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
    def programs(self) -> Programs:
        """The programs; shared by all ensembles of equal recipes."""
        recipes = tuple(group.recipe for group in self.groups)
        own = mapping.ONE_BY_ONE if one_by_one() else mapping.SIDE_BY_SIDE
        return mapping.programs(recipes, self.init, own)


@dataclasses.dataclass
class Progress:
    """How far an ensemble has come.

    Attributes:
        epoch: Epochs trained.
        state: A ``training.TrainState`` per group, with a leading axis of places: those
            of the first device, of the second, and so on.
        history: A ``Measurement`` per group, of NumPy arrays [points, networks],
            filled up to the epoch and zeros beyond.
    """

    epoch: int
    state: Any
    history: Any


def to_device(dataset: Dataset, dtype: str) -> training.Data:
    """Puts a data set on every device; see ``training.arrays``."""
    arrays: Any = training.arrays(dataset, dtype)
    return on_devices(training.Data(**arrays))


def on_devices(data: training.Data) -> training.Data:
    """Puts data on every device."""
    # Here and not in every call of a program, which would copy it every time.
    return jax.device_put(data, sharding_of(PartitionSpec()))


def prepare(
    ensemble: Ensemble, data: training.Data, points: int, *, init: bool = True
) -> Progress:
    """Starts compiling, and gives an ensemble's progress as shapes only.

    The history has room for so many ``points``; without ``init`` there are no networks
    to be made.

    Returns:
        The progress, its state with the sharding that the programs give it.
    """
    groups, run = ensemble.groups, ensemble.programs
    state, seeds, counts = arguments(ensemble)
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


def planned_bytes(ensemble: Ensemble, data: training.Data) -> float:
    """Most bytes of a device that training or measuring needs, says the compiler.

    The networks need not have been made, and of the data shapes are enough.

    Returns:
        The number, after compiling; infinite if the compiler refuses.
    """
    state, seeds, counts = arguments(ensemble)
    run = ensemble.programs
    trained = state, data, seeds, counts, np.int32(0)
    measured = state, data, counts, np.int32(0)
    run.advance.prepare(*trained)
    run.measure.prepare(*measured)
    try:
        programs = run.advance.compiled(*trained), run.measure.compiled(*measured)
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return math.inf
    # Measuring takes no moments of the optimizer, and they are there all the same.
    resident = num_bytes(state) / jax.local_device_count() + num_bytes(data)
    return resident + max(map(bytes_beside_arguments, programs))


def arguments(ensemble: Ensemble) -> tuple[Any, Any, Any]:
    """Shapes of an ensemble's state, where it lies, and its seeds and counts."""
    sharding = sharding_of(PartitionSpec(MEMBERS))

    def in_places(group: Group, at: Places) -> Any:
        return jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(
                (at.num_places, *s.shape), s.dtype, sharding=sharding
            ),
            group.shapes,
        )

    places = _places(ensemble)
    state = tuple(map(in_places, ensemble.groups, places))
    return state, *seeds_and_counts(ensemble)


def begin(ensemble: Ensemble, data: training.Data, shapes: Progress) -> Progress:
    """Makes the networks before the first step, and an empty history.

    One network at a time on each device: its random numbers need more memory than it
    does.

    ``shapes`` are those of ``prepare``.

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
    sharding = sharding_of(PartitionSpec(MEMBERS))
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
    data: training.Data,
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


def part(
    ensemble: Ensemble,
    progress: Progress,
    own: Ensemble,
    chosen: Sequence[tuple[int, slice]],
) -> Progress:
    """The progress of some of an ensemble's networks, in memory of the host.

    ``own`` is an ensemble of some of them; of each of its groups ``chosen`` has the
    group of ``ensemble`` and the networks there.
    """

    def pick(group: int, networks: slice, into: Places) -> tuple[Any, Any]:
        at = _places(ensemble)[group].of_network[networks]

        def place(leaf: Any) -> np.ndarray:
            leaf = np.asarray(leaf)
            placed = np.zeros((into.num_places, *leaf.shape[1:]), leaf.dtype)
            placed[into.of_network] = leaf[at]
            return placed

        return (
            jax.tree.map(place, progress.state[group]),
            jax.tree.map(lambda leaf: leaf[:, networks], progress.history[group]),
        )

    state, history = zip(
        *(pick(*which, at) for which, at in zip(chosen, _places(own), strict=True)),
        strict=True,
    )
    return Progress(progress.epoch, state, history)


def seeds_and_counts(ensemble: Ensemble) -> tuple[Any, Any]:
    """The seeds [places] and counts [devices] of all groups, as programs take them."""

    def spread(group: Group, at: Places) -> np.ndarray:
        seeds = np.zeros(at.num_places, np.int32)
        seeds[at.of_network] = group.seeds
        return seeds

    places = _places(ensemble)
    groups = zip(ensemble.groups, places, strict=True)
    return tuple(spread(*own) for own in groups), tuple(at.counts for at in places)


def _wait(tree: Any) -> None:
    """Waits until arrays are computed, and lets an interrupt through meanwhile.

    JAX's own waiting hears no Ctrl-C before it is over, which may be an hour.
    """
    start = time.monotonic()
    for array in jax.tree.leaves(tree):
        while not array.is_ready():
            time.sleep(min(0.05, 0.0002 + 0.02 * (time.monotonic() - start)))
        # An array that could not be computed is ready too; this raises its error.
        array.block_until_ready()


def _write(
    history: Any, point: int, measurement: Any, places: Sequence[Places]
) -> None:
    """Fills one point of all groups' histories in place."""
    for own, values, at in zip(history, measurement, places, strict=True):

        def write(buffer: np.ndarray, value: np.ndarray, at: Places = at) -> None:
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


def _places(ensemble: Ensemble) -> tuple[Places, ...]:
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
