"""Matrix products of a chosen precision, in the forward pass and in gradients.

At a lower precision both factors of every product, those of the gradients too, are
rounded to nearest; products of what is left are summed in float32, and everything that
is not a product stays float32. To add a precision, add its product to
``MATMULS``.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Matrix = Float[Array, "_ _"]
Product = Callable[[Matrix, Matrix], Matrix]


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
