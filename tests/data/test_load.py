import dataclasses
import gzip
import io
import os
import pathlib
import pickle
import re
import struct
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from sparse_gf import data
from sparse_gf.core import archives
from sparse_gf.core.errors import UserError

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
SIZES = {"fashion_mnist": (12, 4), "cifar10": (10, 4), "cifar100": (6, 3)}
NAMES = tuple(SIZES)


@pytest.fixture(autouse=True)
def small(monkeypatch, request):
    """Official sizes become small ones, except for the tests of real files."""
    if request.node.name.startswith("test_real"):
        return
    for name, (train, test) in SIZES.items():
        info = dataclasses.replace(data.INFO[name], train_size=train, test_size=test)
        monkeypatch.setitem(data.INFO, name, info)


def make(name, seed=0):
    """Random arrays of a data set's small size; labels reach both ends."""
    rng = np.random.default_rng(seed)
    shape = (28, 28, 1) if name == "fashion_mnist" else (32, 32, 3)
    classes = 100 if name == "cifar100" else 10
    arrays = {}
    for split, size in zip(("train", "test"), SIZES[name], strict=True):
        images = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
        labels = rng.integers(0, classes, size, dtype=np.uint8)
        labels[:2] = 0, classes - 1
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays


# Writers of the official formats, from their published descriptions.


def idx(array):
    dimensions = struct.pack(f">{array.ndim}I", *array.shape)
    return struct.pack(">HBB", 0, 8, array.ndim) + dimensions + array.tobytes()


def write_idx(folder, arrays, packed=True):
    folder.mkdir(exist_ok=True, parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for kind, suffix in (("images", "images-idx3"), ("labels", "labels-idx1")):
            array = arrays[f"{split}_{kind}"]
            content = idx(array[..., 0] if kind == "images" else array)
            path = folder / f"{prefix}-{suffix}-ubyte"
            if packed:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)


def planes(images):
    """Each image as 3,072 bytes: all red ones, all green ones, all blue ones."""
    return [b"".join(image[:, :, c].tobytes() for c in range(3)) for image in images]


def binary(images, labels, coarse):
    """Records of the binary version; CIFAR-100 has a coarse label in front."""
    return b"".join(
        (b"\x07" if coarse else b"") + bytes([label]) + plane
        for label, plane in zip(labels, planes(images), strict=True)
    )


def pickled(images, labels, coarse, protocol=2):
    """A batch as Python 3 pickles it."""
    rows = np.stack([np.frombuffer(plane, np.uint8) for plane in planes(images)])
    name = b"fine_labels" if coarse else b"labels"
    batch = {b"data": rows, name: labels.tolist(), b"batch_label": b"a batch"}
    if coarse:
        batch[b"coarse_labels"] = [7] * len(labels)
    return pickle.dumps(batch, protocol=protocol)


def pickled_by_python_2(images, labels, coarse):
    """The opcodes of the official files: protocol 2, strings of Python 2."""
    content = b"".join(planes(images))
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    name = b"fine_labels" if coarse else b"labels"
    rows = b"M" + struct.pack("<H", len(images))
    return b"".join(
        [
            b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x07a batchq\x03",
            b"U" + bytes([len(name)]) + name + b"]q\x05(" + numbers + b"e",
            b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07",
            b"cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09",
            b"(K\x01" + rows + b"M\x00\x0c\x86",
            b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b",
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T" + struct.pack("<I", len(content)) + content + b"tbu.",
        ]
    )


WRITERS = {
    "binary": binary,
    "python": pickled,
    "python-2": pickled_by_python_2,
    "python-protocol-4": lambda *batch: pickled(*batch, protocol=4),
}
FOLDERS = {
    ("cifar10", "binary"): "cifar-10-batches-bin",
    ("cifar10", "python"): "cifar-10-batches-py",
    ("cifar100", "binary"): "cifar-100-binary",
    ("cifar100", "python"): "cifar-100-python",
}
ARCHIVES = {
    ("cifar10", "binary"): "cifar-10-binary.tar.gz",
    ("cifar10", "python"): "cifar-10-python.tar.gz",
    ("cifar100", "binary"): "cifar-100-binary.tar.gz",
    ("cifar100", "python"): "cifar-100-python.tar.gz",
}


