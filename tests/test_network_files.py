"""Saved networks called again, and rebuilt elsewhere from what is exported."""

import flax.linen as nn
import numpy as np
import pytest

import sparse_gf as sg
from sparse_gf import network_files, results
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import saved
from sparse_gf.specs import MaskedSpec, MaskSpec, RunSpec

SMALL = {
    "dataset": "digits",
    "epochs": 2,
    "seeds": (0,),
    "measurements": 1,
    "train_examples": 256,
    "batch_size": 64,
}


def trained(folder, **values):
    found = sg.compare(
        SMALL | values, folder, options=RunSpec(save_networks="last")
    ).networks
    first = found.iloc[0]
    where = results.cell_folder(folder, first["dataset"], first["config_hash"])
    return found, sorted((where / "networks").glob("*.npz"))


@pytest.fixture(scope="module")
def digits():
    return sg.data.load("digits")


@pytest.fixture(scope="module")
def capacity(tmp_path_factory):
    # So few of 64 inputs are active that no four have more than two.
    values = {"hidden_layers": 2, "dense_widths": (3,), "variant": "SC_BN"}
    return trained(tmp_path_factory.mktemp("capacity"), **values)


def test_a_network_that_is_read_is_as_accurate_as_it_was(capacity, digits):
    rows, files = capacity
    assert len(files) == 2
    for file in files:
        network = network_files.load(file)
        (row,) = rows[rows["arm"] == file.name.partition("_")[0]].to_dict("records")
        found = network.accuracy(digits.test_images, digits.test_labels, 100)
        assert found == pytest.approx(row["test_accuracy"], abs=1e-9)
        active = sg.masks.num_active(network.masks)
        assert list(active.values()) == list(row["layer_num_active"])


def normalised(network, images):
    return (images / 255 - network.mean) / np.where(network.std > 0, network.std, 1)


def test_an_mlp_is_rebuilt_in_numpy_from_the_export(capacity, digits):
    network = network_files.load(capacity[1][1])
    state = network_files.to_torch(network)
    images = digits.test_images[:50]
    x = normalised(network, images).reshape(50, -1)

    def norm(name, h):
        spread = np.sqrt(state[f"{name}.running_var"] + 1e-5)
        unit = (h - state[f"{name}.running_mean"]) / spread
        return unit * state[f"{name}.weight"] + state[f"{name}.bias"]

    for layer in range(2):
        z = norm(f"BatchNorm_{layer}", x @ state[f"Dense_{layer}.weight"].T)
        x = np.maximum(z, 0) + (x if layer else 0)
    logits = x @ state["Dense_2.weight"].T
    np.testing.assert_allclose(logits, network.apply(images), rtol=1e-4, atol=1e-4)


