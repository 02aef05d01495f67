"""Ghosts: schedules as tables, exact off positions in every model, their parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Params
from sparse_gf.models import catalog, ghosts, layers, resnet
from sparse_gf.models.ghosts import Gates, Ghosts
from sparse_gf.schedules import Ramp

EPOCHS = range(1, 8)

# Epochs 1 to 7 of ramps that end in epoch 5.
TABLES = [
    ("linear", 1, 9, [1, 3, 5, 7, 9, 9, 9]),
    ("linear", 1, 0, [1, 0.75, 0.5, 0.25, 0, 0, 0]),
    ("cosine", 1, 0, [1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0, 0, 0]),
    # Factors of 3; and what is left falls by 100^(1/4), less the last hundredth.
    ("exponential", 1, 81, [1, 3, 9, 27, 81, 81, 81]),
    (
        "exponential",
        1,
        0,
        [1, (10**-0.5 - 0.01) / 0.99, 0.09 / 0.99, (10**-1.5 - 0.01) / 0.99, 0, 0, 0],
    ),
    ("step", 1, 9, [1, 3, 5, 7, 9, 9, 9]),
    ("abrupt", 1, 0, [1, 1, 1, 1, 0, 0, 0]),
    ("abrupt", 1, 100, [1, 1, 1, 1, 100, 100, 100]),
    ("permanent", 1, 0, [1] * 7),
]


@pytest.mark.parametrize(("shape", "start", "end", "values"), TABLES)
def test_ramps(shape, start, end, values):
    ramp = Ramp(shape, start, end, 5)
    traced = jax.jit(jax.vmap(ramp))(jnp.arange(1, 8))
    np.testing.assert_allclose(traced, values, rtol=1e-6, atol=1e-7)
    on = [bool(ramp.is_on(epoch)) for epoch in EPOCHS]
    assert on == [shape == "permanent" or epoch <= 5 for epoch in EPOCHS]


def test_a_step_ramp_has_four_jumps():
    ramp = Ramp("step", 0.5, 4.5, 9)
    values = [float(ramp(epoch)) for epoch in range(1, 11)]
    assert values == [0.5, 0.5, 1.5, 1.5, 2.5, 2.5, 3.5, 3.5, 4.5, 4.5]


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential", "step", "abrupt"])
@pytest.mark.parametrize("last", [2, 7, 90, 600])
def test_gates_end_at_exactly_zero(shape, last):
    gate = jax.jit(jax.vmap(Ramp(shape, 1.0, 0.0, last)))
    first, before, at_the_end = np.asarray(gate(np.array([1, last - 1, last])))
    assert at_the_end == 0
    assert first == 1
    assert 0 <= before <= 1


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.0), (1.0, 100.0)])
def test_an_abrupt_end_is_no_epoch_earlier(start, end):
    """Of the gate and of beta; rounding of the share does not end it."""
    for last in (2, 3, 162, 511):
        found = jax.vmap(Ramp("abrupt", start, end, last))(jnp.arange(1, last + 2))
        assert found.tolist() == [start] * (last - 1) + [end] * 2


def test_ghosts_are_on_as_long_as_one_of_them():
    beta, alpha = Ramp("linear", 1, 9, 5), Ramp("linear", 1, 0, 3)
    assert [bool(Ghosts(beta, alpha).are_on(e)) for e in EPOCHS] == [True] * 5 + [
        False
    ] * 2
    assert [bool(Ghosts(None, alpha).are_on(e)) for e in (3, 4)] == [True, False]
    gates = Ghosts(None, alpha).gates(2)
    assert gates.beta is None
    assert gates.alpha == 0.5


NARROW = resnet.ResNet(7, (1, 1, 1), (4, 4, 8), bottleneck=True)

MODELS = {
    "basic": (resnet.ResNet(7, (1, 1), (4, 8), shortcut="padding"), 8),
    "bottleneck": (NARROW, 8),
    "wrn_10_1": (catalog.make("wrn_10_1", 7), 8),
    "vgg11": (catalog.make("vgg11", 7), 32),
    "mobilenet": (catalog.make("mobilenet", 7), 8),
    "mlp_3_20": (catalog.make("mlp_3_20", 7, norm="batch_norm"), 4),
}


def drawn(model, pixels, **arguments):
    """Variables that are no constants, so that nothing hides, and an image."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, pixels, pixels, 3)).astype(np.float32)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros_like(images), **arguments)
    )

    def draw(leaf):
        spread = (2 / np.prod(leaf.shape[:-1])) ** 0.5 if leaf.ndim > 1 else 0.1
        return np.float32(rng.normal(leaf.ndim == 1, spread, leaf.shape))

    return jax.tree.map(draw, shapes), images


@functools.partial(
    jax.jit,
    static_argnums=0,
    compiler_options={"xla_backend_optimization_level": 0},
)
def outputs(model, variables, images, gates):
    """Logits in both modes, and the running statistics."""
    arguments = {} if gates is None else {"gates": gates}
    trained = model.apply(
        variables, images, train=True, mutable=["batch_stats"], **arguments
    )
    return model.apply(variables, images, **arguments), trained


