"""LRsI, layer-wise rescaled initialisation: GradInit (Zhu et al. 2021) under a mask.

One scalar per array of the initial params is learned so that the first step of training
lowers the loss most (Zhu et al., Eq. 1; Jaiswal et al. 2022, section 2.3):

    minimise over alpha   C(theta - eta step; B1)   where theta = alpha theta_0
    subject to            ||g|| <= gamma,           g = dC/dtheta(theta; B0),

step = g / ||g||_2 (``"sgd"``) or sign(g) (``"adam"``), and the norm is the 2-norm or
the 1-norm. While the norm is above gamma, the norm is what is lowered. The step counts
as a constant in the derivative, as in the released code. B0 and B1 share half of their
examples.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sparse_gf import masks as masks_lib
from sparse_gf.core import streams, tree
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Masks, Params
from sparse_gf.training import logits
from sparse_gf.training.network import Data, Recipe

STEPS = {"sgd": 2, "adam": 1}
"""Orders of the norm that is bounded, by the kind of step."""

BatchLoss = Callable[[Params, Any], Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Constants of GradInit; the defaults are those of ToST's release.

    Attributes:
        step: One of ``STEPS``: of the optimizer that comes after.
        eta: Length of the first step.
        gamma: Bound of the gradient's norm.
        learning_rate: The scalars' learning rate.
        min_scale: Least scalar of an array that is not a bias; a bias's is 0.
        iterations: Updates of the scalars.
        clip: Largest entry of a scalar's gradient; 0 for none.
        normalised: Whether the step is divided by the norm (``"sgd"``).
    """

    step: str = "sgd"
    eta: float = 0.1
    gamma: float = 1.0
    learning_rate: float = 0.01
    min_scale: float = 0.01
    iterations: int = 180
    clip: float = 1.0
    normalised: bool = True


class Record(NamedTuple):
    """What happened in each iteration, arrays [iterations].

    Attributes:
        scales: The scalars after the iteration, one per array of the params.
        constrained: Whether the norm was above gamma, and was lowered.
        gradient_norm: The norm before the iteration.
        loss: The loss on B0 before the iteration.
        next_loss: The loss on B1 after the step of training that was tried; that on B0
            where none was.
    """

    scales: Any
    constrained: Bool[Array, " iterations"]
    gradient_norm: Float[Array, " iterations"]
    loss: Float[Array, " iterations"]
    next_loss: Float[Array, " iterations"]


class _State(NamedTuple):
    """Adam with a first moment for each of two objectives, and one second moment."""

    scales: Any
    first: Any
    second: Any
    steps: Int[Array, " 2"]
    taken: Int[Array, ""]


def rescale(
    loss_fn: BatchLoss,
    params: Params,
    masks: Masks | None,
    take: Callable[[Int[Array, ""]], Any],
    settings: Settings,
) -> tuple[Params, Record]:
    """Learns a scale for every array of the initial params.

    Args:
        loss_fn: ``loss_fn(params, batch)``, the mean loss of a batch, BatchNorm in
            training mode.
        params: theta_0. Arrays of zeros keep their scale of 1.
        masks: Gradient, norm and step are masked, and so are the params. None leaves
            all of them as they are: that is the release, which rescales first and masks
            then.
        take: ``take(number)`` is batch 0, 1, ..., half of B0 each; an iteration takes
            three (the first is in B0 and B1), or two if the norm was too large.
        settings: The constants.

    Returns:
        The rescaled params, and what happened.
    """
    if masks is not None:
        params = masks_lib.apply(params, masks)

    def body(state: _State, _: None) -> tuple[_State, Record]:
        return _iteration(loss_fn, params, masks, take, settings, state)

    ones = jax.tree.map(lambda p: jnp.ones((), p.dtype), params)
    zeros = jax.tree.map(jnp.zeros_like, ones)
    pair = jax.tree.map(lambda z: jnp.stack([z, z]), zeros)
    steps, taken = jnp.zeros(2, jnp.int32), jnp.zeros((), jnp.int32)
    start = _State(ones, pair, zeros, steps, taken)
    end, record = jax.lax.scan(body, start, length=settings.iterations)
    return _scaled(end.scales, params), record


