"""Pytrees of params: which leaves are kernels, their paths, and norms of leaves."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, PRNGKeyArray

from sparse_gf.core import layers as layers_lib
from sparse_gf.core.errors import UserError
from sparse_gf.core.layers import Inside, Labelled, LabelledDict, Layer
from sparse_gf.core.types import Params


def names(path: tuple[Any, ...]) -> tuple[str, ...]:
    """The names of a JAX key path, ``("Dense_0", "kernel")``.

    Without the box that an array of an NNX state or a partitioned Linen parameter is
    in: its ``value``.
    """
    path = tuple(key for key in path if not isinstance(key, Inside))
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def path_name(path: tuple[Any, ...]) -> str:
    """Writes a JAX key path as ``"Dense_0/kernel"``; see ``names``."""
    return "/".join(names(path))


def by_path(pytree: Any) -> dict[str, Any]:
    """All leaves by the names of their paths, in the order of the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(pytree)
    return {path_name(path): leaf for path, leaf in leaves}


def is_kernel(path: tuple[Any, ...], leaf: Any) -> bool:
    """Whether a leaf is one *layer* in the sense of the papers.

    A layer is one weight matrix or convolution kernel: a leaf called ``kernel``
    with at least two axes. Biases, normalisation and activation parameters do not
    count (Tessera et al. 2021, Eqs. 5-7, speak of layers of weights only).
    """
    return names(path)[-1:] == ("kernel",) and jnp.ndim(leaf) >= 2


