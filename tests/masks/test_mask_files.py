"""Mask files: whole, checked, without pickles."""

import io
import json
import os
import re
import zipfile

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import masks
from sparse_gf.core.errors import UserError
from sparse_gf.masks import files

SHAPES = {"Conv_0": (2, 2, 1, 3), "Dense_2": (5, 4), "Dense_10": (4, 1)}


def random_masks(count=17):
    """Of one network; as many active weights as asked for, and a bias."""
    sizes = [np.prod(shape) for shape in SHAPES.values()]
    active = np.random.default_rng(0).permutation(np.arange(sum(sizes)) < count)
    parts = np.split(active, np.cumsum(sizes)[:-1])
    found = {
        name: {"kernel": jnp.asarray(part.reshape(shape))}
        for (name, shape), part in zip(SHAPES.items(), parts, strict=True)
    }
    found["Dense_2"]["bias"] = jnp.asarray(np.ones(4, bool))
    return {"params": found}


def equal(first, second):
    same = jax.tree.structure(first) == jax.tree.structure(second)
    return same and jax.tree.all(
        jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), first, second)
    )


def saved(folder, mask=None, metadata=None):
    path = folder / "mask.npz"
    masks.save(path, random_masks() if mask is None else mask, metadata)
    return path


def members(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def edit(path, change):
    """Writes a mask file again with another manifest."""
    content = members(path)
    manifest = json.loads(str(content["manifest"]))
    change(manifest)
    with path.open("wb") as file:
        np.savez(file, **content | {"manifest": np.array(json.dumps(manifest))})


@pytest.mark.parametrize("count", [0, 1, 17, 36])
def test_masks_come_back_exactly(tmp_path, count):
    mask, metadata = random_masks(count), {"method": "snip", "seed": 3, "of": [1, None]}
    found, described = masks.load(saved(tmp_path, mask, metadata))
    assert equal(found, mask)
    assert all(leaf.dtype == bool for leaf in jax.tree.leaves(found))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))
    assert described == metadata
    assert masks.load(saved(tmp_path))[1] == {}


def test_the_file_is_as_documented(tmp_path):
    kernel = np.array([[True, False, True], [False, False, True], [True, True, True]])
    mask = {"b": {"kernel": kernel}, "a": {"kernel": np.ones(3, bool)}}
    content = members(saved(tmp_path, mask, {"seed": 1}))
    assert content.keys() == {"masks/b/kernel", "manifest"}
    # 1 0 1 0 0 1 1 1 and then 1, padded with zeros.
    assert content["masks/b/kernel"].tolist() == [0b10100111, 0b10000000]
    manifest = json.loads(str(content["manifest"]))
    assert manifest.pop("digest") == masks.digest(mask)
    entry = {"path": "b/kernel", "shape": [3, 3], "kernel": True}
    assert manifest == {
        "format": "sparse_gf.masks",
        "version": 1,
        # A vector called kernel is no kernel.
        "leaves": [
            {"path": "a/kernel", "shape": [3], "kernel": False},
            entry | {"num_active": 6, "density": 6 / 9},
        ],
        "num_active": 6,
        "num_weights": 9,
        "density": 6 / 9,
        "metadata": {"seed": 1},
    }


def test_the_digest_is_that_of_paths_shapes_and_bits_alone(tmp_path):
    mask = random_masks()
    first = masks.digest(mask)
    assert re.fullmatch("[0-9a-f]{16}", first)
    for metadata in (None, {"seed": 1}):
        assert masks.read_digest(saved(tmp_path, mask, metadata)) == first
    inner = mask["params"]
    reversed_order = {"params": dict(reversed(inner.items()))}
    assert masks.digest(reversed_order) == first
    kernel = inner["Dense_2"]["kernel"]
    others = [
        {**inner, "Dense_2": {**inner["Dense_2"], "kernel": changed}}
        for changed in (kernel.at[4, 3].set(~kernel[4, 3]), kernel.reshape(4, 5))
    ]
    renamed = {name.replace("10", "11"): layer for name, layer in inner.items()}
    no_bias = {**inner, "Dense_2": {"kernel": kernel}}
    every = [*others, renamed, no_bias]
    digests = {masks.digest({"params": other}) for other in every}
    assert len(digests | {first}) == 5


