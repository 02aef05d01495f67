"""Reader of the official TinyImageNet: its folder, or its zip archive as it is."""

import collections
import os
import pathlib
import posixpath
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from sparse_gf.core import archives
from sparse_gf.data import formats
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.data.formats import Arrays, reading, wrong

ARCHIVE = "tiny-imagenet-200.zip"
FOLDER = "tiny-imagenet-200"
LISTS = ("wnids.txt", "val/val_annotations.txt")
_WNIDS, _ANNOTATIONS = LISTS
_TEST = "val/images"
_LONGEST_LIST = 2**24


class _Store(NamedTuple):
    """The official files; names are relative, with slashes.

    Attributes:
        path: Of the folder, or what it would be in the archive, for messages.
        read: From the name of a file and the most bytes that it may have to its
            content.
        members: From the name of a folder to the names of the files in it.
    """

    path: pathlib.Path
    read: Callable[[str, int], bytes]
    members: Callable[[str], list[str]]


def folder(info: DatasetInfo, path: pathlib.Path) -> Arrays:
    """Reads the extracted files; see ``archive``."""

    def members(name: str) -> list[str]:
        if not os.path.isdir(path / name):
            return []
        with reading(info, path / name, "a readable folder"):
            return os.listdir(path / name)

    def read(name: str, limit: int) -> bytes:
        return formats.read_bytes(info, path / name, limit)

    return _parse(info, _Store(path, read, members))


def archive(info: DatasetInfo, path: pathlib.Path) -> Arrays:
    """Reads the official archive, without writing anything to disk.

    Returns:
        The training images, and the validation images as test images, each in the
        order of their paths (training images class by class). Grey images become RGB.
        Classes are numbered in the sorted order of their names, the wnids, as by
        torchvision's ``ImageFolder``: not in the order of ``wnids.txt``.

    Raises:
        UserError: A file is missing, superfluous or not as expected.
    """
    with reading(info, path, "a complete zip archive"):
        stored = archives.opened(path)
    with stored:
        with reading(info, path, "a complete zip archive"):
            file = zipfile.ZipFile(stored)
        names = collections.defaultdict(list)
        for member in file.namelist():
            parent, name = posixpath.split(member)
            names[parent].append(name)

        def read(name: str, limit: int) -> bytes:
            with reading(info, path / FOLDER / name, "a complete file in the archive"):
                return archives.zip_member(file, f"{FOLDER}/{name}", limit)

        def members(name: str) -> list[str]:
            return names.get(f"{FOLDER}/{name}", [])

        return _parse(info, _Store(path / FOLDER, read, members))


def _parse(info: DatasetInfo, store: _Store) -> Arrays:
    """Checks that all files are there, then decodes the images."""
    wnids = _wnids(info, store)
    splits = [_train_files(info, store, wnids), _test_files(info, store, wnids)]
    decoded = [(_decode(info, store, files), labels) for files, labels in splits]
    return Arrays(*decoded[0], *decoded[1])


def _wnids(info: DatasetInfo, store: _Store) -> list[str]:
    """The names of the classes, sorted."""
    wnids = _text(info, store, _WNIDS).split()
    if len(wnids) != info.num_classes or len(set(wnids)) != len(wnids):
        expected = f"{info.num_classes} different classes"
        found = f"{len(wnids)} names of {len(set(wnids))} classes"
        raise wrong(info, store.path / _WNIDS, f"expected {expected}, found {found}")
    return sorted(wnids)


def _train_files(
    info: DatasetInfo, store: _Store, wnids: list[str]
) -> tuple[list[str], Int32[np.ndarray, "examples"]]:
    """Names of the training images and their labels."""
    count = info.train_size // info.num_classes
    files = [
        file
        for wnid in wnids
        for file in _images(info, store, f"train/{wnid}/images", count)
    ]
    return files, np.repeat(np.arange(len(wnids), dtype=np.int32), count)


def _test_files(
    info: DatasetInfo, store: _Store, wnids: list[str]
) -> tuple[list[str], Int32[np.ndarray, "examples"]]:
    """Names of the validation images and their labels."""
    files = _images(info, store, _TEST, info.test_size)
    labels = _annotations(info, store, wnids)
    for file in sorted(labels.keys() ^ set(files)):
        found = "a line but no file" if file in labels else "no line"
        problem = f"expected one line for every image, found {found} for {file}"
        raise wrong(info, store.path / _ANNOTATIONS, problem)
    return files, np.array([labels[file] for file in files], np.int32)


def _annotations(info: DatasetInfo, store: _Store, wnids: list[str]) -> dict[str, int]:
    """From the name of each validation image to its label.

    Lines have the name of the file, the wnid and a box, between tabs.
    """
    numbers = {wnid: number for number, wnid in enumerate(wnids)}
    labels: dict[str, int] = {}
    lines = _text(info, store, _ANNOTATIONS).splitlines()
    for number, line in enumerate(lines, start=1):
        name, wnid = (*line.split("\t"), "")[:2]
        file = f"{_TEST}/{name}"
        if wnid not in numbers or file in labels:
            expected = f"a new file and a class of {_WNIDS}"
            problem = f"expected {expected} in line {number}, found {line!r}"
            raise wrong(info, store.path / _ANNOTATIONS, problem)
        labels[file] = numbers[wnid]
    return labels


def _images(info: DatasetInfo, store: _Store, parent: str, count: int) -> list[str]:
    """Sorted names of the images in a folder, which must be ``count``."""
    names = [name for name in store.members(parent) if name.endswith(".JPEG")]
    if len(names) != count:
        problem = f"expected {count} JPEG images, found {len(names)}"
        raise wrong(info, store.path / parent, problem)
    return [f"{parent}/{name}" for name in sorted(names)]


def _text(info: DatasetInfo, store: _Store, name: str) -> str:
    """The content of a text file."""
    content = store.read(name, _LONGEST_LIST)
    with reading(info, store.path / name, "a text file"):
        return content.decode()


def _decode(info: DatasetInfo, store: _Store, files: list[str]) -> np.ndarray:
    """The images in these files."""

    def decode(index: int) -> np.ndarray:
        name = files[index]
        encoded = store.read(name, formats.jpeg_limit(info))
        return formats.decode_jpeg(info, store.path / name, encoded)

    return formats.decode_all(info, len(files), decode)
