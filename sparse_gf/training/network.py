"""What a network in training is: its recipe, its data, its state.

Everything is of one network; ``ensemble`` adds members.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Num

from sparse_gf import masks as masks_lib
from sparse_gf import optimizers, schedules
from sparse_gf.core.types import Dataset, Masks, Params
from sparse_gf.data import augment
from sparse_gf.models.ghosts import Gates, Ghosts

MAX_EVALUATION_BATCH = 1024
"""Most images that go through a network at once when nothing is trained."""


@dataclasses.dataclass(frozen=True)
class Static:
    """Masks that stay as they are, and what others change; see ``pruning``.

    A method is hashable and holds nothing that differs between networks; that is in
    ``TrainState.pruning``.
    """

    @property
    def changes_in_steps(self) -> bool:
        """Whether ``after_step`` does anything; asking costs time in every step."""
        return False

    def begin(self, state: "TrainState") -> "TrainState":
        """Adds what the method remembers to the state before the first step."""
        return state

    def schedule_epoch(self, number: Int[Array, ""]) -> Int[Array, ""]:
        """The epoch, from 1, that the learning rate and the data's order go by."""
        return number

    def before_epoch(
        self, recipe: "Recipe", state: "TrainState", number: Int[Array, ""]
    ) -> "TrainState":
        """Changes a network before an epoch, counted from 1 through the whole run."""
        del recipe, number
        return state

    def after_step(self, recipe: "Recipe", step: "Step") -> "TrainState":
        """Changes a network after a step, or replaces the step."""
        del recipe
        return step.after


class Step(NamedTuple):
    """A step of training, as it is told to methods that change masks.

    Attributes:
        before: The network before it.
        after: The network after the optimizer's step.
        dense_grads: The gradient at ``before``, of all weights, not masked.
        number: From 1 through the whole run.
        per_epoch: Number of steps of an epoch.
        seed: The network's seed.
    """

    before: "TrainState"
    after: "TrainState"
    dense_grads: Params
    number: Int[Array, ""]
    per_epoch: int
    seed: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What all networks of one program share; hashable, static under ``jit``.

    Attributes:
        model: Linen module; called with images, and those of ``train``,
            ``deterministic`` and ``gates`` that it takes.
        optimizer: One of ``optimizers.NAMES`` or of ``optimizers.OWN``.
        preset: One of ``optimizers.PRESETS``.
        batch_size: Images per step; the last partial batch of an epoch is dropped.
        l2: Coupled L2 penalty.
        l1: Coupled L1 penalty.
        weight_decay: Decoupled decay.
        penalise_activations: Whether the three apply to learned activations too.
        crop_padding: Pixels of padding for random crops; None for no augmentation.
        flip: Whether augmentation flips horizontally.
        probe_size: Training images that gradient flow is measured on, from the
            first; None for all.
        schedule: The learning rate's schedule; None for a constant one.
        pruning: The rule by which masks change in training.
        evaluation_batch: Most images that go through a network at once when it is
            scored or measured.
        label_smoothing: Smoothing in the training loss; see ``losses.cross_entropy``.
        measures: Of ``gradient_flow.OWN``, measured beside all of ``MEASURES``.
        ghosts: Parts that the network has in its first epochs alone; None for none.
            With them, the model is called with ``gates`` too.
    """

    model: nn.Module
    optimizer: str
    preset: str
    batch_size: int
    l2: float = 0.0
    l1: float = 0.0
    weight_decay: float = 0.0
    penalise_activations: bool = False
    crop_padding: int | None = None
    flip: bool = False
    probe_size: int | None = None
    schedule: schedules.LearningRate | None = None
    pruning: Static = Static()
    evaluation_batch: int = MAX_EVALUATION_BATCH
    label_smoothing: float = 0.0
    measures: tuple[str, ...] = ()
    ghosts: Ghosts | None = None

    def make_optimizer(
        self, learning_rate: float | Float[Array, ""]
    ) -> optax.GradientTransformation:
        """The optimizer at a learning rate, which may be traced."""
        return optimizers.make(
            self.optimizer,
            learning_rate,
            l2=self.l2,
            l1=self.l1,
            weight_decay=self.weight_decay,
            preset=self.preset,
            penalise_activations=self.penalise_activations,
        )


def gates_at(recipe: Recipe, epoch: int) -> Gates | None:
    """The gates of a network's ghosts in an epoch; None where it is the plain one."""
    if recipe.ghosts is None:
        return None
    number = int(recipe.pruning.schedule_epoch(jnp.int32(epoch)))
    return recipe.ghosts.gates(number) if recipe.ghosts.are_on(number) else None


