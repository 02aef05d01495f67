"""The loss along directions: of the weights, or of the input.

    from sparse_gf import curvature, landscapes
    top = curvature.top_eigenpairs(loss_fn, params, masks, num=1, key=key)
    direction = jax.tree.map(lambda leaf: leaf[0], top.vectors)
    losses = landscapes.along(loss_fn, params, direction, jnp.linspace(-1, 1, 41))

Points are computed one after the other, with the memory of one.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from sparse_gf import masks as masks_lib
from sparse_gf.core import errors, tree
from sparse_gf.core.types import LossFn, Masks, Params

Distances = Float[Array | np.ndarray, " points"]


def along(
    loss_fn: LossFn,
    params: Params,
    direction: Params,
    distances: Distances,
) -> Float[Array, " points"]:
    """The loss at ``params + distance * direction``.

    Along the top eigenvector of the Hessian that is Figure 8 of Jaiswal et al. (2022).

    The point at distance 0 is a pytree of any arrays, images for example, and the
    direction one like it, which is not normalised.
    """
    return jax.lax.map(
        lambda distance: loss_fn(_moved(params, distance, direction)),
        jnp.asarray(distances),
    )


def surface(
    loss_fn: LossFn,
    params: Params,
    directions: tuple[Params, Params],
    distances: Distances,
) -> Float[Array, "points points"]:
    """The loss in a plane through params, of two directions that are not normalised.

    Returns:
        Entry i, j is the loss at ``params + distances[i] * directions[0] +
        distances[j] * directions[1]``.
    """
    first, second = directions
    return jax.lax.map(
        lambda distance: along(
            loss_fn, _moved(params, distance, first), second, distances
        ),
        jnp.asarray(distances),
    )


def filter_normalised_direction(
    key: PRNGKeyArray, params: Params, masks: Masks | None = None
) -> Params:
    """A random direction with filters as long as the weights' (Li et al. 2018).

    A filter is what leads to one unit or output channel. Distances then mean the same
    for networks that compute the same function with weights of other scales. Leaves
    that are no kernels, biases and normalisation, get zeros, as in the authors'
    figures.

    Args:
        key: Consumed.
        params: The network's; a filter of zeros gets zeros.
        masks: Which weights are active; None for all. Others get zeros, and the
            lengths are those of the active ones.
    """
    masks = masks_lib.ones(params) if masks is None else masks
    params = masks_lib.apply(params, masks)
    draws = tree.draw_kernels(key, params, jax.random.normal)
    drawn = tree.map_kernels(
        lambda path, kernel: draws[path].astype(kernel.dtype), jnp.zeros_like, params
    )
    weights = tree.kernels(params)
    return tree.map_kernels(
        lambda path, direction: _scaled_filters(direction, weights[path]),
        lambda leaf: leaf,
        masks_lib.apply(drawn, masks),
    )


def _random(key: PRNGKeyArray, loss_fn: LossFn, images: Array) -> tuple[Array, Array]:
    """Two normal vectors for every image, of root mean square 1."""
    del loss_fn
    draws = jax.random.normal(key, (2, *images.shape), images.dtype)
    per_pixel = np.sqrt(np.prod(images.shape[1:]))
    first, second = (per_pixel * _unit(drawn, _inside(images)) for drawn in draws)
    return first, second


def _signs(key: PRNGKeyArray, loss_fn: LossFn, images: Array) -> tuple[Array, Array]:
    """Signs of the gradient, and random signs, not quite orthogonal to them."""
    uphill = jnp.sign(jax.grad(loss_fn)(images))
    return uphill, jax.random.rademacher(key, images.shape, images.dtype)


def _gradient(key: PRNGKeyArray, loss_fn: LossFn, images: Array) -> tuple[Array, Array]:
    """The gradient, and a normal vector orthogonal to it, of length 1."""
    uphill = _unit(jax.grad(loss_fn)(images), _inside(images))
    drawn = jax.random.normal(key, images.shape, images.dtype)
    along_uphill = jnp.sum(drawn * uphill, axis=_inside(images), keepdims=True)
    return uphill, _unit(drawn - along_uphill * uphill, _inside(images))


INPUT_DIRECTIONS = {"random": _random, "signs": _signs, "gradient": _gradient}
"""Kinds of directions of the input; see ``input_directions``."""


def input_directions(
    key: PRNGKeyArray,
    loss_fn: LossFn,
    images: Float[Array | np.ndarray, "batch *image"],
    *,
    kind: str = "random",
) -> tuple[Array, Array]:
    """Two directions of the input.

    Jaiswal et al. (2022, Figure 10) name the method of Li et al. 2018, which takes two
    random directions, of the weights there. In work on adversarial examples the first
    direction goes uphill.

    * ``"random"``: two normal vectors for every image, drawn apart, so that a distance
      is the root mean square of a pixel's change.
    * ``"signs"``: signs of the gradient, and random signs, not quite orthogonal to them
      (Engstrom et al. 2018). A distance is a change of every pixel.
    * ``"gradient"``: the gradient, and a normal vector orthogonal to it, both of length
      1 for every image (Moosavi-Dezfooli et al. 2019).

    Args:
        key: Consumed.
        loss_fn: Images to the mean loss. BatchNorm should not take statistics of the
            batch, or images move each other's losses.
        images: What ``loss_fn`` takes. An image without gradient does not move
            uphill.
        kind: One of ``INPUT_DIRECTIONS``.

    Returns:
        Both like the images.

    Raises:
        UserError: If there is no such kind.
    """
    errors.one_of("kind", kind, INPUT_DIRECTIONS)
    return INPUT_DIRECTIONS[kind](key, loss_fn, jnp.asarray(images))


def input_surface(
    key: PRNGKeyArray,
    loss_fn: LossFn,
    images: Float[Array | np.ndarray, "batch *image"],
    distances: Distances,
    *,
    kind: str = "random",
) -> Float[Array, "points points"]:
    """The loss with respect to the input, in the plane of ``input_directions``.

    Args:
        key: Consumed.
        loss_fn: Images to the mean loss.
        images: The origin of the plane. They are moved without regard to the range of
            pixels.
        distances: Numbers in the units of the images, which are standard deviations if
            those are normalised.
        kind: One of ``INPUT_DIRECTIONS``.

    Returns:
        Rows go along the first direction; see ``surface``.

    Raises:
        UserError: If there is no such kind.
    """
    directions = input_directions(key, loss_fn, images, kind=kind)
    return surface(loss_fn, images, directions, distances)


def _moved(params: Params, distance: Float[Array, ""], direction: Params) -> Params:
    return jax.tree.map(
        lambda p, d: p + (distance * d).astype(p.dtype), params, direction
    )


def _scaled_filters(drawn: Array, weights: Array) -> Array:
    """Gives each filter the length that it has in the weights."""
    axes = tuple(range(drawn.ndim - 1))
    return _unit(drawn, axes) * _length(weights, axes)


def _inside(images: Array) -> tuple[int, ...]:
    return tuple(range(1, images.ndim))


def _unit(x: Array, axes: tuple[int, ...]) -> Array:
    """Divides by the length over some axes, where it is not 0."""
    # Of numbers as small as gradients of inputs, squares would be 0 in float32.
    largest = jnp.max(jnp.abs(x), axis=axes, keepdims=True)
    x = x / jnp.where(largest > 0, largest, 1)
    length = _length(x, axes)
    return x / jnp.where(length > 0, length, 1)


def _length(x: Array, axes: tuple[int, ...]) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(x), axis=axes, keepdims=True))
