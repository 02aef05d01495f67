"""Parsers of single files, and the one error that a bad file raises."""

import contextlib
import hashlib
import io
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from sparse_gf.core import archives
from sparse_gf.core.archives import Npz, UnfitError
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.data.datasets import DatasetInfo

SPLITS = ("train", "test")
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_JPEG = "JPEG npz file"
PIP_COMMAND = 'pip install -e ".[data]"'


class Arrays(NamedTuple):
    """The four arrays of a data set, as in ``Dataset``."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of a SHA-256 over types, shapes and bytes."""
        digest = hashlib.sha256()
        for array in self:
            digest.update(f"{array.dtype} {array.shape} ".encode())
            digest.update(array.data)
        return digest.hexdigest()[:16]


def dataset(info: DatasetInfo, arrays: Arrays, source: str) -> Dataset:
    """Completes checked arrays to a data set."""
    arrays = Arrays(*map(np.ascontiguousarray, arrays))
    return Dataset(
        name=info.name,
        title=f"{info.title} (JPEG)" if source == _JPEG else info.title,
        **arrays._asdict(),
        num_classes=info.num_classes,
        source=source,
        fingerprint=info.fingerprint or arrays.fingerprint,
    )


def wrong(info: DatasetInfo, path: object, problem: str) -> UserError:
    """Makes the error for one bad file: which, what is wrong, what to do."""
    return UserError(f"{path}: {problem}. {info.remedy}")


@contextlib.contextmanager
def reading(info: DatasetInfo, path: object, expected: str) -> Iterator[None]:
    """Turns whatever a decoder raises on a damaged file into one UserError."""
    try:
        yield
    except UserError:
        raise
    except UnfitError as error:
        raise wrong(info, path, f"expected {expected}, found {error}") from error
    except Exception as error:
        # Decoders of damaged input raise almost anything: zlib.error, EOFError,
        # BadZipFile, struct.error, MemoryError for an absurd length, ...
        found = f"{type(error).__name__}: {error}"
        raise wrong(info, path, f"expected {expected}, found {found}") from error


def read_bytes(info: DatasetInfo, path: pathlib.Path, limit: int) -> bytes:
    """The content of a file of at most ``limit`` bytes, unpacked if it is gzipped.

    Raises:
        UserError: If there is no such file, or it is damaged or larger.
    """
    if not os.path.isfile(path):
        raise wrong(info, path, "expected this file, found none")
    with reading(info, path, f"a readable file, at most {limit} bytes of content"):
        return archives.read(path, limit)


def check_labels(
    info: DatasetInfo, path: object, labels: np.ndarray
) -> Int32[np.ndarray, "examples"]:
    """The labels as int32, once they are known to be classes."""
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        found = f"{labels.dtype} {list(labels.shape)}"
        raise wrong(info, path, f"expected a list of integer labels, found {found}")
    if labels.size and not 0 <= labels.min() <= labels.max() < info.num_classes:
        found = f"{labels.min()} to {labels.max()}"
        allowed = f"0 to {info.num_classes - 1}"
        raise wrong(info, path, f"expected labels {allowed}, found {found}")
    return labels.astype(np.int32)


