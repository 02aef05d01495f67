"""Parsers of the official CIFAR files: the binary and the Python version."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sparse_gf.core import archives
from sparse_gf.data import inert_pickle
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.data.formats import Arrays, check_labels, read_bytes, reading, wrong


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where one published version of a data set keeps its examples.

    Attributes:
        version: ``"binary"`` or ``"python"``.
        archive: The official name of the archive.
        folder: The one folder in it.
        train: Names of the files with training images, of equal size.
        test: The name of the file with test images.
        labels: What each image carries: names of the pickled lists, in the order
            of the label bytes of the binary version. The last one is the class.
    """

    version: str
    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    labels: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All files that hold examples."""
        return (*self.train, self.test)


def _versions(
    number: int,
    folders: tuple[str, str],
    train: Sequence[str],
    test: str,
    labels: tuple[str, ...],
) -> tuple[Layout, ...]:
    """The binary and the Python version of a data set."""
    return tuple(
        Layout(
            version,
            archive=f"cifar-{number}-{version}.tar.gz",
            folder=folder,
            train=tuple(name + suffix for name in train),
            test=test + suffix,
            labels=labels,
        )
        for version, folder, suffix in zip(
            ("binary", "python"), folders, (".bin", ""), strict=True
        )
    )


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cifar10": _versions(
        10,
        ("cifar-10-batches-bin", "cifar-10-batches-py"),
        [f"data_batch_{number}" for number in range(1, 6)],
        "test_batch",
        ("labels",),
    ),
    "cifar100": _versions(
        100,
        ("cifar-100-binary", "cifar-100-python"),
        ["train"],
        "test",
        ("coarse_labels", "fine_labels"),
    ),
}


def folder(info: DatasetInfo, layout: Layout, path: pathlib.Path) -> Arrays:
    """Reads the extracted files of one version."""
    limit = _limit(info)
    files = {name: read_bytes(info, path / name, limit) for name in layout.files}
    return parse(info, layout, path, files)


def archive(info: DatasetInfo, layout: Layout, path: pathlib.Path) -> Arrays:
    """Reads one version from its archive, without writing anything to disk."""
    return parse(info, layout, path, members(info, layout, path, layout.files))


def members(
    info: DatasetInfo, layout: Layout, path: pathlib.Path, names: Collection[str]
) -> dict[str, bytes]:
    """The content of the named files of an archive."""
    limits = {(layout.folder, name): _limit(info) for name in names}
    if not os.path.isfile(path):
        raise wrong(info, path, "expected this file, found none")
    with reading(info, path, "a complete tar archive"):
        files = archives.tar_members(path, limits, total=2 * _limit(info))
    found = {name: content for (_, name), content in files.items()}
    for name in names:
        if name not in found:
            problem = f"expected the file {layout.folder}/{name} in it, found none"
            raise wrong(info, path, problem)
    return found


def _limit(info: DatasetInfo) -> int:
    """More bytes than any file has: all training images, and a tenth for names."""
    return info.train_size * info.input_dim * 11 // 10 + 2**20


def parse(
    info: DatasetInfo, layout: Layout, path: pathlib.Path, files: dict[str, bytes]
) -> Arrays:
    """Turns the content of ``layout.files`` into arrays with the class labels."""
    read: Callable[..., tuple[np.ndarray, np.ndarray]] = (
        binary_batch if layout.version == "binary" else python_batch
    )
    train_count = info.train_size // len(layout.train)
    batches = [
        read(info, layout, path / name, files[name], train_count)
        for name in layout.train
    ]
    test_images, test_labels = read(
        info, layout, path / layout.test, files[layout.test], info.test_size
    )
    return Arrays(
        np.concatenate([images for images, _ in batches]),
        np.concatenate([labels for _, labels in batches]),
        test_images,
        test_labels,
    )


def binary_batch(
    info: DatasetInfo, layout: Layout, path: pathlib.Path, content: bytes, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images and classes of one ``.bin`` file."""
    labels, images = records(info, layout, path, content, count)
    return images, check_labels(info, path, labels[:, -1])


def records(
    info: DatasetInfo, layout: Layout, path: pathlib.Path, content: bytes, count: int
) -> tuple[
    UInt8[np.ndarray, "examples labels"],
    UInt8[np.ndarray, "examples height width channels"],
]:
    """All labels and the images of one ``.bin`` file of ``count`` records."""
    num_labels = len(layout.labels)
    width = num_labels + info.input_dim
    if len(content) != count * width:
        expected = f"{count} records of {width} bytes"
        raise wrong(info, path, f"expected {expected}, found {len(content)} bytes")
    table = np.frombuffer(content, np.uint8).reshape(count, width)
    return table[:, :num_labels], _planes_to_pixels(info, table[:, num_labels:])


def python_batch(
    info: DatasetInfo, layout: Layout, path: pathlib.Path, content: bytes, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images and classes of one pickled batch."""
    with reading(info, path, "a pickled CIFAR batch"):
        batch = inert_pickle.loads(content)
        labels = _integers(batch.get(layout.labels[-1]))
    data = batch.get("data")
    shape = (count, info.input_dim)
    if not isinstance(data, np.ndarray) or data.shape != shape:
        found = getattr(data, "shape", type(data).__name__)
        raise wrong(info, path, f"expected data of shape {shape}, found {found}")
    if len(labels) != count:
        expected = f"a list {layout.labels[-1]!r} of {count} integers"
        raise wrong(info, path, f"expected {expected}, found {len(labels)} integers")
    return _planes_to_pixels(info, data), check_labels(info, path, labels)


def _integers(values: Any) -> np.ndarray:
    """A pickled list of int as an array; empty if it is anything else."""
    is_list = isinstance(values, list) and all(type(value) is int for value in values)
    return np.array(values if is_list else [], dtype=np.int64)


def _planes_to_pixels(
    info: DatasetInfo, rows: UInt8[np.ndarray, "examples values"]
) -> UInt8[np.ndarray, "examples height width channels"]:
    """Reorders rows that hold the red plane, then the green, then the blue one."""
    height, width, channels = info.image_shape
    return rows.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