def cifar_files(name, writer, arrays):
    """The official file names and their content."""
    end = ".bin" if writer == "binary" else ""
    coarse = name == "cifar100"
    images, labels = arrays["train_images"], arrays["train_labels"]
    test = WRITERS[writer](arrays["test_images"], arrays["test_labels"], coarse)
    if coarse:
        return {
            f"train{end}": WRITERS[writer](images, labels, coarse),
            f"test{end}": test,
        }
    batches = {
        f"data_batch_{n + 1}{end}": WRITERS[writer](
            images[2 * n : 2 * n + 2], labels[2 * n : 2 * n + 2], coarse
        )
        for n in range(5)
    }
    return batches | {f"test_batch{end}": test}


def write_files(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def write_archive(path, folder, files):
    with tarfile.open(path, "w:gz") as tar:
        root = tarfile.TarInfo("./")
        root.type = tarfile.DIRTYPE
        tar.addfile(root)
        for name, content in {"readme.html": b"hello", **files}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_cifar(folder, name, version, arrays, writer=None):
    """Writes the archive of one version."""
    files = cifar_files(name, writer or version, arrays)
    path = folder / ARCHIVES[name, version]
    write_archive(path, FOLDERS[name, version], files)
    return path


def write_jpeg(path, name, colours):
    """Images of one colour each, which JPEG keeps nearly."""
    image = pytest.importorskip("PIL.Image")
    size, mode = ((28, 28), "L") if name == "fashion_mnist" else ((32, 32), "RGB")
    arrays = {}
    for split, values in colours.items():
        pieces = []
        for value in values:
            buffer = io.BytesIO()
            image.new(mode, size, value).save(buffer, "JPEG", quality=95)
            pieces.append(buffer.getvalue())
        arrays[f"{split}_jpeg"] = np.frombuffer(b"".join(pieces), np.uint8)
        arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, pieces)])
        arrays[f"{split}_labels"] = np.arange(len(values), dtype=np.uint8)
    np.savez(path, **arrays)
    return arrays


COLOURS = {"train": [(250, 10, 10), (10, 250, 10)], "test": [(10, 10, 250)]}


def assert_same(dataset, arrays):
    for key, expected in arrays.items():
        found = getattr(dataset, key)
        assert found.dtype == (np.uint8 if "images" in key else np.int32), key
        assert found.flags.c_contiguous, key
        np.testing.assert_array_equal(found, expected, err_msg=key)


def state(folder):
    """All that a reader could change in a folder."""
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    }


def assert_refused(name, path, *words, folder=None):
    """One UserError with these words and the remedy; the folder stays as it is."""
    folder = folder or (path if path.is_dir() else path.parent)
    before = state(folder)
    with pytest.raises(UserError) as caught:
        data.load(name, str(path))
    for word in (*words, "config.data_dir", "tensorflow-datasets", "https://"):
        assert word in str(caught.value), str(caught.value)
    assert state(folder) == before


