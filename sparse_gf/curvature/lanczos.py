"""Lanczos' method (1950) on any symmetric linear function of vectors."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sparse_gf.core import tree

Vector = Float[Array, " weights"]


class Krylov(NamedTuple):
    """An orthonormal basis in which the function is a tridiagonal matrix.

    Attributes:
        basis: Orthonormal rows, in the order in which they were found, then zeros.
        diagonal: The matrix's diagonal.
        coupling: Entry j stands between rows j and j + 1; the last one leads out of
            the space. 0 where a row's successor was drawn at random.
        used: Which rows there are.
        following: The next row; zeros if the rows span everything.
        scale: The largest entry of the matrix.
        restarted: Whether a successor was drawn at random.
    """

    basis: Float[Array, "steps weights"]
    diagonal: Float[Array, " steps"]
    coupling: Float[Array, " steps"]
    used: Bool[Array, " steps"]
    following: Float[Array, " weights"]
    scale: Float[Array, ""]
    restarted: Bool[Array, ""]


class Ritz(NamedTuple):
    """Eigenvalues in a Krylov space, largest signed value first.

    Attributes:
        values: NaN beyond the dimension of the space.
        coordinates: Column i has the i-th eigenvector in the basis.
        residuals: ``||H x - value x||`` of each.
    """

    values: Float[Array, " steps"]
    coordinates: Float[Array, "steps steps"]
    residuals: Float[Array, " steps"]


def run(
    product: Callable[[Vector], Vector],
    draw: Callable[[PRNGKeyArray], Vector],
    key: PRNGKeyArray,
    steps: int,
    done: Callable[[Krylov], Bool[Array, ""]] = lambda _: jnp.zeros((), bool),
) -> Krylov:
    """Builds a Krylov space, orthogonalised twice against all of it at every step.

    Where the space is invariant under the function, as it is when eigenvalues are
    degenerate or vectors few, it goes on from a new random vector orthogonal to it.
    There are then neither NaN nor eigenvalues that are none.

    Args:
        product: Symmetric.
        draw: A random vector; its length is of no account.
        key: Consumed.
        steps: Products at most, at least 1.
        done: Whether to stop before.
    """
    first_key, key = jax.random.split(key)
    first = draw(first_key)
    zeros = jnp.zeros(steps, first.dtype)
    start = Krylov(
        basis=jnp.zeros((steps, first.size), first.dtype),
        diagonal=zeros,
        coupling=zeros,
        used=jnp.zeros(steps, bool),
        following=_unit(first, 0.0),
        scale=jnp.zeros((), first.dtype),
        restarted=jnp.zeros((), bool),
    )

    def go_on(state: tuple[Array, Krylov]) -> Bool[Array, ""]:
        step, krylov = state
        return (step < steps) & ~done(krylov)

    def extend(state: tuple[Array, Krylov]) -> tuple[Array, Krylov]:
        step, krylov = state
        again = lambda: draw(jax.random.fold_in(key, step))  # noqa: E731
        return step + 1, _extend(krylov, product, again, step)

    return jax.lax.while_loop(go_on, extend, (jnp.zeros((), jnp.int32), start))[1]


def ritz(krylov: Krylov) -> Ritz:
    """Eigenvalues and eigenvectors in the space."""
    used, size = krylov.used, jnp.max(jnp.abs(krylov.diagonal))
    size = jnp.maximum(size, jnp.max(krylov.coupling))
    # Rows that are not used get eigenvalues of their own, below all others.
    below = jnp.where(size > 0, -4 * size, -1)
    beside = jnp.where(used[1:], krylov.coupling[:-1], 0)
    matrix = jnp.diag(jnp.where(used, krylov.diagonal, below))
    matrix += jnp.diag(beside, 1) + jnp.diag(beside, -1)
    values, coordinates = jnp.linalg.eigh(matrix)
    values, coordinates = values[::-1], coordinates[:, ::-1]
    last = jnp.maximum(jnp.sum(used) - 1, 0)
    exists = jnp.arange(used.size) < jnp.sum(used)
    return Ritz(
        values=jnp.where(exists, values, jnp.nan),
        coordinates=coordinates,
        residuals=jnp.abs(krylov.coupling[last] * coordinates[last]),
    )


def converged(krylov: Krylov, num: int, tolerance: float) -> Bool[Array, ""]:
    """Whether the largest eigenvalues have residuals below ``tolerance * |value|``.

    Never after a restart: what has been drawn last may still lead to larger ones.
    """
    found = ritz(krylov)
    small = found.residuals <= tolerance * jnp.abs(found.values)
    return jnp.all(small[:num]) & ~krylov.restarted


def _extend(
    krylov: Krylov,
    product: Callable[[Vector], Vector],
    draw: Callable[[], Vector],
    step: Int[Array, ""],
) -> Krylov:
    vector = krylov.following
    basis = krylov.basis.at[step].set(vector)
    image = product(vector)
    diagonal = _dot(vector, image)
    rest = _orthogonalise(image, basis)
    length = tree.norm(rest, 2)
    scale = jnp.maximum(krylov.scale, jnp.maximum(jnp.abs(diagonal), length))
    rounding = 100 * float(jnp.finfo(basis.dtype).eps)
    invariant = length <= rounding * scale
    following = jax.lax.cond(
        invariant,
        lambda: _unit(_orthogonalise(_unit(draw(), 0.0), basis), rounding),
        lambda: rest / jnp.where(invariant, 1, length),
    )
    return Krylov(
        basis=basis,
        diagonal=krylov.diagonal.at[step].set(diagonal),
        coupling=krylov.coupling.at[step].set(jnp.where(invariant, 0, length)),
        used=krylov.used.at[step].set(~(_dot(vector, vector) < 0.5)),
        following=following,
        scale=scale,
        restarted=krylov.restarted | invariant,
    )


def _orthogonalise(vector: Vector, basis: Float[Array, "steps weights"]) -> Vector:
    # Once leaves what rounding of the first product left (Kahan: twice is enough).
    for _ in range(2):
        vector = vector - _dot(_dot(basis, vector), basis)
    return vector


def _unit(vector: Vector, threshold: float) -> Vector:
    """The vector at length 1, or 0 if it is not longer than the threshold."""
    length = tree.norm(vector, 2)
    short = length <= threshold
    return jnp.where(short, 0, vector / jnp.where(short, 1, length))


def _dot(a: Array, b: Array) -> Array:
    # Accelerators would round the factors otherwise.
    return jnp.dot(a, b, precision="highest")