def rescale_network(
    settings: Settings,
    batch_size: int,
    recipe: Recipe,
    params: Params,
    batch_stats: Any,
    masks: Masks | None,
    data: Data,
    seed: Int[Array, ""],
) -> tuple[Params, Record]:
    """Rescales the initial weights of one network.

    The loss is that of training: smoothed, with ghosts as in the first epoch. Images
    are not augmented.

    The seed decides the batches, of ``batch_size`` examples, two of which share half of
    theirs; without masks as in ``rescale``.
    """
    half = batch_size // 2
    examples = data.train_labels.shape[0]
    order = jax.random.permutation(streams.key(seed, Purpose.RESCALING), examples)
    gates = recipe.ghosts.gates(1) if recipe.ghosts else None

    def take(number: Int[Array, ""]) -> tuple[Array, Array]:
        start = number % (examples // half) * half
        index = jax.lax.dynamic_slice_in_dim(order, start, half)
        return data.normalised(data.train_images[index]), data.train_labels[index]

    def loss_fn(params: Params, batch: tuple[Array, Array]) -> Float[Array, ""]:
        return logits.loss(
            recipe.model,
            params,
            batch_stats,
            *batch,
            mode="train",
            gates=gates,
            label_smoothing=recipe.label_smoothing,
        )

    return rescale(loss_fn, params, masks, take, settings)


def _iteration(
    loss_fn: BatchLoss,
    start: Params,
    masks: Masks | None,
    take: Callable[[Int[Array, ""]], Any],
    settings: Settings,
    state: _State,
) -> tuple[_State, Record]:
    first, second, third = (take(state.taken + i) for i in range(3))
    params = _scaled(state.scales, start)

    def gradient(params: Params, batches: Any) -> tuple[Array, Params]:
        loss, grads = jax.value_and_grad(_mean_loss(loss_fn))(params, batches)
        return loss, grads if masks is None else masks_lib.apply(grads, masks)

    loss, grads = gradient(params, (first, second))
    order = STEPS[settings.step]
    norm = _norm(grads, order)

    def lower_norm(_: None) -> tuple[Array, Params]:
        # d||g||/dtheta = H g / ||g||, or H sign(g).
        direction = jax.tree.map(jnp.sign if order == 1 else lambda g: g / norm, grads)
        _, products = jax.jvp(
            lambda p: gradient(p, (first, second))[1], (params,), (direction,)
        )
        return loss, products

    def lower_next_loss(_: None) -> tuple[Array, Params]:
        length = settings.eta / norm if settings.normalised else settings.eta
        step = jax.tree.map(
            lambda g: settings.eta * jnp.sign(g) if order == 1 else length * g, grads
        )
        after = jax.tree.map(jnp.subtract, params, step)
        next_loss, next_grads = gradient(after, (first, third))
        return next_loss, jax.tree.map(lambda g: g / settings.eta, next_grads)

    constrained = norm > settings.gamma
    next_loss, slopes = jax.lax.cond(constrained, lower_norm, lower_next_loss, None)
    slopes = jax.tree.map(lambda s, p: jnp.sum(s * p), slopes, start)
    after = _update(settings, state, constrained, slopes, start)
    return after, Record(after.scales, constrained, norm, loss, next_loss)


def _update(
    settings: Settings,
    state: _State,
    constrained: Bool[Array, ""],
    slopes: Any,
    start: Params,
) -> _State:
    """One step of Adam, with the first moment and the counter of its objective."""
    own = constrained.astype(jnp.int32)
    steps = state.steps.at[own].add(1)
    decay, decay_second, epsilon = 0.9, 0.999, 1e-8
    if settings.clip:
        slopes = jax.tree.map(
            lambda s: jnp.clip(s, -settings.clip, settings.clip), slopes
        )
    first = jax.tree.map(
        lambda m, s: m.at[own].set(decay * m[own] + (1 - decay) * s),
        state.first,
        slopes,
    )
    second = jax.tree.map(
        lambda v, s: decay_second * v + (1 - decay_second) * s**2, state.second, slopes
    )

    def scale(path: Any, scale: Array, m: Array, v: Array, p: Array) -> Array:
        unbiased = m[own] / (1 - decay ** steps[own].astype(m.dtype))
        spread = v / (1 - decay_second ** jnp.sum(steps).astype(v.dtype))
        step = settings.learning_rate * unbiased / (jnp.sqrt(spread) + epsilon)
        least = 0.0 if tree.names(path)[-1] == "bias" else settings.min_scale
        return jnp.where(jnp.any(p != 0), jnp.maximum(scale - step, least), scale)

    scales = jax.tree_util.tree_map_with_path(scale, state.scales, first, second, start)
    taken = state.taken + jnp.where(constrained, 2, 3)
    return _State(scales, first, second, steps, taken)


def _scaled(scales: Any, params: Params) -> Params:
    return jax.tree.map(jnp.multiply, scales, params)


def _norm(grads: Params, order: int) -> Float[Array, ""]:
    """The p-norm of all entries together."""
    norms = jnp.stack([tree.norm(grad, order) for grad in jax.tree.leaves(grads)])
    return tree.norm(norms, order)


def _mean_loss(loss_fn: BatchLoss) -> Callable[[Params, Any], Float[Array, ""]]:
    """The loss of two batches as one: BatchNorm sees them together."""

    def loss(params: Params, batches: Any) -> Float[Array, ""]:
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *batches)
        return loss_fn(params, joined)

    return loss
