"""What the axes of layers are: heads, stacks, transposed kernels, tables, labels."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from sparse_gf import (
    budgets,
    gradient_flow,
    initializers,
    layers,
    masks,
    scores,
    transforms,
)
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.curvature import landscapes
from sparse_gf.layers import Layer

WIDE, HEADS, UNITS = 12, 2, 6


class Attention(nn.Module):
    """Reads tokens; its layers are not called in the order of their names."""

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(7, WIDE)(tokens)
        x = nn.MultiHeadDotProductAttention(HEADS, name="zoom")(x)
        x = nn.DenseGeneral((2, 4), name="fold")(x)
        x = nn.DenseGeneral(8, axis=(-2, -1), name="back")(x)
        x = nn.ConvTranspose(5, (3,), transpose_kernel=True, name="convert")(x)
        return nn.Dense(3, name="all")(x)


class Block(nn.Module):
    """A layer that is stacked."""

    @nn.compact
    def __call__(self, x, _):
        return nn.tanh(nn.Dense(6)(x)), None


class Stack(nn.Module):
    """Four blocks in one array, and a layer of its own."""

    @nn.compact
    def __call__(self, x):
        scan = nn.scan(
            Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=4
        )
        return nn.Dense(3)(scan(name="blocks")(x, None)[0])


class Modules(nn.Module):
    """The same as modules."""

    @nn.compact
    def __call__(self, x):
        for _ in range(4):
            x = Block()(x, None)[0]
        return nn.Dense(3, name="last")(x)


def made(model, *inputs):
    return model.init(jax.random.key(0), *inputs)["params"]


TOKENS = jnp.zeros((2, 5), int)


@pytest.fixture(scope="module")
def attention():
    params = made(Attention(), TOKENS)
    found = layers.of_model(Attention(), TOKENS, embeddings=True)
    return layers.label(params, found)


def test_layers_of_a_model_are_in_the_order_of_calls(attention):
    expected = {
        "Embed_0/embedding": (7, WIDE),
        "zoom/query/kernel": (WIDE, WIDE),
        "zoom/key/kernel": (WIDE, WIDE),
        "zoom/value/kernel": (WIDE, WIDE),
        "zoom/out/kernel": (WIDE, WIDE),
        "fold/kernel": (WIDE, 8),
        "back/kernel": (8, 8),
        "convert/kernel": (3, 8, 5),
        "all/kernel": (5, 3),
    }
    found = {path: kernel.shape for path, kernel in tree.kernels(attention).items()}
    assert list(found.items()) == list(expected.items())

    def flow(params):
        return gradient_flow.from_gradients(jnp.zeros(()), params, masks.ones(params))

    assert list(jax.jit(flow)(attention).layer_norms2) == list(expected)


def test_labelled_params_are_those_of_the_model(attention):
    plain = made(Attention(), TOKENS)
    np.testing.assert_array_equal(
        Attention().apply({"params": attention}, TOKENS),
        Attention().apply({"params": plain}, TOKENS),
    )
    leaves = jax.tree_util.tree_leaves_with_path(attention)
    assert [tree.path_name(path) for path, _ in leaves] == [
        tree.path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(plain)
    ]


def as_matrices(params):
    """The same layers as Dense ones, reshaped by hand."""
    zoom = {
        name: leaf["kernel"].reshape(WIDE, WIDE)
        for name, leaf in params["zoom"].items()
    }
    return {
        "zoom": {name: {"kernel": kernel} for name, kernel in zoom.items()},
        "all": params["all"],
    }


@pytest.mark.parametrize("labelled", [True, False])
def test_heads_count_as_the_matrix_that_they_are(attention, labelled):
    params = {name: attention[name] for name in ("zoom", "all")}
    if labelled:
        own = {
            path: layer
            for path, layer in attention.layers.items()
            if path.startswith(("zoom", "all"))
        }
        params = layers.label(params, own)
    matrices = as_matrices(params)
    for budget in (budgets.erdos_renyi, budgets.erdos_renyi_kernel):
        assert budget(params, 0.2) == budget(matrices, 0.2)
    assert initializers.fans(params) == initializers.fans(matrices)
    ours = masks.n_of_m(params, 2, 4)
    theirs = masks.n_of_m(matrices, 2, 4)
    assert masks.num_active(ours) == masks.num_active(theirs)
    np.testing.assert_array_equal(
        ours["zoom"]["query"]["kernel"].reshape(WIDE, WIDE),
        theirs["zoom"]["query"]["kernel"],
    )
    # Heads are the first axis of what they are read by.
    np.testing.assert_array_equal(
        ours["zoom"]["out"]["kernel"].reshape(WIDE, WIDE),
        theirs["zoom"]["out"]["kernel"],
    )


def test_units_without_inputs_are_found_in_heads(attention):
    kept = masks.ones(attention)
    kept["zoom"]["query"]["kernel"] = (
        jnp.ones((WIDE, HEADS, UNITS), bool).at[:, 1].set(False)
    )
    kernel = tree.kernels(kept)["zoom/query/kernel"]
    assert masks.isolated_units(kernel) == UNITS
    kept["convert"]["kernel"] = jnp.ones((3, 5, 8), bool).at[:, 2].set(False)
    assert masks.isolated_units(tree.kernels(kept)["convert/kernel"]) == 1


def test_directions_follow_the_units_of_heads(attention):
    kernel = attention["zoom"]["query"]["kernel"]
    larger = kernel.at[:, 1].multiply(100)
    key = jax.random.key(1)
    first = landscapes.filter_normalised_direction(key, attention)
    rescaled = layers.label(
        {**attention, "zoom": {**attention["zoom"], "query": {"kernel": larger}}},
        {k: v for k, v in attention.layers.items()},
    )
    second = landscapes.filter_normalised_direction(key, rescaled)
    ours, theirs = (d["zoom"]["query"]["kernel"] for d in (first, second))
    np.testing.assert_allclose(theirs[:, 1], 100 * ours[:, 1], rtol=1e-5)
    np.testing.assert_allclose(theirs[:, 0], ours[:, 0], rtol=1e-5)
    norms = [np.linalg.norm(np.asarray(x), axis=0) for x in (ours, kernel)]
    np.testing.assert_allclose(*norms, rtol=1e-5)


@pytest.fixture(scope="module")
def stacked():
    """The same four layers in one array and as modules, with a loss for each."""
    x = jax.random.normal(jax.random.key(2), (3, 6))
    params = made(Stack(), x)
    modules = {
        f"Block_{i}": jax.tree.map(lambda leaf, i=i: leaf[i], params["blocks"])
        for i in range(4)
    } | {"last": params["Dense_0"]}
    params = layers.label(params, layers.of_model(Stack(), x))

    def loss_of(model):
        return lambda p: jnp.mean(model.apply({"params": p}, x) ** 2)

    return (params, loss_of(Stack())), (modules, loss_of(Modules()))


def test_stacked_layers_are_layers_each(stacked):
    (params, loss_fn), (modules, their_loss_fn) = stacked
    assert list(tree.kernels(params)) == [
        *(f"blocks/Dense_0/kernel[{i}]" for i in range(4)),
        "Dense_0/kernel",
    ]
    found = gradient_flow.measure(loss_fn, params, masks.ones(params))
    theirs = gradient_flow.measure(their_loss_fn, modules, masks.ones(modules))
    np.testing.assert_allclose(found.egf2, theirs.egf2, rtol=1e-6)
    counts = budgets.erdos_renyi(params, 0.3)
    assert list(counts.values()) == list(budgets.erdos_renyi(modules, 0.3).values())
    ours = masks.from_scores(scores.magnitude(params), counts)
    assert masks.num_active(ours) == counts
    other = masks.from_scores(
        scores.magnitude(modules), budgets.erdos_renyi(modules, 0.3)
    )
    for i in range(4):
        np.testing.assert_array_equal(
            ours["blocks"]["Dense_0"]["kernel"][i],
            other[f"Block_{i}"]["Dense_0"]["kernel"],
        )
    score = scores.layer_normalised(scores.magnitude(params))
    sums = jnp.sum(score["blocks"]["Dense_0"]["kernel"], (1, 2))
    np.testing.assert_allclose(sums, np.ones(4), rtol=1e-5)


def test_training_keeps_labels_and_zeros(stacked):
    (params, loss_fn), _ = stacked
    kept = masks.random(jax.random.key(3), params, 40)
    optimizer = transforms.keep_masked(optax.adam(0.1), kept)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss_fn)(params), state, params)
        return optax.apply_updates(params, updates), state

    params, _ = step(masks.apply(params, kept), state)
    assert tree.layers(params)["blocks/Dense_0/kernel"] == Layer((1,), (2,), (0,))
    for path, kernel in tree.kernels(params).items():
        assert jnp.count_nonzero(kernel) == tree.kernels(kept)[path].sum()


class Coder(nnx.Module):
    """Defined in another order than that of names."""

    def __init__(self, rngs):
        self.reads = nnx.Linear(4, 8, rngs=rngs)
        self.attends = nnx.MultiHeadAttention(2, 8, rngs=rngs, decode=False)
        self.convs = nnx.List([nnx.Conv(8, 6, (3,), rngs=rngs)])
        self.table = nnx.Embed(5, 8, rngs=rngs)


def test_nnx_modules_are_in_the_order_of_definition():
    model = Coder(nnx.Rngs(0))
    params = layers.label(nnx.state(model, nnx.Param), layers.of_model(model))
    found = {path: kernel.shape for path, kernel in tree.kernels(params).items()}
    assert list(found.items()) == [
        ("reads/kernel", (4, 8)),
        *(
            (f"attends/{name}/kernel", (8, 8))
            for name in ("query", "key", "value", "out")
        ),
        ("convs/0/kernel", (3, 8, 6)),
    ]
    kept = masks.random(jax.random.key(0), params, budgets.erdos_renyi(params, 0.3))
    nnx.update(model, masks.apply(params, kept).params)
    active = masks.num_active(kept)["attends/query/kernel"]
    assert jnp.count_nonzero(model.attends.query.kernel[...]) == active
    with_table = layers.of_model(model, embeddings=True)
    assert list(with_table)[-1] == "table/embedding"


def test_masks_of_another_tool_land_on_stacked_layers(stacked):
    (params, _), _ = stacked
    rng = np.random.default_rng(0)
    state = {
        f"blocks.{i}.linear.weight": rng.integers(0, 2, (6, 6)).astype(np.float32)
        for i in (3, 0, 2, 1)
    } | {"head.weight": np.ones((3, 6), np.float32)}
    found = masks.from_torch(state, params)["blocks"]["Dense_0"]["kernel"]
    for i in range(4):
        np.testing.assert_array_equal(found[i], state[f"blocks.{i}.linear.weight"].T)


def test_masks_of_labelled_params_are_saved_and_read(attention, tmp_path):
    kept = masks.random(jax.random.key(5), attention, 50)
    masks.save(tmp_path / "kept.npz", kept)
    found = masks.placed(masks.load(tmp_path / "kept.npz")[0], attention)
    assert masks.num_active(found) == masks.num_active(kept)
    assert sum(masks.num_active(found).values()) == 50
    with pytest.raises(UserError, match=r"masks\.placed"):
        masks.apply(attention, masks.load(tmp_path / "kept.npz")[0])


def test_layers_are_the_users_choice():
    params = {
        "linear": {"w": jnp.ones((4, 6)), "b": jnp.ones(6)},
        "torch": jnp.ones((5, 4)),
    }
    chosen = layers.label(
        params, lambda path, leaf: Layer() if path.endswith("/w") else None
    )
    assert budgets.uniform(chosen, 0.5) == {"linear/w": 12}
    chosen = layers.label(params, {"torch": Layer((1,), (0,)), "linear/w": Layer()})
    assert list(tree.kernels(chosen)) == ["torch", "linear/w"]
    assert initializers.fans(chosen)["torch"] == (4, 5)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("stem/kernel", (5, 4, 8)),
        ("Dense_0/kernel", (3, 4, 8)),
        ("out/kernel", (2, 4, 8)),
        ("query/kernel", (2, 4, 2, 8)),
        ("my_linear/kernel", (2, 2, 4, 8)),
    ],
)
def test_axes_that_names_leave_open_are_refused(path, shape):
    params = {path.split("/")[0]: {"kernel": jnp.ones(shape)}}
    for read in (tree.kernels, lambda p: budgets.erdos_renyi(p, 0.1)):
        with pytest.raises(UserError, match=rf"{path}.*layers\.label"):
            read(params)
    chosen = layers.label(params, {path: Layer()})
    assert tree.kernels(chosen)[path].shape == shape


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"other": Layer()}, "'other', which is no leaf"),
        ({"a": Layer((0,), (2,))}, r"'a' as Layer.*shape \(4, 6\)"),
        ({"a": Layer((0,), (-2,))}, "'a' as Layer"),
        ({"a": Layer((0, 1), ())}, "without outputs"),
        ({"b": Layer()}, "'b' as Layer"),
        ({}, "none of the leaves a, b"),
        (lambda path, leaf: None, "none of the leaves a, b"),
    ],
)
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(UserError, match=message):
        layers.label({"a": jnp.ones((4, 6)), "b": jnp.ones(3)}, labels)


def test_models_whose_axes_cannot_be_told_are_refused():
    class Same(nn.Module):
        @nn.compact
        def __call__(self, x):
            scan = nn.scan(
                Block,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=6,
            )
            return scan()(x, None)[0]

    with pytest.raises(UserError, match=r"'ScanBlock_0/Dense_0/kernel'.*by hand"):
        layers.of_model(Same(), jnp.ones((2, 6)))
    with pytest.raises(UserError, match=r"model is a int; it must be a module"):
        layers.of_model(3)