# What can be read.


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["", "fashion_mnist"])
def test_idx_files(tmp_path, packed, place):
    arrays = make("fashion_mnist")
    write_idx(tmp_path / place, arrays, packed)
    dataset = data.load("fashion_mnist", str(tmp_path))
    assert_same(dataset, arrays)
    assert (dataset.title, dataset.source) == ("Fashion-MNIST", "IDX files")
    assert dataset.num_classes == 10


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("place", ["archive", "archive itself", "folder", "in folder"])
def test_cifar(tmp_path, name, writer, place):
    arrays = make(name)
    version = writer.split("-")[0]
    path = tmp_path
    if "archive" in place:
        file = write_cifar(tmp_path, name, version, arrays, writer)
        path = file if place == "archive itself" else tmp_path
    else:
        folder = tmp_path / FOLDERS[name, version]
        write_files(folder, cifar_files(name, writer, arrays))
        path = folder if place == "in folder" else tmp_path
    before = state(tmp_path)
    dataset = data.load(name, str(path))
    assert_same(dataset, arrays)
    kind = "archive" if "archive" in place else "files"
    assert dataset.source == f"CIFAR {version} {kind}"
    assert dataset.num_classes == (100 if name == "cifar100" else 10)
    assert state(tmp_path) == before


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_npz(tmp_path, name, itself):
    arrays = make(name)
    arrays = {key: array[:3] for key, array in arrays.items()}
    path = tmp_path / ("other.npz" if itself else f"{name}.npz")
    np.savez_compressed(path, **arrays)
    dataset = data.load(name, str(path if itself else tmp_path))
    assert_same(dataset, arrays)
    assert dataset.source == "npz file"


def test_npz_of_grey_images_without_channel_axis(tmp_path):
    arrays = make("fashion_mnist")
    flat = {k: a[..., 0] if "images" in k else a for k, a in arrays.items()}
    np.savez(tmp_path / "fashion_mnist.npz", **flat)
    assert_same(data.load("fashion_mnist", str(tmp_path)), arrays)


def test_jpeg_npz(tmp_path):
    write_jpeg(tmp_path / "cifar10_jpeg.npz", "cifar10", COLOURS)
    for path in (tmp_path, tmp_path / "cifar10_jpeg.npz"):
        dataset = data.load("cifar10", str(path))
        assert dataset.title == "CIFAR-10 (JPEG)"
        assert dataset.source == "JPEG npz file"
        assert dataset.train_images.shape == (2, 32, 32, 3)
        for images, split in (
            (dataset.train_images, "train"),
            (dataset.test_images, "test"),
        ):
            expected = np.array(COLOURS[split])[:, None, None, :]
            assert np.abs(images.astype(int) - expected).max() <= 4
        np.testing.assert_array_equal(dataset.train_labels, [0, 1])


def test_grey_jpeg_npz(tmp_path):
    colours = {"train": [200, 30], "test": [120]}
    write_jpeg(tmp_path / "fashion_mnist_jpeg.npz", "fashion_mnist", colours)
    dataset = data.load("fashion_mnist", str(tmp_path))
    assert dataset.train_images.shape == (2, 28, 28, 1)
    assert np.abs(dataset.train_images[1].astype(int) - 30).max() <= 4


def test_preferred_files(tmp_path):
    write_jpeg(tmp_path / "cifar10_jpeg.npz", "cifar10", COLOURS)
    assert data.load("cifar10", str(tmp_path)).source == "JPEG npz file"
    write_cifar(tmp_path, "cifar10", "python", make("cifar10", 1))
    assert data.load("cifar10", str(tmp_path)).source == "CIFAR python archive"
    write_cifar(tmp_path, "cifar10", "binary", make("cifar10", 2))
    assert data.load("cifar10", str(tmp_path)).source == "CIFAR binary archive"
    np.savez(tmp_path / "cifar10.npz", **make("cifar10", 3))
    dataset = data.load("cifar10", str(tmp_path))
    assert_same(dataset, make("cifar10", 3))


def test_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "cifar10.npz", **make("cifar10"))
    assert data.load("cifar10", "~").source == "npz file"


def test_fingerprint_tells_contents_not_sources(tmp_path):
    arrays = make("fashion_mnist")
    write_idx(tmp_path / "idx", arrays)
    np.savez(tmp_path / "same.npz", **arrays)
    arrays["test_labels"][-1] ^= 1
    np.savez(tmp_path / "changed.npz", **arrays)
    first, same, changed = (
        data.load("fashion_mnist", str(tmp_path / place)).fingerprint
        for place in ("idx", "same.npz", "changed.npz")
    )
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first == same
    assert first != changed


