"""Pruning over training: once, gradually, iteratively with rewinding, dynamically.

Every method is a ``network.Static`` that changes masks at some epochs or steps; what
differs between networks (how many weights are to stay, the weights to go back to) is in
``TrainState.pruning``, so that checkpoints, ensembles and every optimizer work with all
of them. To add a method, add a class here and its name to ``METHODS``.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sparse_gf import masks as masks_lib
from sparse_gf import schedules, scores
from sparse_gf.core import streams, tree
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Masks, Params
from sparse_gf.training.network import Recipe, Static, Step, TrainState

NUM_ACTIVE = "num_active"
"""Key in ``TrainState.pruning``: final counts per kernel path, or of all together."""


def smallest(
    params: Params, masks: Masks, num_active: Any, dense_layers: tuple[str, ...] = ()
) -> Masks:
    """Masks without the active weights of smallest magnitude.

    No weight comes back. ``num_active`` is as for ``masks.from_scores``; kernels at
    ``dense_layers`` are kept whole.
    """
    alive = jax.tree.map(
        lambda score, mask: jnp.where(mask, score, -jnp.inf),
        scores.protect(scores.magnitude(params), dense_layers),
        masks,
    )
    return masks_lib.from_scores(alive, num_active)


def with_masks(recipe: Recipe, state: TrainState, masks: Masks) -> TrainState:
    """A network under new masks.

    Weights that are active no more are 0; so are those that were not active before. The
    optimizer remembers nothing of either.
    """
    kept = jax.tree.map(jnp.logical_and, state.masks, masks)
    return dataclasses.replace(
        state,
        params=masks_lib.apply(state.params, kept),
        masks=masks,
        opt_state=_forget(recipe, state, kept),
    )


def _forget(recipe: Recipe, state: TrainState, kept: Masks) -> Any:
    """The optimizer's memory, at its initial value where weights are not kept."""
    new = recipe.make_optimizer(state.learning_rate).init(state.params)
    structure = jax.tree.structure(state.params)

    def like_params(part: Any) -> bool:
        return jax.tree.structure(part) == structure

    def forget(old: Any, new: Any) -> Any:
        if not like_params(old):
            return old
        return jax.tree.map(jnp.where, kept, old, new)

    return jax.tree.map(forget, state.opt_state, new, is_leaf=like_params)


@dataclasses.dataclass(frozen=True)
class OneShot(Static):
    """Magnitude pruning after an epoch; then the mask is fixed (fine-tuning).

    Tessera et al. 2021, section 4.3: half of the epochs dense, half after. The learning
    rate's schedule goes on.

    Attributes:
        epoch: The last epoch before the pruning.
        dense_layers: Paths of kernels that are not pruned.
    """

    epoch: int
    dense_layers: tuple[str, ...] = ()

    def before_epoch(
        self, recipe: Recipe, state: TrainState, number: Int[Array, ""]
    ) -> TrainState:
        """Prunes before the epoch after ``epoch``."""

        def prune(state: TrainState) -> TrainState:
            counts = state.pruning[NUM_ACTIVE]
            masks = smallest(state.params, state.masks, counts, self.dense_layers)
            return with_masks(recipe, state, masks)

        due = number == self.epoch + 1
        return jax.lax.cond(due, prune, lambda state: state, state)


