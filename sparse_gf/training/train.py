"""Training of one network: state, step, epoch, evaluation and measurement.

Everything here is a pure function of one network; ``ensemble`` adds members.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray, UInt8

from sparse_gf import gradient_flow, losses, optimizers, schedules
from sparse_gf import masks as masks_lib
from sparse_gf.core import streams
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Masks, Params
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

    def after_step(
        self,
        recipe: "Recipe",
        before: "TrainState",
        after: "TrainState",
        dense_grads: Params,
        number: Int[Array, ""],
        steps: int,
        seed: Int[Array, ""],
    ) -> "TrainState":
        """Changes a network after a step, or replaces the step.

        Args:
            recipe: Of the network.
            before: The network before the step.
            after: The network after the optimizer's step.
            dense_grads: At ``before``, of all weights, not masked.
            number: Of the step, from 1 through the whole run.
            steps: Of an epoch.
            seed: The network's.
        """
        del recipe, before, dense_grads, number, steps, seed
        return after


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What all networks of one program share; hashable, static under ``jit``.

    Attributes:
        model: Linen module; called with images, ``train`` and ``deterministic``.
        optimizer: One of ``optimizers.NAMES``.
        preset: One of ``optimizers.PRESETS``.
        batch_size: Images per step; the last partial batch of an epoch is dropped.
        l2: Coupled L2 penalty.
        l1: Coupled L1 penalty.
        weight_decay: Decoupled decay.
        crop_padding: Pixels of padding for random crops; None for no augmentation.
        flip: Whether augmentation flips horizontally.
        probe_size: Training images that gradient flow is measured on, from the
            first; None for all.
        schedule: Of the learning rate; None for a constant one.
        pruning: How masks change in training.
        evaluation_batch: Most images that go through a network at once when it is
            scored or measured.
        label_smoothing: Of the training loss alone; see ``losses.cross_entropy``.
        ghosts: What the network has in its first epochs alone; None for nothing. The
            model is then called with ``gates`` too.
    """

    model: nn.Module
    optimizer: str
    preset: str
    batch_size: int
    l2: float = 0.0
    l1: float = 0.0
    weight_decay: float = 0.0
    crop_padding: int | None = None
    flip: bool = False
    probe_size: int | None = None
    schedule: schedules.LearningRate | None = None
    pruning: Static = Static()
    evaluation_batch: int = MAX_EVALUATION_BATCH
    label_smoothing: float = 0.0
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
        )


class Data(NamedTuple):
    """A data set on the device; images stay uint8 until a batch is used.

    Attributes:
        train_images: Training images.
        train_labels: Their classes.
        test_images: Test images.
        test_labels: Their classes.
        mean: Per channel, of training images / 255; its type is the networks'.
        std: Likewise, the standard deviation.
    """

    train_images: UInt8[Array, "train height width channels"]
    train_labels: Int[Array, " train"]
    test_images: UInt8[Array, "test height width channels"]
    test_labels: Int[Array, " test"]
    mean: Float[Array, " channels"]
    std: Float[Array, " channels"]