def test_digits_are_scikit_learns_bit_for_bit():
    official = pytest.importorskip("sklearn.datasets").load_digits()
    seen = dict.fromkeys(range(10), 0)
    train, test = [], []
    for index, label in enumerate(official.target):
        seen[label] += 1
        (test if seen[label] % 5 == 0 else train).append(index)
    with pytest.raises(UserError, match=r"data_dir is '/there', .*'digits' does not"):
        data.load("digits", "/there")
    dataset = data.load("digits")
    expected = {
        "train_images": official.images[train][..., None],
        "train_labels": official.target[train],
        "test_images": official.images[test][..., None],
        "test_labels": official.target[test],
    }
    assert_same(dataset, expected)
    info = data.INFO["digits"]
    assert (len(train), len(test)) == (info.train_size, info.test_size)
    assert (dataset.source, dataset.title) == ("embedded", "Digits")
    assert dataset.train_images.max() == 16


@pytest.mark.parametrize("name", data.INFO)
def test_info(name):
    info = data.info(name)
    height, width, channels = info.image_shape
    assert info.name == name
    assert info.input_dim == height * width * channels
    assert info.crop_padding == {8: 1, 28: 4, 32: 4, 64: 8}[height]
    assert info.flip == (name != "digits")


# What is refused.


def test_unknown_name():
    with pytest.raises(UserError, match=r"config\.dataset is 'cifar_10'.*'cifar10'"):
        data.load("cifar_10")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_there(tmp_path, name):
    assert_refused(name, tmp_path, str(tmp_path), f"{name}.npz", f"{name}_jpeg.npz")
    missing = tmp_path / "typo"
    assert_refused(name, missing, str(missing), "found nothing of this name")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    assert_refused(name, tmp_path / "photo.png", "photo.png", f"{name}.npz")


IDX_FAULTS = {
    "missing": lambda content: None,
    "truncated gzip": lambda content: gzip.compress(content)[:-9],
    "damaged gzip": lambda content: gzip.compress(content)[:20] + b"\xff" * 40,
    "wrong magic": lambda content: gzip.compress(b"\0\0\x0d" + content[3:]),
    "empty": lambda content: b"",
    "too short": lambda content: content[:-1],
    "too long": lambda content: gzip.compress(content + b"\0"),
    "much too long": lambda content: gzip.compress(content + bytes(10**6)),
    "another size": lambda content: content[:7] + b"\x63" + content[8:],
}


@pytest.mark.parametrize("fault", IDX_FAULTS)
@pytest.mark.parametrize("file", ["train-images-idx3", "t10k-labels-idx1"])
def test_bad_idx_file(tmp_path, fault, file):
    arrays = make("fashion_mnist")
    write_idx(tmp_path, arrays)
    path = tmp_path / f"{file}-ubyte.gz"
    content = IDX_FAULTS[fault](gzip.decompress(path.read_bytes()))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert_refused("fashion_mnist", tmp_path, str(path), "expected", "found")


def test_bad_idx_label(tmp_path):
    arrays = make("fashion_mnist")
    arrays["test_labels"][1] = 10
    write_idx(tmp_path, arrays)
    words = "t10k-labels-idx1-ubyte.gz", "0 to 9", "0 to 10"
    assert_refused("fashion_mnist", tmp_path, *words)


