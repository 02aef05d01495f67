"""Products with the Hessian of the active weights."""

import dataclasses
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from sparse_gf import masks as masks_lib
from sparse_gf.core import tree
from sparse_gf.core.types import LossFn, Masks, Params
from sparse_gf.curvature import batches

Vector = Float[Array, " weights"]
Product = Callable[[Vector], Vector]


@dataclasses.dataclass(frozen=True, eq=False)
class Subspace:
    """A network's active weights as vectors: masked weights are there, and 0.

    Vectors keep the length of all weights, so that masks may be traced.

    Attributes:
        params: The network's, masked.
        active: Which entries of a vector are active.
        dimension: Number of active weights; of all weights where masks are traced.
    """

    params: Params
    active: Bool[Array, " weights"]
    dimension: int

    @property
    def dtype(self) -> jnp.dtype:
        """Type of the vectors."""
        return jnp.result_type(*jax.tree.leaves(self.params))

    def restrict(
        self, vectors: Float[Array, "*stack weights"]
    ) -> Float[Array, "*stack weights"]:
        """Sets masked entries to exactly 0.0."""
        return jnp.where(self.active, vectors, jnp.zeros_like(vectors))

    def flatten(self, pytree: Params) -> Vector:
        """A pytree like the params as a vector."""
        return self.restrict(_ravel(pytree).astype(self.dtype))

    def unflatten(self, vectors: Float[Array, "*stack weights"]) -> Params:
        """Vectors as pytrees like the params, stacked as the vectors are."""
        leaves, structure = jax.tree.flatten(self.params)
        ends = list(itertools.accumulate(leaf.size for leaf in leaves))
        pieces = jnp.split(vectors, ends[:-1], axis=-1)
        stack = vectors.shape[:-1]
        shaped = [
            piece.reshape(*stack, *leaf.shape).astype(leaf.dtype)
            for piece, leaf in zip(pieces, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, shaped)

    def through(self, product: Callable[[Params], Params]) -> Product:
        """A linear function of pytrees as one of vectors, in the subspace."""
        return lambda vector: self.flatten(product(self.unflatten(vector)))


def subspace(params: Params, masks: Masks | None) -> Subspace:
    """The active weights of a network, in float32 at least; all if masks are None.

    Raises:
        UserError: If the masks are not those of this network.
    """
    # Half precision has too few digits for what is added up here.
    params = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, tree.accumulated(jnp.result_type(leaf))), params
    )
    if masks is None:
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        return Subspace(params, jnp.ones(size, bool), size)
    masks_lib.check(masks, params)
    active = _ravel(masks)
    return Subspace(masks_lib.apply(params, masks), active, _count(masks))


def hessian_vector_product(
    loss_fn: LossFn, params: Params, masks: Masks | None, vector: Params
) -> Params:
    """``H v``, H the Hessian of the loss in the active weights.

    Forward over reverse: the derivative of the gradient along v (Pearlmutter 1994),
    at about three gradients' time and the memory of two.

    Args:
        loss_fn: Params to the mean loss; see ``mean_over_batches`` for many examples.
        params: The point at which the Hessian is taken, after masking.
        masks: Which weights are active: neither v nor the product has a component
            where they are False. None for all weights, masked ones too.
        vector: v, like the params.

    Returns:
        The product, like the params.

    Raises:
        UserError: If the masks are not those of this network.
    """
    space = subspace(params, masks)
    direction = space.unflatten(space.flatten(vector))
    product = _along(loss_fn, space.params, direction)
    return space.unflatten(space.flatten(product))


def product_in(loss_fn: LossFn, space: Subspace) -> Product:
    """The function from v to ``H v``, for many products at one point.

    Of one batch, what products have in common is computed once and kept. Of many, it is
    computed again with every product: keeping it would take the memory of all.
    """
    if isinstance(loss_fn, batches.BatchedLoss):
        return space.through(lambda v: _along(loss_fn, space.params, v))
    return space.through(jax.linearize(jax.grad(loss_fn), space.params)[1])


def _along(loss_fn: LossFn, params: Params, direction: Params) -> Params:
    """The derivative of the gradient along a direction."""
    return batches.average(
        loss_fn, lambda loss: jax.jvp(jax.grad(loss), (params,), (direction,))[1]
    )


def _ravel(pytree: Params) -> Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(pytree)])


def _count(masks: Masks) -> int:
    try:
        return sum(int(np.sum(np.asarray(mask))) for mask in jax.tree.leaves(masks))
    except jax.errors.TracerArrayConversionError:
        return sum(mask.size for mask in jax.tree.leaves(masks))
