"""Scores and gradient flow of one network, against direct computations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from perceptron import digits, make_model, make_recipe, make_state, normalised

from sparse_gf import training
from sparse_gf.core import tree
from sparse_gf.models.variants import Variant


@pytest.fixture
def device_data(x64):
    return digits()


def logits_by_hand(params, images):
    h = images.reshape(images.shape[0], -1)
    for layer in range(2):
        h = h @ params[f"Dense_{layer}"]["kernel"]
        h = h / (1 + np.exp(-h))
    return h @ params["Dense_2"]["kernel"]


@pytest.mark.parametrize("limit", [7, 53, 1024])
def test_evaluation_counts_every_example_once(device_data, limit):
    recipe = make_recipe(evaluation_batch=limit)
    state = make_state(recipe)
    images, labels = device_data.test_images, np.asarray(device_data.test_labels)
    score = jax.jit(functools.partial(training.evaluate, recipe))
    found = score(state, images, device_data.test_labels, device_data)
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

    loss, grads = jax.jit(jax.value_and_grad(loss_fn))(state.params)
    measure = jax.jit(functools.partial(training.measure.flow, recipe))
    flow = measure(state, device_data)
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
    recipe = make_recipe(model=make_model(variant=variant, dropout_rate=0.5))
    state = make_state(recipe)
    shifted = jax.tree.map(lambda x: x + 3.0, state.batch_stats)
    measure = jax.jit(functools.partial(training.measure.flow, recipe))
    first = measure(state, device_data)
    second = measure(state.replace(batch_stats=shifted), device_data)
    jax.tree.map(np.testing.assert_array_equal, first, second)


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
