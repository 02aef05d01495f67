"""The only reader of data sets."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sparse_gf.core.errors import UserError
from sparse_gf.core.files import user_path
from sparse_gf.core.types import Dataset
from sparse_gf.data import cifar, datasets, folders, formats, own, tfds, tiny_imagenet
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.data.formats import Arrays

_JPEG_SOURCE = "JPEG npz file"


def load(name: str | DatasetInfo, data_dir: str = "") -> Dataset:
    """Reads a data set and checks it.

    Args:
        name: One of the keys of ``INFO``, what ``own.from_arrays`` and its like gave,
            or the facts themselves, which is how ``datasets.image_folder`` is given.
        data_dir: A folder with local files, or one such file: an ``.npz`` or, for
            CIFAR and TinyImageNet, an official archive. With more than one kind in
            the folder the first of ``<name>.npz``, official files and
            ``<name>_jpeg.npz`` is taken. Empty means tensorflow-datasets, which
            does not have TinyImageNet. It must be empty for the digits, which are part
            of the package. For an image folder see ``folders.read``.

    Returns:
        The data set. Nothing was written if ``data_dir`` was given.

    Raises:
        UserError: The name is unknown, a file is missing or not as expected, or
            ``data_dir`` would not be read.
    """
    info = name if isinstance(name, DatasetInfo) else datasets.info(name)
    if info.fingerprint:
        return own.read(info, data_dir)
    if data_dir and not reads_files(info):
        raise own.unread(info, data_dir)
    if info.name == "digits":
        return _dataset(info, _digits(info), "embedded")
    if not data_dir and info.in_tfds:
        return _dataset(info, *tfds.arrays(info))
    if not data_dir:
        problem = f"it must name local files of {info.title}"
        raise UserError(f"config.data_dir is empty; {problem}. {info.remedy}")
    path = user_path("config.data_dir", data_dir)
    if info.name == datasets.IMAGE_FOLDER:
        folder = os.path.basename(os.path.abspath(path))
        info = dataclasses.replace(info, title=f"{info.title} {folder}")
        return _dataset(info, folders.read(info, path), "image files")
    return _dataset(info, *_local(info, path))


def reads_files(info: DatasetInfo) -> bool:
    """Whether a data set can be read from a ``data_dir``."""
    return own.is_file(info) if info.fingerprint else info.name != "digits"


def where(name: str, data_dir: str = "") -> str:
    """Says where ``load`` would find a data set, without reading or downloading it.

    Args:
        name: One of the keys of ``INFO``.
        data_dir: See ``load``.

    Returns:
        A few words; empty if it would have to be downloaded, or is not there.
    """
    info = datasets.info(name)
    if info.name == "digits":
        return "in the package"
    if data_dir:
        path = user_path("config.data_dir", data_dir)
        for candidate in _in_folder(info, path):
            if any(map(os.path.isfile, candidate.files)):
                return str(candidate.files[0])
        return ""
    with contextlib.suppress(UserError):  # There may be no home folder.
        prepared = tfds.folder(info)
        return str(prepared) if info.in_tfds and prepared.is_dir() else ""
    return ""


def _dataset(info: DatasetInfo, arrays: Arrays, source: str) -> Dataset:
    """Completes checked arrays to a data set."""
    arrays = Arrays(*map(np.ascontiguousarray, arrays))
    return Dataset(
        name=info.name,
        title=f"{info.title} (JPEG)" if source == _JPEG_SOURCE else info.title,
        **arrays._asdict(),
        num_classes=info.num_classes,
        source=source,
        fingerprint=arrays.fingerprint,
    )


def _digits(info: DatasetInfo) -> Arrays:
    """The embedded digits; of each class every fifth image is for testing."""
    path = pathlib.Path(__file__).with_name("digits.npz")
    with np.load(path, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"].astype(np.int32)
    is_test = np.zeros(len(labels), bool)
    for label in range(info.num_classes):
        is_test[np.flatnonzero(labels == label)[4::5]] = True
    return Arrays(images[~is_test], labels[~is_test], images[is_test], labels[is_test])


class _Candidate(NamedTuple):
    """One way in which a data set may lie on the disk.

    Attributes:
        files: It is there if any of these is; what is missing is then an error.
        read: Reads it: the arrays and their source.
    """

    files: tuple[pathlib.Path, ...]
    read: Callable[[], tuple[Arrays, str]]


def _local(info: DatasetInfo, path: pathlib.Path) -> tuple[Arrays, str]:
    """Reads the first candidate that is there."""
    if os.path.isdir(path):
        candidates = list(_in_folder(info, path))
    else:
        candidates = list(_as_file(info, path))
    for candidate in candidates:
        if any(map(os.path.isfile, candidate.files)):
            return candidate.read()
    if os.path.exists(path):
        expected = [candidate.files[0].name for candidate in _in_folder(info, path)]
        problem = f"expected {' or '.join(dict.fromkeys(expected))}, found none"
    else:
        problem = "expected a folder or a file, found nothing of this name"
    raise formats.wrong(info, path, problem)


def _as_file(info: DatasetInfo, path: pathlib.Path) -> Iterator[_Candidate]:
    """What a single file may be."""
    if path.suffix == ".npz":
        yield _npz(info, path)
    for layout in cifar.LAYOUTS.get(info.name, ()):
        if path.name == layout.archive:
            yield _cifar_archive(info, layout, path)
    if info.name == "tinyimagenet" and path.name == tiny_imagenet.ARCHIVE:
        yield _tiny_imagenet_archive(info, path)


def _in_folder(info: DatasetInfo, path: pathlib.Path) -> Iterator[_Candidate]:
    """What a folder may hold, the preferred first."""
    yield _npz(info, path / f"{info.name}.npz")
    if info.name == "fashion_mnist":
        yield _idx_files(info, path)
        yield _idx_files(info, path / info.name)
    for layout in cifar.LAYOUTS.get(info.name, ()):
        yield _cifar_archive(info, layout, path / layout.archive)
        yield _cifar_folder(info, layout, path / layout.folder)
        yield _cifar_folder(info, layout, path)
    if info.name == "tinyimagenet":
        yield _tiny_imagenet_archive(info, path / tiny_imagenet.ARCHIVE)
        yield _tiny_imagenet_folder(info, path / tiny_imagenet.FOLDER)
        yield _tiny_imagenet_folder(info, path)
    yield _npz(info, path / f"{info.name}_jpeg.npz")


def _npz(info: DatasetInfo, path: pathlib.Path) -> _Candidate:
    def read() -> tuple[Arrays, str]:
        arrays, from_jpeg = formats.npz(info, path)
        return arrays, _JPEG_SOURCE if from_jpeg else "npz file"

    return _Candidate((path,), read)


def _idx_files(info: DatasetInfo, folder: pathlib.Path) -> _Candidate:
    packed = [folder / f"{name}.gz" for name in formats.IDX_FILES]
    plain = [folder / name for name in formats.IDX_FILES]

    def read() -> tuple[Arrays, str]:
        paths = [
            other if os.path.isfile(other) else path
            for path, other in zip(packed, plain, strict=True)
        ]
        return formats.fashion_mnist(info, paths), "IDX files"

    return _Candidate((*packed, *plain), read)


def _cifar_archive(
    info: DatasetInfo, layout: cifar.Layout, path: pathlib.Path
) -> _Candidate:
    source = f"CIFAR {layout.version} archive"
    return _Candidate((path,), lambda: (cifar.archive(info, layout, path), source))


def _cifar_folder(
    info: DatasetInfo, layout: cifar.Layout, path: pathlib.Path
) -> _Candidate:
    files = tuple(path / name for name in layout.files)
    source = f"CIFAR {layout.version} files"
    return _Candidate(files, lambda: (cifar.folder(info, layout, path), source))


def _tiny_imagenet_archive(info: DatasetInfo, path: pathlib.Path) -> _Candidate:
    source = "TinyImageNet archive"
    return _Candidate((path,), lambda: (tiny_imagenet.archive(info, path), source))


def _tiny_imagenet_folder(info: DatasetInfo, path: pathlib.Path) -> _Candidate:
    files = tuple(path / name for name in tiny_imagenet.LISTS)
    source = "TinyImageNet files"
    return _Candidate(files, lambda: (tiny_imagenet.folder(info, path), source))
