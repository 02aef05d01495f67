import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.models import products

BITS = {"tensorfloat32": 10, "bfloat16": 7}


def rounded(x, bits):
    """Rounds float32 to fewer mantissa bits, halves to even, in integers."""
    dropped = 23 - bits
    whole = np.asarray(x, np.float32).view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1) + ((whole >> dropped) & 1)
    kept = (whole + half) >> dropped << dropped
    return kept.astype(np.uint32).view(np.float32).astype(np.float64)


def factors(shapes=((5, 7), (7, 3), (5, 3))):
    draw = np.random.default_rng(0)
    return [jnp.asarray(draw.normal(size=shape), jnp.float32) for shape in shapes]


@pytest.mark.parametrize("name", sorted(BITS))
def test_factors_are_rounded_in_products_and_in_those_of_gradients(name):
    x, kernel, gradient = factors()
    result, back = jax.vjp(products.MATMULS[name], x, kernel)
    a, b, g = (rounded(value, BITS[name]) for value in (x, kernel, gradient))
    for ours, expected in zip(
        (result, *back(gradient)), (a @ b, g @ b.T, a.T @ g), strict=True
    ):
        # The sums are float32; the rounding of the factors is 1e-3 to 1e-2.
        np.testing.assert_allclose(ours, expected, rtol=3e-6, atol=3e-6)
        assert ours.dtype == jnp.float32


def test_full_precision_is_that_of_the_type(x64):
    a, b, _ = (jnp.asarray(value, jnp.float64) for value in factors())
    np.testing.assert_allclose(
        products.MATMULS["float32"](a, b), np.asarray(a) @ np.asarray(b), rtol=1e-14
    )


def test_full_precision_has_derivatives_of_any_kind_and_order():
    x, kernel, _ = factors()

    def loss(kernel):
        return jnp.sum(jnp.square(products.MATMULS["float32"](x, kernel)))

    direction = jnp.ones_like(kernel)
    _, product = jax.jvp(jax.grad(loss), (kernel,), (direction,))
    np.testing.assert_allclose(product, 2 * x.T @ x @ direction, rtol=1e-4, atol=1e-5)
