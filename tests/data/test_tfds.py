import builtins
import dataclasses
import gzip
import io
import json
import pathlib
import sys
import tarfile

import numpy as np
import pytest

from sparse_gf import data
from sparse_gf.core.errors import UserError
from sparse_gf.data import formats, tfds

pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"


def small(name):
    return dataclasses.replace(data.INFO[name], train_size=25, test_size=12)


def images_and_labels(name, split, size):
    """Images that tell themselves apart, and labels that follow from the number."""
    info = data.INFO[name]
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (size, *info.image_shape), dtype=np.uint8)
    return images, np.arange(size) % info.num_classes


def fashion_mnist_files(folder):
    for prefix, split, size in (("train", "train", 25), ("t10k", "test", 12)):
        images, labels = images_and_labels("fashion_mnist", split, size)
        sizes = np.array([size, 28, 28], ">i4").tobytes()
        content = b"\0\0\x08\x03" + sizes + images.tobytes()
        path = folder / f"{prefix}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(content))
        content = b"\0\0\x08\x01" + sizes[:4] + labels.astype(np.uint8).tobytes()
        path = folder / f"{prefix}-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(content))


def cifar_content(name, split, size):
    images, labels = images_and_labels(name, split, size)
    return [
        (bytes([label % 20]) if name == "cifar100" else b"")
        + bytes([label])
        + image.transpose(2, 0, 1).tobytes()
        for image, label in zip(images, labels, strict=True)
    ]


def cifar_files(folder, name):
    train, test = cifar_content(name, "train", 25), cifar_content(name, "test", 12)
    if name == "cifar10":
        files = {f"data_batch_{n}.bin": train[5 * n - 5 : 5 * n] for n in range(1, 6)}
        files |= {"test_batch.bin": test, "batches.meta.txt": words(10)}
        root, archive = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
    else:
        files = {"train.bin": train, "test.bin": test}
        files |= {
            "coarse_label_names.txt": words(20),
            "fine_label_names.txt": words(100),
        }
        root, archive = "cifar-100-binary", "cifar-100-binary.tar.gz"
    with tarfile.open(folder / archive, "w:gz") as tar:
        for file, pieces in files.items():
            content = b"".join(pieces)
            member = tarfile.TarInfo(f"{root}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def words(count):
    return [f"class_{number}\n".encode() for number in range(count)] + [b"\n"]


@pytest.fixture
def manual_dir(tmp_path, monkeypatch):
    """Small official files of all three data sets, with checksums to match."""
    from tensorflow_datasets.core.download import checksums

    folder = tmp_path / "manual"
    folder.mkdir()
    fashion_mnist_files(folder)
    cifar_files(folder, "cifar10")
    cifar_files(folder, "cifar100")
    official = checksums.get_all_url_infos()
    infos = {
        url: checksums.compute_url_info(folder / info.filename)
        for url, info in official.items()
        if info.filename
        and (folder / info.filename).exists()
        and any(part in url for part in ("fashion-mnist", "~kriz"))
    }
    assert len(infos) == 6
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: dict(infos))
    return folder


@pytest.fixture
def offline(monkeypatch):
    """Every download fails at once, as it does without a network."""
    from tensorflow_datasets.core.download import downloader

    def refuse(url, **_):
        raise ConnectionError(f"no route to {url}")

    monkeypatch.setattr(downloader, "_open_url", refuse)


def assert_official_order(name, arrays):
    for split, size in (("train", 25), ("test", 12)):
        images, labels = images_and_labels(name, split, size)
        np.testing.assert_array_equal(getattr(arrays, f"{split}_images"), images)
        np.testing.assert_array_equal(getattr(arrays, f"{split}_labels"), labels)
        assert getattr(arrays, f"{split}_labels").dtype == np.int32


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "cifar100"])
def test_prepare_read_and_cache(tmp_path, monkeypatch, manual_dir, name):
    info, root = small(name), tmp_path / "root"
    version = "3.0.1" if name == "fashion_mnist" else "3.0.2"
    first, source = tfds.arrays(info, root=str(root), manual_dir=str(manual_dir))
    assert_official_order(name, first)
    assert source == f"tensorflow-datasets {version}"
    # The folder is the official one: name, version and features.
    prepared = root / name / version
    features = json.loads((prepared / "features.json").read_text())
    expected = {"image", "label"}
    expected |= {"id"} if "cifar" in name else set()
    expected |= {"coarse_label"} if name == "cifar100" else set()
    assert set(features["featuresDict"]["features"]) == expected
    names = (prepared / "label.labels.txt").read_text().splitlines()
    if name == "fashion_mnist":
        assert names[-1] == "Ankle boot"
    else:
        assert names == [f"class_{n}" for n in range(info.num_classes)]
    assert "tensorflow" not in sys.modules

    # The second time neither downloads nor reads the prepared folder.
    cache = root / name / f"{name}-{version}.npz"
    monkeypatch.setattr(tfds, "_prepare", None)
    second, source = tfds.arrays(info, root=str(root))
    assert_official_order(name, second)
    assert source == f"tensorflow-datasets {version}"
    assert [path.name for path in cache.parent.iterdir() if path.is_file()] == [
        cache.name
    ]