@dataclasses.dataclass(frozen=True)
class Gradual(Static):
    """Magnitude pruning along a cubic schedule (Zhu and Gupta 2018).

    Attributes:
        start: Epoch after which it is pruned first; 0 for after the first step.
        end: Epoch after which it has its final density.
        every: Steps between.
        dense_layers: Paths of kernels that are not pruned.
    """

    start: int
    end: int
    every: int
    dense_layers: tuple[str, ...] = ()

    @property
    def changes_in_steps(self) -> bool:
        """Whether ``after_step`` does anything: always."""
        return True

    def after_step(self, recipe: Recipe, step: Step) -> TrainState:
        """Prunes after the step, if it is time."""
        number, steps = step.number, step.per_epoch
        first, last = max(self.start * steps, 1), self.end * steps
        due = ((number - first) % self.every == 0) & (first <= number)
        # The last time, also where the steps between do not divide the whole.
        due = (due & (number < last)) | (number == last)
        left = schedules.cubic_density(number, first, last, 1.0, 0.0)
        prune = functools.partial(self._prune, recipe, left)
        return jax.lax.cond(due, prune, lambda state: state, step.after)

    def _prune(
        self, recipe: Recipe, left: Float[Array, ""], state: TrainState
    ) -> TrainState:
        sizes = {
            path: kernel.size for path, kernel in tree.kernels(state.params).items()
        }
        final = state.pruning[NUM_ACTIVE]
        whole = sizes if isinstance(final, Mapping) else sum(sizes.values())

        def count(whole: int, final: Int[Array, ""]) -> Int[Array, ""]:
            # Exact at the end, where a float32 could be off by more than one.
            removed = whole - final
            return final + jnp.floor(left * removed).astype(final.dtype)

        counts = jax.tree.map(count, whole, final)
        masks = smallest(state.params, state.masks, counts, self.dense_layers)
        return with_masks(recipe, state, masks)


