"""Training of one network, against slow and direct computations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import data, ensemble, masks, training
from sparse_gf.core import tree
from sparse_gf.data import augment
from sparse_gf.models.mlp import MLP
from sparse_gf.models.variants import Variant


@pytest.fixture
def device_data(x64):
    full = data.load("digits")
    # 131 = a prime: no divisor is a fair batch size.
    small = dataclasses.replace(
        full,
        train_images=full.train_images[:131],
        train_labels=full.train_labels[:131],
        test_images=full.test_images[:53],
        test_labels=full.test_labels[:53],
    )
    return ensemble.to_device(small, "float64")


def make_recipe(**changes):
    model = MLP(
        width=12,
        hidden_layers=2,
        num_classes=10,
        activation="swish",
        param_dtype=jnp.float64,
    )
    settings = {
        "model": model,
        "optimizer": "momentum",
        "preset": "torch",
        "batch_size": 32,
    }
    return training.Recipe(**settings | changes)


def make_state(recipe, learning_rate=0.05):
    variables = recipe.model.init(jax.random.key(0), jnp.zeros((1, 64)))
    params = variables["params"]
    counts = {path: kernel.size // 3 for path, kernel in tree.kernels(params).items()}
    mask = masks.random(jax.random.key(1), params, counts)
    stats = variables.get("batch_stats", {})
    return training.create(recipe, params, mask, stats, learning_rate)


def logits_by_hand(params, images):
    h = images.reshape(images.shape[0], -1)
    for layer in range(2):
        h = h @ params[f"Dense_{layer}"]["kernel"]
        h = h / (1 + np.exp(-h))
    return h @ params["Dense_2"]["kernel"]


def normalised(images, device_data):
    return augment.normalise(images, device_data.mean, device_data.std, jnp.float64)


@pytest.mark.parametrize("limit", [7, 53, 1024])
def test_evaluation_counts_every_example_once(device_data, limit):
    recipe = make_recipe(evaluation_batch=limit)
    state = make_state(recipe)
    images, labels = device_data.test_images, np.asarray(device_data.test_labels)
    found = training.evaluate(
        recipe, state, images, device_data.test_labels, device_data
    )
    logits = logits_by_hand(
        jax.device_get(state.params), np.asarray(normalised(images, device_data))
    )
    log_z = np.log(np.exp(logits).sum(1))
    expected = np.mean(log_z - logits[np.arange(53), labels])
    np.testing.assert_allclose(found.loss, expected, rtol=1e-12)
    assert found.num_correct == np.sum(logits.argmax(1) == labels)


@pytest.mark.thorough
@pytest.mark.parametrize("limit", [32, 131, 1024])
@pytest.mark.parametrize("probe_size", [None, 100])
def test_measurement_is_the_gradient_of_the_mean_loss_over_the_probe(
    device_data, limit, probe_size
):
    recipe = make_recipe(probe_size=probe_size, evaluation_batch=limit)
    state = make_state(recipe)
    images = normalised(device_data.train_images[:probe_size], device_data)
    labels = device_data.train_labels[:probe_size]

    def loss_fn(params):
        logits = recipe.model.apply({"params": params}, images)
        return -jnp.mean(
            jax.nn.log_softmax(logits)[jnp.arange(labels.shape[0]), labels]
        )

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    flow = training.measure.flow(recipe, state, device_data)
    np.testing.assert_allclose(flow.loss, loss, rtol=1e-12)
    norms = []
    for path, kernel in tree.kernels(grads).items():
        mask = np.asarray(tree.kernels(state.masks)[path])
        norms.append(np.linalg.norm(np.asarray(kernel)[mask]))
        np.testing.assert_allclose(flow.layer_norms2[path], norms[-1], rtol=1e-10)
    np.testing.assert_allclose(flow.egf2, np.mean(norms), rtol=1e-10)
    everything = np.concatenate([k.ravel() for k in tree.kernels(grads).values()])
    np.testing.assert_allclose(flow.gf1, np.abs(everything).sum(), rtol=1e-10)


def test_measurement_uses_batch_statistics_and_leaves_the_network_alone(device_data):
    variant = Variant(batch_norm=True, dropout=True)
    recipe = make_recipe(
        model=MLP(
            width=12,
            hidden_layers=2,
            num_classes=10,
            variant=variant,
            dropout_rate=0.5,
            param_dtype=jnp.float64,
        )
    )
    state = make_state(recipe)
    shifted = jax.tree.map(lambda x: x + 3.0, state.batch_stats)
    first = training.measure.flow(recipe, state, device_data)
    second = training.measure.flow(
        recipe, state.replace(batch_stats=shifted), device_data
    )
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_a_step_is_sgd_on_the_masked_gradient(device_data):
    recipe = make_recipe(optimizer="sgd")
    state = make_state(recipe, learning_rate=0.25)
    images = normalised(device_data.train_images[:32], device_data)
    labels = device_data.train_labels[:32]

    def loss_fn(params):
        log_p = jax.nn.log_softmax(recipe.model.apply({"params": params}, images))
        return -log_p[jnp.arange(32), labels].mean()

    after, _ = training.step(recipe, state, images, labels, jax.random.key(0))
    grads = jax.grad(loss_fn)(state.params)
    for path, kernel in tree.kernels(after.params).items():
        before = np.asarray(tree.kernels(state.params)[path])
        mask = np.asarray(tree.kernels(state.masks)[path])
        expected = np.where(mask, before - 0.25 * tree.kernels(grads)[path], 0)
        np.testing.assert_allclose(kernel, expected, rtol=1e-12)


def test_a_non_finite_loss_is_flagged_for_good(device_data):
    recipe = make_recipe(optimizer="sgd")
    state = make_state(recipe, learning_rate=1e200)
    seed = jnp.int32(0)
    for number in (1, 2):
        state = training.epoch(recipe, state, device_data, seed, jnp.int32(number))
    assert bool(state.diverged)
    for path, kernel in tree.kernels(state.params).items():
        assert (np.asarray(kernel)[~tree.kernels(state.masks)[path]] == 0).all()
    score = training.evaluate(
        recipe, state, device_data.test_images, device_data.test_labels, device_data
    )
    assert 0 <= int(score.num_correct) <= 53


def test_an_epoch_sees_every_full_batch_once_in_a_fresh_order(device_data):
    seen = []

    class Spy(MLP):
        def __call__(self, x, **kwargs):
            jax.debug.callback(lambda x: seen.append(np.array(x)), x)
            return super().__call__(x, **kwargs)

    recipe = make_recipe(
        model=Spy(width=3, hidden_layers=1, num_classes=10, param_dtype=jnp.float64)
    )
    state = make_state(recipe)
    orders = []
    for number in (1, 2):
        seen.clear()
        training.epoch(recipe, state, device_data, jnp.int32(5), jnp.int32(number))
        jax.effects_barrier()
        orders.append(np.concatenate(seen).reshape(-1, 64))
    assert orders[0].shape[0] == 4 * 32
    everything = np.asarray(normalised(device_data.train_images, device_data)).reshape(
        131, 64
    )
    rows = [tuple(row) for row in orders[0]]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= {tuple(row) for row in everything}
    assert not np.array_equal(orders[0], orders[1])


@pytest.mark.parametrize(
    ("epochs", "points", "expected"),
    [
        (100, 11, (1, 11, 21, 31, 41, 51, 60, 70, 80, 90, 100)),
        (11, 11, tuple(range(1, 12))),
        (3, 11, (1, 2, 3)),
        (1, 11, (1,)),
        (7, 1, (7,)),
        (9, 3, (1, 5, 9)),
    ],
)
def test_measured_epochs_are_even_and_include_both_ends(epochs, points, expected):
    assert training.measured_epochs(epochs, points) == expected
