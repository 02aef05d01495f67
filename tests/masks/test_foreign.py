"""Masks of other tools on networks here."""

import os
import pickle
import sys
import types
import zipfile
from typing import Any, NamedTuple

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

SHAPES = {"Conv_0": (2, 2, 1, 3), "Dense_2": (5, 4), "Dense_10": (4, 1)}


def network(**shapes):
    shapes = {name: shape for name, shape in (SHAPES | shapes).items() if shape}
    params = {name: {"kernel": jnp.ones(shape)} for name, shape in shapes.items()}
    params["Dense_2"]["bias"] = jnp.ones(4)
    return {"params": params}


def equal(first, second):
    same = jax.tree.structure(first) == jax.tree.structure(second)
    return same and jax.tree.all(
        jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), first, second)
    )


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin"])
def test_pickles_in_a_torch_file_are_refused_and_not_executed(tmp_path, suffix):
    torch = pytest.importorskip("torch")
    path, trace = tmp_path / f"mask.{suffix}", tmp_path / "trace"
    torch.save({"weight": torch.ones(2, 2), "evil": Malicious(trace)}, path)
    for read in (masks.from_torch, masks.from_open_lth):
        with pytest.raises(UserError, match="cannot be read without executing"):
            read(path, network())
    assert not trace.exists()


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
    imported = masks.from_torch(model.state_dict(), params, flattened=FLATTENED)
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
    yield "module", model
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
        name: masks.from_torch(source, params, flattened=FLATTENED)
        for name, source in torch_sources(torch, tmp_path)
    }
    assert len(found) == 8
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
    found = masks.from_torch(path, params)
    for i, mask in enumerate(state.values()):
        np.testing.assert_array_equal(found[f"Dense_{i}"]["kernel"], mask.T)
    weights["out.weight"] = weights.pop("layers.10.weight")
    safetensors.save_file(weights, path)
    with pytest.raises(UserError, match=r"not certain which of .*'out.weight'.*names"):
        masks.from_torch(path, params)
    names = ["layers.2.weight", "out.weight", "a.weight"]
    names = dict(zip(tree.kernels(params), names, strict=True))
    assert equal(masks.from_torch(path, params, names=names), found)


def test_zeros_of_a_weight_beside_masks_are_active():
    mask, params = np.array([[1, 0], [1, 1]]), two_layers()
    state = {"l.0.weight_orig": mask, "l.0.weight_mask": mask}
    found = masks.from_torch(state | {"l.2.weight": np.eye(2)}, params)
    np.testing.assert_array_equal(found["Dense_0"]["kernel"], mask.T)
    assert found["Dense_1"]["kernel"].all()
    # A weight that is there both masked and not counts once.
    state |= {"l.0.weight": mask, "l.2.weight_mask": mask, "l.2.weight": mask}
    found = masks.from_torch(state, params)
    np.testing.assert_array_equal(found["Dense_1"]["kernel"], mask.T)


def two_layers(hidden=2):
    return {f"Dense_{i}": {"kernel": jnp.ones((2, hidden))} for i in range(2)}


def test_names_decide_which_tensor_belongs_to_which_kernel():
    first, second = np.array([[1, 0], [1, 1]]), np.array([[0, 0], [1, 0]])
    state = {"in.weight_mask": first, "out.weight_mask": second}
    with pytest.raises(UserError, match=r"not certain which of 'in.weight', 'out.wei"):
        masks.from_torch(state, two_layers())
    names = {"Dense_0/kernel": "out.weight", "Dense_1/kernel": None}
    found = masks.from_torch(state, two_layers(), names=names)
    np.testing.assert_array_equal(found["Dense_0"]["kernel"], second.T)
    assert found["Dense_1"]["kernel"].all()
    names |= {"Dense_1/kernel": "in.weight_mask"}
    found = masks.from_torch(state, two_layers(), names=names)
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
            r"2 kernels and 1 tensor have the shape \(2, 2\): 'Dense_0/kernel', 'Dense_"
            r"1/kernel'; 'l.0.weight'; complete these names(.|\n)*l.2.weight \(2, 3\)",
        ),
        ({"l.0.weight": SQUARE}, {}, "2 kernels and 1 tensor have"),
        (STATE | {"x.weight": SQUARE}, {}, "2 kernels and 3 tensors have.*'x.weight'"),
        (
            {"attn.in_proj_weight": np.ones((6, 2))},
            {},
            r"'attn.in_proj_weight' holds .*query, key and value.*attn.q.weight, attn",
        ),
        (
            STATE | {"embed.weight_mask": SQUARE},
            {},
            "'embed.weight_mask' is the mask of an embedding",
        ),
        (
            {"deconv_0.weight": np.ones((2, 2, 3, 3))},
            {},
            "'deconv_0.weight' is a transposed convolution",
        ),
        (STATE, {"names": BOTH | {"Dense_1/kernel": "l.0.weight"}}, "two kernels"),
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
        masks.from_torch(state, two_layers(), **options)


