import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import losses
from sparse_gf.core.errors import UserError

CASES = range(4)

# Compiled: eagerly each of its operations is a program of its own.
cross_entropy = jax.jit(losses.cross_entropy, static_argnames="label_smoothing")


@pytest.fixture
def smoothing(reference, x64):
    return reference("label_smoothing")


def check(file, kind, case, ratio):
    logits, labels = jnp.asarray(file["logits"]), jnp.asarray(file["labels"])
    smoothed = functools.partial(losses.cross_entropy, label_smoothing=ratio)
    loss, gradient = jax.jit(jax.value_and_grad(smoothed))(logits, labels)
    expected = file[f"{kind}/{case}/loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-13)
    np.testing.assert_allclose(
        gradient, file[f"{kind}/{case}/grad"], rtol=1e-12, atol=1e-16
    )


@pytest.mark.parametrize("case", CASES)
def test_label_smoothing_is_the_papers(smoothing, case):
    check(smoothing, "paper", case, float(smoothing["alphas"][case]))


@pytest.mark.parametrize("case", CASES)
def test_the_released_codes_smoothing_is_ours_at_another_ratio(smoothing, case):
    classes = smoothing["logits"].shape[1]
    ratio = losses.SMOOTHING["release"](float(smoothing["alphas"][case]), classes)
    check(smoothing, "tost_repo", case, ratio)


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    loss = cross_entropy(jnp.zeros((3, 5)), jnp.array([0, 1, 4]))
    np.testing.assert_allclose(loss, np.log(5), rtol=1e-6)


def test_cross_entropy_of_huge_logits_is_their_difference():
    loss = cross_entropy(jnp.array([[1e4, 0.0]]), jnp.array([1]))
    np.testing.assert_allclose(loss, 1e4, rtol=1e-6)


def test_num_correct_takes_the_first_of_equal_logits():
    logits = jnp.array([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
    assert losses.num_correct(logits, jnp.array([0, 1, 1])) == 2


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2])
def test_a_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(UserError, match="label_smoothing is"):
        losses.cross_entropy(
            jnp.zeros((2, 3)), jnp.zeros(2, int), label_smoothing=smoothing
        )


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_of_no_class_are_refused(label):
    with pytest.raises(UserError, match=f"a label is {label}; there are 3 classes"):
        losses.cross_entropy(jnp.zeros((2, 3)), jnp.array([0, label]))