@flax.struct.dataclass
class TrainState:
    """One network in training.

    Attributes:
        params: Stored masked: a masked weight is exactly 0.0.
        masks: Like the params.
        batch_stats: BatchNorm's running statistics; empty without BatchNorm.
        opt_state: The optimizer's memory; at masked weights it never leaves its
            initial value (0, but for Adagrad in the optax preset).
        learning_rate: Step size, a scalar.
        diverged: Whether any training loss was not finite so far, a scalar bool.
        pruning: What the recipe's ``pruning`` remembers; empty for static masks.
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

    Args:
        recipe: Static.
        params: Of the new network.
        masks: Like the params.
        batch_stats: BatchNorm's, if there are any.
        learning_rate: Step size.
        pruning: What ``recipe.pruning`` is to know of this network, its final counts
            for example.
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


def step(
    recipe: Recipe,
    state: TrainState,
    images: Num[Array, "batch ..."],
    labels: Int[Array, " batch"],
    dropout_key: PRNGKeyArray,
    factor: Float[Array, ""] | None = None,
    gates: Gates | None = None,
) -> tuple[TrainState, Params]:
    """One optimizer step on one batch of normalised images.

    The gradient is taken at the stored (masked) params and masked before the
    optimizer sees it, so that moments stay 0 where weights are masked; the params
    are masked again after it, whatever the optimizer added.

    Args:
        recipe: Static.
        state: The network.
        images: The batch.
        labels: Its classes.
        dropout_key: Consumed.
        factor: Of the learning rate; None for 1.
        gates: Of the network's ghosts; None for the plain network.

    Returns:
        The network after the step, and the gradient of all weights before it.
    """

    def loss_fn(params: Params) -> tuple[Float[Array, ""], Any]:
        logits, updated = recipe.model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            deterministic=False,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
            **with_gates(gates),
        )
        loss = losses.cross_entropy(
            logits, labels, label_smoothing=recipe.label_smoothing
        )
        return loss, updated.get("batch_stats", {})

    gradient = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, batch_stats), dense_grads = gradient(state.params)
    grads = masks_lib.apply(dense_grads, state.masks)
    rate = state.learning_rate
    if factor is not None:
        rate = rate * factor.astype(rate.dtype)
    optimizer = recipe.make_optimizer(rate)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = masks_lib.apply(optax.apply_updates(state.params, updates), state.masks)
    after = dataclasses.replace(
        state,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        diverged=state.diverged | ~jnp.isfinite(loss),
    )
    return after, dense_grads


def with_gates(gates: Gates | None) -> dict[str, Any]:
    """Arguments of a model's call; a network without ghosts need not know of them."""
    return {} if gates is None else {"gates": gates}


