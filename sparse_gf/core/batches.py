"""Sums over batches, with the memory of one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sparse_gf.core import tree


def cut(examples: Any, size: int) -> Any:
    """Cuts arrays [examples, ...] into [batches, size, ...], in order.

    Args:
        examples: A pytree of arrays with one number of examples.
        size: Examples of a batch; those beyond the last whole batch are left out.
    """

    def split(leaf: Any) -> Any:
        whole = len(leaf) // size * size
        return leaf[:whole].reshape(-1, size, *leaf.shape[1:])

    return jax.tree.map(split, examples)


def total(function: Callable[[Any], Any], batches: Any) -> Any:
    """Sums ``function(batch)`` over batches, one after another.

    Args:
        function: One batch to a pytree of arrays. Jitted, it is traced once for its
            shapes and the loop.
        batches: A pytree of arrays [batches, ...].

    Returns:
        The sums, in float32 at least.
    """
    one = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), batches
    )
    like = jax.eval_shape(function, one)
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, tree.accumulated(leaf.dtype)), like
    )

    def add(so_far: Any, batch: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, so_far, function(batch)), None

    return jax.lax.scan(add, zeros, batches)[0]
