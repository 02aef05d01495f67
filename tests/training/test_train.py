"""Training of one network, against slow and direct computations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from perceptron import digits, make_recipe, make_state, normalised

from sparse_gf import training
from sparse_gf.core import tree
from sparse_gf.models.mlp import MLP


@pytest.fixture
def device_data(x64):
    return digits()


def test_a_step_is_sgd_on_the_masked_gradient(device_data):
    recipe = make_recipe(optimizer="sgd")
    state = make_state(recipe, learning_rate=0.25)
    images = normalised(device_data.train_images[:32], device_data)
    labels = device_data.train_labels[:32]

    def loss_fn(params):
        log_p = jax.nn.log_softmax(recipe.model.apply({"params": params}, images))
        return -log_p[jnp.arange(32), labels].mean()

    step = jax.jit(functools.partial(training.step, recipe))
    after, _ = step(state, images, labels, jax.random.key(0))
    grads = jax.jit(jax.grad(loss_fn))(state.params)
    for path, kernel in tree.kernels(after.params).items():
        before = np.asarray(tree.kernels(state.params)[path])
        mask = np.asarray(tree.kernels(state.masks)[path])
        expected = np.where(mask, before - 0.25 * tree.kernels(grads)[path], 0)
        np.testing.assert_allclose(kernel, expected, rtol=1e-12)


def test_a_non_finite_loss_is_flagged_for_good(device_data):
    recipe = make_recipe(optimizer="sgd")
    state = make_state(recipe, learning_rate=1e200)
    epoch = jax.jit(functools.partial(training.epoch, recipe))
    for number in (1, 2):
        state = epoch(state, device_data, jnp.int32(0), jnp.int32(number))
    assert bool(state.diverged)
    for path, kernel in tree.kernels(state.params).items():
        assert (np.asarray(kernel)[~tree.kernels(state.masks)[path]] == 0).all()
    evaluate = jax.jit(functools.partial(training.evaluate, recipe))
    images, labels = device_data.test_images, device_data.test_labels
    score = evaluate(state, images, labels, device_data)
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
    epoch = jax.jit(functools.partial(training.epoch, recipe))
    for number in (1, 2):
        seen.clear()
        epoch(state, device_data, jnp.int32(5), jnp.int32(number))
        jax.effects_barrier()
        orders.append(np.concatenate(seen).reshape(-1, 64))
    assert orders[0].shape[0] == 4 * 32
    everything = np.asarray(normalised(device_data.train_images, device_data)).reshape(
        131, 64
    )
    # A callback's thread may not have the test's 64 bits: then it saw half of them.
    everything = everything.astype(orders[0].dtype)
    rows = [tuple(row) for row in orders[0]]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= {tuple(row) for row in everything}
    assert not np.array_equal(orders[0], orders[1])
