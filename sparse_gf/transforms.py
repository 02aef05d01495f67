"""Optax transformations for training loops of one's own.

    optimizer = optax.chain(
        transforms.record_gradient_flow(masks),
        transforms.keep_masked(optax.adam(1e-3), masks),
    )

trains any network sparsely with any optimizer, and every update measures the gradient
flow. Both take Linen params and, with ``nnx.Optimizer``, the state of an NNX model.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from sparse_gf import gradient_flow as gradient_flow_lib
from sparse_gf import masks as masks_lib
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Masks, Params
from sparse_gf.gradient_flow import GradientFlow

Transform = optax.GradientTransformationExtraArgs


class KeepMaskedState(NamedTuple):
    """The state of ``keep_masked`` and, inside of it, that of the optimizer.

    Masks that are replaced here act from the next update on.
    """

    masks: Masks
    inner: Any


def keep_masked(optimizer: optax.GradientTransformation, masks: Masks) -> Transform:
    """Keeps the masked weights of a network at exactly 0.0 under any optimizer.

    The optimizer sees gradients that are 0 at masked weights, so that its moments, its
    clipping and its norms are those of the sparse network; its updates of masked
    weights, by momentum or weight decay, are replaced. A masked weight that is not 0,
    because the params were not masked or a mask was replaced, is 0 after the next
    update. The forward pass does not mask: give ``masks.apply(params, masks)`` to the
    first step, or that step is one of the dense network.

    Args:
        optimizer: Any optax transformation.
        masks: By the paths of the params.

    Returns:
        A transformation whose ``update`` needs the params. ``init`` raises a
        ``UserError`` if the masks do not belong to them.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from sparse_gf import masks, transforms
        >>> params = {"Dense_0": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
        >>> kept = masks.random(jax.random.key(0), params, 3)
        >>> optimizer = transforms.keep_masked(optax.adamw(0.1), kept)
        >>> params = masks.apply(params, kept)
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> params = optax.apply_updates(params, updates)
        >>> int((params["Dense_0"]["kernel"] == 0).sum())
        1
    """
    inner = optax.with_extra_args_support(optimizer)

    def init(params: Params) -> KeepMaskedState:
        return KeepMaskedState(masks_lib.placed(masks, params), inner.init(params))

    def update(
        updates: Any, state: KeepMaskedState, params: Any = None, **extra: Any
    ) -> tuple[Any, KeepMaskedState]:
        if params is None:
            raise UserError(
                "keep_masked needs the params: update(grads, state, params)."
            )
        grads = masks_lib.apply(updates, state.masks)
        updates, own = inner.update(grads, state.inner, params, **extra)
        # p + -p is 0.0 for every finite p, and -p is exact in the finer type of both.
        updates = jax.tree.map(
            lambda m, u, p: jnp.where(m, u, -p), state.masks, updates, params
        )
        return updates, KeepMaskedState(state.masks, own)

    return Transform(init, update)  # pyright: ignore[reportArgumentType]


class RecordGradientFlowState(NamedTuple):
    """The state of ``record_gradient_flow``: of the newest update, NaN before it."""

    masks: Masks
    gradient_flow: GradientFlow


def record_gradient_flow(masks: Masks) -> Transform:
    """Measures the gradient flow of every update, and changes nothing.

    It stands first in a chain, before anything clips, masks or scales: it must see the
    gradient of the mean loss with respect to all weights, active or not (see
    ``gradient_flow``; Tessera et al. 2021, Eqs. 5-7). Penalties are no part of that
    loss. The gradient is that of the batch, at the params before the update.

    Args:
        masks: By the paths of the params; ``masks.ones(params)`` for a dense network.

    Returns:
        A transformation; ``gradient_flow(state)`` finds what it has recorded. Its
        ``update`` takes the loss as ``value``, which is recorded too, NaN otherwise.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from sparse_gf import masks, transforms
        >>> params = {"Dense_0": {"kernel": jnp.ones((2, 2))}}
        >>> optimizer = optax.chain(
        ...     transforms.record_gradient_flow(masks.ones(params)), optax.sgd(0.1)
        ... )
        >>> grads = {"Dense_0": {"kernel": jnp.array([[3.0, 0.0], [0.0, 4.0]])}}
        >>> _, state = optimizer.update(grads, optimizer.init(params), params)
        >>> float(transforms.gradient_flow(state).egf2)
        5.0
    """

    def init(params: Params) -> RecordGradientFlowState:
        own = masks_lib.placed(masks, params)
        shapes = jax.eval_shape(gradient_flow_lib.from_gradients, 0.0, params, own)
        unknown = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shapes)
        return RecordGradientFlowState(own, unknown)

    def update(
        updates: Any,
        state: RecordGradientFlowState,
        params: Any = None,
        *,
        value: float | Float[Array, ""] = jnp.nan,
        **extra: Any,
    ) -> tuple[Any, RecordGradientFlowState]:
        del params, extra
        loss = jnp.asarray(value, state.gradient_flow.loss.dtype)
        flow = gradient_flow_lib.from_gradients(loss, updates, state.masks)
        # Gradients may have another type than the params that the state was made of.
        flow = jax.tree.map(
            lambda new, old: new.astype(old.dtype), flow, state.gradient_flow
        )
        return updates, RecordGradientFlowState(state.masks, flow)

    return Transform(init, update)  # pyright: ignore[reportArgumentType]


def gradient_flow(state: Any) -> GradientFlow:
    """What ``record_gradient_flow`` recorded at the newest update.

    Args:
        state: Of the optimizer: of a chain, or the ``opt_state`` of an
            ``nnx.Optimizer``.

    Raises:
        UserError: If nothing in the state records, or more than one does.
    """

    def records(node: Any) -> bool:
        return isinstance(node, RecordGradientFlowState)

    found = [x for x in jax.tree.leaves(state, is_leaf=records) if records(x)]
    if len(found) != 1:
        raise UserError(
            f"the optimizer's state has {len(found)} records of gradient flow; it must "
            "have one: put transforms.record_gradient_flow(masks) first in its chain."
        )
    return GradientFlow(*map(_unboxed, found[0].gradient_flow))


def _unboxed(part: Any) -> Any:
    """Arrays without the variables in which an ``nnx.Optimizer`` keeps its state."""
    if isinstance(part, dict):
        return type(part)((path, _unboxed(own)) for path, own in part.items())
    (array,) = jax.tree.leaves(part)
    return array