@pytest.mark.parametrize("name", ["mask", "mask.npz", "mask.bin"])
def test_the_path_is_used_as_it_is(tmp_path, name):
    masks.save(str(tmp_path / "new" / name), random_masks())
    assert os.listdir(tmp_path / "new") == [name]
    assert equal(masks.load(str(tmp_path / "new" / name))[0], random_masks())


@pytest.mark.parametrize("module", [(os, "replace"), (np, "savez_compressed")])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path, monkeypatch, module
):
    path = saved(tmp_path)
    content = path.read_bytes()

    def fail(file, *_, **__):
        if isinstance(file, io.IOBase):
            file.write(b"half")
        raise OSError(28, "disk full")

    monkeypatch.setattr(*module, fail)
    with pytest.raises(UserError, match=r"mask\.npz'.*disk full"):
        masks.save(path, random_masks(3))
    with pytest.raises(UserError, match="new"):
        masks.save(tmp_path / "new", random_masks(3))
    assert os.listdir(tmp_path) == ["mask.npz"]
    assert path.read_bytes() == content


def with_bias(value):
    mask = random_masks()
    mask["params"]["Dense_2"]["bias"] = value
    return mask


KERNEL = np.ones((2, 2), bool)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            with_bias(np.arange(4) > 1),
            r"'params/Dense_2/bias' has 2 inactive.*all Tr",
        ),
        (
            with_bias(np.ones(4, np.float32)),
            r"'params/Dense_2/bias' is float32.*bool",
        ),
        (with_bias(None), "nested dicts without None"),
        (with_bias({}), "nested dicts without None"),
        (flax.core.freeze(random_masks()), "FrozenDict.*nested dicts"),
        ({"a/b": {"kernel": KERNEL}}, r"'a/b/kernel' has 'a/b' in its path"),
        ({"a": [{"kernel": KERNEL}]}, r"'a/0/kernel' has .*strings without '/'"),
        ({"a": {1: {"kernel": KERNEL}}}, r"'a/1/kernel' has 1 in its path"),
        ({"a": {"bias": KERNEL}}, "no kernel"),
    ],
)
def test_masks_that_would_not_come_back_are_refused(tmp_path, mask, message):
    with pytest.raises(UserError, match=message):
        masks.save(tmp_path / "mask", mask)
    with pytest.raises(UserError, match=message):
        masks.digest(mask)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "metadata", [{"x": jnp.ones(1)}, {"x": np.nan}, {"x": {1, 2}}, [1], "snip"]
)
def test_metadata_that_are_no_json_dict_are_refused(tmp_path, metadata):
    with pytest.raises(UserError, match="metadata"):
        masks.save(tmp_path / "mask", random_masks(), metadata)
    assert os.listdir(tmp_path) == []


def refuse(path, message):
    """Both readers say the file and what is wrong with it."""
    for read in (masks.load, masks.read_digest):
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = saved(tmp_path)
    whole = path.read_bytes()
    for length in [0, 1, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refuse(path, "damaged or no mask file")


def flip(path, whole, position):
    path.write_bytes(
        whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :]
    )


