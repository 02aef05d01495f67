"""Eigenvalues, trace and spectral density of the Hessian."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sparse_gf.core.errors import UserError
from sparse_gf.core.types import LossFn, Masks, Params
from sparse_gf.curvature import batches, lanczos
from sparse_gf.curvature.hessian import Subspace, Vector, product_in, subspace


class Eigenpairs(NamedTuple):
    """The largest eigenvalues of a Hessian, with their eigenvectors.

    Attributes:
        values: Descending by signed value, in units of the loss over those of the
            weights squared. NaN beyond the number of active weights, which can only
            happen where masks are traced.
        vectors: Params with a leading axis of eigenvectors, which have length 1 and
            are 0 at masked weights; the entry of largest magnitude is positive.
        residuals: ``||H x - value x||``, which bounds the error of the eigenvalue.
        products: How many Hessian-vector products it took.
    """

    values: Float[Array, " num"]
    vectors: Params
    residuals: Float[Array, " num"]
    products: Int[Array, ""]


def top_eigenpairs(
    loss_fn: LossFn,
    params: Params,
    masks: Masks | None,
    *,
    num: int,
    key: PRNGKeyArray,
    iterations: int | None = None,
    tolerance: float | None = None,
) -> Eigenpairs:
    """The largest eigenvalues of the Hessian in the active weights.

    By Lanczos' method (1950) with full reorthogonalisation, from a random vector. The
    largest signed values are found, not the largest magnitudes. Copies of a degenerate
    eigenvalue are found where the subspace is used up or the Krylov space closes;
    otherwise rounding brings them in, later than the first.

    Args:
        loss_fn: Params to the mean loss; see ``mean_over_batches`` for many examples.
        params: The point at which the Hessian is taken, after masking.
        masks: Which weights are active, and make the subspace. None for all weights,
            masked ones too.
        num: Number of eigenvalues, at most that of active weights.
        key: Consumed.
        iterations: Hessian-vector products at most, and vectors that are kept in
            memory; 40 + 8 ``num`` if None. Never more than there are active weights:
            with as many, the result is exact.
        tolerance: It stops when every residual is at most this share of its
            eigenvalue; 0 for as many iterations as were asked for. If None, the square
            root of the rounding error, 3e-4 in float32 and 1e-8 in float64. An
            eigenvalue's error is of the order of its residual squared.

    Raises:
        UserError: If ``num`` or ``iterations`` is out of range.
    """
    space = subspace(params, masks)
    steps = _steps(space, num, 40 + 8 * num if iterations is None else iterations)
    share = math.sqrt(jnp.finfo(space.dtype).eps) if tolerance is None else tolerance
    krylov = lanczos.run(
        product_in(loss_fn, space),
        lambda key: _gaussian(key, space),
        key,
        steps,
        lambda state: lanczos.converged(state, num, share),
    )
    found = lanczos.ritz(krylov)
    vectors = jnp.matmul(
        found.coordinates[:, :num].T, krylov.basis, precision="highest"
    )
    return Eigenpairs(
        values=found.values[:num],
        vectors=space.unflatten(space.restrict(_signed(vectors))),
        residuals=found.residuals[:num],
        products=jnp.sum(krylov.used),
    )


def top_eigenvalues(
    loss_fn: LossFn,
    params: Params,
    masks: Masks | None,
    *,
    num: int,
    key: PRNGKeyArray,
    iterations: int | None = None,
    tolerance: float | None = None,
) -> Float[Array, " num"]:
    """The values alone of ``top_eigenpairs``, whose arguments it has.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from sparse_gf import curvature
        >>> weights = jnp.array([[5.0, 3.0, 1.0]])
        >>> params = {"Dense_0": {"kernel": jnp.zeros((1, 3))}}
        >>> loss_fn = lambda p: (weights * p["Dense_0"]["kernel"] ** 2).sum() / 2
        >>> values = curvature.top_eigenvalues(
        ...     loss_fn, params, None, num=2, key=jax.random.key(0)
        ... )
        >>> [round(float(value), 3) for value in values]
        [5.0, 3.0]
    """
    return top_eigenpairs(
        loss_fn,
        params,
        masks,
        num=num,
        key=key,
        iterations=iterations,
        tolerance=tolerance,
    ).values


class TraceEstimate(NamedTuple):
    """An estimate of the sum of all eigenvalues.

    Attributes:
        trace: The mean of the samples.
        standard_error: The mean's standard error; NaN for one sample.
        samples: ``v^T H v`` of each random vector.
    """

    trace: Float[Array, ""]
    standard_error: Float[Array, ""]
    samples: Float[Array, " samples"]


def estimate_trace(
    loss_fn: LossFn,
    params: Params,
    masks: Masks | None,
    *,
    num_samples: int,
    key: PRNGKeyArray,
) -> TraceEstimate:
    """The trace of the Hessian in the active weights, and how well it is known.

    Hutchinson's estimator (1990): the mean of ``v^T H v`` over vectors of random signs,
    as in PyHessian (Yao et al. 2020). Signs have the smallest variance there is: that
    of a sample is twice the sum of squares off the diagonal.

    Each of ``num_samples`` random vectors takes one Hessian-vector product.

    Raises:
        UserError: If ``num_samples`` is below 1.
    """
    _at_least_one("num_samples", num_samples)
    space = subspace(params, masks)
    keys = jax.random.split(key, num_samples)

    def sample_all(loss: LossFn) -> Float[Array, " samples"]:
        # Linear once per batch, for all vectors.
        product = product_in(loss, space)

        def sample(key: PRNGKeyArray) -> Float[Array, ""]:
            vector = _signs(key, space)
            return jnp.dot(vector, product(vector), precision="highest")

        return jax.lax.map(sample, keys)

    samples = batches.average(loss_fn, sample_all)
    spread = jnp.sqrt(jnp.sum(jnp.square(samples - jnp.mean(samples))))
    return TraceEstimate(
        trace=jnp.mean(samples),
        standard_error=spread / math.sqrt(num_samples) / jnp.sqrt(num_samples - 1.0),
        samples=samples,
    )


def trace(
    loss_fn: LossFn,
    params: Params,
    masks: Masks | None,
    *,
    num_samples: int,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """The trace alone of ``estimate_trace``, whose arguments it has."""
    return estimate_trace(
        loss_fn, params, masks, num_samples=num_samples, key=key
    ).trace


class SpectralDensity(NamedTuple):
    """How the eigenvalues are distributed.

    Attributes:
        grid: Eigenvalues, ascending and evenly spaced.
        density: The density at each of them; its integral is 1.
        nodes: Eigenvalues found from each random vector, in no order that matters.
        weights: The share of all eigenvalues that each node stands for. They add up
            to 1 for each vector.
    """

    grid: Float[Array, " points"]
    density: Float[Array, " points"]
    nodes: Float[Array, "samples steps"]
    weights: Float[Array, "samples steps"]


def spectral_density(
    loss_fn: LossFn,
    params: Params,
    masks: Masks | None,
    *,
    key: PRNGKeyArray,
    num_samples: int = 10,
    iterations: int = 90,
    points: int = 1024,
    width: float = 0.01,
) -> SpectralDensity:
    """The density of the Hessian's eigenvalues in the active weights.

    Stochastic Lanczos quadrature (Ghorbani et al. 2019): each random vector gives nodes
    and weights, which a Gaussian makes smooth. They draw normal vectors; these here
    have random signs, so that the weighted mean of the nodes is Hutchinson's estimate
    of the trace over the number of weights.

    Args:
        loss_fn: Params to the mean loss; see ``mean_over_batches`` for many examples.
        params: The point at which the Hessian is taken, after masking.
        masks: Which weights are active; None for all.
        key: Consumed.
        num_samples: Number of random vectors.
        iterations: Hessian-vector products per vector; at most as many as there are
            active weights.
        points: Number of points of the grid, which goes 8 standard deviations beyond
            the nodes.
        width: Standard deviation of the Gaussian, as a share of the distance between
            the smallest and the largest node.

    Raises:
        UserError: If a number is below 1, or if ``points`` are too few for ``width``.
    """
    _at_least_one("num_samples", num_samples)
    _check_grid(points, width)
    space = subspace(params, masks)
    steps = _steps(space, 1, iterations)
    product = product_in(loss_fn, space)

    def sample(key: PRNGKeyArray) -> tuple[Array, Array]:
        krylov = lanczos.run(product, lambda key: _signs(key, space), key, steps)
        found = lanczos.ritz(krylov)
        exists = ~jnp.isnan(found.values) | jnp.isnan(krylov.scale)
        shares = jnp.where(exists, jnp.square(found.coordinates[0]), 0)
        values = jnp.where(exists, found.values, krylov.diagonal[0])
        return values, shares / jnp.sum(shares)

    nodes, weights = jax.lax.map(sample, jax.random.split(key, num_samples))
    grid, density = _smooth(nodes, weights, points, width)
    return SpectralDensity(grid, density, nodes, weights)


MARGIN = 8
"""Standard deviations of the grid beyond the outermost nodes."""


def _smooth(
    nodes: Float[Array, "samples steps"],
    weights: Float[Array, "samples steps"],
    points: int,
    width: float,
) -> tuple[Float[Array, " points"], Float[Array, " points"]]:
    low, high = jnp.min(nodes), jnp.max(nodes)
    # Where all nodes are equal but for rounding, the grid must still tell its points.
    rounding = 1e5 * jnp.finfo(nodes.dtype).eps * jnp.max(jnp.abs(nodes))
    extent = jnp.maximum(high - low, rounding)
    sigma = width * jnp.where(extent > 0, extent, 1)
    steps = jnp.linspace(0, 1, points, dtype=nodes.dtype)
    start = low - MARGIN * sigma
    grid = start + steps * (high - low + 2 * MARGIN * sigma)
    bells = jax.scipy.stats.norm.pdf(grid[:, None], nodes.ravel(), sigma)
    return grid, bells @ weights.ravel() / len(nodes)


def _steps(space: Subspace, num: int, iterations: int) -> int:
    _at_least_one("num", num)
    if num > space.dimension:
        raise UserError(
            f"num is {num}; there are {space.dimension} active weights, and no more "
            "eigenvalues than that."
        )
    if iterations < num:
        raise UserError(f"iterations is {iterations}; it must be at least {num}.")
    return min(iterations, space.dimension)


def _check_grid(points: int, width: float) -> None:
    if not width > 0:
        raise UserError(f"width is {width}; it must be above 0.")
    needed = math.ceil(1 / width + 2 * MARGIN) + 1
    if points < needed:
        raise UserError(
            f"points is {points}; for a width of {width} it must be at least {needed}, "
            "or the density has peaks between the points."
        )


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{name} is {value}; it must be at least 1.")


def _gaussian(key: PRNGKeyArray, space: Subspace) -> Vector:
    return space.restrict(jax.random.normal(key, space.active.shape, space.dtype))


def _signs(key: PRNGKeyArray, space: Subspace) -> Vector:
    signs = jax.random.rademacher(key, space.active.shape, space.dtype)
    return space.restrict(signs)


def _signed(vectors: Float[Array, "num weights"]) -> Float[Array, "num weights"]:
    """Vectors of length 1 whose entry of largest magnitude is positive."""
    largest = jnp.argmax(jnp.abs(vectors), axis=1, keepdims=True)
    sign = jnp.where(jnp.take_along_axis(vectors, largest, axis=1) < 0, -1, 1)
    length = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    return sign * vectors / jnp.where(length > 0, length, 1)