def idx(
    info: DatasetInfo, path: pathlib.Path, shape: tuple[int, ...]
) -> UInt8[np.ndarray, "..."]:
    """Reads one IDX file of bytes, which must have exactly this shape.

    The format: two zero bytes, the element type (8 = unsigned byte), the number
    of dimensions, each dimension as a big-endian uint32, then the elements.
    """
    start = 4 + 4 * len(shape)
    content = read_bytes(info, path, start + math.prod(shape))
    magic = bytes([0, 0, 8, len(shape)])
    if content[:4] != magic:
        problem = f"expected the IDX magic {magic.hex()}, found {content[:4].hex()!r}"
        raise wrong(info, path, problem)
    found = tuple(
        int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)
    )
    if found != shape:
        raise wrong(info, path, f"expected the shape {shape}, found {found}")
    if len(content) != start + math.prod(shape):
        expected = start + math.prod(shape)
        raise wrong(info, path, f"expected {expected} bytes, found {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def fashion_mnist(info: DatasetInfo, paths: list[pathlib.Path]) -> Arrays:
    """Reads the four files of Fashion-MNIST, in the order of ``IDX_FILES``."""
    arrays = []
    sizes = (info.train_size, info.test_size)
    for size, images, labels in zip(sizes, paths[::2], paths[1::2], strict=True):
        arrays.append(idx(info, images, (size, *info.image_shape[:2]))[..., None])
        arrays.append(check_labels(info, labels, idx(info, labels, (size,))))
    return Arrays(*arrays)


def npz(info: DatasetInfo, path: pathlib.Path) -> tuple[Arrays, str]:
    """Reads an ``.npz`` of plain arrays or of joined JPEG files.

    Other arrays in it are not looked at, and none is unpacked before its header has
    been found right.

    Returns:
        The arrays, and their source in words.
    """
    with (
        reading(info, path, "an .npz file without pickled objects"),
        archives.npz(path) as file,
    ):
        from_jpeg = _is_joined(info, path, file)
        arrays = []
        for split, most in zip(SPLITS, (info.train_size, info.test_size), strict=True):
            kinds = ("offsets",) if from_jpeg else ("images",)
            for kind in (*kinds, "labels"):
                _check_count(info, path, file, f"{split}_{kind}", most)
            images = (_joined_images if from_jpeg else _plain_images)(
                info, path, file, split
            )
            place = f"{path} ({split}_labels)"
            stored = file.read(f"{split}_labels", 8 * most)
            labels = check_labels(info, place, stored)
            if len(labels) != len(images) or not len(labels):
                problem = f"expected one label per image, found {len(labels)} labels"
                raise wrong(info, place, f"{problem} and {len(images)} images")
            arrays += [images, labels]
    return Arrays(*arrays), _JPEG if from_jpeg else "npz file"


def _is_joined(info: DatasetInfo, path: pathlib.Path, file: Npz) -> bool:
    """Whether the file has joined JPEG files; it must have all arrays of one kind."""
    joined = "train_images" not in file.names and "train_jpeg" in file.names
    keys = ("jpeg", "offsets", "labels") if joined else ("images", "labels")
    wanted = {f"{split}_{key}" for split in SPLITS for key in keys}
    if missing := wanted - {*file.names}:
        found = ", ".join(sorted(file.names)[:20]) or "nothing"
        problem = f"expected the array {min(missing)!r} in it, found {found}"
        raise wrong(info, path, problem)
    return joined


def _check_count(
    info: DatasetInfo, path: pathlib.Path, file: Npz, name: str, most: int
) -> None:
    """Refuses an array with more entries than the data set has examples."""
    most += name.endswith("offsets")
    count = (*file.header(name).shape, 0)[0]
    if count > most:
        problem = f"expected at most {most} entries, found {count}"
        raise wrong(info, f"{path} ({name})", problem)


def _plain_images(
    info: DatasetInfo, path: pathlib.Path, file: Npz, split: str
) -> UInt8[np.ndarray, "examples height width channels"]:
    """The images of one split; grey ones may come without a channel axis."""
    name = f"{split}_images"
    shape, _, dtype = header = file.header(name)
    plain = (*shape, 1) if len(shape) == 3 and info.image_shape[2] == 1 else shape
    if dtype != np.uint8 or plain[1:] != info.image_shape:
        expected = f"uint8 images of {list(info.image_shape)}"
        problem = f"expected {expected}, found {dtype} {list(shape)}"
        raise wrong(info, f"{path} ({name})", problem)
    return file.read(name, header.num_bytes).reshape(plain)


def _joined_images(
    info: DatasetInfo, path: pathlib.Path, file: Npz, split: str
) -> UInt8[np.ndarray, "examples height width channels"]:
    """Decodes files that were joined into one array: offsets say where each is."""
    length = math.prod(file.header(f"{split}_offsets").shape[:1])
    offsets = file.read(f"{split}_offsets", 8 * length)
    joined = file.read(f"{split}_jpeg", max(1, length) * jpeg_limit(info))
    place = f"{path} ({split}_offsets)"
    if (
        joined.dtype != np.uint8
        or not np.issubdtype(offsets.dtype, np.integer)
        or (joined.ndim, offsets.ndim) != (1, 1)
        or offsets[:1].tolist() != [0]
        or offsets[-1:].tolist() != [len(joined)]
        or np.any(offsets[1:] < offsets[:-1])
    ):
        expected = f"increasing integers from 0 to {joined.size}"
        raise wrong(info, place, f"expected {expected}, found {offsets!r}")

    def decode(index: int) -> np.ndarray:
        piece = joined[offsets[index] : offsets[index + 1]].tobytes()
        return decode_jpeg(info, f"{path} ({split} image {index})", piece)

    return decode_all(info, len(offsets) - 1, decode)


def jpeg_limit(info: DatasetInfo) -> int:
    """The most bytes of one image's JPEG file: twice its pixels, 8 KiB for headers."""
    return 2 * info.input_dim + 2**13


def decode_all(
    info: DatasetInfo, count: int, decode: Callable[[int], np.ndarray]
) -> UInt8[np.ndarray, "examples height width channels"]:
    """Decodes ``count`` images in threads: Pillow lets others run meanwhile.

    A task is many images, since handing one over takes longer than decoding it.

    Args:
        info: What the images belong to.
        count: Number of images.
        decode: From an index in 0 .. count - 1 to the image. What it raises for the
            lowest index is raised.

    Returns:
        The images in the order of their indices.
    """
    images = np.empty((count, *info.image_shape), np.uint8)
    at_once = 1000

    def fill(start: int) -> None:
        for index in range(start, min(start + at_once, count)):
            images[index] = decode(index)

    with futures.ThreadPoolExecutor() as pool:
        # What is still waiting is cancelled when one of them raises.
        for _ in pool.map(fill, range(0, count, at_once)):
            pass
    return images


def pillow(place: object) -> Any:
    """The module ``PIL.Image``, which is needed to decode ``place``."""
    try:
        from PIL import Image
    except ImportError as error:
        problem = f"Pillow is needed to decode {place}; run: {PIP_COMMAND}"
        raise UserError(problem) from error
    return Image


def decode_jpeg(
    info: DatasetInfo, place: object, encoded: bytes
) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes one JPEG file, which must have the size of the data set's images."""
    opener = pillow(place)
    height, width, channels = info.image_shape
    with (
        reading(info, place, "a JPEG image"),
        opener.open(io.BytesIO(encoded), formats=["JPEG"]) as image,
    ):
        if image.size != (width, height):
            expected = f"{width}x{height} pixels"
            found = "x".join(map(str, image.size))
            raise wrong(info, place, f"expected {expected}, found {found}")
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(info.image_shape)