@dataclasses.dataclass(frozen=True)
class Iterative(Static):
    """Iterative magnitude pruning with rewinding: lottery tickets.

    Frankle and Carbin 2019; rewinding to an early epoch: Frankle et al. 2020. A network
    is trained, pruned, set back to what it was at the end of an early epoch, trained
    again to the last epoch, and so on. ``state.pruning`` has the counts after each
    round [rounds] and the params and running statistics to go back to. Every round has
    the same order of the data and, rewound to the start, a new optimizer; rewound to an
    epoch, the optimizer starts anew too.

    Attributes:
        epochs: Epochs of one training, the early ones included.
        rounds: How often it is pruned; there is one training more.
        rewind: Epochs of the first training that are kept; 0 for the initial weights.
        dense_layers: Paths of kernels that are not pruned.
    """

    epochs: int
    rounds: int
    rewind: int = 0
    dense_layers: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[int, ...]:
        """The last epoch of every training, counted through the whole run."""
        again = self.epochs - self.rewind
        return tuple(self.epochs + again * number for number in range(self.rounds + 1))

    def begin(self, state: TrainState) -> TrainState:
        """Remembers the initial weights."""
        return _remember(state)

    def schedule_epoch(self, number: Int[Array, ""]) -> Int[Array, ""]:
        """The epoch of the training that the epoch of the run belongs to."""
        again = self.epochs - self.rewind
        later = self.rewind + 1 + (number - self.epochs - 1) % again
        return jnp.where(number <= self.epochs, number, later)

    def before_epoch(
        self, recipe: Recipe, state: TrainState, number: Int[Array, ""]
    ) -> TrainState:
        """Remembers the network, or prunes it and sets it back."""
        again = self.epochs - self.rewind
        if self.rewind:
            state = jax.lax.cond(
                number == self.rewind + 1, _remember, lambda state: state, state
            )
        done = number - self.epochs - 1
        due = (done >= 0) & (done % again == 0)
        set_back = functools.partial(self._set_back, recipe, done // again)
        return jax.lax.cond(due, set_back, lambda state: state, state)

    def _set_back(
        self, recipe: Recipe, round_number: Int[Array, ""], state: TrainState
    ) -> TrainState:
        counts = jax.tree.map(lambda c: c[round_number], state.pruning[NUM_ACTIVE])
        masks = smallest(state.params, state.masks, counts, self.dense_layers)
        params = masks_lib.apply(state.pruning["params"], masks)
        return dataclasses.replace(
            state,
            params=params,
            masks=masks,
            batch_stats=state.pruning["batch_stats"],
            opt_state=recipe.make_optimizer(state.learning_rate).init(params),
        )


def _remember(state: TrainState) -> TrainState:
    memory = {"params": state.params, "batch_stats": state.batch_stats}
    return dataclasses.replace(state, pruning=state.pruning | memory)


@dataclasses.dataclass(frozen=True)
class Dynamic(Static):
    """Sparse training in which connections move: SET and RigL.

    Every ``every`` steps each layer drops its active weights of smallest magnitude and
    grows as many others, at 0 (Evci et al. 2020, Algorithm 1): those of the largest
    gradient (RigL), or random ones (SET, Mocanu et al. 2018, which does so every
    epoch). That takes the place of the optimizer's step. The share that moves falls on
    half a cosine. Candidates are all weights that were not kept, those just dropped
    included; one of these that comes back keeps its value, as in the authors' code.
    Between updates masks are fixed, and the number of active weights of a layer never
    changes.

    Attributes:
        every: Steps between updates, Delta T.
        drop: Share of a layer's active weights that moves at first, alpha.
        end: Epoch, T_end, from whose end connections move no more.
        by_gradient: Whether gradients choose what grows (RigL) or chance does (SET).
    """

    every: int
    drop: float
    end: int
    by_gradient: bool

    @property
    def changes_in_steps(self) -> bool:
        """Whether ``after_step`` does anything: always."""
        return True

    def after_step(self, recipe: Recipe, step: Step) -> TrainState:
        """Moves connections in place of the step, if it is time."""
        before, number = step.before, step.number
        last = self.end * step.per_epoch
        due = (number % self.every == 0) & (number < last)

        def move(after: TrainState) -> TrainState:
            if self.by_gradient:
                growth = jax.tree.map(jnp.abs, step.dense_grads)
            else:
                key = streams.key(step.seed, Purpose.GROWTH, number)
                growth = scores.random(key, before.params)
            masks = moved(before, growth, self.share(number / last))
            # What the forward pass left, but for the step.
            unmoved = dataclasses.replace(
                after, params=before.params, opt_state=before.opt_state
            )
            return with_masks(recipe, unmoved, masks)

        return jax.lax.cond(due, move, lambda state: state, step.after)

    def share(self, done: Float[Array, ""]) -> Float[Array, ""]:
        """The share of a layer's active weights that moves.

        ``done`` is the share, in 0..1, of the time in which they move that is over.
        """
        return self.drop / 2 * (1 + jnp.cos(math.pi * done))


def moved(state: TrainState, growth: scores.Scores, share: Float[Array, ""]) -> Masks:
    """Masks in which a share of every layer's connections has moved.

    ``growth`` are scores, at least 0, of the weights that may be grown; ``share`` is in
    0..1.
    """
    magnitudes = tree.kernels(scores.magnitude(state.params))
    growths = tree.kernels(growth)

    def move(path: str, mask: Bool[Array, "..."]) -> Bool[Array, "..."]:
        active = jnp.sum(mask)
        moving = jnp.floor(share * active).astype(active.dtype)
        kept = _best(jnp.where(mask, magnitudes[path], -jnp.inf), active - moving)
        grown = _best(jnp.where(kept, -jnp.inf, growths[path]), moving)
        return kept | grown

    return tree.map_kernels(move, lambda leaf: leaf, state.masks)


def _best(values: Array, count: Int[Array, ""]) -> Bool[Array, "..."]:
    return masks_lib.from_scores({"kernel": values}, {"kernel": count})["kernel"]


METHODS: Mapping[str, type[Static]] = {
    "init": Static,
    "ticket": Static,
    "one_shot": OneShot,
    "gradual": Gradual,
    "imp": Iterative,
    "set": Dynamic,
    "rigl": Dynamic,
}
"""When a network is pruned: before training, or by one of the classes above.

``"ticket"``: before training, by an iterative pruning of the plain network.
"""
