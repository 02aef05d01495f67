"""Random crops, flips and normalisation of a batch of images on the device."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, UInt8


def crop_and_flip(
    images: UInt8[Array, "batch height width channels"],
    offset_y: Int[Array, "batch"],
    offset_x: Int[Array, "batch"],
    flip: Bool[Array, "batch"],
    *,
    padding: int,
) -> UInt8[Array, "batch height width channels"]:
    """Pads every image with black, crops it back to its size, then mirrors it.

    Args:
        images: The batch, before normalisation: the border is truly black.
        offset_y: The crop's upper edge in the padded image, in 0 .. 2 * padding.
        offset_x: The crop's left edge, likewise.
        flip: Which images to mirror left to right, after the crop.
        padding: Black pixels added on each of the four sides.

    Returns:
        The changed batch.
    """
    batch, height, width, _ = images.shape
    row = jnp.arange(height) + offset_y[:, None] - padding
    column = jnp.arange(width)
    column = jnp.where(flip[:, None], width - 1 - column, column)
    column = column + offset_x[:, None] - padding
    # One gather: clipped positions read some pixel, which the border then covers.
    picked = images[
        jnp.arange(batch)[:, None, None],
        jnp.clip(row, 0, height - 1)[:, :, None],
        jnp.clip(column, 0, width - 1)[:, None, :],
    ]
    inside_y = (row >= 0) & (row < height)
    inside_x = (column >= 0) & (column < width)
    inside = inside_y[:, :, None, None] & inside_x[:, None, :, None]
    return jnp.where(inside, picked, jnp.zeros_like(picked))


def random_crop_and_flip(
    key: PRNGKeyArray,
    images: UInt8[Array, "batch height width channels"],
    *,
    padding: int,
    flip: bool,
) -> UInt8[Array, "batch height width channels"]:
    """Draws a crop, and if asked for a flip, for every image independently.

    All (2 ``padding`` + 1)^2 crops are equally likely; half of the images are mirrored,
    on average. ``key`` is consumed.

    Returns:
        The changed batch.
    """
    key_y, key_x, key_flip = jax.random.split(key, 3)
    shape, stop = images.shape[:1], 2 * padding + 1
    offset_y = jax.random.randint(key_y, shape, 0, stop)
    offset_x = jax.random.randint(key_x, shape, 0, stop)
    mirrored = jax.random.bernoulli(key_flip, 0.5, shape) & flip
    return crop_and_flip(images, offset_y, offset_x, mirrored, padding=padding)


def normalise(
    images: Num[Array, "... channels"],
    mean: Float[Array | np.ndarray, "channels"],
    std: Float[Array | np.ndarray, "channels"],
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> Float[Array, "... channels"]:
    """Turns bytes into (value / 255 - mean) / std, per channel; a std of 0 counts as 1.

    Features that are no bytes were standardised before (``training.arrays``), and only
    change their type.

    ``mean`` and ``std`` are those of training images divided by 255; ``dtype`` is the
    type in which the result is computed and returned.

    Returns:
        An array like ``images``.
    """
    if images.dtype != jnp.uint8:
        return images.astype(dtype)
    scaled = images.astype(dtype) / 255
    # A constant channel has no deviation to be measured in, and says nothing.
    return (scaled - mean.astype(dtype)) / jnp.where(std > 0, std, 1).astype(dtype)
