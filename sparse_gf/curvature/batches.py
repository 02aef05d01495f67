"""Losses over many batches, with the memory of one."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sparse_gf.core import batches as batches_lib
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import LossFn, Params

Measured = TypeVar("Measured")
Batches = Any
"""A pytree of arrays [batches, ...]."""


@dataclasses.dataclass(frozen=True, eq=False)
class BatchedLoss:
    """What ``mean_over_batches`` makes: a loss function that knows its batches.

    ``batches`` are arrays [batches, ...].
    """

    loss_fn: Callable[[Params, Any], Float[Array, ""]]
    batches: Batches

    def __call__(self, params: Params) -> Float[Array, ""]:
        """The mean loss per example of all batches.

        Checkpointed: a derivative of it keeps no activations of other batches.
        """
        return self.average(
            lambda loss: jax.checkpoint(loss, prevent_cse=False)(params)
        )

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.batches)[0])

    def average(self, measure: Callable[[LossFn], Measured]) -> Measured:
        """The mean over batches of what is measured of one batch's loss function."""
        total = batches_lib.total(
            lambda batch: measure(self._loss_of(batch)), self.batches
        )
        return jax.tree.map(lambda leaf: leaf / len(self), total)

    def _loss_of(self, batch: Any) -> LossFn:
        return lambda params: self.loss_fn(params, batch)


def mean_over_batches(
    loss_fn: Callable[[Params, Any], Float[Array, ""]], batches: Batches
) -> BatchedLoss:
    """Makes a loss function of all examples that needs the memory of one batch.

    Everything in this package goes batch by batch through such a function, and
    computes no forward pass twice. Inside another function it is differentiated as any
    other, at one more forward pass per batch. Make it inside ``jit``, where the batches
    are an argument, or they become a constant of the program.

    Args:
        loss_fn: Params and one batch to the mean loss per example.
        batches: A pytree of arrays [batches, ...], for example images
            [batches, batch, height, width, channels] and labels [batches, batch]. All
            batches have one size, so that the mean of their means is that of the
            examples; see ``in_batches``.

    Raises:
        UserError: If there is no batch, or if leaves differ in the number of batches.
    """
    sizes = {
        tree.path_name(path) or "batches": jnp.shape(leaf)[:1]
        for path, leaf in jax.tree_util.tree_leaves_with_path(batches)
    }
    if len(set(sizes.values())) != 1 or not all(sum(size) for size in sizes.values()):
        found = ", ".join(f"{path}: {list(size)}" for path, size in sizes.items())
        raise UserError(
            "batches must be arrays [batches, ...] with one number of batches, at "
            f"least 1; their first axes are {found or 'none, there is no array'}."
        )
    return BatchedLoss(loss_fn, batches)


def in_batches(examples: Any, batch_size: int) -> Batches:
    """Cuts arrays [examples, ...] into [batches, batch_size, ...], in order.

    Args:
        examples: A pytree of arrays with one number of examples.
        batch_size: Must divide it: no example is dropped, and none counts more.

    Raises:
        UserError: If it does not.
    """
    for leaf in jax.tree.leaves(examples):
        if batch_size < 1 or len(leaf) % batch_size:
            raise UserError(
                f"batch_size is {batch_size}; it must divide the {len(leaf)} examples."
            )
    return batches_lib.cut(examples, batch_size)


def average(loss_fn: LossFn, measure: Callable[[LossFn], Measured]) -> Measured:
    """What is measured of a loss function, batch by batch where it has batches.

    ``measure`` is linear in the loss function, as derivatives are.
    """
    if isinstance(loss_fn, BatchedLoss):
        return loss_fn.average(measure)
    return measure(loss_fn)
