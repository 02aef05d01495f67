"""Training of one network: a step, and an epoch of steps."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from sparse_gf import losses
from sparse_gf import masks as masks_lib
from sparse_gf.core import streams
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Params
from sparse_gf.data import augment
from sparse_gf.models.ghosts import Gates
from sparse_gf.training import logits
from sparse_gf.training.network import Data, Recipe, Step, TrainState, in_phase


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

    ``dropout_key`` is consumed; ``factor`` multiplies the learning rate, None for 1;
    ``gates`` are the ghosts', None for the plain network.

    Returns:
        The network after the step, and the gradient of all weights before it.
    """

    def loss_fn(params: Params) -> tuple[Float[Array, ""], Any]:
        found, batch_stats = logits.in_training(
            recipe.model,
            params,
            state.batch_stats,
            images,
            dropout_key=dropout_key,
            gates=gates,
        )
        loss = losses.cross_entropy(
            found, labels, label_smoothing=recipe.label_smoothing
        )
        return loss, batch_stats

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

    ``number`` is the epoch, from 1.
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
        images = data.normalised(images)
        key = streams.key(seed, Purpose.DROPOUT, number, step_number)
        labels = data.train_labels[index]
        after, dense_grads = step(recipe, state, images, labels, key, factor, gates)
        if recipe.pruning.changes_in_steps:
            done = first_step + step_number
            told = Step(state, after, dense_grads, done, steps, seed)
            after = recipe.pruning.after_step(recipe, told)
        return after, None

    def run(state: TrainState, gates: Gates | None) -> TrainState:
        inputs = batches, jnp.arange(steps)
        return jax.lax.scan(functools.partial(body, gates), state, inputs)[0]

    return in_phase(recipe, number, run, state)
