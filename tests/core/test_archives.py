"""Sizes are looked at before anything is unpacked."""

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from sparse_gf.core import archives
from sparse_gf.core.archives import UnfitError

MIB = 2**20
BOMB = 2**25


@pytest.fixture(autouse=True)
def little_memory():
    """No test here takes more than a part of what its file unpacks to."""
    tracemalloc.start()
    yield
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < BOMB / 4


def zeros(size):
    """Zeros, gzipped, without being in memory at once."""
    packer = zlib.compressobj(1, wbits=31)
    pieces = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*pieces, packer.flush()])


def write_npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def add_zeros(path, name, head, size):
    """Adds a member of zeros to a zip file."""
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file,
        file.open(name, "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(size // MIB):
            member.write(bytes(MIB))


def npy_head(shape, dtype="|u1"):
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def test_arrays_come_back_and_others_stay_packed(tmp_path):
    arrays = {
        "a": np.arange(12).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.ones((0, 4)),
        "text": np.array("manifest"),
        "big_endian": np.arange(3, dtype=">i4"),
    }
    path = write_npz(tmp_path / "a.npz", **arrays)
    add_zeros(path, "unneeded.npy", npy_head((BOMB,)), BOMB)
    with archives.npz(path) as file:
        assert file.names == [*arrays, "unneeded"]
        assert file.header("unneeded").num_bytes == BOMB
        for name, array in arrays.items():
            found = file.read(name, 1000)
            np.testing.assert_array_equal(found, array)
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.flags.writeable


def cut_head(shape):
    """A header that ends within its shape, which NumPy looks at as a program."""
    head = npy_head(shape)
    bracket = head.index(b"(") + 1
    return head[:bracket] + b" " * (len(head) - bracket)


NPZ_FAULTS = {
    "larger": (npy_head((BOMB,)), BOMB, "array 'x' of 32 MiB, where at most 0.9"),
    "of 10^12": (npy_head((10**6, 10**6), "<f8"), 0, "of 7.28 TiB, where at most"),
    "shorter": (npy_head((100,)), 0, "another length"),
    "longer": (npy_head((100,)), MIB, "another length"),
    "negative": (npy_head((-1, 5)), 0, r"of the shape \(-1, 5\)"),
    "objects": (npy_head((1,), "|O"), 0, "Python objects"),
    "no array": (b"text", 0, "no array of NumPy"),
    "empty": (b"", 0, "no array of NumPy"),
    "an open bracket": (cut_head((100,)), 0, "no array of NumPy"),
    "a long header": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", MIB, "unusual version"),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_members_that_are_no_such_arrays_are_refused(tmp_path, fault):
    head, size, message = NPZ_FAULTS[fault]
    path = tmp_path / "a.npz"
    add_zeros(path, "x.npy", head, size)
    with archives.npz(path) as file, pytest.raises(UnfitError, match=message):
        file.read("x", 1000)


def test_no_memory_is_taken_for_what_a_member_does_not_have(tmp_path):
    path = tmp_path / "a.npz"
    add_zeros(path, "x.npy", npy_head((BOMB,)), 0)
    with archives.npz(path) as file, pytest.raises(UnfitError, match="another length"):
        file.read("x", 2 * BOMB)


def test_other_members_are_no_arrays(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x", b"text")
        file.writestr("y.npy", npy_head((2,)) + b"ab", zipfile.ZIP_BZIP2)
    with archives.npz(path) as file:
        with pytest.raises(KeyError, match="x"):
            file.read("x", 10)
        with pytest.raises(UnfitError, match=r"'y\.npy' packed by method 12"):
            file.read("y", 10)
    for content in (b"", b"text", path.read_bytes()[:40]):
        path.write_bytes(content)
        with pytest.raises(UnfitError, match=r"no \.npz file"), archives.npz(path):
            pass


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "f"
    for content in (b"12345", gzip.compress(b"12345")):
        path.write_bytes(content)
        assert archives.read(path, 5) == b"12345"
        with pytest.raises(UnfitError, match="more than 4 bytes"):
            archives.read(path, 4)
    path.write_bytes(zeros(BOMB))
    with pytest.raises(UnfitError, match="more than 1000 bytes"):
        archives.read(path, 1000)
    path.write_bytes(gzip.compress(bytes(1000))[:-5])
    with pytest.raises(EOFError):
        archives.read(path, 1000)


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (archives.opened, archives.check_stored, lambda p: archives.read(p, 9)):
        with pytest.raises(UnfitError, match="a pipe, a socket or a device"):
            read(tmp_path / "pipe")


LIMITS = {("folder", "a"): 10, ("folder", "b"): 10}


def tar_file(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_only_the_wanted_files_of_a_tar_archive_are_read(tmp_path, mode):
    members = [("./folder/a", b"1"), ("other/b", b"22"), ("folder/b", b"333")]
    path = tar_file(tmp_path / "t", *members, ("folder/c", bytes(100)), mode=mode)
    found = archives.tar_members(path, LIMITS, 10**5)
    assert found == {("folder", "a"): b"1", ("folder", "b"): b"333"}


def test_tar_archives_with_much_in_them_are_refused(tmp_path):
    path = tar_file(tmp_path / "t", ("folder/a", bytes(11)))
    with pytest.raises(UnfitError, match="'folder/a' of 11 bytes, where at most 10"):
        archives.tar_members(path, LIMITS, 10**5)
    info = tarfile.TarInfo("other")
    info.size = BOMB
    path.write_bytes(gzip.compress(info.tobuf()) + zeros(BOMB))
    with pytest.raises(UnfitError, match="more than 1 MiB in it, unpacked"):
        archives.tar_members(path, LIMITS, MIB)
    # A file of holes, as GNU tar writes it: 10 kB that unpack to 4 GB.
    info = tarfile.TarInfo("folder/a")
    info.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"%011o\0" % 2**32
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(bytes(head) + bytes(1024))
    with pytest.raises(UnfitError, match="'folder/a' with holes in it"):
        archives.tar_members(path, LIMITS, MIB)


def test_members_of_a_zip_file_have_limits(tmp_path):
    path = tmp_path / "z"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", bytes(10**6))
    with zipfile.ZipFile(path) as file:
        assert archives.zip_member(file, "a", 10**6) == bytes(10**6)
        with pytest.raises(UnfitError, match="'a' of 977 KiB, where at most"):
            archives.zip_member(file, "a", 1000)
    with pytest.raises(UnfitError, match="its members of 977 KiB"):
        archives.check_stored(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", bytes(1000))
    archives.check_stored(path)
