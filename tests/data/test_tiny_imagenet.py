import dataclasses
import io
import os
import pathlib
import re
import shutil
import sys
import zipfile

import numpy as np
import pytest

from sparse_gf import data
from sparse_gf.core.errors import UserError

Image = pytest.importorskip("PIL.Image")

ROOT = "tiny-imagenet-200"
# In the order of wnids.txt, which is not sorted; sorted they are 2, 0, 1.
WNIDS = ("n03", "n04", "n01")
LABELS = {"n01": 0, "n03": 1, "n04": 2}
# Training colours of each class, in the order of its files; the grey one is grey on
# the disk too.
TRAIN = {
    "n03": ((250, 10, 10), (200, 60, 60)),
    "n04": ((10, 250, 10), 120),
    "n01": ((10, 10, 250), (60, 60, 200)),
}
# Lexicographic order, which is the order to expect, is 0, 1, 10, 2.
VAL = {
    "val_2.JPEG": ("n04", (250, 250, 10)),
    "val_10.JPEG": ("n01", 40),
    "val_0.JPEG": ("n01", (10, 250, 250)),
    "val_1.JPEG": ("n03", (250, 10, 250)),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Official sizes become small ones."""
    info = data.INFO["tinyimagenet"]
    assert (info.num_classes, info.train_size, info.test_size) == (200, 100_000, 10_000)
    info = dataclasses.replace(info, num_classes=3, train_size=6, test_size=4)
    monkeypatch.setitem(data.INFO, "tinyimagenet", info)


def jpeg(colour, size=(64, 64)):
    """An image of one colour, which JPEG keeps nearly; a number makes a grey file."""
    buffer = io.BytesIO()
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, size, colour).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def lines(names):
    return "".join(f"{name}\t{VAL[name][0]}\t0\t1\t62\t63\n" for name in names)


def official():
    """Names and contents of a small TinyImageNet, with all kinds of its files."""
    files = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in WNIDS).encode(),
        "words.txt": b"n01\tfish\n",
        "val/val_annotations.txt": lines(VAL).encode(),
        "test/images/test_0.JPEG": jpeg(1),
    }
    for wnid, colours in TRAIN.items():
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b"boxes"
        for number, colour in reversed([*enumerate(colours)]):
            files[f"train/{wnid}/images/{wnid}_{number}.JPEG"] = jpeg(colour)
    for name, (_, colour) in VAL.items():
        files[f"val/images/{name}"] = jpeg(colour)
    return files


def write_folder(path, files):
    shutil.rmtree(path, ignore_errors=True)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            parents = [*pathlib.PurePosixPath(f"{ROOT}/{name}").parents][:-1]
            for parent in reversed(parents):
                if f"{parent}/" not in file.NameToInfo:
                    file.writestr(f"{parent}/", b"")
            file.writestr(f"{ROOT}/{name}", content)


WRITERS = {
    "folder": lambda base, files: write_folder(base / ROOT, files),
    "archive": lambda base, files: write_zip(base / f"{ROOT}.zip", files),
}


def assert_colours(images, colours):
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert images.shape == (len(colours), 64, 64, 3)
    expected = np.array([(c,) * 3 if isinstance(c, int) else c for c in colours])
    assert np.abs(images.astype(int) - expected[:, None, None]).max() <= 4


def assert_official(dataset):
    train = [colour for wnid in sorted(TRAIN) for colour in TRAIN[wnid]]
    assert_colours(dataset.train_images, train)
    assert_colours(dataset.test_images, [VAL[name][1] for name in sorted(VAL)])
    assert dataset.train_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.test_labels.tolist() == [
        LABELS[VAL[name][0]] for name in sorted(VAL)
    ]
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int32
    assert (dataset.name, dataset.title) == ("tinyimagenet", "TinyImageNet")
    assert dataset.num_classes == 3


def assert_refused(path, *words):
    with pytest.raises(UserError) as caught:
        data.load("tinyimagenet", str(path))
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    for word in (*words, url, "point config.data_dir at it"):
        assert word in str(caught.value), str(caught.value)
    assert "leave config.data_dir empty" not in str(caught.value)


@pytest.mark.parametrize("place", ["", ROOT])
def test_folder(tmp_path, place):
    WRITERS["folder"](tmp_path, official())
    dataset = data.load("tinyimagenet", str(tmp_path / place))
    assert_official(dataset)
    assert dataset.source == "TinyImageNet files"


@pytest.mark.parametrize("place", ["", f"{ROOT}.zip"])
def test_archive(tmp_path, place):
    WRITERS["archive"](tmp_path, official())
    dataset = data.load("tinyimagenet", str(tmp_path / place))
    assert_official(dataset)
    assert dataset.source == "TinyImageNet archive"
    assert os.listdir(tmp_path) == [f"{ROOT}.zip"]


def test_the_order_of_annotations_and_members_does_not_matter(tmp_path):
    WRITERS["archive"](tmp_path, official())
    first = data.load("tinyimagenet", str(tmp_path))
    changed = official() | {"val/val_annotations.txt": lines(sorted(VAL)).encode()}
    WRITERS["archive"](tmp_path, dict(reversed(changed.items())))
    assert data.load("tinyimagenet", str(tmp_path)).fingerprint == first.fingerprint
    WRITERS["folder"](tmp_path / "new", changed)
    second = data.load("tinyimagenet", str(tmp_path / "new"))
    assert second.fingerprint == first.fingerprint


def test_npz_files_and_which_is_preferred(tmp_path):
    pieces = [jpeg(colour) for colour in ((250, 10, 10), 120)]
    joined = {
        "jpeg": np.frombuffer(b"".join(pieces), np.uint8),
        "offsets": np.cumsum([0, *map(len, pieces)]),
        "labels": np.array([0, 2]),
    }
    np.savez(
        tmp_path / "tinyimagenet_jpeg.npz",
        **{
            f"{s}_{key}": value
            for s in ("train", "test")
            for key, value in joined.items()
        },
    )
    dataset = data.load("tinyimagenet", str(tmp_path))
    assert dataset.source == "JPEG npz file"
    assert_colours(dataset.train_images, [(250, 10, 10), 120])
    WRITERS["folder"](tmp_path, official())
    assert data.load("tinyimagenet", str(tmp_path)).source == "TinyImageNet files"
    WRITERS["archive"](tmp_path, official())
    assert data.load("tinyimagenet", str(tmp_path)).source == "TinyImageNet archive"
    images, labels = np.full((2, 64, 64, 3), 7, np.uint8), np.array([1, 2])
    arrays = {"train_images": images, "train_labels": labels}
    arrays |= {"test_images": images[:1], "test_labels": labels[:1]}
    np.savez(tmp_path / "tinyimagenet.npz", **arrays)
    dataset = data.load("tinyimagenet", str(tmp_path))
    assert dataset.source == "npz file"
    np.testing.assert_array_equal(dataset.train_images, images)


def test_without_data_dir():
    with pytest.raises(UserError) as caught:
        data.load("tinyimagenet")
    for word in (
        "config.data_dir is empty",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "point config.data_dir at it",
        "tensorflow-datasets does not have it",
    ):
        assert word in str(caught.value)


def test_nothing_there(tmp_path):
    names = "tinyimagenet.npz", "tiny-imagenet-200.zip", "wnids.txt"
    assert_refused(tmp_path, str(tmp_path), *names)
    assert_refused(tmp_path / "typo", "typo", "found nothing of this name")


# From the file that is wrong to what it holds and what the error says; None: no file.
FAULTS = {
    "no wnids": ("wnids.txt", None, "this file"),
    "too few wnids": ("wnids.txt", b"n01\nn03\n", "3 different classes"),
    "double wnid": ("wnids.txt", b"n01\nn03\nn01\n", "3 names of 2 classes"),
    "bytes in wnids": ("wnids.txt", b"\xff\xfe\n", "a text file"),
    "no annotations": ("val/val_annotations.txt", None, "this file"),
    "missing annotation": (
        "val/val_annotations.txt",
        lines([*VAL][:3]).encode(),
        "no line for val/images/val_1.JPEG",
    ),
    "annotation of no file": (
        "val/val_annotations.txt",
        (lines(VAL) + "val_9.JPEG\tn01\t0\t0\t1\t1\n").encode(),
        "a line but no file for val/images/val_9.JPEG",
    ),
    "double annotation": (
        "val/val_annotations.txt",
        (lines(VAL) + lines([*VAL][:1])).encode(),
        "in line 5, found 'val_2.JPEG",
    ),
    "annotation of no class": (
        "val/val_annotations.txt",
        lines(VAL).replace("n03", "n02").encode(),
        "in line 4, found 'val_1.JPEG\\tn02",
    ),
    "annotation without tabs": (
        "val/val_annotations.txt",
        lines(VAL).replace("\t", " ").encode(),
        "in line 1, found 'val_2.JPEG n04",
    ),
    "missing training image": ("train/n04/images/n04_1.JPEG", None, "2 JPEG images"),
    "missing validation image": ("val/images/val_10.JPEG", None, "4 JPEG images"),
    "extra image": ("train/n04/images/n04_2.JPEG", jpeg(1), "found 3"),
    "another size": ("train/n03/images/n03_1.JPEG", jpeg(9, (64, 63)), "found 64x63"),
    "truncated image": ("val/images/val_0.JPEG", jpeg(9)[:300], "a JPEG image"),
    "a list of gigabytes": ("wnids.txt", b"n01\n" * 2**23, "of 32 MiB, where at most"),
    "an image of megabytes": (
        "val/images/val_0.JPEG",
        bytes(10**6),
        "of 977 KiB, where at most",
    ),
    "another format": ("train/n01/images/n01_0.JPEG", b"\x89PNG", "a JPEG image"),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_bad_file(tmp_path, kind, fault):
    name, content, word = FAULTS[fault]
    files = official() | {name: content}
    WRITERS[kind](tmp_path, {k: v for k, v in files.items() if v is not None})
    place = os.path.dirname(name) if word.endswith("JPEG images") else name
    if kind == "archive" and word == "this file":
        word = "a complete file in the archive"
    if kind == "folder" and "where at most" in word:
        word = "found more than"
    words = ["found 3"] if fault == "extra image" else [f"{ROOT}/{place}"]
    assert_refused(tmp_path, *words, "expected", "found", word)


@pytest.mark.parametrize("kind", WRITERS)
def test_missing_class(tmp_path, kind):
    files = {k: v for k, v in official().items() if not k.startswith("train/n04/")}
    WRITERS[kind](tmp_path, files)
    assert_refused(tmp_path, f"{ROOT}/train/n04/images: expected 2 ", "found 0")


def test_damaged_archive(tmp_path):
    WRITERS["archive"](tmp_path, official())
    path = tmp_path / f"{ROOT}.zip"
    content = path.read_bytes()
    for bad in (b"", b"<html>not found</html>", content[:-30], content[:500]):
        path.write_bytes(bad)
        assert_refused(tmp_path, path.name, "a complete zip archive")
    name = b"val/images/val_0.JPEG"
    at = content.index(name) + len(name) + 100
    path.write_bytes(content[:at] + bytes(50) + content[at + 50 :])
    assert_refused(tmp_path, f"{ROOT}/{name.decode()}", "a complete file in the arch")


def test_without_pillow(tmp_path, monkeypatch):
    WRITERS["folder"](tmp_path, official())
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=re.escape('pip install -e ".[data]"')):
        data.load("tinyimagenet", str(tmp_path))