def test_a_flipped_byte_inside_any_member_is_refused(tmp_path):
    path = saved(tmp_path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        starts = [info.header_offset for info in archive.infolist()]
    assert len(starts) == 4
    for start, stop in zip(starts, [*starts[1:], whole.index(b"PK\1\2")], strict=True):
        # Local headers are shorter than half of any member.
        flip(path, whole, start + (stop - start) * 2 // 3)
        refuse(path, "damaged or no mask file")


def test_a_flipped_byte_anywhere_never_gives_other_masks(tmp_path):
    path = saved(tmp_path, metadata={"seed": 1})
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        flip(path, whole, position)
        try:
            found, metadata = masks.load(path)
        except UserError:
            refused += 1
        else:  # A time stamp, say.
            assert equal(found, random_masks())
            assert metadata == {"seed": 1}
    assert refused > len(whole) / 7 / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(num_active=16), "num_active 16, not 17"),
        (lambda m: m.update(num_weights=37), "num_weights 37, not 36"),
        (lambda m: m.update(density=0.5), "density 0.5"),
        (lambda m: m.update(digest="0" * 16), "digest 0000"),
        (lambda m: m["leaves"][0].update(num_active=2), r"'num_active': 2.*its bits"),
        (lambda m: m["leaves"][3].update(shape=[4, 5]), r"digest .*, not"),
        (lambda m: m["leaves"][3].update(shape=[5, 9]), r"does not fit .*\[5, 9\]"),
        (lambda m: m["leaves"][2].update(shape=[10**12]), "1000000000036 weights, mor"),
        (lambda m: m["leaves"].append(m["leaves"][0]), "a leaf twice"),
        (lambda m: m["leaves"][3].update(shape=[-5, -4]), r"shape \[-5, -4\]"),
        (lambda m: m["leaves"].pop(3), "Dense_2/kernel' is not in its manifest"),
        (lambda m: m["leaves"][3].update(path="x/kernel"), "lacks 'masks/x/kernel'"),
        (lambda m: m["leaves"].reverse(), r"digest .*, not"),
        (lambda m: m.pop("digest"), "it lacks 'digest'"),
        (lambda m: m.update(version=2), "'sparse_gf.masks', 2"),
        (lambda m: m.update(format="other"), "'other', 1"),
        (lambda m: m.update(leaves=3), "damaged"),
        (lambda m: m.clear(), "it lacks 'format'"),
    ],
)
def test_a_manifest_that_does_not_fit_the_bits_is_refused(tmp_path, change, message):
    path = saved(tmp_path)
    edit(path, lambda manifest: None)
    assert equal(masks.load(path)[0], random_masks())
    edit(path, change)
    refuse(path, message)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "mask.npz"
    refuse(path, "there is no mask file")
    path.write_text("a,b")
    refuse(path, r"no \.npz file")
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    refuse(path, r"no \.npz file")
    with path.open("wb") as file:
        np.savez(file, images=np.ones(3))
    refuse(path, "lacks 'manifest'")
    refuse(tmp_path, "directory")


def test_what_a_file_unpacks_to_has_a_limit(tmp_path):
    path = saved(tmp_path)
    assert equal(masks.load(path, limit=40)[0], random_masks())
    with pytest.raises(UserError, match="have 40 weights, more than limit=39"):
        masks.load(path, limit=39)
    # A bias of 10^12 under the right digest.
    huge = [files._Leaf("a/bias", (10**12,), None), *files._pack(random_masks())]
    text = json.dumps(files._manifest(huge, {}))
    content = members(path)
    with path.open("wb") as file:
        np.savez(file, **content | {"manifest": np.array(text)})
    refuse(path, "weights, more than limit=")
    # Neither is a member read that is not needed, or that is larger than its leaf.
    with path.open("wb") as file:
        np.savez(file, **content | {"masks/other": np.zeros(10**6, np.uint8)})
    refuse(path, "'masks/other' is not in its manifest")
    name = "masks/params/Dense_2/kernel"
    with path.open("wb") as file:
        np.savez(file, **content | {name: np.zeros(10**6, np.uint8)})
    refuse(path, r"is uint8 \[1000000\], which does not fit")


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = saved(tmp_path)

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(UserError, match=r"cannot be used \(Permission denied\)"):
        masks.load(path)
    monkeypatch.undo()
    os.mkfifo(tmp_path / "pipe")
    refuse(tmp_path / "pipe", "a pipe, a socket or a device")


def test_user_paths_are_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    masks.save("~/m.npz", random_masks())
    assert os.listdir(tmp_path) == ["m.npz"]
    assert equal(masks.load("~/m.npz")[0], random_masks())
    assert masks.read_digest("~/m.npz") == masks.digest(random_masks())


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_objects_in_a_mask_file_are_refused_and_not_executed(tmp_path):
    path, trace = saved(tmp_path), tmp_path / "trace"
    content = members(path)
    with path.open("wb") as file:
        evil = np.array([Malicious(trace)], dtype=object)
        np.savez(file, **content | {"masks/evil": evil})
    refuse(path, "'masks/evil' is not in its manifest")
    with path.open("wb") as file:
        np.savez(file, **content | {"masks/params/Dense_2/kernel": evil})
    refuse(path, "Python objects, which are not unpickled")
    assert not trace.exists()
