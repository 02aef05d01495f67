import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import masks
from sparse_gf.core import tree
from sparse_gf.models import mlp
from sparse_gf.models.variants import Variant, parse

FLOAT32, FLOAT64 = jnp.dtype("float32"), jnp.dtype("float64")


def make(variant="NR", dtype=FLOAT32, **changes):
    settings = {"width": 4, "hidden_layers": 2, "num_classes": 3} | changes
    return mlp.MLP(variant=parse(variant), param_dtype=dtype, **settings)


def init(model, x, seed=0):
    return jax.jit(model.init)(jax.random.key(seed), x)


@pytest.mark.parametrize("hidden_layers", [1, 2, 4])
def test_layers_have_the_dims_that_layer_dims_says_and_no_biases(hidden_layers):
    model = make(width=7, hidden_layers=hidden_layers)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 5)))["params"]
    assert {path: kernel.shape for path, kernel in tree.kernels(params).items()} == (
        mlp.layer_dims(5, 7, hidden_layers, 3)
    )
    assert len(jax.tree.leaves(params)) == hidden_layers + 1


def test_layer_dims_come_in_forward_order():
    dims = mlp.layer_dims(5, 7, 11, 3)
    assert list(dims) == [f"Dense_{i}/kernel" for i in range(12)]
    assert list(dims.values()) == [(5, 7), *[(7, 7)] * 10, (7, 3)]


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
def test_parameters_and_logits_have_the_type_asked_for(x64, dtype):
    model = make("BN_LN_SC", dtype, activation="srelu")
    logits, variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), jnp.ones((2, 5), dtype)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {dtype}
    assert logits.dtype == dtype


def test_a_network_of_default_settings_can_be_made():
    model = mlp.MLP(width=2, hidden_layers=1, num_classes=2)
    logits, _ = model.init_with_output(jax.random.key(0), jnp.ones((1, 2)))
    assert logits.dtype == FLOAT32


def test_images_are_flattened_row_by_row():
    model, images = make(), jnp.arange(24.0).reshape(2, 2, 3, 2)
    variables = init(model, images)
    np.testing.assert_array_equal(
        model.apply(variables, images), model.apply(variables, images.reshape(2, 12))
    )


def kernels(variables):
    return [np.asarray(k) for k in tree.kernels(variables["params"]).values()]


@pytest.mark.parametrize("variant", ["NR", "SC"])
def test_logits_by_hand(variant):
    model, x = make(variant), jnp.linspace(-1, 1, 10).reshape(2, 5)
    variables = init(model, x)
    first, second, last = kernels(variables)
    h = np.maximum(x @ first, 0)
    skipped = h if variant == "SC" else 0
    h = np.maximum(h @ second, 0) + skipped
    np.testing.assert_allclose(
        model.apply(variables, x), h @ last, rtol=1e-5, atol=1e-6
    )


def test_one_hidden_layer_has_nothing_to_skip():
    x = jnp.ones((2, 4))
    plain, skip = (make(variant, hidden_layers=1) for variant in ("NR", "SC"))
    variables = init(plain, x)
    np.testing.assert_array_equal(plain.apply(variables, x), skip.apply(variables, x))


def normalise(z, axis):
    """BatchNorm over axis 0, LayerNorm over axis 1, as both begin."""
    mean = z.mean(axis, keepdims=True)
    variance = ((z - mean) ** 2).mean(axis, keepdims=True)
    return (z - mean) / np.sqrt(variance + 1e-5)


def test_both_normalisations_come_batch_first_and_before_the_activation():
    model = make("BN_LN", hidden_layers=1, activation="tanh")
    x = jax.random.normal(jax.random.key(1), (6, 5))
    variables = init(model, x)
    first, last = kernels(variables)
    h = np.tanh(normalise(normalise(np.asarray(x) @ first, 0), 1))
    logits, _ = model.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(logits, h @ last, rtol=1e-4, atol=1e-5)


def test_evaluation_uses_running_statistics_and_leaves_them_alone():
    model, x = make("BN"), jax.random.normal(jax.random.key(1), (6, 5))
    variables = init(model, x)
    alone = model.apply(variables, x[:1])
    together, updated = model.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(alone[0], together[0], rtol=1e-5)
    for old, new in zip(
        jax.tree.leaves(variables["batch_stats"]),
        jax.tree.leaves(updated["batch_stats"]),
        strict=True,
    ):
        np.testing.assert_array_equal(old, new)