class Module:
    """As far as a module of PyTorch is looked at."""

    def __init__(self, state, layers):
        self.state_dict = lambda: state
        self.named_modules = lambda: iter(layers.items())


class Conv1D:
    """The name is that of GPT-2's layers, whose weights are [in, out]."""


class Linear:
    """The name is that of PyTorch's layers."""


class ConvTranspose2d:
    """Likewise."""


def test_the_layout_of_weights_with_names_of_gpt2_is_stated_or_known():
    mask = np.array([[1, 0], [1, 1]])
    state = {"h.0.attn.c_proj.weight": mask, "h.0.attn.q.weight": mask}
    params = {name: {"kernel": jnp.ones((2, 2))} for name in ("c_proj", "q")}
    with pytest.raises(UserError, match=r"c_proj.*inputs_first=\('c_proj',\).*=\(\)"):
        masks.from_torch(state, params)
    with pytest.raises(UserError, match=r"inputs_first is 'c_pro'.*Did you mean"):
        masks.from_torch(state, params, inputs_first=["c_pro"])
    layers = {"": Module({}, {}), "h.0.attn.c_proj": Conv1D(), "h.0.attn.q": Linear()}
    module = Module(state, layers)
    for source, options, first in (
        (state, {"inputs_first": ("c_proj",)}, True),
        (state, {"inputs_first": ()}, False),
        (module, {}, True),
        (module, {"inputs_first": ()}, False),
        (Module(state, layers | {"h.0.attn.c_proj": Linear()}), {}, False),
    ):
        found = masks.from_torch(source, params, **options)
        right = mask if first else mask.T
        np.testing.assert_array_equal(found["c_proj"]["kernel"], right)
        np.testing.assert_array_equal(found["q"]["kernel"], mask.T)
    layers["h.0.attn.q"] = ConvTranspose2d()
    with pytest.raises(UserError, match=r"the module: 'h.0.attn.q.weight' is a transp"):
        masks.from_torch(Module(state, layers), params)


