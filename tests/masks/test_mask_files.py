"""Mask files: whole, checked, without pickles; and masks of other tools."""

import io
import json
import os
import pathlib
import re
import zipfile
from typing import Any, NamedTuple

import flax.core
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training import train_state

from sparse_gf import masks
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.masks import files as mask_files

SHAPES = {"Conv_0": (2, 2, 1, 3), "Dense_2": (5, 4), "Dense_10": (4, 1)}


def network():
    params = {name: {"kernel": jnp.ones(shape)} for name, shape in SHAPES.items()}
    params["Dense_2"]["bias"] = jnp.ones(4)
    return {"params": params}


def random_masks(count=17):
    return masks.random(jax.random.key(0), network(), count)


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
    assert manifest.pop("digest") == mask_files.digest(mask)
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
    first = mask_files.digest(mask)
    assert re.fullmatch("[0-9a-f]{16}", first)
    for metadata in (None, {"seed": 1}):
        assert mask_files.read_digest(saved(tmp_path, mask, metadata)) == first
    inner = mask["params"]
    reversed_order = {"params": dict(reversed(inner.items()))}
    assert mask_files.digest(reversed_order) == first
    kernel = inner["Dense_2"]["kernel"]
    others = [
        {**inner, "Dense_2": {**inner["Dense_2"], "kernel": changed}}
        for changed in (kernel.at[4, 3].set(~kernel[4, 3]), kernel.reshape(4, 5))
    ]
    renamed = {name.replace("10", "11"): layer for name, layer in inner.items()}
    no_bias = {**inner, "Dense_2": {"kernel": kernel}}
    every = [*others, renamed, no_bias]
    digests = {mask_files.digest({"params": other}) for other in every}
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
        (with_bias(jnp.arange(4) > 1), r"'params/Dense_2/bias' has 2 inactive.*all Tr"),
        (with_bias(jnp.ones(4)), r"'params/Dense_2/bias' is float32.*bool"),
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
        mask_files.digest(mask)
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
    for read in (masks.load, mask_files.read_digest):
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
        (lambda m: m["leaves"][2].update(shape=[10**15]), r"digest .*, not"),
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
    refuse(path, "allow_pickle")
    assert not trace.exists()


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin"])
def test_pickles_in_a_torch_file_are_refused_and_not_executed(tmp_path, suffix):
    torch = pytest.importorskip("torch")
    path, trace = tmp_path / f"mask.{suffix}", tmp_path / "trace"
    torch.save({"weight": torch.ones(2, 2), "evil": Malicious(trace)}, path)
    for read in (mask_files.from_torch, mask_files.from_open_lth):
        with pytest.raises(UserError, match="cannot be read without executing"):
            read(path, network())
    assert not trace.exists()


def test_check_takes_masks_of_the_network():
    masks.check(random_masks(), network())
    masks.check(random_masks(), jax.eval_shape(network))


def without(name):
    params = network()["params"]
    return {"params": {other: params[other] for other in params if other != name}}


def reshaped(**shapes):
    params = network()["params"]
    params |= {name: {"kernel": jnp.ones(shape)} for name, shape in shapes.items()}
    return {"params": params}


@pytest.mark.parametrize(
    ("mask", "params", "message"),
    [
        (without("Dense_10"), network(), r"Dense_10/kernel' is missing.*\(4, 1\)"),
        (network(), without("Conv_0"), r"Conv_0/kernel' is in.*\(2, 2, 1, 3\), not"),
        # 2 is before 10; as strings it is not.
        (
            reshaped(Dense_2=(5, 3), Dense_10=(3, 1)),
            reshaped(Dense_2=(5, 4)),
            r"Dense_2/kernel' has the shape \(5, 3\).*\(5, 4\)",
        ),
        (with_bias(None), network(), r"'params/Dense_2/bias' is missing"),
        (network()["params"], network(), r"^'Conv_0/kernel' is in the masks"),
        (network(), flax.core.freeze(network()), "different types"),
    ],
)
def test_check_names_the_first_difference(mask, params, message):
    with pytest.raises(UserError, match=message):
        masks.check(mask, params)


