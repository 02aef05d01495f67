"""Two-dimensional convolutions, with a gradient that is fast on CPUs.

Padding is explicit, as PyTorch has it: (k - 1) / 2 pixels of zeros on each of the four
sides of the image. ``SAME`` differs from it at stride 2 on even sizes.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

Images = Float[Array, "_ _ _ _"]
Kernel = Float[Array, "_ _ _ _"]

CHUNK = 4
"""Images whose patches lie in memory together; see ``benchmarks/README.md``."""


def conv(
    features: int,
    size: int,
    strides: int = 1,
    *,
    groups: int = 1,
    name: str | None = None,
    param_dtype: DTypeLike = jnp.float32,
) -> nn.Conv:
    """Makes a convolution without bias, to be called in an ``@nn.compact`` method.

    Args:
        features: Output channels.
        size: Rows and columns of the kernel, odd.
        strides: Of both axes.
        groups: 1, or as many as there are input channels for a depthwise one.
        name: Of the module.
        param_dtype: Type of the kernel and of the computation.
    """
    padding = (size - 1) // 2
    return nn.Conv(
        features,
        (size, size),
        strides=(strides, strides),
        padding=[(padding, padding)] * 2,
        feature_group_count=groups,
        use_bias=False,
        param_dtype=param_dtype,
        name=name,
        conv_general_dilated=_conv_general_dilated,
    )


def _conv_general_dilated(
    x: Images,
    kernel: Kernel,
    strides: Any,
    padding: Any,
    *,
    feature_group_count: int,
    **_: Any,
) -> Images:
    """What Flax's layers call, with a precision of their own that is not set."""
    if feature_group_count > 1:
        return _convolve(x, kernel, strides[0], groups=feature_group_count)
    assert tuple(padding[0]) == ((kernel.shape[0] - 1) // 2,) * 2
    return convolve(x, kernel, strides[0])


def _convolve(x: Images, kernel: Kernel, strides: int, groups: int = 1) -> Images:
    padding = (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        # Some accelerators would round float32 factors by default.
        precision=lax.Precision.HIGHEST,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Images, kernel: Kernel, strides: int) -> Images:
    """Convolves images with a square kernel of odd size.

    The kernel's gradient is a product of matrices on CPUs. XLA makes of it a
    convolution with a window as large as the image, which is 2 to 8 times slower there.
    """
    return _convolve(x, kernel, strides)


def _forward(
    x: Images, kernel: Kernel, strides: int
) -> tuple[Images, tuple[Images, Kernel]]:
    return _convolve(x, kernel, strides), (x, kernel)


def _backward(
    strides: int, saved: tuple[Images, Kernel], gradient: Images
) -> tuple[Images, Kernel]:
    x, kernel = saved
    to_images = jax.vjp(lambda x: _convolve(x, kernel, strides), x)[1]

    def by_convolution(x: Images, kernel: Kernel, gradient: Images) -> Kernel:
        return jax.vjp(lambda k: _convolve(x, k, strides), kernel)[1](gradient)[0]

    to_kernel = lax.platform_dependent(
        x,
        kernel,
        gradient,
        cpu=functools.partial(kernel_gradient, strides),
        default=by_convolution,
    )
    return to_images(gradient)[0], to_kernel


convolve.defvjp(_forward, _backward)


def kernel_gradient(
    strides: int, x: Images, kernel: Kernel, gradient: Images
) -> Kernel:
    """The kernel's gradient as products of patches with the output's gradient.

    Patches take as many times the memory of the images as the kernel has entries, so
    that those of a few images are made at a time.
    """
    size, _, inputs, outputs = kernel.shape
    padding = (size - 1) // 2
    batch, rows, columns, _ = gradient.shape
    chunk = next(n for n in range(CHUNK, 0, -1) if batch % n == 0)

    def patches(x: Images) -> Float[Array, "positions inputs"]:
        margin = (padding, padding)
        x = jnp.pad(x, ((0, 0), margin, margin, (0, 0)))
        shifted = [
            x[:, i : i + strides * rows : strides, j : j + strides * columns : strides]
            for i in range(size)
            for j in range(size)
        ]
        # The last of them may end before the stride does.
        shifted = [s[:, :rows, :columns] for s in shifted]
        return jnp.concatenate(shifted, -1).reshape(-1, size * size * inputs)

    def body(total: Array, part: tuple[Images, Images]) -> tuple[Array, None]:
        x, gradient = part
        product = jnp.matmul(
            patches(x).T,
            gradient.reshape(-1, outputs),
            precision=lax.Precision.HIGHEST,
        )
        return total + product, None

    def split(x: Array) -> Array:
        return x.reshape(batch // chunk, chunk, *x.shape[1:])

    start = jnp.zeros((size * size * inputs, outputs), kernel.dtype)
    total, _ = lax.scan(body, start, (split(x), split(gradient)))
    return total.reshape(kernel.shape)
