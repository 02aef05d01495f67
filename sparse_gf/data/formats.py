"""Parsers of single files, and the one error that a bad file raises."""

import contextlib
import gzip
import io
import math
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from sparse_gf.core.errors import UserError
from sparse_gf.data.datasets import DatasetInfo

SPLITS = ("train", "test")
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
PIP_COMMAND = 'pip install -e ".[data]"'


class Arrays(NamedTuple):
    """The four arrays of a data set, as in ``Dataset``."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


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
    except Exception as error:
        # Decoders of damaged input raise almost anything: zlib.error, EOFError,
        # BadZipFile, struct.error, MemoryError for an absurd length, ...
        found = f"{type(error).__name__}: {error}"
        raise wrong(info, path, f"expected {expected}, found {found}") from error


def read_bytes(info: DatasetInfo, path: pathlib.Path) -> bytes:
    """The content of a file, decompressed if it is gzipped, whatever its name."""
    if not os.path.isfile(path):
        raise wrong(info, path, "expected this file, found none")
    with reading(info, path, "a readable file"):
        content = path.read_bytes()
    # None of the uncompressed formats can begin with these two bytes of gzip.
    if content[:2] != b"\x1f\x8b":
        return content
    with reading(info, path, "a complete gzip file"):
        return gzip.decompress(content)


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
    content = read_bytes(info, path)
    magic = bytes([0, 0, 8, len(shape)])
    if content[:4] != magic:
        problem = f"expected the IDX magic {magic.hex()}, found {content[:4].hex()!r}"
        raise wrong(info, path, problem)
    start = 4 + 4 * len(shape)
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


def npz(info: DatasetInfo, path: pathlib.Path) -> tuple[Arrays, bool]:
    """Reads an ``.npz`` of plain arrays or of joined JPEG files.

    Returns:
        The arrays, and whether they were decoded from JPEG.
    """
    content, from_jpeg = _npz_content(info, path)
    decode = _joined_images if from_jpeg else _plain_images
    arrays = []
    for split in SPLITS:
        images = decode(info, path, content, split)
        place = f"{path} ({split}_labels)"
        labels = check_labels(info, place, content[f"{split}_labels"])
        if len(labels) != len(images) or not len(labels):
            problem = f"expected one label per image, found {len(labels)} labels"
            raise wrong(info, place, f"{problem} and {len(images)} images")
        arrays += [images, labels]
    return Arrays(*arrays), from_jpeg


def _npz_content(
    info: DatasetInfo, path: pathlib.Path
) -> tuple[dict[str, np.ndarray], bool]:
    """All arrays of the file, and whether they are those of joined JPEG files."""
    if not zipfile.is_zipfile(path):
        raise wrong(info, path, "expected an .npz file, found another format")
    with (
        reading(info, path, "an .npz file without pickled objects"),
        np.load(path, allow_pickle=False) as file,
    ):
        content = {name: file[name] for name in file}
    from_jpeg = "train_images" not in content and "train_jpeg" in content
    keys = ("jpeg", "offsets", "labels") if from_jpeg else ("images", "labels")
    missing = {f"{split}_{key}" for split in SPLITS for key in keys} - set(content)
    if missing:
        found = ", ".join(sorted(content)) or "nothing"
        problem = f"expected the array {min(missing)!r} in it, found {found}"
        raise wrong(info, path, problem)
    return content, from_jpeg


def _plain_images(
    info: DatasetInfo, path: pathlib.Path, content: dict[str, np.ndarray], split: str
) -> UInt8[np.ndarray, "examples height width channels"]:
    """The images of one split; grey ones may come without a channel axis."""
    images = content[f"{split}_images"]
    found = f"{images.dtype} {list(images.shape)}"
    if images.ndim == 3 and info.image_shape[2] == 1:
        images = images[..., None]
    if images.dtype != np.uint8 or images.shape[1:] != info.image_shape:
        expected = f"uint8 images of {list(info.image_shape)}"
        place = f"{path} ({split}_images)"
        raise wrong(info, place, f"expected {expected}, found {found}")
    return images


def _joined_images(
    info: DatasetInfo, path: pathlib.Path, content: dict[str, np.ndarray], split: str
) -> UInt8[np.ndarray, "examples height width channels"]:
    """Decodes files that were joined into one array: offsets say where each is."""
    joined, offsets = content[f"{split}_jpeg"], content[f"{split}_offsets"]
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


def decode_all(
    info: DatasetInfo, count: int, decode: Callable[[int], np.ndarray]
) -> UInt8[np.ndarray, "examples height width channels"]:
    """Decodes ``count`` images in threads: Pillow lets others run meanwhile.

    Args:
        info: What the images belong to.
        count: Number of images.
        decode: From an index in 0 .. count - 1 to the image. What it raises for the
            lowest index is raised.

    Returns:
        The images in the order of their indices.
    """
    images = np.empty((count, *info.image_shape), np.uint8)

    def fill(index: int) -> None:
        images[index] = decode(index)

    with futures.ThreadPoolExecutor() as pool:
        # What is still waiting is cancelled when one of them raises.
        for _ in pool.map(fill, range(count)):
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
