"""Files of other people: what they say of their sizes is compared with what is needed.

A file of some kB can unpack to more than a machine's memory. The functions here are
told how much is needed, look at headers first, and unpack no more than that.
"""

import contextlib
import gzip
import math
import os
import stat
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from sparse_gf.core import words

_GZIP = b"\x1f\x8b"
_PIECE = 2**20


UNREADABLE = (
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy, zlib and checks raise for a damaged or foreign file. Running out of
memory is none of these."""


class UnfitError(ValueError):
    """A file or a part of it that is of another kind or size than is needed."""


class Header(NamedTuple):
    """What an ``.npy`` file says of its array, which has no Python objects."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype

    @property
    def num_bytes(self) -> int:
        """The array's size."""
        return math.prod(self.shape) * self.dtype.itemsize


class Npz:
    """The arrays of an ``.npz`` file; those that are not asked for stay packed.

    Attributes:
        names: Of all members, without the suffix ``.npy``.
    """

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self.names = [name.removesuffix(".npy") for name in archive.namelist()]

    def header(self, name: str) -> Header:
        """Reads what a member says of its array.

        Raises:
            KeyError: If there is no such member.
            UnfitError: If it is no array, or one of Python objects.
        """
        with self._member(name) as file:
            return _npy_header(name, file)

    def read(self, name: str, limit: int) -> np.ndarray:
        """Reads an array of at most ``limit`` bytes.

        Raises:
            KeyError: If there is no such member.
            UnfitError: If it is no array, one of Python objects, or larger.
        """
        with self._member(name) as file:
            header = _npy_header(name, file)
            _check_size(f"the array {name!r}", header.num_bytes, limit)
            if header.num_bytes > self._archive.getinfo(f"{name}.npy").file_size:
                raise UnfitError(f"{name!r} of another length than its header says")
            content = bytearray(header.num_bytes)
            if _fill(file, content) or file.read(1):
                raise UnfitError(f"{name!r} of another length than its header says")
        order = "F" if header.fortran_order else "C"
        return np.ndarray(header.shape, header.dtype, content, order=order)

    def _member(self, name: str) -> IO[bytes]:
        try:
            info = self._archive.getinfo(f"{name}.npy")
        except KeyError:
            raise KeyError(name) from None
        return open_member(self._archive, info)


def opened(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a file to read it, which must be one: reading a pipe would never end.

    Raises:
        OSError: If it cannot be opened.
        UnfitError: If it is a pipe, a socket or a device.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UnfitError("a pipe, a socket or a device")
    return open(path, "rb")


def read(path: str | os.PathLike[str], limit: int) -> bytes:
    """Reads a file of at most ``limit`` bytes, unpacked if it is gzipped.

    Raises:
        OSError: If it cannot be read; ``EOFError`` or ``zlib.error`` if it is damaged.
        UnfitError: If it is larger, or no file.
    """
    with unpacked(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UnfitError(f"more than {limit} bytes")
    return content


@contextlib.contextmanager
def unpacked(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Opens a file to read what it holds, unpacked if it is gzipped, whatever its name.

    Raises:
        OSError: If it cannot be opened.
        UnfitError: If it is no file.
    """
    with opened(path) as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as content:
                yield content  # pyright: ignore[reportReturnType]
        else:
            yield file


@contextlib.contextmanager
def npz(path: str | os.PathLike[str]) -> Iterator[Npz]:
    """Opens an ``.npz`` file.

    Raises:
        OSError: If it cannot be opened.
        UnfitError: If it has another format.
    """
    with opened(path) as file:
        # NumPy would take other files for arrays or pickles.
        if not zipfile.is_zipfile(file):
            # An error of reading is the same to zipfile, and is raised here.
            file.seek(0)
            while file.read(_PIECE):
                pass
            raise UnfitError("no .npz file, or one whose end is missing")
        with zipfile.ZipFile(file) as archive:
            yield Npz(archive)


def open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Opens a member of a zip file; no more can be read of it than its header says.

    Raises:
        UnfitError: If it is packed in an unusual way.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnfitError(f"{info.filename!r} packed by method {info.compress_type}")
    return archive.open(info)


def zip_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Reads a member of a zip file of at most ``limit`` bytes.

    Raises:
        KeyError: If there is no such member.
        UnfitError: If it is larger, or packed in an unusual way.
    """
    info = archive.getinfo(name)
    _check_size(repr(name), info.file_size, limit)
    with open_member(archive, info) as file:
        return file.read()


def tar_members(
    path: str | os.PathLike[str], limits: Mapping[tuple[str, str], int], total: int
) -> dict[tuple[str, str], bytes]:
    """Reads files out of a tar archive, which may be gzipped.

    Args:
        path: The archive's.
        limits: The most bytes of each file, by the names of its folder and of itself.
        total: The most bytes of the whole archive, unpacked.

    Returns:
        The contents of those that are there. Links are not followed.

    Raises:
        OSError: If the archive cannot be opened; ``tarfile.TarError``, ``EOFError`` or
            ``zlib.error`` if it is damaged.
        UnfitError: If a file or the whole is larger.
    """
    found = {}
    with unpacked(path) as file:
        content: Any = _Limited(file, total)
        with tarfile.open(fileobj=content, mode="r|") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                key = folder.rpartition("/")[2], name
                if not member.isfile() or key not in limits:
                    continue
                if member.issparse():
                    raise UnfitError(f"{member.name!r} with holes in it")
                _check_size(repr(member.name), member.size, limits[key])
                if piece := tar.extractfile(member):
                    found[key] = piece.read()
        while content.read(_PIECE):
            pass  # The check sum is at the end.
    return found


def check_stored(path: str | os.PathLike[str]) -> None:
    """Refuses a zip file that would unpack to more than its own size.

    Raises:
        OSError: If it cannot be opened.
        UnfitError: If it would.
    """
    with opened(path) as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                size = sum(info.file_size for info in archive.infolist())
            _check_size("its members", size, os.fstat(file.fileno()).st_size)


class _Limited:
    """A file from which at most so many bytes can be read."""

    def __init__(self, file: IO[bytes], limit: int):
        self._file = file
        self._limit = self._left = limit

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise UnfitError(f"more than {words.memory(self._limit)} in it, unpacked")
        return content


def _npy_header(name: str, file: IO[bytes]) -> Header:
    """What comes before an array; later versions have headers of any length."""
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise UnfitError(f"{name!r} of an unusual version of .npy")
        header = Header(*np.lib.format.read_array_header_1_0(file))
    except UnfitError:
        raise
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise UnfitError(f"{name!r}, which is no array of NumPy") from error
    if min(header.shape, default=0) < 0:
        raise UnfitError(f"{name!r} of the shape {header.shape}")
    if header.dtype.hasobject:
        raise UnfitError(f"{name!r} with Python objects, which are not unpickled")
    return header


def _fill(file: IO[bytes], content: bytearray) -> int:
    """Reads into memory as long as there is something; returns what is missing."""
    rest = memoryview(content)
    while rest:
        count = file.readinto(rest[:_PIECE])  # pyright: ignore[reportAttributeAccessIssue]
        if not count:
            break
        rest = rest[count:]
    return len(rest)


def _check_size(what: str, size: int, limit: int) -> None:
    if size > limit:
        most = f"at most {words.memory(limit)} are needed"
        raise UnfitError(f"{what} of {words.memory(size)}, where {most}")