class TestBatchNorm:
    """The reference's batches go through the first hidden layer of a network.

    Its kernel is the identity, so that the normalisation sees the batch itself. An
    image's pixels count as rows: statistics are per channel.
    """

    FILES = ("batchnorm_1d", "batchnorm_2d")

    @pytest.fixture(params=FILES)
    def file(self, request, reference, x64):
        return reference(request.param)

    def run(self, file, x, scale, bias, statistics, *, train):
        """BatchNorm's output and the statistics after it."""
        channels = scale.size
        model = make("BN", FLOAT64, width=channels, hidden_layers=1)
        params = {
            "Dense_0": {"kernel": jnp.eye(channels)},
            "BatchNorm_0": {"scale": scale, "bias": bias},
            "Dense_1": {"kernel": jnp.zeros((channels, 3))},
        }
        _, seen = model.apply(
            {"params": params, "batch_stats": {"BatchNorm_0": statistics}},
            x.reshape(-1, channels),
            train=train,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=True,
        )
        (y,) = seen["intermediates"]["BatchNorm_0"]["__call__"]
        return y.reshape(x.shape), seen["batch_stats"]["BatchNorm_0"]

    def start(self, file):
        scale, bias = jnp.asarray(file["scale"]), jnp.asarray(file["bias"])
        mean, var = jnp.asarray(file["mean0"]), jnp.asarray(file["var0"])
        return scale, bias, {"mean": mean, "var": var}

    def close(self, actual, expected):
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)

    def test_training_and_evaluation(self, file):
        scale, bias, statistics = self.start(file)
        for step, x in enumerate(file["x_train"]):
            y, statistics = self.run(
                file, jnp.asarray(x), scale, bias, statistics, train=True
            )
            self.close(y, file["y_train"][step])
            self.close(statistics["mean"], file["running_mean"][step])
            self.close(statistics["var"], file["running_var_biased_flax_rule"][step])
        x = jnp.asarray(file["x_eval"])
        y, after = self.run(file, x, scale, bias, statistics, train=False)
        self.close(y, file["y_eval_biased_stats"])
        self.close(after["var"], statistics["var"])

    def test_gradient_through_the_batchs_statistics(self, file):
        scale, bias, statistics = self.start(file)

        def forward(x, scale, bias):
            return self.run(file, x, scale, bias, statistics, train=True)[0]

        x = jnp.asarray(file["x_eval"])
        _, vjp = jax.vjp(forward, x, scale, bias)
        by_x, by_scale, by_bias = vjp(jnp.asarray(file["vjp_cotangent"]))
        self.close(by_x, file["vjp_dx"])
        self.close(by_scale, file["vjp_dscale"])
        self.close(by_bias, file["vjp_dbias"])


def dropped(model, params, x, seed):
    return model.apply(
        {"params": params},
        x,
        train=True,
        deterministic=False,
        rngs={"dropout": jax.random.key(seed)},
    )


def test_dropout_is_off_unless_asked_for():
    x = jnp.ones((2, 5))
    with_dropout, plain = make("DO"), make()
    params = init(plain, x)["params"]
    expected = plain.apply({"params": params}, x, train=True)
    actual = with_dropout.apply({"params": params}, x, train=True)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(dropped(plain, params, x, 0), expected)


def test_dropout_keeps_the_mean_and_drops_its_share():
    # Ones in, identity kernels: the logits are the units after dropout.
    model = make("DO", width=50, hidden_layers=1, num_classes=50, dropout_rate=0.2)
    params = {f"Dense_{i}": {"kernel": jnp.eye(50)} for i in range(2)}
    units = np.asarray(dropped(model, params, jnp.ones((2000, 50)), seed=0))
    zeros = units == 0
    np.testing.assert_allclose(units[~zeros], 1 / 0.8, rtol=1e-6)
    error = np.sqrt(0.2 * 0.8 / units.size)
    assert abs(zeros.mean() - 0.2) < 5 * error
    other = np.asarray(dropped(model, params, jnp.ones((2000, 50)), seed=1))
    assert ((other == 0) != zeros).any()


def narrow_and_wide(variant, activation):
    """A network of 4 units and one of 9 whose leading blocks are its weights.

    The wide one's other weights are drawn too, and then masked.
    """
    settings = {"activation": activation, "max_width": 9, "hidden_layers": 3}
    narrow = make(variant, FLOAT64, width=4, **settings)
    wide = make(variant, FLOAT64, width=9, **settings)
    x = jax.random.normal(jax.random.key(3), (8, 5), FLOAT64)
    variables = init(wide, x)
    shapes = jax.eval_shape(narrow.init, jax.random.key(0), x)
    block = masks.blocks(variables["params"], mlp.layer_dims(5, 4, 3, 3))
    padded = variables | {"params": masks.apply(variables["params"], block)}
    cut = jax.tree.map(
        lambda leaf, want: leaf[tuple(slice(n) for n in want.shape)], variables, shapes
    )
    return (narrow, cut), (wide, padded), x


@pytest.mark.parametrize(
    ("variant", "activation"),
    # Sigmoid is 1/2, not 0, at the padded units.
    [("NR", "sigmoid"), ("BN_SC", "srelu"), ("DO_SC", "relu")],
)
def test_a_wide_network_under_a_block_mask_is_the_narrow_one(x64, variant, activation):
    *networks, x = narrow_and_wide(variant, activation)
    outputs = []
    for model, variables in networks:
        apply = functools.partial(
            model.apply, train=True, deterministic=False, mutable=["batch_stats"]
        )
        rngs = {"dropout": jax.random.key(7)}
        outputs.append(jax.jit(apply)(variables, x, rngs=rngs)[0])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12, atol=1e-14)


def test_variants_that_are_not_the_networks_change_no_parameter():
    x = jnp.ones((1, 5))
    shapes = [
        jax.eval_shape(make(variant).init, jax.random.key(0), x)
        for variant in ("NR", "DA_L1_L2_DO_SC")
    ]
    assert shapes[0] == shapes[1]
    assert make().variant == Variant()


@pytest.mark.parametrize(
    ("precision", "bits"), [("tensorfloat32", 10), ("bfloat16", 7)]
)
def test_every_layer_has_the_precision_asked_for(precision, bits):
    model, images = make(precision=precision), jnp.linspace(-1, 1, 24).reshape(2, 12)
    variables = init(model, images)

    def product(a, b):
        a, b = (jax.lax.reduce_precision(factor, 8, bits) for factor in (a, b))
        return jnp.matmul(a, b, precision="highest")

    hidden = images
    for kernel in tree.kernels(variables["params"]).values():
        logits = product(hidden, kernel)
        hidden = jax.nn.relu(logits)
    np.testing.assert_allclose(model.apply(variables, images), logits, rtol=1e-5)
    full = make().apply(variables, images)
    assert not np.allclose(full, logits, rtol=1e-5)
