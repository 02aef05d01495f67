"""Reader of any folder of images in the layout of torchvision's ``ImageFolder``."""

import os
import pathlib
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Int32, UInt8

from sparse_gf.core import archives
from sparse_gf.data import formats
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.data.formats import Arrays, reading, wrong

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".ppm",
    ".pgm",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
)
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
_TEST_FOLDERS = ("test", "val")


def read(info: DatasetInfo, path: pathlib.Path) -> Arrays:
    """Reads ``train/CLASS/`` and ``test/CLASS/``, or without ``test/`` ``val/CLASS/``.

    All files below a class's folder that end in one of ``SUFFIXES``, in small or
    capital letters, are its images. Each is converted to RGB (alpha is dropped),
    resized with Pillow's antialiased bilinear filter so that its shorter side has the
    wanted size, and cropped to the central square, as torchvision's
    ``Resize(size)`` and ``CenterCrop(size)`` do by default.

    Returns:
        Images class by class, in torchvision's order: of the paths of their folders,
        then of their names. Classes are numbered in the sorted order of their names.

    Raises:
        UserError: A folder is missing; there are not ``info.num_classes`` classes, or
            others for testing; a class is empty; a file cannot be decoded or has more
            than 8 bits per channel where 8 would not show it.
    """
    train = path / "train"
    others = [path / name for name in _TEST_FOLDERS]
    test = next(filter(os.path.isdir, others), others[0])
    for split, expected in ((train, "train"), (test, " or ".join(_TEST_FOLDERS))):
        if not os.path.isdir(split):
            raise wrong(info, path, f"expected a folder {expected} in it, found none")
    classes = _classes(info, train)
    if len(classes) != info.num_classes:
        expected = f"{info.num_classes} folders, one per class (config.num_classes)"
        problem = f"expected {expected}, found {len(classes)}: {_few(classes)}"
        raise wrong(info, train, problem)
    for name in sorted(set(classes) ^ set(_classes(info, test))):
        found = f"{'no' if name in classes else 'another'} folder {name!r}"
        raise wrong(info, test, f"expected the classes of {train}, found {found}")
    return Arrays(*_split(info, train, classes), *_split(info, test, classes))


def _few(names: list[str]) -> str:
    """The first five names."""
    return ", ".join([*names[:5], "..."] if len(names) > 5 else names) or "none"


def _classes(info: DatasetInfo, split: pathlib.Path) -> list[str]:
    """Sorted names of the folders in a folder."""
    with reading(info, split, "a readable folder"), os.scandir(split) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _split(
    info: DatasetInfo, split: pathlib.Path, classes: list[str]
) -> tuple[
    UInt8[np.ndarray, "examples height width channels"],
    Int32[np.ndarray, "examples"],
]:
    """Images and labels of one split."""
    files = [_files(info, split / name) for name in classes]
    flat = [file for group in files for file in group]
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), [*map(len, files)])
    images = formats.decode_all(
        info, len(flat), lambda index: _decode(info, flat[index])
    )
    return images, labels


def _files(info: DatasetInfo, folder: pathlib.Path) -> list[pathlib.Path]:
    """All images below a class's folder, of which there must be one."""

    def fail(error: OSError) -> NoReturn:
        with reading(info, error.filename, "a readable folder"):
            raise error

    found = [
        pathlib.Path(parent, name)
        for parent, _, names in sorted(os.walk(folder, onerror=fail, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(SUFFIXES)
    ]
    if not found:
        raise wrong(
            info, folder, f"expected images ({', '.join(SUFFIXES)}), found none"
        )
    return found


def _decode(
    info: DatasetInfo, path: pathlib.Path
) -> UInt8[np.ndarray, "height width channels"]:
    """One image as a square of the wanted size."""
    opener = formats.pillow(path)
    with (
        reading(info, path, "a readable image"),
        archives.opened(path) as file,
        opener.open(file, formats=_FORMATS) as image,
    ):
        # Pillow would clip these to 255 and not scale them.
        if image.mode.startswith(("I", "F")):
            expected = "8 bits per channel"
            raise wrong(info, path, f"expected {expected}, found mode {image.mode!r}")
        bilinear = opener.Resampling.BILINEAR
        return np.asarray(_square(image.convert("RGB"), info.image_shape[0], bilinear))


def _square(image: Any, size: int, resampling: Any) -> Any:
    """Resizes the shorter side to ``size`` and keeps the middle of the longer one."""
    shorter = min(image.size)
    width, height = (size * length // shorter for length in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    box = (left, top, left + size, top + size)
    return image.resize((width, height), resampling).crop(box)