@pytest.mark.parametrize("version", ["binary", "python"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_bad_cifar_archive(tmp_path, name, version):
    path = write_cifar(tmp_path, name, version, make(name))
    content = path.read_bytes()
    plain = gzip.decompress(content)
    for bad in (
        b"",
        b"<html>not found</html>",
        content[: len(content) // 2],
        content[:-4],
        gzip.compress(plain[: len(plain) // 2 + 7]),
        gzip.compress(b"\1" * 2000),
    ):
        path.write_bytes(bad)
        assert_refused(name, tmp_path, path.name, "expected", "found")
    files = cifar_files(name, version, make(name))
    lost = list(files)[-1]
    del files[lost]
    write_archive(path, FOLDERS[name, version], files)
    assert_refused(name, path, path.name, lost)


def test_archives_with_more_than_the_data_set_are_refused(tmp_path):
    files = cifar_files("cifar10", "binary", make("cifar10"))
    path = tmp_path / "cifar-10-binary.tar.gz"
    folder = FOLDERS["cifar10", "binary"]
    write_archive(path, folder, files | {"other": bytes(4 * 10**6)})
    assert_refused("cifar10", tmp_path, path.name, "a complete tar archive", "unpacked")
    write_archive(path, folder, files | {"test_batch.bin": bytes(2 * 10**6)})
    assert_refused("cifar10", tmp_path, path.name, "test_batch.bin", "1.91 MiB, where")


def test_link_in_an_archive_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    path = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("train.bin", "test.bin"):
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
            tar.addfile(member)
    assert_refused("cifar100", path, path.name, "train.bin")


@pytest.mark.parametrize(
    ("name", "file"), [("cifar10", "data_batch_3.bin"), ("cifar100", "test.bin")]
)
def test_bad_cifar_binary_file(tmp_path, name, file):
    files = cifar_files(name, "binary", make(name))
    good = files[file]
    at = 0 if name == "cifar10" else 1
    for bad, words in {
        good[:-1]: ("records", str(len(good) - 1)),
        good + b"\0": ("records", str(len(good) + 1)),
        good[:at] + b"\xc8" + good[at + 1 :]: ("labels", "200"),
    }.items():
        write_files(tmp_path, files | {file: bad})
        assert_refused(name, tmp_path, file, *words)
    (tmp_path / file).unlink()
    assert_refused(name, tmp_path, file, "expected this file, found none")


class Payload:
    """Makes a folder as soon as it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("archive", [True, False])
def test_malicious_pickle_is_refused_and_does_not_run(tmp_path, archive):
    target = tmp_path / "harm"
    payload = pickle.dumps({b"data": Payload(target), b"labels": [1, 2]}, protocol=2)
    pickle.loads(payload)
    assert target.is_dir(), "the payload works where it is let"
    target.rmdir()
    files = cifar_files("cifar10", "python", make("cifar10"))
    files["data_batch_2"] = payload
    folder = tmp_path / FOLDERS["cifar10", "python"]
    if archive:
        write_archive(tmp_path / "cifar-10-python.tar.gz", folder.name, files)
    else:
        write_files(folder, files)
    assert_refused("cifar10", tmp_path, "data_batch_2", "mkdir", "not run")
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps([1, 2], 2),
        pickle.dumps({b"labels": [0, 1]}, 2),
        pickle.dumps({b"data": b"text", b"labels": [0, 1]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.int8), b"labels": [0, 1]}, 2),
        pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": "ab"}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, -1]}, 2),
        pickle.dumps(
            {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 2**70]}, 2
        ),
        pickle.dumps(np.zeros(3), 2),
        # Eight bytes that ask for 4 GB, and lengths that the file does not have.
        b"\x80\x02Nr\xff\xff\xff\x1f.",
        b"\x80\x04\x8e\xff\xff\xff\xff\x00\x00\x00\x00.",
        b"\x80\x02N" + b"p99999999999\n.",
        # Tuples of one tuple twice, to be a key: 2^40 steps. One text, 10^4 times.
        b"\x80\x02})" + b"q\x00h\x00\x86" * 40 + b"Ns.",
        b"\x80\x02}U\x04data](c_codecs\nencode\nq\x00X\xe8\x03\x00\x00"
        + b"a" * 1000
        + b"q\x01X\x06\x00\x00\x00latin1q\x02\x86R"
        + b"h\x00h\x01h\x02\x86R" * 10**4
        + b"es.",
        b"\x80\x02}U\x04dataU\x01a2\x86s.",
        # An array that was announced as larger than its bytes, or never filled.
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\n)Rs.",
        # An attribute written into a class, a class called with too much.
        b"\x80\x02}U\x04datacnumpy\ndtype\n}U\x01aK\x01sbs.",
        b"\x80\x02}U\x04datac_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextRs.",
        b"",
        b"\x80\x02}",
        b"garbage",
        pickle.dumps({b"labels": [0, 1]}, 2)[:-3],
    ],
)
def test_bad_pickle(tmp_path, content):
    files = cifar_files("cifar10", "python", make("cifar10"))
    write_files(tmp_path, files | {"data_batch_4": content})
    assert_refused("cifar10", tmp_path, "data_batch_4", "expected", "found")


def test_fortran_ordered_pickle(tmp_path):
    arrays = make("cifar100")
    files = cifar_files("cifar100", "python", arrays)
    batch = pickle.loads(files["train"], encoding="bytes")
    batch[b"data"] = np.asfortranarray(batch[b"data"])
    write_files(tmp_path, files | {"train": pickle.dumps(batch, 2)})
    assert_same(data.load("cifar100", str(tmp_path)), arrays)


NPZ_FAULTS = {
    "no array": ("test_labels", None),
    "other image shape": ("train_images", np.zeros((10, 28, 28, 3), np.uint8)),
    "no channels": ("train_images", np.zeros((10, 32, 32), np.uint8)),
    "other image type": ("test_images", np.zeros((4, 32, 32, 3), np.float32)),
    "too few labels": ("train_labels", np.zeros(9, np.uint8)),
    "label too large": ("train_labels", np.full(10, 10)),
    "negative label": ("test_labels", np.full(4, -1)),
    "labels of another type": ("test_labels", np.zeros(4)),
    "labels of another shape": ("test_labels", np.zeros((4, 1), int)),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_bad_npz(tmp_path, fault):
    key, value = NPZ_FAULTS[fault]
    arrays = make("cifar10")
    arrays[key] = value
    path = tmp_path / "cifar10.npz"
    np.savez(path, **{k: a for k, a in arrays.items() if a is not None})
    assert_refused("cifar10", tmp_path, str(path), key, "expected", "found")


def test_sizes_are_compared_before_anything_is_unpacked(tmp_path, monkeypatch):
    """What is not needed stays packed; what is more than needed is refused."""
    path, arrays = tmp_path / "cifar10.npz", make("cifar10")
    unpacked = []
    read = archives.Npz.read
    monkeypatch.setattr(
        archives.Npz,
        "read",
        lambda self, name, limit: unpacked.append(name) or read(self, name, limit),
    )
    np.savez(path, **arrays, unneeded=np.zeros((9, 32, 32, 3), np.uint8))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("README.txt", "no array")
    assert_same(data.load("cifar10", str(tmp_path)), arrays)
    assert sorted(unpacked) == sorted(arrays)
    for key, value in {
        "train_images": np.zeros((11, 32, 32, 3), np.uint8),
        "test_images": np.zeros((2, 32, 32, 300), np.uint8),
        "train_labels": np.zeros((10, 10**5), np.uint8),
    }.items():
        unpacked.clear()
        np.savez_compressed(path, **arrays | {key: value})
        assert_refused("cifar10", tmp_path, str(path), key, "expected", "found")
        assert key not in unpacked or key == "train_labels"
    for bad in (b"", b"\x93NUMPY\x01\x00"):
        np.savez(path, **{k: a for k, a in arrays.items() if k != "test_images"})
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("test_images.npy", bad)
        assert_refused("cifar10", tmp_path, str(path), "test_images", "no array")


def test_empty_npz_split(tmp_path):
    arrays = make("cifar10")
    arrays = {k: a[:0] if "test" in k else a for k, a in arrays.items()}
    np.savez(tmp_path / "cifar10.npz", **arrays)
    assert_refused("cifar10", tmp_path, "cifar10.npz", "test_labels", "0 images")


def test_unreadable_npz(tmp_path):
    path = tmp_path / "cifar10.npz"
    np.savez_compressed(path, **make("cifar10"))
    content = path.read_bytes()
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    middle = len(content) // 2
    damaged = content[:middle] + bytes(200) + content[middle + 200 :]
    for bad in (b"", b"text", content[:middle], damaged, single.getvalue()):
        path.write_bytes(bad)
        assert_refused("cifar10", tmp_path, str(path), "expected", "found")


def test_pickle_in_npz_is_not_run(tmp_path):
    target = tmp_path / "harm"
    arrays = make("cifar10")
    arrays["train_labels"] = np.array([Payload(target)], dtype=object)
    np.savez(tmp_path / "cifar10.npz", **arrays)
    assert_refused("cifar10", tmp_path, "cifar10.npz")
    assert not target.exists()


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("train_offsets", lambda a: a + 1),
        ("train_offsets", lambda a: a[::-1]),
        ("train_offsets", lambda a: a * np.array([1, 9, 1])),
        ("train_offsets", lambda a: a.astype(float)),
        ("train_offsets", lambda a: a[:0]),
        ("train_jpeg", lambda a: np.append(a, a[:1])),
        ("train_jpeg", lambda a: a.astype(np.int16)),
        ("train_jpeg", lambda a: np.zeros_like(a)),
        ("test_labels", lambda a: a + 10),
        ("test_labels", lambda a: None),
    ],
)
def test_bad_jpeg_npz(tmp_path, key, change):
    path = tmp_path / "cifar10_jpeg.npz"
    arrays = write_jpeg(path, "cifar10", COLOURS)
    arrays[key] = change(arrays[key])
    np.savez(path, **{k: a for k, a in arrays.items() if a is not None})
    word = key if key.endswith("offsets") else key.split("_")[0]
    assert_refused("cifar10", tmp_path, str(path), word)


def test_jpeg_of_another_size(tmp_path):
    write_jpeg(
        tmp_path / "cifar10_jpeg.npz", "fashion_mnist", {"train": [1], "test": [2]}
    )
    words = "train image 0", "32x32", "28x28"
    assert_refused("cifar10", tmp_path, "cifar10_jpeg.npz", *words)


def test_jpeg_without_pillow(tmp_path, monkeypatch):
    write_jpeg(tmp_path / "cifar10_jpeg.npz", "cifar10", COLOURS)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=re.escape('pip install -e ".[data]"')):
        data.load("cifar10", str(tmp_path))


# Real files, where there are any.


def real(*parts):
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real data at {path}")
    return path


@pytest.mark.parametrize("place", ["fashion_mnist", "."])
def test_real_fashion_mnist(place):
    real("fashion_mnist")
    dataset = data.load("fashion_mnist", str(real(place)))
    # Known from the data set's publication: sizes, balance, first labels, mean.
    assert dataset.train_images.shape == (60_000, 28, 28, 1)
    assert dataset.test_images.shape == (10_000, 28, 28, 1)
    assert set(np.bincount(dataset.train_labels)) == {6000}
    assert set(np.bincount(dataset.test_labels)) == {1000}
    assert dataset.train_labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert dataset.test_labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    mean, std = dataset.channel_statistics()
    np.testing.assert_allclose([mean[0], std[0]], [0.2860, 0.3530], atol=1e-4)


@pytest.mark.exhaustive
def test_real_cifar10_jpeg():
    dataset = data.load("cifar10", str(real("cifar10_jpeg.npz")))
    assert dataset.title == "CIFAR-10 (JPEG)"
    assert dataset.train_images.shape == (50_000, 32, 32, 3)
    assert set(np.bincount(dataset.train_labels)) == {5000}
    assert set(np.bincount(dataset.test_labels)) == {1000}
    mean, std = dataset.channel_statistics()
    # The official files' statistics, which JPEG changes a little.
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-3)
    np.testing.assert_allclose(std, [0.2470, 0.2435, 0.2616], atol=3e-3)