def test_attention_in_a_safetensors_file_which_sorts_names(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    counts = {"q": 58, "k": 6, "v": 45, "o": 32}
    weights = {
        f"attn.{name}_proj.weight": (np.arange(64).reshape(8, 8) < n).astype("f4")
        for name, n in counts.items()
    }
    safetensors.save_file(weights, tmp_path / "m.safetensors")
    names = ("query", "key", "value", "out")
    params = {"attn": {name: {"kernel": jnp.ones((8, 8))} for name in names}}
    found = masks.num_active(masks.from_torch(tmp_path / "m.safetensors", params))
    right = zip(names, counts.values(), strict=True)
    assert found == {f"attn/{name}/kernel": count for name, count in right}


class Huge:
    """A tensor of the shape that a hostile file says; nobody may look at its values."""

    shape = (10**6, 10**6)

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("10^12 values are read")


@pytest.mark.parametrize("name", ["l.2.weight", "l.2.weight_mask", "x.weight"])
def test_values_are_read_only_where_shapes_are_right(name):
    with pytest.raises(UserError, match="complete these names"):
        masks.from_torch(STATE | {name: Huge()}, two_layers())
    unused = {"x.weight": Huge()}
    assert masks.from_torch(STATE | unused, two_layers(), names=BOTH)


def test_what_pytorch_says_about_pickles_is_not_repeated(tmp_path, monkeypatch):
    def load(*_, **__):
        raise pickle.UnpicklingError("Weights only load failed. Set weights_only=False")

    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("w/data.pkl", b"hostile")
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
    with pytest.raises(UserError) as caught:
        masks.from_torch(path, network())
    assert str(caught.value) == (
        f"{str(path)!r} cannot be read without executing pickles: it holds other "
        "objects than tensors, which would run code."
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("w/data/0", bytes(10**6))
    with pytest.raises(UserError, match="its members of 977 KiB, where at most"):
        masks.from_torch(path, network())


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
        masks.from_torch(tmp_path / name, network())
    assert name in str(caught.value)


def test_a_torch_file_without_a_state_dict_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.ones(2), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"holds a Tensor.*state dict"):
        masks.from_torch(tmp_path / "w.pt", network())


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
    found = masks.from_open_lth(path, params)
    np.testing.assert_array_equal(found["fc_0"]["kernel"], np.transpose(first))
    np.testing.assert_array_equal(found["fc_1"]["kernel"], np.transpose(second))
    assert found["fc_1"]["bias"].all()
    names = {"fc_0/kernel": None, "fc_1/kernel": "fc.weight"}
    found = masks.from_open_lth(path, params, names)
    assert found["fc_0"]["kernel"].all()
    # Layers that were ignored are last in its files; numbers say where they belong.
    moved = {f"blocks.{i}.weight": torch.tensor([[i, 1], [1, 1]]) for i in (1, 0)}
    found = masks.from_open_lth(moved, two_layers())
    assert [bool(found[f"Dense_{i}"]["kernel"][0, 0]) for i in (0, 1)] == [False, True]
    # Weights are no masks.
    state["fc.weight"] = torch.tensor([[0, 0.5], [0, 0]])
    with pytest.raises(UserError, match=r"fc.weight is 0.5 at \[0, 1\]"):
        masks.from_open_lth(state, params)


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
    found = masks.from_jaxpruner(wrap(SparseState(given)), network())
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
        masks.from_jaxpruner(state, network())


def test_weights_that_are_not_zero_are_active():
    weights = network()
    kernel = np.array([[0.0], [-0.0], [np.nan], [1e-30]])
    weights["params"]["Dense_10"]["kernel"] = kernel
    weights["params"]["Dense_2"]["bias"] = jnp.zeros(4)
    found = masks.from_nonzero(weights, network())
    masks.check(found, network())
    kept = found["params"]["Dense_10"]["kernel"].ravel().tolist()
    assert kept == [False, False, True, True]
    assert masks.num_active(found)["params/Dense_2/kernel"] == 20
    assert found["params"]["Dense_2"]["bias"].all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (network(Dense_10=None), "weights have no kernel 'params/Dense_10/kernel'"),
        (network(Dense_3=(2, 2)), "network has no kernel 'params/Dense_3/kernel'"),
        (network(Dense_2=(4, 5)), r"Dense_2/kernel'.*\(4, 5\).*\(5, 4\)"),
    ],
)
def test_weights_of_another_network_are_refused(weights, message):
    with pytest.raises(UserError, match=message):
        masks.from_nonzero(weights, network())


def test_imported_masks_can_be_saved(tmp_path):
    given, _ = jaxpruner_masks()
    imported = masks.from_jaxpruner(SparseState(given), network())
    masks.save(tmp_path / "mask", imported, {"method": "jaxpruner"})
    assert equal(masks.load(tmp_path / "mask")[0], imported)


@pytest.mark.parametrize("stored", ["to_sparse", "to_sparse_csr", "byte", "quantized"])
def test_tensors_that_are_stored_otherwise_have_the_same_masks(stored):
    torch = pytest.importorskip("torch")
    weight = torch.eye(4)[:, :3] + torch.eye(4)[:, 1:]
    how = {
        "to_sparse": lambda x: x.to_sparse(),
        "to_sparse_csr": lambda x: x.to_sparse_csr(),
        "byte": lambda x: x.to(torch.float8_e4m3fn),
        "quantized": lambda x: torch.quantize_per_tensor(x, 0.5, 0, torch.qint8),
    }
    params = {"Dense_0": {"kernel": jnp.ones((3, 4))}}
    found = masks.from_torch({"fc.weight": how[stored](weight)}, params)
    expected = weight.numpy().T != 0
    np.testing.assert_array_equal(found["Dense_0"]["kernel"], expected)
