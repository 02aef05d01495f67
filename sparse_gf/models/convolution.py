"""Two-dimensional convolutions, with a gradient that is fast on CPUs.

Padding is explicit, as PyTorch has it: (k - 1) / 2 pixels of zeros on each of the four
sides of the image. ``SAME`` differs from it at stride 2 on even sizes.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from sparse_gf.models import products

Images = Float[Array, "_ _ _ _"]
Kernel = Float[Array, "_ _ _ _"]

Form = tuple[int, int, lax.Precision]

FULL = lax.Precision.HIGHEST
"""Some accelerators would round float32 factors by default."""

CHUNK = 4
"""Images whose patches lie in memory together; see ``benchmarks/README.md``."""


def conv_general_dilated(
    of_factors: str,
    x: Images,
    kernel: Kernel,
    strides: Any,
    padding: Any,
    *,
    feature_group_count: int,
    **_: Any,
) -> Images:
    """What Flax's layers call, with a precision of their own that is not set."""
    assert tuple(padding[0]) == ((kernel.shape[0] - 1) // 2,) * 2
    bits, precision = products.ROUNDINGS[of_factors]

    def convolved(x: Images, kernel: Kernel) -> Images:
        if feature_group_count > 1:
            return _convolve(x, kernel, strides[0], feature_group_count, precision)
        return convolve(x, kernel, strides[0], precision)

    return products.rounded(bits, convolved)(x, kernel)


def _convolve(
    x: Images,
    kernel: Kernel,
    strides: int,
    groups: int = 1,
    precision: lax.Precision = FULL,
) -> Images:
    padding = (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        precision=precision,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    x: Images, kernel: Kernel, strides: int, precision: lax.Precision = FULL
) -> Images:
    """Convolves images with a square kernel of odd size.

    Its gradients are written out. On CPUs what XLA makes of a convolution's derivatives
    is up to 15 times slower than the convolution, inside a loop above all; on
    accelerators JAX misses what they have for the kernels of many networks.

    Accelerators may leave ``precision`` of the factors; CPUs leave all.
    """
    return _convolve(x, kernel, strides, 1, precision)


def _forward(
    x: Images, kernel: Kernel, strides: int, precision: lax.Precision
) -> tuple[Images, tuple[Images, Kernel]]:
    return _convolve(x, kernel, strides, 1, precision), (x, kernel)


def _backward(
    strides: int,
    precision: lax.Precision,
    saved: tuple[Images, Kernel],
    gradient: Images,
) -> tuple[Images, Kernel]:
    def on_cpu(x: Images, kernel: Kernel, gradient: Images) -> tuple[Images, Kernel]:
        return (
            input_gradient(strides, x, kernel, gradient),
            kernel_gradient(strides, x, kernel, gradient),
        )

    def by_xla(x: Images, kernel: Kernel, gradient: Images) -> tuple[Images, Kernel]:
        def convolved(x: Images) -> Images:
            return _convolve(x, kernel, strides, 1, precision)

        (dx,) = jax.vjp(convolved, x)[1](gradient)
        form = strides, kernel.shape[0], precision
        return dx, kernel_gradient_by_xla(form, 1, x, gradient)

    return lax.platform_dependent(*saved, gradient, cpu=on_cpu, default=by_xla)


convolve.defvjp(_forward, _backward)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def kernel_gradient_by_xla(
    form: Form, groups: int, x: Images, gradient: Images
) -> Kernel:
    """The kernel's gradient as accelerators have it, under ``vmap`` in one operation.

    Members become groups of one convolution, whose gradient the hardware's libraries
    know. What JAX makes of it by itself is a convolution with a window as large as the
    image, and so it does in derivatives of this gradient.

    ``form`` are strides, rows of the kernel, and what is left of the factors.
    """

    @jax.custom_batching.custom_vmap
    def of_one(x: Images, gradient: Images) -> Kernel:
        return _transposed(form, groups, x, gradient)

    @of_one.def_vmap
    def of_members(  # pyright: ignore[reportUnusedFunction]
        count: int, batched: list[bool], *arguments: Array
    ) -> tuple[Array, bool]:
        def fold(a: Array, has_members: bool) -> Array:
            a = a if has_members else jnp.broadcast_to(a, (count, *a.shape))
            return jnp.moveaxis(a, 0, -2).reshape(*a.shape[1:-1], -1)

        folded = map(fold, arguments, batched)
        all_kernels = kernel_gradient_by_xla(form, count * groups, *folded)
        kernels = all_kernels.reshape(*all_kernels.shape[:-1], count, -1)
        return jnp.moveaxis(kernels, -2, 0), True

    return of_one(x, gradient)


@kernel_gradient_by_xla.defjvp
def _(form: Form, groups: int, primals: Any, tangents: Any) -> tuple[Kernel, Kernel]:
    # JAX knows no transpose of a function with a rule for vmap.
    plain = functools.partial(_transposed, form, groups)
    found = kernel_gradient_by_xla(form, groups, *primals)
    return found, jax.jvp(plain, primals, tangents)[1]


def _transposed(form: Form, groups: int, x: Images, gradient: Images) -> Kernel:
    strides, size, precision = form
    like = jax.ShapeDtypeStruct(
        (size, size, x.shape[-1] // groups, gradient.shape[-1]), x.dtype
    )

    def convolve(kernel: Kernel) -> Images:
        return _convolve(x, kernel, strides, groups, precision)

    return jax.linear_transpose(convolve, like)(gradient)[0]


def input_gradient(strides: int, x: Images, kernel: Kernel, gradient: Images) -> Images:
    """The images' gradient: the output's, convolved with the mirrored kernel."""
    size = kernel.shape[0]
    # As arrays of their own: XLA has a fast convolution for a kernel that lies in
    # memory as it is used, and none inside a loop for one that is read in reverse.
    mirrored = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    before = (size - 1) // 2

    def margins(pixels: int, outputs: int) -> tuple[int, int]:
        return before, pixels - 1 - strides * (outputs - 1) + before

    return lax.conv_general_dilated(
        gradient,
        mirrored,
        (1, 1),
        [margins(x.shape[axis], gradient.shape[axis]) for axis in (1, 2)],
        lhs_dilation=(strides, strides),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=FULL,
    )


def kernel_gradient(
    strides: int, x: Images, kernel: Kernel, gradient: Images
) -> Kernel:
    """The kernel's gradient: products of shifted images and shifted output gradients.

    Shifted copies take as many times the memory as the kernel has rows or columns, so
    that those of a few images are made at a time.
    """
    size, _, inputs, outputs = kernel.shape
    batch = gradient.shape[0]
    chunk = next(n for n in range(CHUNK, 0, -1) if batch % n == 0)
    shifted = _shifted if strides == 1 else functools.partial(_windows, strides)

    def body(total: Array, part: tuple[Images, Images]) -> tuple[Array, None]:
        left, right = shifted(size, *part)
        # The contraction is over all positions of all images.
        product = lax.dot_general(left, right, (((0,), (0,)), ((), ())), precision=FULL)
        return total + product, None

    def split(x: Array) -> Array:
        return x.reshape(batch // chunk, chunk, *x.shape[1:])

    parts = split(x), split(gradient)
    zeros = jax.eval_shape(body, 0.0, jax.tree.map(lambda x: x[0], parts))[0]
    total, _ = lax.scan(body, jnp.zeros(zeros.shape, zeros.dtype), parts)
    if strides == 1:
        total = total.reshape(size, inputs, size, outputs)
        return total.transpose(0, 2, 1, 3)
    return total.T.reshape(kernel.shape)


def _shifted(size: int, x: Images, gradient: Images) -> tuple[Array, Array]:
    """Images shifted by rows, and gradients by columns, [positions, size * channels].

    Half of the window moves one factor and half the other, which needs a third of the
    copies that moving the images alone would.
    """
    margin, rows, columns = (size - 1) // 2, x.shape[1], x.shape[2]
    x = jnp.pad(x, ((0, 0), (margin, margin), (0, 0), (0, 0)))
    gradient = jnp.pad(gradient, ((0, 0), (0, 0), (margin, margin), (0, 0)))
    up = [x[:, i : i + rows] for i in range(size)]
    along = [gradient[:, :, j : j + columns] for j in reversed(range(size))]
    return tuple(
        jnp.concatenate(copies, -1).reshape(-1, size * copies[0].shape[-1])
        for copies in (up, along)
    )  # pyright: ignore[reportReturnType]


def _windows(
    strides: int, size: int, x: Images, gradient: Images
) -> tuple[Array, Array]:
    """The output's gradient, and the window that each of its pixels was made of."""
    margin, (_, rows, columns, outputs) = (size - 1) // 2, gradient.shape
    x = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    moved = [
        x[:, i : i + strides * rows : strides, j : j + strides * columns : strides]
        for i in range(size)
        for j in range(size)
    ]
    # Where the image ends before the last stride does, one pixel is too many.
    windows = jnp.concatenate([m[:, :rows, :columns] for m in moved], -1)
    return gradient.reshape(-1, outputs), windows.reshape(-1, windows.shape[-1])