def in_phase(
    recipe: Recipe,
    number: Int[Array, ""],
    function: Callable[[Any, Gates | None], Any],
    argument: Any,
) -> Any:
    """Calls ``function(argument, gates)`` with the gates of an epoch.

    The epochs without ghosts have a program of their own, that of the plain network:
    nothing of a ghost is left in its numbers, and none of its cost.

    Args:
        recipe: Static.
        number: The epoch, from 1, that schedules go by.
        function: Of the network.
        argument: Its argument.
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


def epoch(
    recipe: Recipe,
    state: TrainState,
    data: Data,
    seed: Int[Array, ""],
    number: Int[Array, ""],
) -> TrainState:
    """Trains one epoch over the training set in a fresh order.

    Order, augmentation and dropout depend on the seed and the epoch alone: both arms
    of a pair, and all widths, see the same.

    Args:
        recipe: Static.
        state: The network.
        data: The data set.
        seed: The network's seed.
        number: The epoch, from 1.
    """
    size = data.train_labels.shape[0]
    steps = size // recipe.batch_size
    state = recipe.pruning.before_epoch(recipe, state, number)
    first_step = (number - 1) * steps + 1
    number = recipe.pruning.schedule_epoch(number)
    factor = recipe.schedule(number) if recipe.schedule else None
    order = jax.random.permutation(streams.key(seed, Purpose.ORDER, number), size)
    batches = order[: steps * recipe.batch_size].reshape(steps, recipe.batch_size)

    def body(
        gates: Gates | None,
        state: TrainState,
        inputs: tuple[Int[Array, " batch"], Int[Array, ""]],
    ) -> tuple[TrainState, None]:
        index, step_number = inputs
        images = data.train_images[index]
        if recipe.crop_padding is not None:
            images = augment.random_crop_and_flip(
                streams.key(seed, Purpose.AUGMENTATION, number, step_number),
                images,
                padding=recipe.crop_padding,
                flip=recipe.flip,
            )
        images = augment.normalise(images, data.mean, data.std, data.mean.dtype)
        key = streams.key(seed, Purpose.DROPOUT, number, step_number)
        labels = data.train_labels[index]
        after, dense_grads = step(recipe, state, images, labels, key, factor, gates)
        if recipe.pruning.changes_in_steps:
            after = recipe.pruning.after_step(
                recipe, state, after, dense_grads, first_step + step_number, steps, seed
            )
        return after, None

    def run(state: TrainState, gates: Gates | None) -> TrainState:
        inputs = batches, jnp.arange(steps)
        return jax.lax.scan(functools.partial(body, gates), state, inputs)[0]

    return in_phase(recipe, number, run, state)


class Evaluation(NamedTuple):
    """Scores of a network on a data set, in evaluation mode.

    Attributes:
        loss: Mean cross-entropy in nats; not finite for a diverged network.
        num_correct: Examples whose largest logit is the true class's.
    """

    loss: Float[Array, ""]
    num_correct: Int[Array, ""]


def evaluate(
    recipe: Recipe,
    state: TrainState,
    images: UInt8[Array, "examples height width channels"],
    labels: Int[Array, " examples"],
    data: Data,
    gates: Gates | None = None,
) -> Evaluation:
    """Scores a network on all of ``images``, the last partial batch included.

    With the labels as they are, whatever the training loss does with them.
    """

    def score(
        images: UInt8[Array, "batch height width channels"],
        labels: Int[Array, " batch"],
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        inputs = augment.normalise(images, data.mean, data.std, data.mean.dtype)
        logits = cast(Array, recipe.model.apply(variables, inputs, **with_gates(gates)))
        total = losses.cross_entropy(logits, labels) * labels.shape[0]
        return total, losses.num_correct(logits, labels)

    total, correct = _sum_over_batches(recipe, score, images, labels)
    return Evaluation(total / labels.shape[0], correct)


def measure(
    recipe: Recipe, state: TrainState, data: Data, gates: Gates | None = None
) -> gradient_flow.GradientFlow:
    """Measures gradient flow on the probe, the mean over training images.

    In training mode (BatchNorm uses the statistics of the probe's batches, of at
    most ``recipe.evaluation_batch`` images, and leaves the running ones alone), without
    augmentation, without dropout, and without label smoothing: gradients of networks
    that are trained with it and without can be compared.
    """
    images = data.train_images[: recipe.probe_size]
    labels = data.train_labels[: recipe.probe_size]

    def gradient(
        images: UInt8[Array, "batch height width channels"],
        labels: Int[Array, " batch"],
    ) -> tuple[Float[Array, ""], Params]:
        inputs = augment.normalise(images, data.mean, data.std, data.mean.dtype)

        def loss_fn(params: Params) -> Float[Array, ""]:
            logits, _ = recipe.model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                inputs,
                train=True,
                mutable=["batch_stats"],
                **with_gates(gates),
            )
            return losses.cross_entropy(logits, labels) * labels.shape[0]

        return jax.value_and_grad(loss_fn)(state.params)

    total, dense_grads = _sum_over_batches(recipe, gradient, images, labels)
    mean_grads = jax.tree.map(lambda g: g / labels.shape[0], dense_grads)
    return gradient_flow.from_gradients(
        total / labels.shape[0], mean_grads, state.masks
    )


def measured_epochs(epochs: int, points: int) -> tuple[int, ...]:
    """Epochs, from 1, at whose end networks are measured.

    ``points`` of them spread evenly from the first to the last; all epochs if there
    are no more than that.
    """
    if points == 1:
        return (epochs,)
    # The nearest epoch, halves up, in whole numbers.
    last, twice = points - 1, 2 * (points - 1)
    spread = {1 + (2 * (epochs - 1) * i + last) // twice for i in range(points)}
    return tuple(sorted(spread))


def _sum_over_batches(
    recipe: Recipe, function: Callable[..., Any], images: Array, labels: Array
) -> Any:
    """Sums ``function(images, labels)`` over all examples in batches of fair size."""
    # Jitted, it is traced once for its shapes and its loop.
    function = jax.jit(function)
    size = _batch_size(labels.shape[0], recipe.evaluation_batch)
    whole = labels.shape[0] // size * size

    def body(total: Any, batch: tuple[Array, Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*batch)), None

    def split(x: Array) -> Array:
        return x[:whole].reshape(-1, size, *x.shape[1:])

    shapes = jax.eval_shape(function, images[:size], labels[:size])
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = jax.lax.scan(body, zeros, (split(images), split(labels)))
    if whole < labels.shape[0]:
        total, _ = body(total, (images[whole:], labels[whole:]))
    return total


def _batch_size(examples: int, most: int) -> int:
    """The largest divisor of ``examples`` that is a good batch, else the limit.

    A divisor leaves no partial batch, which would be compiled a second time.
    """
    limit = min(most, examples)
    divisors = (n for n in range(limit, limit // 2, -1) if examples % n == 0)
    return next(divisors, limit)
