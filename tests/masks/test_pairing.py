"""Which tensor of another tool belongs to which kernel: by shapes and names alone."""

import random

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sparse_gf import masks
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.masks import pairing

SQUARE, WIDE, HIGH = (8, 8), (8, 32), (32, 8)


def kernels(names):
    return {f"{name}/kernel": shape for name, shape in shaped(names)}


def tensors(names):
    return {f"{name}.weight": shape for name, shape in shaped(names)}


def shaped(names):
    """Names of square layers, or with other shapes in a dict."""
    return dict.fromkeys(names.split(), SQUARE).items() if names else ()


def pairs(ours, theirs):
    found = pairing.by_rules("a file", ours, theirs)
    return {
        path.removesuffix("/kernel"): name.removesuffix(".weight")
        for path, name in found.items()
    }


# Kernels in the order of their paths, and the tensors of one shape that are theirs.
CERTAIN = {
    "attention": ("key out query value", "k o q v"),
    "attention of LLaMA": (
        "attn/key attn/out attn/query attn/value",
        "self_attn.k_proj self_attn.o_proj self_attn.q_proj self_attn.v_proj",
    ),
    "output without a name": ("query key value out", "wq wk wv proj"),
    "names in CamelCase": (
        "Block_0/SelfAttention_0/query Block_0/SelfAttention_0/key",
        "blocks.0.attention.to_q blocks.0.attention.to_k",
    ),
    "parts": ("decoder encoder", "decoder encoder"),
    "layers of parts": (
        "decoder/layers_0 decoder/layers_1 encoder/layers_0 encoder/layers_1",
        "model.decoder.0 model.decoder.2 model.encoder.0 model.encoder.2",
    ),
    "ranks of numbers": ("layers_0 layers_1 layers_2", "layers.2 layers.4 layers.10"),
    "linear layers": ("Dense_0 Dense_1 Dense_10", "module.fc1 module.fc2 module.fc3"),
    "ResNet": (
        "Stage_1_Block_0/Conv_0 Stage_1_Block_0/Conv_1 Stage_1_Block_1/Conv_0",
        "layer1.0.conv1 layer1.0.conv2 layer1.1.conv1",
    ),
    "ResNet of open_lth": (
        "Stage_2_Block_0/Conv_1 Stage_2_Block_1/Conv_0 Stage_2_Block_1/Conv_1",
        "blocks.3.conv2 blocks.4.conv1 blocks.4.conv2",
    ),
    "shortcuts": (
        "Stage_1_Block_0/Conv_2 Stage_1_Block_0/Shortcut Stage_1_Block_1/Conv_2",
        "layer1.0.conv3 layer1.0.downsample.0 layer1.1.conv3",
    ),
    "one of each part": ("attn/Dense_0 mlp/Dense_0", "attn.in mlp.out"),
    "attention and layers beside it": (
        "attn/query attn/key Dense_0 Dense_1",
        "attn.q attn.k mlp.fc1 mlp.fc2",
    ),
}


@pytest.mark.parametrize("case", CERTAIN)
def test_names_say_which_tensor_is_which_kernel_in_any_order(case):
    ours, theirs = CERTAIN[case]
    expected = dict(zip(ours.split(), theirs.split(), strict=True))
    backwards = " ".join(reversed(theirs.split()))
    for order in (theirs, backwards):
        assert pairs(kernels(ours), tensors(order)) == expected


NOT_CERTAIN = {
    "no names": ("Dense_0 Dense_1", "first last"),
    "names on one side": ("Dense_0 Dense_1 Dense_2 Dense_3", "q k v o"),
    "another beside numbers": ("Dense_0 Dense_1 out", "in_proj fc1 fc2"),
    "another in a part": ("attn/Dense_0 attn/out", "attn.in attn.proj"),
    "what contradicts": ("hidden out", "out top"),
    "parts that are left": (
        "encoder/query decoder/query encoder/key decoder/key",
        "encoder.q cross.q encoder.k cross.k",
    ),
    "numbers that do not correspond": ("a_0/b_0 a_1/b_1", "a.0.b.1 a.1.b.0"),
    "exchanged numbers": (
        "fc_0/layers_0 fc_0/layers_1 fc_1/layers_0 fc_1/layers_1",
        "layers.0.fc1 layers.1.fc1 layers.0.fc2 layers.1.fc2",
    ),
    "kernels without tensors": ("query key value", "q k"),
    "tensors without kernels": ("query key", "q k v"),
}


