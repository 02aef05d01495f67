"""Products of a chosen precision, in the forward pass and in gradients.

At a lower precision both factors of every product, those of the gradients too, are
rounded to nearest; products of what is left are summed in float32, and everything that
is not a product stays float32. To add a precision, add its product to
``MATMULS`` and its rounding, for convolutions, to ``ROUNDINGS``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Matrix = Float[Array, "_ _"]
Product = Callable[[Any, Any], Any]


def _full(a: Matrix, b: Matrix) -> Matrix:
    # Some accelerators would round float32 factors to TensorFloat-32 by default.
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _tensorfloat32(a: Matrix, b: Matrix) -> Matrix:
    def emulated(a: Matrix, b: Matrix) -> Matrix:
        return _full(*(lax.reduce_precision(x, 8, 10) for x in (a, b)))

    def native(a: Matrix, b: Matrix) -> Matrix:
        return jnp.matmul(a, b, precision=lax.DotAlgorithmPreset.TF32_TF32_F32)

    # CPUs have no such units: there it is as exact, and slower than float32.
    return lax.platform_dependent(a, b, cpu=emulated, default=native)


def _bfloat16(a: Matrix, b: Matrix) -> Matrix:
    a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


def _also_in_gradients(product: Product) -> Product:
    """Has the products of the gradients rounded like that of the forward pass.

    Derivatives of a rounding would leave the incoming gradient as it is.
    """

    @jax.custom_vjp
    def matmul(x: Matrix, kernel: Matrix) -> Matrix:
        return product(x, kernel)

    def forward(x: Matrix, kernel: Matrix) -> tuple[Matrix, tuple[Matrix, Matrix]]:
        return product(x, kernel), (x, kernel)

    def backward(
        saved: tuple[Matrix, Matrix], gradient: Matrix
    ) -> tuple[Matrix, Matrix]:
        x, kernel = saved
        return product(gradient, kernel.T), product(x.T, gradient)

    matmul.defvjp(forward, backward)
    return matmul


MATMULS: Mapping[str, Product] = {
    # The full precision of whatever type the factors have.
    "float32": _full,
    "tensorfloat32": _also_in_gradients(_tensorfloat32),
    "bfloat16": _also_in_gradients(_bfloat16),
}
"""Precision to ``matmul(x [batch, inputs], kernel [inputs, outputs])``."""

NAMES = frozenset(MATMULS)

ROUNDINGS: Mapping[str, tuple[int | None, lax.Precision]] = {
    "float32": (None, lax.Precision.HIGHEST),
    "tensorfloat32": (10, lax.Precision.HIGH),
    # On GPUs by units for TensorFloat-32: libraries want results as short as factors.
    "bfloat16": (7, lax.Precision.DEFAULT),
}
"""Precision to the bits that are left of factors, None for all, and the least precision
of XLA's that leaves these on every accelerator."""


def dot_general(
    of_factors: str, x: Array, kernel: Array, dimensions: Any, **_: Any
) -> Array:
    """What Flax's Dense layers call, with a precision of their own that is not set."""
    assert dimensions == (((x.ndim - 1,), (0,)), ((), ()))
    return MATMULS[of_factors](x, kernel)


def rounded(bits: int | None, bilinear: Product) -> Product:
    """Rounds the factors of a function, and those of its gradients.

    ``bits`` of the mantissa are left, None for all; ``bilinear`` is linear in each of
    two arrays.
    """
    if bits is None:
        return bilinear

    def few(x: Array) -> Array:
        return lax.reduce_precision(x, 8, bits)

    @jax.custom_vjp
    def product(x: Array, kernel: Array) -> Array:
        return bilinear(few(x), few(kernel))

    def forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
        factors = few(x), few(kernel)
        return bilinear(*factors), factors

    def backward(factors: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
        return jax.vjp(bilinear, *factors)[1](few(gradient))

    product.defvjp(forward, backward)
    return product
