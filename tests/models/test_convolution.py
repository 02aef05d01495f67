import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from sparse_gf.models import convolution
from sparse_gf.models.layers import Style

pytestmark = pytest.mark.usefixtures("x64")

SIZES = [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1)]


# Compiled: eagerly each of their operations is a program of its own.
convolve = jax.jit(convolution.convolve, static_argnums=(2, 3))
kernel_gradient = jax.jit(convolution.kernel_gradient, static_argnums=0)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def by_definition(x, kernel, strides):
    """Sums over the window, one output pixel after another."""
    size = kernel.shape[0]
    margin = (size - 1) // 2
    padded = np.pad(np.asarray(x), ((0, 0), (margin,) * 2, (margin,) * 2, (0, 0)))
    rows = range(0, padded.shape[1] - size + 1, strides)
    columns = range(0, padded.shape[2] - size + 1, strides)
    return np.stack(
        [
            np.stack(
                [
                    np.einsum(
                        "nijc,ijco->no", padded[:, i : i + size, j : j + size], kernel
                    )
                    for j in columns
                ],
                1,
            )
            for i in rows
        ],
        1,
    )


@pytest.mark.parametrize(("size", "strides"), [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_convolutions_are_those_of_torch(reference, size, strides):
    file = reference("conv_padding")
    kernel = jnp.asarray(file[f"kernel_k{size}"])
    found = convolve(jnp.asarray(file["x"]), kernel, strides)
    expected = file[f"y_k{size}_s{strides}_torchpad{size // 2}"]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    if (size, strides) == (3, 2):
        assert np.abs(found - file["y_k3_s2_SAME"]).max() > 0.1


@pytest.mark.parametrize(("size", "strides"), SIZES)
@pytest.mark.parametrize("pixels", [(6, 6), (7, 5)])
def test_gradients_are_those_of_the_definition(size, strides, pixels):
    x, kernel = draw(3, *pixels, 2), draw(size, size, 2, 4, seed=1)
    y = convolve(x, kernel, strides)
    np.testing.assert_allclose(y, by_definition(x, kernel, strides), rtol=1e-12)
    weights = draw(*y.shape, seed=2)

    def total(x, kernel):
        return jnp.sum(weights * convolution.convolve(x, kernel, strides))

    found = jax.jit(jax.grad(total, (0, 1)))(x, kernel)
    # It is bilinear: the derivative along a direction is the value there.
    along_x, along_kernel = draw(*x.shape, seed=3), draw(*kernel.shape, seed=4)
    for gradient, direction, moved in (
        (found[0], along_x, by_definition(along_x, kernel, strides)),
        (found[1], along_kernel, by_definition(x, along_kernel, strides)),
    ):
        np.testing.assert_allclose(
            jnp.sum(gradient * direction), np.sum(weights * moved), rtol=1e-11
        )


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 6, 7])
def test_every_image_counts_in_the_kernels_gradient(batch):
    x, kernel = draw(batch, 5, 5, 2), draw(3, 3, 2, 3, seed=1)
    gradient = draw(batch, 5, 5, 3, seed=2)
    found = kernel_gradient(1, x, kernel, gradient)
    each = [
        kernel_gradient(1, x[i : i + 1], kernel, gradient[i : i + 1])
        for i in range(batch)
    ]
    np.testing.assert_allclose(found, sum(each), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("platform", "size", "strides"),
    [("cpu", 3, 2), ("default", 3, 2), ("default", 1, 1)],
)
def test_all_derivatives_of_members_are_those_of_plain_convolutions(
    monkeypatch, platform, size, strides
):
    monkeypatch.setattr(
        lax, "platform_dependent", lambda *args, **branches: branches[platform](*args)
    )
    kernels, moved = draw(2, size, size, 2, 4), draw(2, size, size, 2, 4, seed=1)
    images = draw(3, 2, 4, 7, 6, 2, seed=2)

    def derivatives(convolve):
        def loss(kernel, x):
            return jnp.sum(jnp.tanh(convolve(x, kernel, strides)) ** 2)

        def of_one(kernel, moved, x):
            gradient = jax.grad(loss, (0, 1))
            along = functools.partial(jax.linearize, gradient, kernel, x)
            again = jax.grad(lambda k: jnp.vdot(moved, gradient(k, x)[0]))(kernel)
            return gradient(kernel, x), along()[1](moved, x), again

        # Of members, and of members of members that have some of it in common.
        members = jax.vmap(of_one)
        return jax.jit(jax.vmap(members, (None, None, 0)))(kernels, moved, images)

    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-12),
        derivatives(convolution.convolve),
        derivatives(convolution._convolve),
    )


def test_gradients_of_members_are_one_operation_with_a_small_window():
    x, gradient = draw(5, 2, 8, 8, 3), draw(5, 2, 8, 8, 4)
    form = 1, 3, convolution.FULL
    found = jax.vmap(functools.partial(convolution.kernel_gradient_by_xla, form, 1))
    text = jax.jit(found).lower(x, gradient).as_text()
    (operation,) = [line for line in text.splitlines() if "convolution(" in line]
    assert "batch_group_count = 5" in operation


def test_depthwise_convolutions_keep_channels_apart():
    layer = Style(param_dtype=jnp.float64).conv(3, 3, groups=3, name="a")
    x = draw(2, 4, 4, 3)
    variables = layer.init(jax.random.key(0), x)
    found = layer.apply(variables, x)
    kernel = variables["params"]["kernel"]
    for channel in range(3):
        own = slice(channel, channel + 1)
        alone = by_definition(x[..., own], kernel[..., own], 1)
        np.testing.assert_allclose(found[..., own], alone, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("precision", "bits", "groups"), [("tensorfloat32", 10, 1), ("bfloat16", 7, 3)]
)
def test_factors_are_rounded_and_so_they_are_in_gradients(precision, bits, groups):
    layer = Style(precision=precision).conv(6, 3, 2, groups=groups, name="a")

    def apply(x, kernel):
        return layer.apply({"params": {"kernel": kernel}}, x)

    def plain(x, kernel):
        return convolution._convolve(x, kernel, 2, groups)

    shapes = (2, 6, 5, 3), (3, 3, 3 // groups, 6), (2, 3, 3, 6)
    given = [draw(*sizes).astype(jnp.float32) for sizes in shapes]
    few = [lax.reduce_precision(a, 8, bits).astype(jnp.float64) for a in given]

    @functools.partial(jax.jit, static_argnums=0)
    def all_three(function, x, kernel, gradient):
        y, pull = jax.vjp(function, x, kernel)
        return y, *pull(gradient)

    found, expected = all_three(apply, *given), all_three(plain, *few)
    for ours, full in zip(found, expected, strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, full, rtol=1e-5, atol=1e-5)
