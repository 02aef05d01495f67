import inspect
import os
import re
import shutil
import sys

import numpy as np
import pytest

from sparse_gf import data, specs
from sparse_gf.core.errors import UserError
from sparse_gf.data import datasets

Image = pytest.importorskip("PIL.Image")

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def save(path, colour, size=(8, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes, several formats, sizes and depths; exact colours."""
    path = tmp_path / "pets"
    save(path / "train" / "dog" / "a.bmp", RED)
    save(path / "train" / "dog" / "b.PNG", 77, mode="L")
    save(path / "train" / "cat" / "z.png", GREEN, (9, 12))
    save(path / "train" / "cat" / "more" / "deep" / "a.png", BLUE, (40, 20))
    save(path / "train" / "cat" / "k.tiff", (1, 2, 3, 9), mode="RGBA")
    (path / "train" / "cat" / "notes.txt").write_text("no image")
    (path / "train" / "README.md").write_text("no class")
    save(path / "test" / "cat" / "1.ppm", WHITE, (8, 100))
    save(path / "test" / "dog" / "2.png", (5, 6, 7))
    return path


def load(path, size=8, classes=2):
    return data.load(data.image_folder(size, classes), str(path))


def assert_colours(images, colours):
    assert images.dtype == np.uint8
    expected = np.array(colours)[:, None, None]
    assert images.shape == (len(colours), 8, 8, 3)
    np.testing.assert_array_equal(images, np.broadcast_to(expected, images.shape))


def assert_refused(path, *words, **changes):
    with pytest.raises(UserError) as caught:
        load(path, **changes)
    for word in (*words, "config.data_dir must be a folder", "train/CLASS/"):
        assert word in str(caught.value), str(caught.value)
    assert "Download" not in str(caught.value)


def test_images_labels_and_their_order(folder):
    dataset = load(folder)
    # Of cat its own files first, then those of the folders in it.
    colours = [(1, 2, 3), GREEN, BLUE, RED, (77, 77, 77)]
    assert_colours(dataset.train_images, colours)
    assert_colours(dataset.test_images, [WHITE, (5, 6, 7)])
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1]
    assert dataset.test_labels.tolist() == [0, 1]
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int32
    assert (dataset.name, dataset.title) == ("imagefolder", "ImageFolder pets")
    assert (dataset.num_classes, dataset.source) == (2, "image files")


def test_val_stands_in_for_test_and_test_is_preferred(folder, monkeypatch):
    save(folder / "val" / "cat" / "1.png", RED)
    save(folder / "val" / "dog" / "1.png", RED)
    assert_colours(load(folder).test_images, [WHITE, (5, 6, 7)])
    shutil.rmtree(folder / "test")
    monkeypatch.chdir(folder)
    dataset = load(".")
    assert_colours(dataset.test_images, [RED, RED])
    assert dataset.title == "ImageFolder pets"


def test_jpeg_and_webp(folder):
    save(folder / "test" / "dog" / "3.JPEG", (200, 100, 50), (24, 16))
    save(folder / "test" / "dog" / "4.webp", (200, 100, 50))
    images = load(folder).test_images
    assert images.shape == (4, 8, 8, 3)
    assert np.abs(images[2:].astype(int) - (200, 100, 50)).max() <= 6


@pytest.mark.parametrize(
    ("size", "left", "top"),
    [
        ((8, 8), 0, 0),
        ((13, 8), 2, 0),
        ((14, 8), 3, 0),
        ((15, 8), 4, 0),
        ((8, 11), 0, 2),
    ],
)
def test_the_middle_is_kept(folder, size, left, top):
    # No resizing: pixels must be the original ones; halves round to even.
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width)
    pixels[..., 1] = np.arange(height)[:, None]
    Image.fromarray(pixels).save(folder / "test" / "dog" / "2.png")
    image = load(folder).test_images[1]
    np.testing.assert_array_equal(image, pixels[top : top + 8, left : left + 8])


def triangle(values, size):
    """Antialiased bilinear reduction of a row: a triangle filter as wide as needed."""
    scale = len(values) / size
    centres = (np.arange(size)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(len(values)) + 0.5 - centres) / scale
    weights = np.maximum(1 - distance, 0)
    return weights @ values / weights.sum(1)


@pytest.mark.parametrize("upright", [False, True])
def test_the_shorter_side_is_resized_with_the_bilinear_filter(folder, upright):
    # 40x16 becomes 20x8, of which columns 6 to 13 are kept.
    row = np.random.default_rng(0).integers(0, 256, 40)
    pixels = np.broadcast_to(row[:, None], (16, 40, 3)).astype(np.uint8)
    expected = np.broadcast_to(triangle(row, 20)[6:14, None], (8, 8, 3))
    if upright:
        pixels, expected = pixels.swapaxes(0, 1), expected.swapaxes(0, 1)
    Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "test/dog/2.png")
    image = load(folder).test_images[1]
    np.testing.assert_allclose(image, expected, rtol=0, atol=1)


def test_class_folders_may_be_links(folder, tmp_path):
    before = load(folder)
    (folder / "train" / "dog").rename(tmp_path / "elsewhere")
    (folder / "train" / "dog").symlink_to(tmp_path / "elsewhere")
    (folder / "train" / "cat" / "more" / "deep").rename(tmp_path / "deep")
    (folder / "train" / "cat" / "more" / "deep").symlink_to(tmp_path / "deep")
    assert load(folder).fingerprint == before.fingerprint


# What is refused.


def test_missing_folders(folder, tmp_path):
    assert_refused(tmp_path / "typo", "typo: expected a folder train in it")
    shutil.rmtree(folder / "test")
    assert_refused(folder, f"{folder}: expected a folder test or val in it")
    shutil.rmtree(folder / "train")
    assert_refused(folder, f"{folder}: expected a folder train in it")
    with pytest.raises(UserError, match=r"config\.data_dir is empty"):
        load("")


@pytest.mark.parametrize("classes", [3, 7])
def test_another_number_of_classes(folder, classes):
    words = f"expected {classes} folders", "config.num_classes", "found 2: cat, dog"
    assert_refused(folder, f"{folder / 'train'}: ", *words, classes=classes)


def test_many_classes_are_not_all_listed(folder):
    for name in "efgh":
        (folder / "train" / name).mkdir()
    assert_refused(folder, "found 6: cat, dog, e, f, g, ....")


def test_other_classes_for_testing(folder):
    (folder / "test" / "emu").mkdir()
    assert_refused(folder, f"{folder / 'test'}: ", "found another folder 'emu'")
    (folder / "test" / "emu").rmdir()
    shutil.rmtree(folder / "test" / "dog")
    assert_refused(folder, f"{folder / 'test'}: ", "found no folder 'dog'")


@pytest.mark.parametrize("split", ["train", "test"])
def test_empty_class(folder, split):
    shutil.rmtree(folder / split / "dog")
    (folder / split / "dog").mkdir()
    (folder / split / "dog" / "notes.txt").write_text("no image")
    assert_refused(folder, f"{folder / split / 'dog'}: expected images", "found none")


def test_unreadable_file(folder):
    path = folder / "train" / "dog" / "a.bmp"
    whole = (folder / "train" / "cat" / "z.png").read_bytes()
    for bad in (b"", b"text", whole[: len(whole) // 2], path.read_bytes()[:-50]):
        path.write_bytes(bad)
        assert_refused(folder, f"{path}: expected a readable image")
    path.unlink()
    path.symlink_to(folder / "nowhere")
    assert_refused(folder, f"{path}: expected a readable image", "FileNotFoundError")
    path.unlink()
    os.mkfifo(path)
    assert_refused(folder, f"{path}: expected a readable image, found a pipe")


def test_unreadable_folder(folder, monkeypatch):
    path, scandir = folder / "train" / "cat" / "more", os.scandir

    def refuse(place):
        if os.fspath(place) == str(path):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    assert_refused(folder, f"{path}: expected a readable folder", "PermissionError")


def test_the_first_of_many_bad_files_is_named(folder):
    for number in range(200):
        (folder / "train" / "cat" / f"a{number:03}.png").write_bytes(b"bad")
    assert_refused(folder, f"{folder / 'train' / 'cat' / 'a000.png'}: ")


def test_more_than_8_bits(folder):
    path = folder / "test" / "dog" / "2.png"
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)
    assert_refused(folder, f"{path}: expected 8 bits per channel", "found mode 'I;16'")


def test_other_formats_are_not_tried(folder):
    path = folder / "test" / "dog" / "2.png"
    Image.new("RGB", (8, 8)).save(path, "GIF")
    assert_refused(folder, f"{path}: expected a readable image")


def test_without_pillow(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=re.escape('pip install -e ".[data]"')):
        load(folder)


# What is known before reading.


def test_info_of_an_image_folder():
    info = data.image_folder(64, 7)
    assert (info.name, info.title) == ("imagefolder", "ImageFolder")
    assert (info.image_shape, info.num_classes) == ((64, 64, 3), 7)
    assert (info.input_dim, info.crop_padding, info.flip) == (12_288, 8, True)
    assert info.train_size == info.test_size == datasets.NO_LIMIT
    assert info == data.image_folder(64, 7)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "64"])
@pytest.mark.parametrize("key", ["image_size", "num_classes"])
def test_bad_facts(key, value):
    facts = {"image_size": 64, "num_classes": 7} | {key: value}
    with pytest.raises(UserError, match=rf"config\.{key} is .*an integer at least"):
        # Without the type checker of the test run, as users call it.
        inspect.unwrap(data.image_folder)(**facts)


def test_the_name_alone_is_not_enough():
    for ask in (data.info, data.load):
        with pytest.raises(UserError) as caught:
            ask("imagefolder")
        for word in ("'imagefolder'", "config.image_size", "config.num_classes"):
            assert word in str(caught.value)
    with pytest.raises(UserError, match="Did you mean 'imagefolder'"):
        data.info("image_folder")


def test_range_checks_work_without_known_sizes(monkeypatch):
    monkeypatch.setitem(data.INFO, "some", data.image_folder(8, 3))
    cell = specs.CapacitySpec(dataset="some", train_examples=10**6, batch_size=10**6)
    assert cell.train_examples == 10**6
    for change in ({"train_examples": -1}, {"probe_size": 2**31}, {"batch_size": 0}):
        with pytest.raises(UserError, match="must be an integer"):
            specs.CapacitySpec(dataset="some", **change)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_part_larger_than_the_whole(folder, split):
    dataset = load(folder)
    sizes = {"train": 5, "test": 2}
    with pytest.raises(UserError) as caught:
        data.stratified(dataset, **{f"{split}_examples": sizes[split] + 1})
    for word in (
        f"config.{split}_examples is {sizes[split] + 1}",
        "ImageFolder pets",
        f"0..{sizes[split]}",
    ):
        assert word in str(caught.value)