@pytest.mark.thorough
def test_a_convolutional_network_is_rebuilt_in_pytorch(tmp_path, digits):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    mask = {"method": "random", "density": (0.3,)}
    values = {"model": "resnet8", "mask": mask, "epochs": 1, "train_examples": 128}
    rows, files = trained(tmp_path, **values)
    network = network_files.load(files[0])
    arrays = network_files.to_torch(network)
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def block(name, norm, x, strides=1):
        weight = state[f"{name}.weight"]
        x = functional.conv2d(x, weight, None, strides, weight.shape[-1] // 2)
        own = [state[f"{norm}.{part}"] for part in ("running_mean", "running_var")]
        own += [state[f"{norm}.{part}"] for part in ("weight", "bias")]
        return functional.batch_norm(x, *own)

    images = torch.from_numpy(normalised(network, digits.test_images)).float()
    x = functional.relu(block("Stage_0", "BatchNorm_0", images.permute(0, 3, 1, 2)))
    for stage in (1, 2, 3):
        name, strides = f"Stage_{stage}_Block_0", 1 if stage == 1 else 2
        y = block(f"{name}.Conv_0", f"{name}.BatchNorm_0", x, strides)
        y = block(f"{name}.Conv_1", f"{name}.BatchNorm_1", functional.relu(y))
        if strides > 1:
            new = (y.shape[1] - x.shape[1]) // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, new, new))
        x = functional.relu(x + y)
    top = functional.linear(x.mean((2, 3)), state["Top.weight"], state["Top.bias"])
    accuracy = float((top.argmax(1).numpy() == digits.test_labels).mean())
    assert accuracy == pytest.approx(rows["test_accuracy"].iloc[0], abs=1e-9)
    few = digits.test_images[:50]
    np.testing.assert_allclose(top[:50], network.apply(few), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("packed", [False, True])
def test_safetensors_hold_weights_and_masks(capacity, tmp_path, packed):
    safetensors = pytest.importorskip("safetensors.numpy")
    network = network_files.load(capacity[1][1])
    path = tmp_path / "network.safetensors"
    network_files.to_safetensors(network, path, packed=packed)
    arrays = safetensors.load_file(path)
    masks = tree.kernels(network.masks)
    params = tree.kernels(network.params)
    for path, mask in masks.items():
        name = path.replace("/kernel", ".weight")
        if f"{name}_values" in arrays:
            own = arrays[f"{name}_values"], arrays[f"{name}_places"]
            weight = network_files.unpack(*own)
        else:
            weight = arrays[name]
            np.testing.assert_array_equal(arrays[f"{name}_mask"], mask.T)
        np.testing.assert_array_equal(weight, params[path].T)
    assert any(name.endswith("_places") for name in arrays) == packed


def test_two_of_four_takes_half_of_the_room_and_comes_back():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 16)).astype(np.float32)
    scores = rng.random((6, 4, 4))
    mask = (np.argsort(np.argsort(scores, 2), 2) < 2).reshape(6, 16)
    mask[0] = False
    mask[1, :4] = [False, False, True, False]
    values, places = network_files.pack(weights, mask)
    assert (values.shape, places.shape) == ((6, 8), (6, 2))
    assert (values.dtype, places.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(
        network_files.unpack(values, places), np.where(mask, weights, 0)
    )
    # By hand: places 0 and 3, then 1 and 2, two bits each from the lowest.
    one = np.array([[1, 0, 0, 2, 0, 3, 4, 0]], np.float32)
    values, places = network_files.pack(one, one != 0)
    assert values.tolist() == [[1, 2, 3, 4]]
    assert places.tolist() == [[0 | 3 << 2 | 1 << 4 | 2 << 6]]
    with pytest.raises(UserError, match="two of every four"):
        network_files.pack(weights, np.ones_like(mask))
    with pytest.raises(UserError, match="multiple of eight"):
        network_files.pack(weights[:, :12], mask[:, :12])


def test_what_cannot_be_used_is_said(capacity, tmp_path):
    file = capacity[1][0]
    network = network_files.load(file)
    with pytest.raises(UserError, match=r"shape \(2, 3\); it must be \('examples', 8"):
        network.apply(np.zeros((2, 3), np.uint8))
    old = saved.load(file)
    del old.about["normalisation"]
    saved.save(tmp_path / "old.npz", old)
    with pytest.raises(UserError, match="does not say how its images were normalised"):
        network_files.load(tmp_path / "old.npz")
    with pytest.raises(UserError, match="nowhere"):
        network_files.load("/nowhere.npz")


class Heads(nn.Module):
    """Attention on an image's rows, and a layer whose name leaves its axes open."""

    num_classes: int

    @nn.compact
    def __call__(self, x):
        x = nn.MultiHeadDotProductAttention(2, name="mix")(x[..., 0])
        x = nn.DenseGeneral((2, 3), name="fold")(x)
        return nn.Dense(self.num_classes, name="top")(x.reshape(len(x), -1))


def test_heads_of_an_own_model_are_exported_as_matrices(tmp_path):
    mask = {"method": "random", "density": (0.5,)}
    values = {"model": Heads, "mask": mask, "data_augmentation": False, "epochs": 1}
    cell = MaskedSpec(**SMALL | values | {"mask": MaskSpec(**mask)})
    sg.compare(cell, tmp_path, options=RunSpec(save_networks="last"))
    (file,) = tmp_path.glob("*/networks/*.npz")
    network = network_files.load(file)
    state = network_files.to_torch(network)
    mix = network.params["mix"]
    kernel, bias = mix["query"]["kernel"], mix["query"]["bias"]
    for head, unit, e in np.ndindex(2, 4, 8):
        assert state["mix.query.weight"][head * 4 + unit, e] == kernel[e, head, unit]
        assert state["mix.query.bias"][head * 4 + unit] == bias[head, unit]
        out = mix["out"]["kernel"][head, unit, e]
        assert state["mix.out.weight"][e, head * 4 + unit] == out
    assert state["fold.weight"].shape == (6, 8)
    assert state["fold.bias"].shape == (6,)
    assert list(tree.kernels(network.params))[-2:] == ["fold/kernel", "top/kernel"]
