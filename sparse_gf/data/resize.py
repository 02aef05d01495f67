"""Images made smaller, by averaging areas."""

import dataclasses
import math

import numpy as np

from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.data.datasets import IMAGE_FOLDER, DatasetInfo


def smaller(info: DatasetInfo, image_size: int) -> DatasetInfo:
    """What is known of a data set whose images are made smaller.

    Args:
        info: Of the images as they are; those of an image folder are read at their
            size.
        image_size: Pixels of a side; 0 for the images as they are.

    Returns:
        The facts, with as large a share of the image as padding of random crops.

    Raises:
        UserError: If the images are not square or not larger.
    """
    if not image_size or info.name == IMAGE_FOLDER:
        return info
    if not info.is_of_images:
        raise UserError(
            f"config.image_size is {image_size}; examples of {info.title} are no "
            "images of bytes, so it must be 0."
        )
    height, width, channels = info.image_shape
    if height != width or not 1 <= image_size <= height:
        raise UserError(
            f"config.image_size is {image_size}; images of {info.title} are "
            f"{height} x {width}, so it must be an integer in 1..{height}, or 0 for "
            "the images as they are."
        )
    return dataclasses.replace(
        info,
        image_shape=(image_size, image_size, channels),
        crop_padding=math.ceil(info.crop_padding * image_size / height),
    )


def resized(dataset: Dataset, image_size: int) -> Dataset:
    """Makes images smaller: a pixel is the mean of the area that it covers.

    Pixels of the original that lie on a border count with the share of their area on
    either side. Means are rounded to the nearest of 0..255, halves to the even one.

    Args:
        dataset: Its images are square.
        image_size: Pixels of a side; 0, or their own size, for the images as they are.

    Returns:
        The data set, whose title says the size. The fingerprint stays that of the
        original.
    """
    size = dataset.train_images.shape[1]
    if image_size in (0, size):
        return dataset
    shares = _shares(size, image_size)

    def shrink(images: np.ndarray) -> np.ndarray:
        made = np.empty((len(images), image_size, image_size, images.shape[3]), "uint8")
        # Some at a time: in float64 they need eight times the memory.
        for start in range(0, len(images), 4096):
            part = images[start : start + 4096].astype(float)
            means = np.einsum("ih,jw,nhwc->nijc", shares, shares, part, optimize=True)
            # Sums of shares are off by rounding: a mean of 2.5 is to be one.
            made[start : start + 4096] = np.rint(np.round(means, 6))
        return made

    name, comma, part = dataset.title.partition(",")
    return dataclasses.replace(
        dataset,
        title=f"{name} {image_size} x {image_size}{comma}{part}",
        train_images=shrink(dataset.train_images),
        test_images=shrink(dataset.test_images),
    )


def _shares(size: int, smaller: int) -> np.ndarray:
    """Share of each new row [new, old] that old rows have."""
    edges = np.arange(smaller + 1) * size / smaller
    old = np.arange(size)
    low = np.maximum(edges[:-1, None], old)
    high = np.minimum(edges[1:, None], old + 1)
    return np.maximum(high - low, 0) * smaller / size