class Data(NamedTuple):
    """A data set on the device; images stay uint8 until a batch is used.

    Features that are floats are standardised before they come here.

    ``mean`` and ``std`` are per channel of training images / 255, in the type of the
    networks.
    """

    train_images: Num[Array, "train ..."]
    train_labels: Int[Array, " train"]
    test_images: Num[Array, "test ..."]
    test_labels: Int[Array, " test"]
    mean: Float[Array, " channels"]
    std: Float[Array, " channels"]

    def normalised(
        self, images: Num[Array, "... channels"]
    ) -> Float[Array, "... channels"]:
        """Images as networks take them, in the networks' type."""
        return augment.normalise(images, self.mean, self.std, self.mean.dtype)


def normalised(given: np.ndarray, mean: np.ndarray, std: np.ndarray, dtype: str) -> Any:
    """Images, or features, as networks take them.

    They have the networks' type; ``mean`` and ``std`` are those of
    ``Dataset.channel_statistics``, and a deviation of 0 counts as 1.
    """
    if given.dtype == np.uint8:
        own = mean.astype(dtype), std.astype(dtype)
        return augment.normalise(jnp.asarray(given), *own, dtype)
    # In float64: what is large beside its spread keeps its digits.
    return ((given - mean) / np.where(std > 0, std, 1)).astype(dtype)


def arrays(dataset: Dataset, dtype: str) -> dict[str, np.ndarray]:
    """The fields of ``Data``, in host memory, in the networks' type."""
    mean, std = dataset.channel_statistics()

    def images(given: np.ndarray) -> np.ndarray:
        if given.dtype == np.uint8:
            return given
        return normalised(given, mean, std, dtype)

    return {
        "train_images": images(dataset.train_images),
        "train_labels": dataset.train_labels,
        "test_images": images(dataset.test_images),
        "test_labels": dataset.test_labels,
        "mean": mean.astype(dtype),
        # A constant channel has no spread to divide by.
        "std": np.where(std > 0, std, 1).astype(dtype),
    }


@flax.struct.dataclass
class TrainState:
    """One network in training.

    Attributes:
        params: The weights, stored masked: a masked weight is exactly 0.0.
        masks: The active weights, a pytree like the params.
        batch_stats: BatchNorm's running statistics; empty without BatchNorm.
        opt_state: The optimizer's memory; at masked weights it never leaves its
            initial value (0, but for Adagrad in the optax preset).
        learning_rate: The step size, a scalar.
        diverged: Whether any training loss was not finite so far, a scalar bool.
        pruning: The memory of the recipe's ``pruning``; empty for static masks.
    """

    # No shapes: an ensemble's states have more axes, and eval_shape makes no arrays.
    params: Params
    masks: Masks
    batch_stats: Any
    opt_state: Any
    learning_rate: Any
    diverged: Any
    pruning: Any


def create(
    recipe: Recipe,
    params: Params,
    masks: Masks,
    batch_stats: Any,
    learning_rate: float | Float[Array, ""],
    pruning: Any = None,
) -> TrainState:
    """Makes the state before the first step; ``params`` are masked here.

    ``pruning`` has facts of this network that the recipe's pruning needs, its final
    counts for example.
    """
    params = masks_lib.apply(params, masks)
    dtype = jax.tree.leaves(params)[0].dtype
    state = TrainState(
        params=params,
        masks=masks,
        # Flax makes them float32 whatever the parameters are.
        batch_stats=jax.tree.map(lambda x: x.astype(dtype), batch_stats),
        opt_state=recipe.make_optimizer(learning_rate).init(params),
        learning_rate=jnp.asarray(learning_rate, dtype),
        diverged=jnp.zeros((), bool),
        pruning={} if pruning is None else pruning,
    )
    return recipe.pruning.begin(state)


def in_phase(
    recipe: Recipe,
    number: Int[Array, ""],
    function: Callable[[Any, Gates | None], Any],
    argument: Any,
) -> Any:
    """Calls ``function(argument, gates)`` with the gates of an epoch.

    The epochs without ghosts have a program of their own, that of the plain network:
    nothing of a ghost is left in its numbers, and none of its cost.

    ``number`` is the epoch, from 1, that schedules go by.
    """
    ghosts = recipe.ghosts
    if ghosts is None:
        return function(argument, None)
    gates = ghosts.gates(number)
    if ghosts.are_permanent:
        return function(argument, gates)
    return jax.lax.cond(
        ghosts.are_on(number),
        lambda argument: function(argument, gates),
        lambda argument: function(argument, None),
        argument,
    )
