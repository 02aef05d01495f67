import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.core.types import Dataset
from sparse_gf.data import augment

REFERENCE = pathlib.Path(__file__).parents[1] / "reference" / "augmentation.npz"


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return dict(file)


# Compiled: eagerly each of their operations is a program of its own.
crop_and_flip = jax.jit(augment.crop_and_flip, static_argnames="padding")
normalise = jax.jit(augment.normalise, static_argnums=3)
random_crop_and_flip = jax.jit(
    augment.random_crop_and_flip, static_argnames=("padding", "flip")
)


def crop(reference):
    return crop_and_flip(
        reference["x"],
        reference["offset_y"],
        reference["offset_x"],
        np.asarray(reference["flip"], bool),
        padding=4,
    )


def test_crop_and_flip_equals_the_reference_exactly(reference):
    result = crop(reference)
    assert result.dtype == jnp.uint8
    np.testing.assert_array_equal(result, reference["out_uint8"])


def test_padding_comes_before_normalisation(reference):
    with jax.enable_x64(True):
        result = normalise(
            crop(reference),
            reference["mean"],
            reference["std"],
            jnp.dtype("float64"),
        )
    result = np.asarray(result)
    assert result.dtype == np.float64
    expected = reference["out_pad_before_normalise"]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)
    # The other order differs, so the comparison above says something.
    assert np.abs(result - reference["out_pad_after_normalise"]).max() > 0.1


def test_central_crop_changes_nothing(reference):
    index = int(reference["identity_index"])
    np.testing.assert_array_equal(crop(reference)[index], reference["x"][index])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("offsets", [(0, 0), (2, 1), (1, 2), (0, 2)])
def test_small_images_against_numpy(offsets, flip):
    # Not square, one channel: what a swapped axis would survive elsewhere.
    image = np.arange(1, 13, dtype=np.uint8).reshape(3, 4, 1)
    y, x = offsets
    expected = np.pad(image, [(1, 1), (1, 1), (0, 0)])[y : y + 3, x : x + 4]
    if flip:
        expected = expected[:, ::-1]
    result = crop_and_flip(
        image[None], np.array([y]), np.array([x]), np.array([flip]), padding=1
    )
    np.testing.assert_array_equal(result[0], expected)


def test_jit_and_vmap_equal_one_call_after_another(reference):
    keys = jax.random.split(jax.random.key(3), 4)
    images = jnp.asarray(reference["x"])

    def one(key):
        return random_crop_and_flip(key, images, padding=4, flip=True)

    together = jax.jit(jax.vmap(one))(keys)
    for key, result in zip(keys, together, strict=True):
        np.testing.assert_array_equal(one(key), result)
    assert not np.array_equal(together[0], together[1])


def drawn(flip):
    """Offsets and flips of 4,000 draws, read off a marked pixel.

    The image is 5x5 with one marked pixel at row 2, column 1, and padding 1: a crop
    at (y, x) moves it to (3 - y, 2 - x), in columns 0 to 2, and a flip mirrors that
    to columns 2 to 4; a second mark right of it tells a flip from a crop.
    """
    image = np.zeros((5, 5, 1), np.uint8)
    image[2, 1], image[2, 2] = 100, 200
    batch = np.broadcast_to(image, (4000, 5, 5, 1))
    result = np.asarray(
        random_crop_and_flip(jax.random.key(0), batch, padding=1, flip=flip)
    )[..., 0]
    example, row, column = np.nonzero(result == 100)
    example_2, row_2, column_2 = np.nonzero(result == 200)
    np.testing.assert_array_equal(example, np.arange(4000))
    np.testing.assert_array_equal(example_2, np.arange(4000))
    np.testing.assert_array_equal(row, row_2)
    flipped = column_2 < column
    x = 2 - np.where(flipped, 4 - column, column)
    return 3 - row, x, flipped


def test_random_offsets_are_uniform_and_flips_are_fair():
    y, x, flipped = drawn(flip=True)
    cells = np.bincount(((y * 3 + x) * 2 + flipped).astype(int), minlength=18)
    # 18 equally likely cells: chi-squared with 17 degrees exceeds 50 with p < 1e-4.
    expected = 4000 / 18
    assert cells.size == 18
    assert ((cells - expected) ** 2 / expected).sum() < 50


def test_no_flips_unless_asked_for():
    y, x, flipped = drawn(flip=False)
    assert not flipped.any()
    assert np.bincount(y * 3 + x, minlength=9).min() > 0


def test_normalise_by_hand():
    images = np.array([[[0, 51], [255, 102]]], np.uint8)
    mean, std = np.array([0.5, 0.2]), np.array([0.25, 0.1])
    result = normalise(images, mean, std, jnp.dtype("float32"))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, [[[-2.0, 0.0], [2.0, 2.0]]], atol=1e-6)


def test_a_constant_channel_says_nothing():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 4, 4, 2)).astype(np.uint8)
    images[..., 0] = 10
    part = Dataset(
        *("x", "x", images, np.zeros(50, int), images, np.zeros(50, int), 2, "", "")
    )
    mean, std = part.channel_statistics()
    assert std[0] == 0
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, rtol=1e-14)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255, rtol=1e-14)
    images[0, 0, 0, 0] = 9
    found = augment.normalise(jnp.asarray(images), mean, std)
    assert (found[1:, ..., 0] == 0).all()
    np.testing.assert_allclose(found[0, 0, 0, 0], -1 / 255, rtol=1e-5)
