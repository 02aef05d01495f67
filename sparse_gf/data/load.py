"""The only reader of data sets."""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from sparse_gf.core.errors import UserError
from sparse_gf.core.files import user_path
from sparse_gf.core.types import Dataset
from sparse_gf.data import cifar, datasets, folders, formats, own, tfds, tiny_imagenet
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.data.formats import Arrays


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
        return formats.dataset(info, _digits(info), "embedded")
    if not data_dir and info.in_tfds:
        return formats.dataset(info, *tfds.arrays(info))
    if not data_dir:
        problem = f"it must name local files of {info.title}"
        raise UserError(f"config.data_dir is empty; {problem}. {info.remedy}")
    path = user_path("config.data_dir", data_dir)
    if info.name == datasets.IMAGE_FOLDER:
        folder = os.path.basename(os.path.abspath(path))
        info = dataclasses.replace(info, title=f"{info.title} {folder}")
        return formats.dataset(info, folders.read(info, path), "image files")
    return formats.dataset(info, *_local(info, path))


def reads_files(info: DatasetInfo) -> bool:
    """Whether a data set can be read from a ``data_dir``."""
    return own.is_file(info) if info.fingerprint else info.name != "digits"


def where(name: str, data_dir: str = "") -> str:
    """Says where ``load`` would find a data set, without reading or downloading it.

    ``name`` is one of the keys of ``INFO``, ``data_dir`` as in ``load``.

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
    """What a single file may be: an ``.npz``, or what its folder may hold."""
    if path.suffix == ".npz":
        yield _npz(info, path)
    yield from (own for own in _in_folder(info, path.parent) if own.files == (path,))


def _in_folder(info: DatasetInfo, path: pathlib.Path) -> Iterator[_Candidate]:
    """What a folder may hold, the preferred first."""
    yield _npz(info, path / f"{info.name}.npz")
    if info.name == "fashion_mnist":
        yield _idx_files(info, path)
        yield _idx_files(info, path / info.name)
    for layout in cifar.LAYOUTS.get(info.name, ()):
        names = layout.archive, layout.folder, layout.files
        readers = cifar.archive, cifar.folder
        yield from _official(
            path, f"CIFAR {layout.version}", names, readers, info, layout
        )
    if info.name == "tinyimagenet":
        names = tiny_imagenet.ARCHIVE, tiny_imagenet.FOLDER, tiny_imagenet.LISTS
        readers = tiny_imagenet.archive, tiny_imagenet.folder
        yield from _official(path, "TinyImageNet", names, readers, info)
    yield _npz(info, path / f"{info.name}_jpeg.npz")


def _npz(info: DatasetInfo, path: pathlib.Path) -> _Candidate:
    return _Candidate((path,), lambda: formats.npz(info, path))


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


def _official(
    path: pathlib.Path,
    source: str,
    names: tuple[str, str, tuple[str, ...]],
    readers: tuple[Callable[..., Arrays], Callable[..., Arrays]],
    *known: Any,
) -> Iterator[_Candidate]:
    """An official archive in a folder, its own folder there, or its files themselves.

    ``names`` are those of the archive, of the folder in it, and of the files in that;
    ``readers`` are of the archive and of a folder, and get the path after what is
    ``known``.
    """
    archive, (read_archive, read_folder) = path / names[0], readers
    yield _Candidate(
        (archive,), lambda: (read_archive(*known, archive), f"{source} archive")
    )
    for folder in (path / names[1], path):
        files = tuple(folder / name for name in names[2])
        read = functools.partial(read_folder, *known, folder)
        yield _Candidate(files, lambda read=read: (read(), f"{source} files"))