@pytest.mark.parametrize("damage", ["truncated", "other sizes"])
def test_bad_cache_is_remade(tmp_path, manual_dir, damage):
    info, root = small("cifar10"), tmp_path / "root"
    tfds.arrays(info, root=str(root), manual_dir=str(manual_dir))
    cache = root / "cifar10" / "cifar10-3.0.2.npz"
    if damage == "truncated":
        cache.write_bytes(cache.read_bytes()[:1000])
    else:
        with np.load(cache) as file:
            arrays = {key: array[:5] for key, array in file.items()}
        np.savez(cache, **arrays)
    assert_official_order("cifar10", tfds.arrays(info, root=str(root))[0])
    assert formats.npz(info, cache)[0].train_images.shape[0] == 25


def test_cache_that_cannot_be_written(tmp_path, monkeypatch, manual_dir):
    def refuse(path):
        raise PermissionError("read-only")

    monkeypatch.setattr(tfds.files, "atomic", refuse)
    info, root = small("cifar10"), tmp_path / "root"
    arrays, _ = tfds.arrays(info, root=str(root), manual_dir=str(manual_dir))
    assert_official_order("cifar10", arrays)


def test_without_a_network(tmp_path, offline):
    with pytest.raises(UserError) as caught:
        tfds.arrays(data.INFO["cifar100"], root=str(tmp_path))
    for word in ("CIFAR-100", "no route", "--config.data_dir", "cifar.html"):
        assert word in str(caught.value)


def test_wrong_checksum(tmp_path, manual_dir, offline):
    path = manual_dir / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="NonMatchingChecksumError"):
        tfds.arrays(small("cifar10"), root=str(tmp_path), manual_dir=str(manual_dir))


def test_folder_that_is_empty(tmp_path):
    (tmp_path / "fashion_mnist" / "3.0.1").mkdir(parents=True)
    with pytest.raises(UserError, match="move it away"):
        tfds.arrays(data.INFO["fashion_mnist"], root=str(tmp_path))


@pytest.mark.parametrize("package", ["tensorflow_datasets", "array_record", "PIL"])
def test_missing_package(tmp_path, monkeypatch, package):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {package!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(UserError) as caught:
        data.load("cifar10")
    for word in (package, 'pip install -e ".[data]"', "--config.data_dir"):
        assert word in str(caught.value)


def test_load_without_data_dir_comes_here(monkeypatch):
    arrays = formats.Arrays(
        *(np.zeros((3, 32, 32, 3), np.uint8), np.array([0, 1, 2], np.int32)) * 2
    )
    asked = []

    def fake(info):
        asked.append(info.name)
        return arrays, "tensorflow-datasets 3.0.2"

    monkeypatch.setattr(tfds, "arrays", fake)
    dataset = data.load("cifar10")
    assert asked == ["cifar10"]
    assert dataset.source == "tensorflow-datasets 3.0.2"


@pytest.mark.exhaustive
def test_official_fashion_mnist_equals_the_idx_files(tmp_path):
    folder = SHARED / "fashion_mnist"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    info = data.INFO["fashion_mnist"]
    arrays, _ = tfds.arrays(info, root=str(tmp_path), manual_dir=str(folder))
    expected = data.load("fashion_mnist", str(folder))
    cached, _ = tfds.arrays(info, root=str(tmp_path))
    for key in arrays._fields:
        np.testing.assert_array_equal(getattr(arrays, key), getattr(expected, key))
        np.testing.assert_array_equal(getattr(cached, key), getattr(expected, key))
