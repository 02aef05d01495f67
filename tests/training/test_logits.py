"""The one place that calls a network."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import losses
from sparse_gf.models.ghosts import Gates
from sparse_gf.training import logits

IMAGES = jnp.array([[1.0, 2.0], [3.0, 6.0]])
LABELS = jnp.array([0, 1])
STATS = {"BatchNorm_0": {"mean": jnp.array([1.0, 0.0]), "var": jnp.array([4.0, 1.0])}}


class Network(nn.Module):
    """Normalisation and dropout of half, with gates that shift what comes out."""

    @nn.compact
    def __call__(self, x, *, train=False, deterministic=True, gates=None):
        x = nn.BatchNorm(not train, epsilon=0.0, use_scale=False, use_bias=False)(x)
        x = nn.Dropout(0.5, deterministic=deterministic)(x)
        return x if gates is None else x + gates.alpha


def call(**options):
    return logits.logits(Network(), {}, STATS, IMAGES, **options)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # Running means 1 and 0, standard deviations 2 and 1.
        ("eval", [[0, 2], [1, 6]]),
        # The batch's means are 2 and 4, its standard deviations 1 and 2.
        ("train", [[-1, -1], [1, 1]]),
    ],
)
def test_the_mode_is_that_of_normalisation_alone(mode, expected):
    np.testing.assert_allclose(call(mode=mode), expected, rtol=1e-6)
    gates = Gates(alpha=jnp.array(10.0))
    shifted = call(mode=mode, gates=gates)
    np.testing.assert_allclose(shifted, np.add(expected, 10), rtol=1e-6)


def test_the_loss_is_that_of_the_logits():
    found = logits.loss(
        Network(), {}, STATS, IMAGES, LABELS, mode="eval", label_smoothing=0.2
    )
    wanted = losses.cross_entropy(call(mode="eval"), LABELS, label_smoothing=0.2)
    assert found == wanted
    assert found != losses.cross_entropy(call(mode="eval"), LABELS)


def test_training_moves_running_statistics_and_drops_units_given_a_key():
    found, stats = logits.in_training(Network(), {}, STATS, IMAGES)
    np.testing.assert_array_equal(found, call(mode="train"))
    mean = stats["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, [0.99 * 1 + 0.01 * 2, 0.01 * 4], rtol=1e-6)
    seen = set()
    for seed in range(8):
        key = jax.random.key(seed)
        dropped, _ = logits.in_training(Network(), {}, STATS, IMAGES, dropout_key=key)
        seen |= set(np.abs(dropped).ravel().round(5).tolist())
    assert seen == {0.0, 2.0}


def test_a_network_without_statistics_or_gates_need_not_know_of_them():
    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x, *, train=False):
            return x

    for mode in sorted(logits.MODES):
        found = logits.logits(Plain(), {}, {}, IMAGES, mode=mode)
        np.testing.assert_array_equal(found, IMAGES)
    assert logits.in_training(Plain(), {}, {}, IMAGES)[1] == {}
