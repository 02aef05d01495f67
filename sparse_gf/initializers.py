"""Initial weights: both arms of a comparison draw from one distribution per layer."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from sparse_gf.core import errors, tree
from sparse_gf.core.types import Count, Masks, Params


class Fans(NamedTuple):
    """Inputs and outputs per unit that scale a layer's distribution."""

    inputs: Count | float | Float[Array, ""]
    outputs: Count | float | Float[Array, ""]


class Initializer(NamedTuple):
    """A family of zero-mean distributions: their shape and their spread.

    Attributes:
        draw: ``draw(key, shape, dtype)`` makes numbers of mean 0 and variance 1.
        variance: Variance of the weights, from the layer's fans.
    """

    draw: Callable[..., Array]
    variance: Callable[[Fans], float | Array]


def _unit_uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    bound = math.sqrt(3)
    return jax.random.uniform(key, shape, dtype, -bound, bound)


INITIALIZERS: Mapping[str, Initializer] = {
    # He et al. 2015; normal without truncation, as in PyTorch.
    "he_normal": Initializer(jax.random.normal, lambda fans: 2 / fans.inputs),
    "he_uniform": Initializer(_unit_uniform, lambda fans: 2 / fans.inputs),
    # PyTorch's default for linear layers, U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)).
    "torch": Initializer(_unit_uniform, lambda fans: 1 / (3 * fans.inputs)),
    "lecun_normal": Initializer(jax.random.normal, lambda fans: 1 / fans.inputs),
    "xavier_normal": Initializer(
        jax.random.normal, lambda fans: 2 / (fans.inputs + fans.outputs)
    ),
    "xavier_uniform": Initializer(
        _unit_uniform, lambda fans: 2 / (fans.inputs + fans.outputs)
    ),
}

NAMES = frozenset(INITIALIZERS)

REFERENCES = frozenset({"dense", "wide", "active"})
"""Whose fans scale the distribution that both arms share; see ``reference_fans``."""


def reference_fans(
    reference: str,
    dense: tuple[Count, Count],
    wide: tuple[Count, Count],
) -> Fans:
    """Fans of the distribution P^l that both arms of a layer are drawn from (Eq. 3).

    Args:
        reference: ``"dense"``, the paper's: the fans of the dense network at that
            dense width. ``"wide"``: the fans of the maximum-width network.
            ``"active"``: the mean number of active inputs of a unit (and outputs of
            an input) in the *sparse* network.
        dense: Inputs and outputs of the dense network's layer.
        wide: Inputs and outputs of the sparse network's layer.

    Raises:
        errors.UserError: If the reference is unknown.
    """
    errors.one_of("initializer reference", reference, REFERENCES)
    if reference == "dense":
        return Fans(*dense)
    if reference == "wide":
        return Fans(*wide)
    num_active = dense[0] * dense[1]
    return Fans(num_active / wide[1], num_active / wide[0])


def fans(params: Params) -> dict[str, Fans]:
    """Inputs of a unit and outputs of an input, each pixel of a window, by path."""
    found = {}
    for path, kernel in tree.kernels(params).items():
        window = math.prod(kernel.shape[:-2])
        found[path] = Fans(window * kernel.shape[-2], window * kernel.shape[-1])
    return found


def at_fans_of(masks: Masks, params: Params, name: str) -> Params:
    """The same draws at the spread that a mask's fans have (Evci et al. 2022).

    The params were drawn from the distribution of that name at the fans of whole
    layers. A layer without active weights keeps its spread.
    """
    errors.one_of("initializer", name, NAMES)
    variance = INITIALIZERS[name].variance
    active, whole = tree.kernels(masks), fans(params)

    def rescale(path: str, kernel: Array) -> Array:
        share = jnp.mean(active[path].astype(kernel.dtype))
        own = Fans(whole[path].inputs * share, whole[path].outputs * share)
        spread = jnp.sqrt(variance(own) / variance(whole[path]))
        return jnp.where(share > 0, kernel * spread.astype(kernel.dtype), kernel)

    return tree.map_kernels(rescale, lambda leaf: leaf, params)


def matched(
    key: PRNGKeyArray, params: Params, name: str, fans: Mapping[str, Fans]
) -> Params:
    """Draws every kernel anew, each from its own distribution.

    Masking comes after: an active weight's value does not depend on the mask. Leaves
    that are no kernels are returned as they are. The name is one of ``NAMES``, and the
    fans of each kernel's distribution, by path, may be traced.

    Raises:
        errors.UserError: If the initializer is unknown.
    """
    errors.one_of("initializer", name, NAMES)
    initializer = INITIALIZERS[name]
    dtype = jnp.result_type(*tree.kernels(params).values())
    draw = functools.partial(initializer.draw, dtype=dtype)
    units = tree.draw_kernels(key, params, draw)

    def scale(path: str, kernel: Array) -> Array:
        spread = jnp.sqrt(initializer.variance(fans[path]))
        return (units[path] * spread).astype(kernel.dtype)

    return tree.map_kernels(scale, lambda leaf: leaf, params)
