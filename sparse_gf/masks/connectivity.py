"""What masks leave of a network: paths, dead units, multiply-adds, common weights.

Of any Flax Linen network. A weight that is active and lies on no path from an input to
an output changes nothing: Vysogorets and Kempe (2023, "Connectivity matters") count
only the others, and call their share the effective density.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Masks, Params
from sparse_gf.masks import trees

ApplyFn = Callable[[Params, Array], Array]


def reachable(apply_fn: ApplyFn, masks: Masks, input_shape: Sequence[int]) -> Masks:
    """Finds the active weights that lie on a path from an input to an output.

    Skip connections are part of paths; biases start none. A window's weight that only
    ever meets the margin of zeros around an image is on no path.

    With positive weights and ReLU a network only ever adds: a weight is on a path if
    and only if the derivative of the sum of the outputs with respect to it is positive.
    Every active weight is set to one over the active inputs of its unit, so that the
    unit is the mean of its inputs: numbers neither grow nor fade with depth, but where
    most of what is averaged is dead. In float64, paths are missed only where the shares
    of live inputs multiply to less than 1e-300 along the network.

    Not for use inside ``jit``.

    Args:
        apply_fn: Params and inputs [1, *input_shape] to outputs, of the same kernels
            with ReLU, without normalisation, and with means in place of maxima, whose
            gradient would reach one pixel of each window alone:
            ``catalog.make(name, classes, norm="none", pooling="mean")``. Other params
            than kernels are zeros.
        masks: Which weights are active.
        input_shape: One input's shape.

    Returns:
        Masks of those weights, all True at leaves that are no kernels.

    Raises:
        UserError: If the outputs are not finite, as where no pixel of an image is left.
    """

    def outputs(params: Params) -> Float[Array, ""]:
        return jnp.sum(apply_fn(params, jnp.ones((1, *input_shape))))

    # One program: operation by operation, each of them is compiled for every shape.
    @jax.jit
    def on_paths(masks: Masks) -> tuple[Array, Masks]:
        params = tree.map_kernels(
            lambda _, mask: _means(mask), lambda leaf: jnp.zeros(leaf.shape), masks
        )
        total, grads = jax.value_and_grad(outputs)(params)
        signal = tree.kernels(grads)
        found = trees.of_kernels(lambda path, mask: mask & (signal[path] > 0), masks)
        return total, found

    with jax.enable_x64(True):
        total, found = on_paths(masks)
    if not math.isfinite(total):
        raise UserError(
            f"the outputs for an input of shape {tuple(input_shape)} add up to "
            f"{float(total)}; they must be finite: images may be too small."
        )
    return found


def _means(mask: Bool[Array, "*window inputs units"]) -> Float[Array, "..."]:
    """Weights under which each unit is the mean of its active inputs."""
    inputs = jnp.sum(mask, axis=tuple(range(mask.ndim - 1)))
    return mask / jnp.maximum(inputs, 1).astype(float)


def dead_units(reachable: Masks) -> dict[str, int]:
    """Counts, by path, the units of a layer that none of its live weights leads to.

    A unit is dead if no weight into it is ``reachable``: it has no active inputs, or
    only dead ones, or no way out to an output. A unit of the last layer has its way
    out always. A unit of a residual block that is dead here may still hand on what its
    skip connection brings, and one whose output several layers read is alive if one of
    them uses it. A unit of a convolution is a channel.
    """
    return {
        path: int(trees.isolated_units(mask))
        for path, mask in tree.kernels(reachable).items()
    }


class Operations(NamedTuple):
    """Multiply-adds of one layer for one image, by all weights and by active ones."""

    dense: int
    sparse: int


def multiply_adds(
    model: nn.Module, masks: Masks, image_shape: Sequence[int]
) -> dict[str, Operations]:
    """Counts the multiply-adds of the forward pass of one image, by path.

    Every weight counts once per position of its layer's output, also where it meets
    the margin of zeros, as is usual. Biases, normalisation, activations and pooling are
    not counted. Nothing is computed.

    The model is called with images alone; only masks of kernels are looked at.

    Raises:
        UserError: If a kernel is not that of a Conv, Dense or DenseGeneral.
    """
    found = positions(model, image_shape)
    operations = {}
    for path, mask in tree.kernels(masks).items():
        if path not in found:
            raise UserError(
                f"{path!r} is in the masks, and no nn.Conv, nn.Dense or "
                "nn.DenseGeneral of the network has used it; those are "
                f"{', '.join(found) or 'none'}."
            )
        active = int(mask.sum())
        operations[path] = Operations(mask.size * found[path], active * found[path])
    return operations


def positions(model: nn.Module, image_shape: Sequence[int]) -> dict[str, int]:
    """How many outputs per unit each layer has for one image, in their order."""
    found: dict[str, int] = {}

    def record(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = run(*args, **kwargs)
        layer = isinstance(context.module, nn.Conv | nn.Dense | nn.DenseGeneral)
        if layer and context.method_name == "__call__":
            path = "/".join((*context.module.path, "kernel"))
            # A layer that is used twice multiplies twice.
            own = math.prod(result.shape) // math.prod(_axes(context.module.features))
            found[path] = found.get(path, 0) + own
        return result

    with nn.intercept_methods(record):
        image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        jax.eval_shape(model.init, jax.random.key(0), image)
    return found


def _axes(features: int | Sequence[int]) -> Sequence[int]:
    return (features,) if isinstance(features, int) else features


class Overlap(NamedTuple):
    """How many weights of one layer are active in two masks, and in both."""

    first: int
    second: int
    both: int

    @property
    def jaccard(self) -> float:
        """Weights active in both over those active in either; NaN if there are none."""
        either = self.first + self.second - self.both
        return self.both / either if either else math.nan

    @property
    def kept(self) -> float:
        """Share of the first mask's weights that are active in the second, or NaN."""
        return self.both / self.first if self.first else math.nan


def overlap(masks: Masks, other: Masks) -> dict[str, Overlap]:
    """Compares two masks of one network, by path.

    Raises:
        UserError: If their kernels differ; see ``masks.check``.
    """
    first, second = tree.kernels(masks), tree.kernels(other)
    trees.check(second, first)
    return {
        path: Overlap(
            int(mask.sum()), int(second[path].sum()), int((mask & second[path]).sum())
        )
        for path, mask in first.items()
    }