@pytest.mark.parametrize("case", NOT_CERTAIN)
def test_what_is_not_certain_is_refused(case):
    ours, theirs = NOT_CERTAIN[case]
    with pytest.raises(UserError, match="complete these names"):
        pairs(kernels(ours), tensors(theirs))


def test_a_refusal_has_both_lists_and_names_to_complete():
    ours = kernels("attn/query Dense_0 Dense_1") | {"Dense_2/kernel": (8, 3)}
    theirs = tensors("first attn.q last") | {"head.weight": (8, 3)}
    with pytest.raises(UserError) as caught:
        pairing.by_rules("m.pt", ours, theirs)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("m.pt: it is not certain which of 'first.weight', 'last.w")
    names = eval("dict(" + "\n".join(rest[:-1]) + ")")["names"]
    assert names == {
        "attn/query/kernel": "attn.q.weight",
        "Dense_0/kernel": "",
        "Dense_1/kernel": "",
        "Dense_2/kernel": "head.weight",
    }
    assert "(8, 8): first.weight, last.weight" in rest[2]
    assert rest[-1].endswith("first.weight (8, 8), last.weight (8, 8).")
    names |= {"Dense_0/kernel": "first.weight", "Dense_1/kernel": "last.weight"}
    assert pairing.by_name("m.pt", ours, theirs, names) == names


def two(first, second):
    return dict(zip((first, second), (WIDE, HIGH), strict=True))


def test_shapes_that_are_unique_need_no_names_unless_a_layout_could_exchange_them():
    ours = two("a/kernel", "b/kernel") | {"c/kernel": (8, 3)}
    with pytest.raises(UserError, match=r"another layout.*inputs_first"):
        pairing.by_rules("f", ours, two("x.weight", "y.weight") | {"z.weight": (8, 3)})
    ours["b/kernel"], theirs = (32, 5), {"z.weight": (32, 5), "y.weight": (8, 3)}
    found = pairing.by_rules("f", ours, theirs | {"x.weight": WIDE})
    assert list(found.values()) == ["x.weight", "z.weight", "y.weight"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("c_fc/kernel", "c_proj/kernel"), ("c_proj.weight", "c_fc.weight")),
        (("Dense_0/kernel", "Dense_1/kernel"), ("fc2.weight", "fc1.weight")),
        (("fc/kernel", "proj/kernel"), ("proj.weight", "fc.weight")),
    ],
)
def test_shapes_against_names_are_refused(ours, theirs):
    assert pairing.by_rules("f", two(*ours), two(*reversed(theirs)))
    with pytest.raises(UserError, match="which their names do not say"):
        pairing.by_rules("f", two(*ours), two(*theirs))


# Whole networks.


class Attention(nn.Module):
    """Attention and two layers, with heads in one axis."""

    @nn.compact
    def __call__(self, x):
        q, k, v = (nn.Dense(8, name=name)(x) for name in ("query", "key", "value"))
        return nn.Dense(8, name="out")(q + k + v)


class Transformer(nn.Module):
    """As Flax has it: attention has axes for heads."""

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.MultiHeadDotProductAttention(2)(x)
            x = nn.Dense(32)(x)
            x = nn.Dense(8)(x)
        return x


def params_of(model):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 3, 8)))


def state_of(names, seed=0):
    """Random masks in PyTorch's layout."""
    rng = np.random.default_rng(seed)
    return {
        f"{name}.weight": (rng.random(shape) < 0.5).astype(np.float32)
        for name, shape in names.items()
    }


def test_attention_lands_on_its_own_kernels():
    counts = {"q": 58, "k": 6, "v": 45, "o": 32}
    state = {
        f"{name}.weight": np.arange(64).reshape(8, 8) < count
        for name, count in counts.items()
    }
    found = masks.num_active(masks.from_torch(state, params_of(Attention())))
    own = {"query": 58, "key": 6, "value": 45, "out": 32}
    assert found == {f"params/{name}/kernel": n for name, n in sorted(own.items())}