def kernel_leaves(params: Params) -> dict[str, Any]:
    """The leaves that hold kernels, by path, as they are stored.

    Those that ``layers.label`` has named, in its order; else those that ``is_kernel``
    finds, in the order of ``in_order``.

    Raises:
        UserError: If there are none, or if two have one path, as "a/b" and "b" in "a".
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    labels = _labels(params)
    found: dict[str, Any] = {}
    for path, leaf in leaves:
        name = path_name(path)
        check_byte_order(name, leaf)
        if name in labels if labels else is_kernel(path, leaf):
            if name in found:
                raise UserError(f"two kernels of params are called {name!r}.")
            found[name] = leaf
    if not found:
        paths = ", ".join(path_name(path) for path, _ in leaves[:8]) or "no leaves"
        raise UserError(
            "params hold no kernel: a leaf called 'kernel' with at least two axes, as "
            f"Flax names them, or one that layers.label names; found {paths}."
        )
    return {path: found[path] for path in labels} if labels else in_order(found)


def check_byte_order(name: str, leaf: Any) -> None:
    """Refuses arrays of another machine's byte order, which JAX has no type for.

    Raises:
        UserError: Names the leaf.
    """
    dtype = getattr(leaf, "dtype", None)
    if isinstance(dtype, np.dtype) and not dtype.isnative:
        raise UserError(
            f"{name!r} is {dtype.str}, in another byte order than this machine's; "
            "x.astype(x.dtype.newbyteorder('=')) changes it."
        )


def layers(params: Params) -> dict[str, Layer]:
    """What the axes of all ``kernel_leaves`` are, by path.

    Raises:
        UserError: See ``kernel_leaves`` and ``layers.by_name``.
    """
    return {path: layer for path, (_, layer) in _described(params).items()}


def kernels(params: Params) -> dict[str, Any]:
    """The kernels of a network by name, each ``[*window, inputs, outputs]``.

    A name is a path; of layers stacked in one array, each has its number behind it.

    Raises:
        UserError: See ``layers``.
    """
    return {
        name: part
        for path, (leaf, layer) in _described(params).items()
        for name, part in _parts(path, leaf, layer)
    }


def _described(params: Params) -> dict[str, tuple[Any, Layer]]:
    leaves, labels = kernel_leaves(params), _labels(params)
    shapes = {path: jnp.shape(leaf) for path, leaf in leaves.items()}
    labels = labels or layers_lib.by_name(shapes)
    return {path: (leaf, labels[path]) for path, leaf in leaves.items()}


def _parts(path: str, leaf: Any, layer: Layer) -> Iterator[tuple[str, Any]]:
    found = layers_lib.names(path, jnp.shape(leaf), layer)
    return zip(found, layers_lib.split(leaf, layer), strict=True)


def _labels(params: Params) -> dict[str, Layer]:
    return params.layers if isinstance(params, Labelled | LabelledDict) else {}


def in_order(by_path: Mapping[str, Any]) -> dict[str, Any]:
    """Sorts a dict by path, numbers as numbers: ``Dense_2`` before ``Dense_10``.

    The order is that of names, not of calls. The two agree where Flax has numbered
    layers of one type of a compact module, and in the models of this package; not for
    layers of several types, nor for names of your own, as NNX modules have: there
    ``decoder`` is before ``encoder``. ``layers.of_model`` finds the order of calls. JAX
    itself sorts dict keys as strings.
    """
    return dict(sorted(by_path.items(), key=lambda item: _natural(item[0])))


def map_kernels(
    function: Callable[[str, Any], Array],
    otherwise: Callable[[Any], Array],
    params: Params,
) -> Params:
    """Maps ``function(name, kernel)`` over ``kernels`` and ``otherwise`` over the rest.

    What ``function`` returns is stored as the kernel was.
    """
    described = layers(params)

    def visit(path: tuple[Any, ...], leaf: Any) -> Array:
        name = path_name(path)
        if name not in described:
            return otherwise(leaf)
        layer = described[name]
        parts = [function(own, part) for own, part in _parts(name, leaf, layer)]
        return layers_lib.merge(parts, layer, jnp.shape(leaf))

    return jax.tree_util.tree_map_with_path(visit, params)


def draw_kernels(
    key: PRNGKeyArray, params: Params, draw: Callable[..., Array]
) -> dict[str, Array]:
    """Draws random numbers in the shape of every kernel, by path.

    One draw for all of them, cut into pieces: a generator is compiled once, not once
    per layer, which took most of the time before the first step.

    ``key`` is consumed, by ``draw(key, shape)``.
    """
    shapes = {path: jnp.shape(kernel) for path, kernel in kernels(params).items()}
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes.values()))
    pieces = jnp.split(draw(key, (ends[-1],)), ends[:-1])
    return {
        path: piece.reshape(shape)
        for (path, shape), piece in zip(shapes.items(), pieces, strict=True)
    }


def norm(x: Inexact[Array, "..."], order: int) -> Float[Array, ""]:
    """The vector p-norm of all entries of ``x``, p = 1 or 2, real or complex.

    Summed in float32 at least. The 2-norm is safe to differentiate: at x = 0 its
    gradient is 0, not NaN, and it is scaled by the largest entry, so that it neither
    overflows nor underflows where the norm itself does not.

    Raises:
        ValueError: If ``order`` is neither 1 nor 2.
    """
    if order not in (1, 2):
        raise ValueError(f"order is {order!r}; it must be 1 or 2.")
    if jnp.iscomplexobj(x):
        x = jnp.abs(x)
    x = x.astype(accumulated(x.dtype))
    if order == 1:
        return jnp.sum(jnp.abs(x))
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), initial=0))
    # Neither the scale nor its reciprocal may be subnormal: those are flushed to 0.
    smallest = 8 * float(jnp.finfo(x.dtype).tiny)
    bounded = jnp.clip(largest, smallest, 1 / smallest)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), bounded, 1)
    total = jnp.sum(jnp.square(x / scale))
    positive = total > 0
    return jnp.where(positive, scale * jnp.sqrt(jnp.where(positive, total, 1)), total)


def accumulated(dtype: Any) -> Any:
    """The type in which numbers of a type are summed: float32 at least.

    Half precision has too few digits for a running sum, and too small a range for
    squares. Integers stay as they are.
    """
    is_inexact = jnp.issubdtype(dtype, jnp.inexact)
    return jnp.promote_types(dtype, jnp.float32) if is_inexact else dtype


def _natural(path: str) -> list[tuple[int, str]]:
    """Sort key under which the numbers in a path count as numbers."""
    parts = path.replace("/", "_/_").split("_")
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