class Linen(nn.Module):
    """What ``torch_network`` makes, for Flax."""

    @nn.compact
    def __call__(self, x):
        dtypes = {"dtype": jnp.float64, "param_dtype": jnp.float64}
        x = nn.Conv(4, (3, 2), padding="VALID", **dtypes)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, **dtypes)(x))
        x = nn.Conv(8, (2, 2), padding="VALID", feature_group_count=4, **dtypes)(x)
        x = nn.relu(x).reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(6, **dtypes)(x))
        return nn.Dense(6, use_bias=False, **dtypes)(x)


def torch_network(torch):
    """Convolutions, one of them depthwise, and linear layers, in float64."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, (3, 2)),
        torch.nn.BatchNorm2d(4, eps=1e-5),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 8, 2, groups=4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 3 * 5, 6),
        torch.nn.ReLU(),
        torch.nn.Linear(6, 6, bias=False),
    ).double()


def prune(model, layers=(0, 3, 6, 8)):
    pruning = pytest.importorskip("torch.nn.utils.prune")
    for layer in layers:
        pruning.random_unstructured(model[layer], "weight", 0.6)
    return model


FLATTENED = {"params/Dense_0/kernel": (8, 3, 5)}
IMAGE = (6, 7, 3)


def linen_params():
    variables = jax.eval_shape(Linen().init, jax.random.key(0), jnp.zeros((1, *IMAGE)))
    return {"params": variables["params"]}


def transposed(model):
    """Flax params with the unpruned weights of the PyTorch network, written by hand."""

    def weight(layer):
        kept = getattr(layer, "weight_orig", layer.weight)
        return kept.detach().numpy()

    conv, depthwise, linear, last = (weight(model[layer]) for layer in (0, 3, 6, 8))
    flat = np.empty((120, 6))
    for c, h, w in np.ndindex(8, 3, 5):
        flat[(h * 5 + w) * 8 + c] = linear[:, (c * 3 + h) * 5 + w]
    bias = {layer: model[layer].bias.detach().numpy() for layer in (0, 3, 6)}
    norm = {"scale": np.ones(4), "bias": np.zeros(4)}
    layers = {
        "Conv_0": {"kernel": np.einsum("oihw->hwio", conv), "bias": bias[0]},
        "BatchNorm_0": norm,
        "Conv_1": {"kernel": np.einsum("oihw->hwio", depthwise), "bias": bias[3]},
        "Dense_0": {"kernel": flat, "bias": bias[6]},
        "Dense_1": {"kernel": last.T},
    }
    return {"params": layers}


def outputs(torch, model, params):
    """Of the PyTorch network and of the Flax one, for the same images."""
    images = np.random.default_rng(0).normal(size=(3, *IMAGE))
    statistics = {"BatchNorm_0": {"mean": jnp.zeros(4), "var": jnp.ones(4)}}
    with torch.no_grad():
        theirs = model.eval()(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    ours = Linen().apply({**params, "batch_stats": statistics}, jnp.asarray(images))
    return theirs, np.asarray(ours)


@pytest.mark.parametrize("layers", [(0, 3, 6, 8), (3, 6), (8,)])
def test_a_pruned_torch_network_computes_the_same_here(x64, layers):
    torch = pytest.importorskip("torch")
    model = prune(torch_network(torch), layers)
    params = transposed(model)
    imported = mask_files.from_torch(model.state_dict(), params, flattened=FLATTENED)
    masks.check(imported, params)
    theirs, ours = outputs(torch, model, masks.apply(params, imported))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    # Not so by chance: without the mask, and with rows as PyTorch has them.
    dense = outputs(torch, model, params)[1]
    assert np.abs(dense - theirs).max() > 1e-3
    active = sum(masks.num_active(imported).values())
    assert active == sum(int((model[i].weight != 0).sum()) for i in (0, 3, 6, 8))


def torch_sources(torch, folder):
    """The same pruned network in every form, with the options that it needs."""
    model = prune(torch_network(torch))
    state = model.state_dict()
    yield "state dict", state
    yield "arrays", {name: tensor.numpy() for name, tensor in state.items()}
    for suffix in ("pt", "pth", "bin"):
        torch.save(state, folder / f"masked.{suffix}")
        yield suffix, folder / f"masked.{suffix}"
    for layer in (0, 3, 6, 8):
        torch.nn.utils.prune.remove(model[layer], "weight")
    yield "non-zeros", model.state_dict()
    yield "bfloat16", model.bfloat16().state_dict()


def test_every_form_of_a_torch_network_gives_the_same_masks(x64, tmp_path):
    torch = pytest.importorskip("torch")
    params = linen_params()
    found = {
        name: mask_files.from_torch(source, params, flattened=FLATTENED)
        for name, source in torch_sources(torch, tmp_path)
    }
    assert len(found) == 7
    assert all(equal(mask, found["state dict"]) for mask in found.values())
    assert 0 < masks.density(found["state dict"]) < 0.5


def test_safetensors_pair_by_shapes_and_numbers(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(0)
    # As strings, and as safetensors sorts, 10 is before 2 and a before layers.
    shapes = {"layers.2": (4, 4), "layers.10": (4, 4), "a": (1, 4)}
    state = {f"{name}.weight": rng.random(s) < 0.5 for name, s in shapes.items()}
    path = tmp_path / "m.safetensors"
    weights = {name: mask.astype(np.float32) for name, mask in state.items()}
    weights["a.weight"] = weights["a.weight"].astype(jnp.bfloat16)
    safetensors.save_file(weights, path)
    params = {
        f"Dense_{i}": {"kernel": jnp.ones((4, n))} for i, n in enumerate([4, 4, 1])
    }
    found = mask_files.from_torch(path, params)
    for i, mask in enumerate(state.values()):
        np.testing.assert_array_equal(found[f"Dense_{i}"]["kernel"], mask.T)
    weights["out.weight"] = weights.pop("layers.10.weight")
    safetensors.save_file(weights, path)
    with pytest.raises(UserError, match=r"not certain which of .*'out.weight'.*names="):
        mask_files.from_torch(path, params)
    names = ["layers.2.weight", "out.weight", "a.weight"]
    names = dict(zip(tree.kernels(params), names, strict=True))
    assert equal(mask_files.from_torch(path, params, names=names), found)


def test_zeros_of_a_weight_beside_masks_are_active():
    mask, params = np.array([[1, 0], [1, 1]]), two_layers()
    state = {"l.0.weight_orig": mask, "l.0.weight_mask": mask}
    found = mask_files.from_torch(state | {"l.2.weight": np.eye(2)}, params)
    np.testing.assert_array_equal(found["Dense_0"]["kernel"], mask.T)
    assert found["Dense_1"]["kernel"].all()
    # A weight that is there both masked and not counts once.
    state |= {"l.0.weight": mask, "l.2.weight_mask": mask, "l.2.weight": mask}
    found = mask_files.from_torch(state, params)
    np.testing.assert_array_equal(found["Dense_1"]["kernel"], mask.T)


def two_layers(hidden=2):
    return {f"Dense_{i}": {"kernel": jnp.ones((2, hidden))} for i in range(2)}


def test_names_decide_which_tensor_belongs_to_which_kernel():
    first, second = np.array([[1, 0], [1, 1]]), np.array([[0, 0], [1, 0]])
    state = {"in.weight_mask": first, "out.weight_mask": second}
    found = mask_files.from_torch(state, two_layers())
    np.testing.assert_array_equal(found["Dense_0"]["kernel"], first.T)
    names = {"Dense_0/kernel": "out.weight", "Dense_1/kernel": None}
    found = mask_files.from_torch(state, two_layers(), names=names)
    np.testing.assert_array_equal(found["Dense_0"]["kernel"], second.T)
    assert found["Dense_1"]["kernel"].all()
    names |= {"Dense_1/kernel": "in.weight_mask"}
    found = mask_files.from_torch(state, two_layers(), names=names)
    np.testing.assert_array_equal(found["Dense_1"]["kernel"], first.T)


SQUARE = np.eye(2)
STATE = {"l.0.weight": SQUARE, "l.2.weight": SQUARE, "bn.weight": np.ones(2)}
BOTH = {"Dense_0/kernel": "l.0.weight", "Dense_1/kernel": "l.2.weight"}


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        (
            STATE | {"l.2.weight": np.ones((3, 2))},
            {},
            r"'Dense_1/kernel' of shape \(2, 2\) does not fit 'l.2.weight', which has "
            r"the shape \(2, 3\).*give names=",
        ),
        ({"l.0.weight": SQUARE}, {}, "no tensor is left for .*'Dense_1/kernel'.*names"),
        (STATE | {"x.weight": SQUARE}, {}, "no kernel .* left for 'x.weight'.*names"),
        (dict(reversed(STATE.items())), {}, "not certain which of 'l.2.weight' and"),
        ({"state_dict": STATE}, {}, "no weights with two axes.*below one of its keys"),
        (STATE, {"names": BOTH | {"Dense_2/kernel": None}}, "Did you mean 'Dense_"),
        (STATE, {"names": {"Dense_0/kernel": None}}, "no tensor for 'Dense_1/kernel'"),
        (
            STATE,
            {"names": BOTH | {"Dense_1/kernel": "l.1.weight"}},
            r"names\['Dense_1/kernel'\].*'l.1.weight'.*one of l.0.weight, l.2.weight",
        ),
        (
            STATE | {"l.2.weight": np.ones((2, 3))},
            {"names": BOTH},
            r"'Dense_1/kernel' of shape \(2, 2\) does not fit 'l.2.weight'.*\(3, 2\)",
        ),
        (
            {"l.0.weight_mask": SQUARE, "l.2.weight_mask": 3 * SQUARE},
            {},
            r"l.2.weight_mask is 3.0 at \[0, 0\]; it must be 0 or 1",
        ),
        (
            {"l.0.weight_mask": SQUARE * np.nan, "l.2.weight": SQUARE},
            {},
            r"l.0.weight_mask is nan at \[0, 0\]",
        ),
        (STATE, {"flattened": {"Dense_3/kernel": (2, 1, 1)}}, "flattened.*Dense_3/ker"),
        (
            STATE,
            {"flattened": {"Dense_0/kernel": (3, 1, 1)}},
            r"flattened\['Dense_0/kernel'\] is \(3, 1, 1\).*product 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(state, options, message):
    with pytest.raises(UserError, match=message):
        mask_files.from_torch(state, two_layers(), **options)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.npz", b"", r"ends in '\.npz'.*one of \.safetensors, \.pt, \.pth, \.bin"),
        ("w.pt", b"damaged", "cannot be read without executing pickles"),
        ("w.safetensors", b"damaged", "cannot be read"),
        ("absent.pt", None, "No such file"),
        ("absent.safetensors", None, "No such file"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path, name, content, message):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        mask_files.from_torch(tmp_path / name, network())
    assert name in str(caught.value)


def test_a_torch_file_without_a_state_dict_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.ones(2), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"holds a Tensor.*state dict"):
        mask_files.from_torch(tmp_path / "w.pt", network())


def test_open_lth_masks_are_read_as_it_writes_them(tmp_path):
    torch = pytest.importorskip("torch")
    params = {
        "fc_0": {"kernel": jnp.ones((3, 2))},
        "fc_1": {"kernel": jnp.ones((2, 2))},
    }
    params["fc_1"]["bias"] = jnp.ones(2)
    first, second = [[1, 0, 1], [0, 0, 1]], [[0, 1], [0, 0]]
    state = {"fc_layers.0.weight": torch.tensor(first, dtype=torch.int32)}
    state["fc.weight"] = torch.tensor(second, dtype=torch.int32)
    path = tmp_path / "mask.pth"
    torch.save(state, path)
    found = mask_files.from_open_lth(path, params)
    np.testing.assert_array_equal(found["fc_0"]["kernel"], np.transpose(first))
    np.testing.assert_array_equal(found["fc_1"]["kernel"], np.transpose(second))
    assert found["fc_1"]["bias"].all()
    names = {"fc_0/kernel": None, "fc_1/kernel": "fc.weight"}
    found = mask_files.from_open_lth(path, params, names)
    assert found["fc_0"]["kernel"].all()
    # Layers that were ignored are last in its files.
    moved = {f"blocks.{i}.weight": torch.ones(2, 2).int() for i in (1, 0)}
    with pytest.raises(UserError, match=r"not certain which of 'blocks\.1\.weight'"):
        mask_files.from_open_lth(moved, two_layers())
    # Weights are no masks.
    state["fc.weight"] = torch.tensor([[0, 0.5], [0, 0]])
    with pytest.raises(UserError, match=r"fc.weight is 0.5 at \[0, 1\]"):
        mask_files.from_open_lth(state, params)


class SparseState(NamedTuple):
    """As jaxpruner has it."""

    masks: Any
    inner_state: Any = None
    target_sparsities: Any = None
    count: Any = None


def jaxpruner_masks(packed=False):
    """A mask of uint8 for one kernel, None elsewhere; and the bits."""
    bits = np.random.default_rng(0).integers(0, 2, (5, 4)).astype(np.uint8)
    given = jax.tree.map(lambda _: None, network())
    given["params"]["Dense_2"]["kernel"] = np.packbits(bits) if packed else bits
    return given, bits


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: (optax.EmptyState(), (optax.MaskedState(state), 3)),
        lambda state: {"a": [optax.EmptyState(), {"b": state}], "c": None},
        lambda state: state._replace(inner_state=SparseState({"inner": None})),
        lambda state: train_state.TrainState(0, None, {}, None, (state,)),
    ],
)
def test_jaxpruner_masks_are_found_in_any_state(wrap, packed):
    given, bits = jaxpruner_masks(packed)
    found = mask_files.from_jaxpruner(wrap(SparseState(given)), network())
    masks.check(found, network())
    np.testing.assert_array_equal(found["params"]["Dense_2"]["kernel"], bits)
    counts = {"Conv_0": 12, "Dense_2": int(bits.sum()), "Dense_10": 4}
    assert masks.num_active(found) == {
        f"params/{name}/kernel": count for name, count in counts.items()
    }


def changed(**leaves):
    given, _ = jaxpruner_masks()
    given["params"]["Dense_2"] |= leaves
    return SparseState(given)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((optax.EmptyState(), 3), "holds 0 attributes called 'masks'"),
        ((changed(), changed()), "holds 2 attributes"),
        (changed(kernel=np.full((5, 4), 2)), r"Dense_2/kernel is 2 at \[0, 0\]"),
        (changed(kernel=np.ones((4, 5))), r"Dense_2/kernel.*\(4, 5\).*\(5, 4\)"),
        # Packed, but one byte too many.
        (changed(kernel=np.ones(4, np.uint8)), r"Dense_2/kernel.*\(4,\).*\(5, 4\)"),
        (changed(bias=np.zeros(4)), "prunes 'params/Dense_2/bias'; only kernels"),
        (changed(other=np.ones(4)), "mask for 'params/Dense_2/other'.*does not have"),
    ],
)
def test_jaxpruner_states_that_do_not_fit_are_refused(state, message):
    with pytest.raises(UserError, match=message):
        mask_files.from_jaxpruner(state, network())


def test_weights_that_are_not_zero_are_active():
    weights = network()
    kernel = np.array([[0.0], [-0.0], [np.nan], [1e-30]])
    weights["params"]["Dense_10"]["kernel"] = kernel
    weights["params"]["Dense_2"]["bias"] = jnp.zeros(4)
    found = mask_files.from_nonzero(weights, network())
    masks.check(found, network())
    kept = found["params"]["Dense_10"]["kernel"].ravel().tolist()
    assert kept == [False, False, True, True]
    assert masks.num_active(found)["params/Dense_2/kernel"] == 20
    assert found["params"]["Dense_2"]["bias"].all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (without("Dense_10"), "weights have no kernel 'params/Dense_10/kernel'"),
        (reshaped(Dense_3=(2, 2)), "network has no kernel 'params/Dense_3/kernel'"),
        (reshaped(Dense_2=(4, 5)), r"Dense_2/kernel'.*\(4, 5\).*\(5, 4\)"),
    ],
)
def test_weights_of_another_network_are_refused(weights, message):
    with pytest.raises(UserError, match=message):
        mask_files.from_nonzero(weights, network())


def test_imported_masks_can_be_saved(tmp_path):
    given, _ = jaxpruner_masks()
    imported = mask_files.from_jaxpruner(SparseState(given), network())
    path = pathlib.Path(saved(tmp_path, imported, {"method": "jaxpruner"}))
    assert equal(masks.load(path)[0], imported)
