"""How a device goes through its networks. The only place that says ``vmap``.

What a device does with its share depends on what is fast there
(``benchmarks/README.md``):

- ``SIDE_BY_SIDE`` (accelerators): all networks take each step together, in batched
  matrix products. A network alone would leave an accelerator idle.
- ``ONE_BY_ONE`` (CPUs): every network trains a whole epoch before the next one does,
  which keeps it in the cache of its core; each core is a device of its own (see
  ``devices.use_all_cores``).
"""

import collections
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Int

from sparse_gf import gradient_flow, training
from sparse_gf import masks as masks_lib
from sparse_gf.core import tree
from sparse_gf.ensemble.places import MEMBERS, on_each_device
from sparse_gf.ensemble.program import Program
from sparse_gf.models.ghosts import Gates

InitFn = Callable[[Int[Array, ""], Any, training.Data], training.TrainState]
"""``init(seed, member, data)`` makes one network; hashable: programs are reused."""


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
    test: training.Evaluation
    diverged: Bool[Array, ""]
    num_active: dict[str, Int[Array, ""]]
    isolated_units: Int[Array, ""]


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
        collect: ``collect(function, count, most, state, *shared)`` gives the results
            of ``function(entry, *shared)``, stacked, of ``most`` entries at once.

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
    function: Callable[..., Any], count: Any, most: int, state: Any, *shared: Any
) -> Any:
    del count
    places = jax.tree.leaves(state)[0].shape[0]
    # A divisor leaves no rest, which would be compiled a second time.
    size = next(n for n in range(min(most, places), 0, -1) if places % n == 0)
    batch = {places: 0, 1: None}.get(size, size)  # 0 is all at once.
    return jax.lax.map(lambda own: function(own, *shared), state, batch_size=batch)


def _update_one_by_one(
    function: Callable[..., Any], count: Any, state: Any, own: Any, *shared: Any
) -> Any:
    def body(place: Int[Array, ""], state: Any) -> Any:
        new = function(_at(place, state), _at(place, own), *shared)
        return _set_at(place, state, new)

    # The state goes through the loop in place: there is no second one.
    return jax.lax.fori_loop(0, count, body, state)


def _collect_one_by_one(
    function: Callable[..., Any], count: Any, most: int, state: Any, *shared: Any
) -> Any:
    del most
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


def programs(
    recipes: tuple[training.Recipe, ...], init: InitFn, mapping: Mapping
) -> Programs:
    """Maps the functions of one network over the networks of all groups.

    Equal arguments give the same programs: nothing is compiled twice in a process,
    whatever the members' arrays hold.

    ``mapping`` is ``SIDE_BY_SIDE`` or ``ONE_BY_ONE``.
    """
    return Programs(_making(init), *_training(recipes, mapping))


@functools.lru_cache(maxsize=64)
def _making(init: InitFn) -> Program:
    def init_all(
        seeds: Int[Array, " places"], members: Any, data: training.Data
    ) -> training.TrainState:
        return jax.lax.map(lambda own: init(own[0], own[1], data), (seeds, members))

    own, shared = PartitionSpec(MEMBERS), PartitionSpec()
    return Program(on_each_device(init_all, own, own, shared))


@functools.lru_cache(maxsize=64)
def _training(
    recipes: tuple[training.Recipe, ...], mapping: Mapping
) -> tuple[Program, Program]:
    """``advance`` and ``measure``, whatever makes the networks."""

    def advance(
        state: Any, data: training.Data, seeds: Any, counts: Any, epoch: Int[Array, ""]
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
        state: Any, data: training.Data, counts: Any, epoch: Int[Array, ""]
    ) -> Any:
        return tuple(
            mapping.collect(
                functools.partial(_measure, recipe),
                counts[group][0],
                training.measure.networks_at_once(recipe, state[group], data),
                state[group],
                data,
                epoch,
            )
            for group, recipe in enumerate(recipes)
        )

    own, shared = PartitionSpec(MEMBERS), PartitionSpec()
    return (
        Program(
            on_each_device(advance, own, shared, own, own, shared), donate_argnums=0
        ),
        Program(on_each_device(measure, own, shared, own, shared)),
    )


def _epoch(
    recipe: training.Recipe,
    state: training.TrainState,
    seed: Int[Array, ""],
    data: training.Data,
    number: Int[Array, ""],
) -> training.TrainState:
    return training.epoch(recipe, state, data, seed, number)


def _measure(
    recipe: training.Recipe,
    state: training.TrainState,
    data: training.Data,
    number: Int[Array, ""],
) -> Measurement:
    def scores(
        state: training.TrainState, gates: Gates | None
    ) -> tuple[training.Evaluation, gradient_flow.GradientFlow]:
        images, labels = data.test_images, data.test_labels
        return (
            training.evaluate(recipe, state, images, labels, data, gates),
            training.measure.flow(recipe, state, data, gates),
        )

    # The network as it was in the epoch that is over.
    number = recipe.pruning.schedule_epoch(number)
    test, flow = training.in_phase(recipe, number, scores, state)
    kernels = tree.kernels(state.masks)
    finite = jnp.isfinite(flow.loss) & jnp.isfinite(test.loss)
    return Measurement(
        flow=flow,
        test=test,
        # The last step's damage shows in no training loss.
        diverged=state.diverged | ~finite,
        # JAX keeps the order of these, and sorts other dicts.
        num_active=collections.OrderedDict(
            (path, jnp.sum(mask)) for path, mask in kernels.items()
        ),
        isolated_units=sum(
            (masks_lib.isolated_units(mask) for mask in kernels.values()),
            jnp.zeros((), jnp.int32),
        ),
    )
