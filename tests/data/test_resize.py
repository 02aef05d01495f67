"""Images made smaller: means of areas, by hand."""

import dataclasses

import numpy as np
import pytest

from sparse_gf import data
from sparse_gf.core.errors import UserError


def with_images(images):
    digits = data.load("digits")
    images = np.asarray(images, np.uint8)[..., None]
    return dataclasses.replace(
        digits, title="Squares, 2 of 9 images", train_images=images, test_images=images
    )


def test_a_pixel_is_the_mean_of_its_area():
    image = np.arange(16).reshape(4, 4) * 10
    small = data.resized(with_images([image]), 2)
    # (0 + 10 + 40 + 50) / 4 and so on.
    np.testing.assert_array_equal(small.train_images[0, ..., 0], [[25, 45], [105, 125]])
    np.testing.assert_array_equal(small.test_images, small.train_images)
    assert small.title == "Squares 2 x 2, 2 of 9 images"


def test_pixels_on_a_border_count_with_their_share():
    rows = np.array([[0, 90, 30]] * 3)
    small = data.resized(with_images([rows]), 2)
    # Areas of 1.5: (0 + 0.5 * 90) / 1.5 = 30, (0.5 * 90 + 30) / 1.5 = 50.
    np.testing.assert_array_equal(small.train_images[0, ..., 0], [[30, 50]] * 2)


@pytest.mark.parametrize("value", [0, 1, 128, 255])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_an_image_of_one_value_keeps_it(value, size):
    small = data.resized(with_images(np.full((2, 8, 8), value)), size)
    assert small.train_images.shape == (2, size, size, 1)
    assert (small.train_images == value).all()


def test_the_mean_of_all_pixels_stays():
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    small = data.resized(with_images(images), 14)
    assert abs(small.train_images.mean() - images.mean()) < 0.1


def test_images_of_their_size_are_not_touched():
    digits = data.load("digits")
    assert data.resized(digits, 0) is digits
    assert data.resized(digits, 8) is digits


def test_what_is_known_of_smaller_images():
    info = data.smaller(data.info("cifar10"), 8)
    assert info.image_shape == (8, 8, 3)
    assert info.crop_padding == 1
    folder = data.image_folder(64, 5)
    assert data.smaller(folder, 64) is folder
    with pytest.raises(UserError, match=r"image_size is 33.*1\.\.32"):
        data.smaller(data.info("cifar10"), 33)
