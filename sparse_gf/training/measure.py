"""Scores and gradient flow of one network, and when they are measured."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from sparse_gf import gradient_flow, losses
from sparse_gf.core import batches
from sparse_gf.core.types import Params
from sparse_gf.models.ghosts import Gates
from sparse_gf.training import logits
from sparse_gf.training.network import Data, Recipe, TrainState


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
    images: Num[Array, "examples ..."],
    labels: Int[Array, " examples"],
    data: Data,
    gates: Gates | None = None,
) -> Evaluation:
    """Scores a network on all of ``images``, the last partial batch included.

    With the labels as they are, whatever the training loss does with them.
    """

    def score(
        batch: tuple[Num[Array, "batch ..."], Int[Array, " batch"]],
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        images, labels = batch
        found = logits.logits(
            recipe.model,
            state.params,
            state.batch_stats,
            data.normalised(images),
            mode="eval",
            gates=gates,
        )
        total = losses.cross_entropy(found, labels) * labels.shape[0]
        return total, losses.num_correct(found, labels)

    total, correct = _over_examples(recipe, score, images, labels)
    return Evaluation(total / labels.shape[0], correct)


def flow(
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
        batch: tuple[Num[Array, "batch ..."], Int[Array, " batch"]],
    ) -> tuple[Float[Array, ""], Params]:
        images, labels = batch
        inputs = data.normalised(images)

        def loss_fn(params: Params) -> Float[Array, ""]:
            mean = logits.loss(
                recipe.model,
                params,
                state.batch_stats,
                inputs,
                labels,
                mode="train",
                gates=gates,
            )
            return mean * labels.shape[0]

        return jax.value_and_grad(loss_fn)(state.params)

    total, dense_grads = _over_examples(recipe, gradient, images, labels)
    mean_grads = jax.tree.map(lambda g: g / labels.shape[0], dense_grads)
    return gradient_flow.from_gradients(
        total / labels.shape[0], mean_grads, state.masks, recipe.measures
    )


def networks_at_once(recipe: Recipe, state: TrainState, data: Data) -> int:
    """Most networks to be measured together, of those that are trained together.

    Their images are no more than those of a step, so that what training needs is enough
    memory for measuring.

    ``state`` is that of all networks, [networks, ...].
    """
    probe = data.train_labels[: recipe.probe_size].shape[0]
    images = min(recipe.evaluation_batch, max(probe, data.test_labels.shape[0]))
    return max(1, state.learning_rate.shape[0] * recipe.batch_size // images)


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


def _over_examples(
    recipe: Recipe, function: Callable[[Any], Any], images: Array, labels: Array
) -> Any:
    """Sums ``function((images, labels))`` over all examples in batches of fair size."""
    function = jax.jit(function)
    examples = images, labels
    size = _batch_size(labels.shape[0], recipe.evaluation_batch)
    total = batches.total(function, batches.cut(examples, size))
    whole = labels.shape[0] // size * size
    if whole < labels.shape[0]:
        rest = function(jax.tree.map(lambda x: x[whole:], examples))
        total = jax.tree.map(jnp.add, total, rest)
    return total


def _batch_size(examples: int, most: int) -> int:
    """The largest divisor of ``examples`` that is a good batch, else the limit.

    A divisor leaves no partial batch, which would be compiled a second time.
    """
    limit = min(most, examples)
    divisors = (n for n in range(limit, limit // 2, -1) if examples % n == 0)
    return next(divisors, limit)