def test_heads_of_attention_in_a_transformer():
    names = {}
    for layer in range(2):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            names[f"layers.{layer}.self_attn.{part}"] = (8, 8)
        names |= {f"layers.{layer}.linear1": HIGH, f"layers.{layer}.linear2": WIDE}
    state = state_of(names) | {"embed_tokens.weight": np.ones((50, 8))}
    found = tree.kernel_leaves(masks.from_torch(state, params_of(Transformer())))
    assert len(found) == 12
    for layer in range(2):
        attention = f"params/MultiHeadDotProductAttention_{layer}"
        theirs = f"layers.{layer}.self_attn"
        q, o = (state[f"{theirs}.{part}_proj.weight"] for part in ("q", "out"))
        query = np.asarray(found[f"{attention}/query/kernel"])
        out = np.asarray(found[f"{attention}/out/kernel"])
        for head, unit, e in np.ndindex(2, 4, 8):
            assert query[e, head, unit] == q[head * 4 + unit, e]
            assert out[head, unit, e] == o[e, head * 4 + unit]
        for i in range(2):
            weight = state[f"layers.{layer}.linear{i + 1}.weight"]
            dense = found[f"params/Dense_{2 * layer + i}/kernel"]
            np.testing.assert_array_equal(dense, weight.T)


class Coder(nnx.Module):
    """Encoder and decoder of equal shapes, and attention."""

    def __init__(self, rngs):
        self.encoder = nnx.List([nnx.Linear(8, 8, rngs=rngs) for _ in range(2)])
        self.decoder = nnx.List([nnx.Linear(8, 8, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(2, 8, rngs=rngs, decode=False)


def test_parts_of_an_nnx_model_do_not_exchange_masks():
    model = nnx.eval_shape(lambda: Coder(nnx.Rngs(0)))
    parts = ["encoder.0", "encoder.2", "decoder.0", "decoder.2"]
    parts += [f"attention.{part}" for part in ("q", "k", "v", "o")]
    state = state_of(dict.fromkeys(parts, (8, 8)))
    for params in (nnx.state(model, nnx.Param), model):
        imported = masks.from_torch(state, params)
        found = tree.kernels(imported)
        for i in range(2):
            for part in ("encoder", "decoder"):
                np.testing.assert_array_equal(
                    found[f"{part}/{i}/kernel"], state[f"{part}.{2 * i}.weight"].T
                )
        key = np.asarray(found["attention/key/kernel"]).reshape(8, 8)
        np.testing.assert_array_equal(key, state["attention.k.weight"].T)
    # From one model here to another, paths say it.
    weights = jax.tree.map(lambda m: m.astype(jnp.float32), imported)
    again = masks.from_nonzero(weights, nnx.state(model, nnx.Param))
    assert masks.num_active(again) == masks.num_active(imported)


# How a layer may be called in PyTorch and in Flax; None for a number.
ROLES = {
    "q": (("q", "q_proj", "wq"), ("query",)),
    "k": (("k_proj", "to_k"), ("key",)),
    "o": (("o", "out_proj"), ("out",)),
    "first": (("in_proj", "inp"), ("in", "inp")),
    "last": (("output", "last"), ("output", "Top")),
    "gate": (("gate",), ("gate_proj",)),
    **{f"none {i}": ((), ()) for i in range(4)},
}


def called(rng, roles, tool, share):
    """Names of the layers of two blocks; some layers only have a number."""
    given = [
        rng.choice(ROLES[role][tool])
        if ROLES[role][tool] and rng.random() < share
        else ""
        for role in roles
    ]
    numbers = [given[:i].count("") for i in range(len(given))]
    for block in range(2):
        for name, number in zip(given, numbers, strict=True):
            if tool == 0:
                yield f"blocks.{block}.{name or f'fc{number + 1}'}"
            else:
                yield f"Block_{block}/{name or f'Dense_{number}'}"


def test_layers_of_any_names_are_paired_rightly_or_not_at_all():
    rng, right, refused = random.Random(0), 0, 0
    for _ in range(300):
        roles = rng.sample(list(ROLES), rng.randint(2, 5))
        theirs, ours = (list(called(rng, roles, tool, 0.7)) for tool in (0, 1))
        truth = dict(zip(ours, theirs, strict=True))
        rng.shuffle(theirs)
        try:
            found = pairs(kernels(" ".join(sorted(ours))), tensors(" ".join(theirs)))
        except UserError:
            refused += 1
        else:
            right += 1
            assert found == truth
    assert min(right, refused) > 50