def equal_to_rounding(found, wanted):
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_skips_at_zero_are_the_plain_network(name):
    """To rounding: another program. Training drops the gates; see ``test_tost``."""
    model, pixels = MODELS[name]
    variables, images = drawn(model, pixels)
    plain = outputs(model, variables, images, None)
    closed = outputs(model, variables, images, Gates(alpha=jnp.float32(0)))
    jax.tree.map(equal_to_rounding, closed, plain)
    opened = outputs(model, variables, images, Gates(alpha=jnp.float32(0.5)))
    assert not np.allclose(opened[0], plain[0])
    soft = outputs(model, variables, images, Gates(beta=jnp.float32(1)))
    assert not np.allclose(soft[0], plain[0])
    hard = outputs(model, variables, images, Gates(beta=jnp.float32(1e6)))
    np.testing.assert_allclose(hard[0], plain[0], rtol=1e-3, atol=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_projections_are_ghost_parameters_alone(name):
    """They leave when they are removed, and the network is the plain one again."""
    model, pixels = MODELS[name]
    if "mlp" in name:
        ghostly = model.clone(ghost_skip="projection")
    else:
        style = model.style.__class__(skip=model.style.skip, ghost_skip="projection")
        ghostly = model.clone(style=style)
    gates = Gates(alpha=jnp.float32(0))
    with_ghosts, images = drawn(ghostly, pixels, gates=gates)
    plain = jax.eval_shape(model.init, jax.random.key(0), images)
    kept = {name: ghosts.without(tree) for name, tree in with_ghosts.items()}
    assert jax.tree.structure(kept) == jax.tree.structure(plain)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), kept, plain)
    assert tree.kernels(with_ghosts["params"]).keys() == (
        tree.kernels(plain["params"]).keys()
    )
    added = ghosts.num_params(with_ghosts["params"])
    size = {
        id(params): sum(leaf.size for leaf in jax.tree.leaves(params))
        for params in (with_ghosts["params"], kept["params"])
    }
    assert added == size[id(with_ghosts["params"])] - size[id(kept["params"])] > 0
    assert ghosts.num_params(kept["params"]) == 0
    wanted, _ = outputs(model, kept, images, None)
    logits, _ = outputs(ghostly, with_ghosts, images, gates)
    equal_to_rounding(logits, wanted)


def count(blocks) -> int:
    """A weight per pair of channels, and a scale and a bias per output."""
    return sum(inputs * outputs + 2 * outputs for inputs, outputs in blocks)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        # Two 3x3 convolutions per block.
        ("resnet8", [(16, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]),
        ("vgg11", [(64, 128), (128, 256), (256, 256), (256, 512)] + [(512, 512)] * 3),
        ("mlp_3_20", [(20, 20)] * 2),
    ],
)
def test_ghost_parameters_are_counted(name, blocks):
    model = catalog.make(name, 10, ghost_skip="projection")
    shapes = jax.eval_shape(
        lambda: model.init(
            jax.random.key(0),
            jnp.zeros((1, 32, 32, 3)),
            gates=Gates(alpha=jnp.ones(())),
        )
    )
    assert ghosts.num_params(shapes["params"]) == count(blocks)
    plain = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert ghosts.num_params(plain["params"]) == 0


@jax.jit
def ghost_skip(x, y, alpha):
    return layers.ghost_skip("padding", x, y, Gates(alpha=alpha), True)


def test_a_skip_adds_the_input_times_the_gate_by_hand():
    x = np.arange(2 * 4 * 4 * 2, dtype=np.float32).reshape(2, 4, 4, 2)
    y = np.ones((2, 2, 2, 4), np.float32)
    found = np.asarray(ghost_skip(x, y, jnp.float32(0.5)))
    # Every second pixel; one new channel before and one after.
    np.testing.assert_array_equal(found[..., 1:3], 1 + 0.5 * x[:, ::2, ::2])
    np.testing.assert_array_equal(found[..., (0, 3)], np.ones((2, 2, 2, 2)))


def test_a_skip_at_zero_does_not_look_at_its_input():
    x, y = jnp.full((1, 3), jnp.inf), jnp.array([[-0.0, 1.0, 2.0]])
    found = np.asarray(ghost_skip(x, y, jnp.float32(0)))
    np.testing.assert_array_equal(found, y)
    assert np.signbit(found[0, 0])


def test_the_gradient_goes_through_a_gate():
    block = resnet.BasicBlock(4, 1, layers.Style(skip=False, norm="none"), "padding")
    x = np.ones((1, 4, 4, 4), np.float32)
    init = functools.partial(block.init, train=True)
    variables = jax.eval_shape(init, jax.random.key(0), x)
    zeros: Params = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), variables)

    def total(x, alpha):
        return jnp.sum(block.apply(zeros, x, True, Gates(alpha=alpha)))

    # Without weights the two skips are all there is: alpha^2 x.
    found = jax.jit(jax.grad(total))(x, np.float32(0.5))
    np.testing.assert_allclose(found, np.full(x.shape, 0.25))


def test_soft_neurons_take_the_place_of_every_relu():
    model, pixels = MODELS["basic"]
    variables, images = drawn(model, pixels)
    soft = model.clone(style=layers.Style(activation="swish"))

    @jax.jit
    def both(variables, images):
        gates = Gates(beta=jnp.float32(1))
        own = model.apply(variables, images, gates=gates)
        return own, soft.apply(variables, images)

    found, expected = both(variables, images)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_unknown_skip_is_refused():
    with pytest.raises(UserError, match=r"ghost_skip is .dense.*padding, projection"):
        catalog.make("resnet8", 10, ghost_skip="dense")
