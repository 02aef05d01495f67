import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import schedules
from sparse_gf.core.errors import UserError

STEP = schedules.Step((60, 120, 160), 0.2)


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(1, 1), (60, 1), (61, 0.2), (120, 0.2), (121, 0.04), (160, 0.04), (161, 0.008)],
)
def test_steps_come_after_the_milestones(epoch, factor):
    np.testing.assert_allclose(STEP(epoch), factor, rtol=1e-6)


def test_steps_are_those_of_multistep_lr_whose_epochs_count_from_0():
    rate, expected = 1.0, []
    for epoch in range(200):
        rate *= 0.2 if epoch in STEP.milestones else 1.0
        expected.append(rate)
    found = jax.jit(jax.vmap(STEP))(jnp.arange(1, 201))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_without_milestones_the_rate_stays():
    assert [float(schedules.Step((), 0.1)(epoch)) for epoch in (1, 7)] == [1, 1]


@pytest.mark.parametrize(
    ("epochs", "epoch", "factor"),
    [
        (200, 1, 1),
        (200, 51, (1 + np.sqrt(0.5)) / 2),
        (200, 101, 0.5),
        (200, 200, np.sin(np.pi / 400) ** 2),
        (200, 201, 0),
        (3, 2, 0.75),
        (3, 3, 0.25),
        (1, 1, 1),
    ],
)
def test_cosine_by_hand(epochs, epoch, factor):
    found = jax.jit(schedules.Cosine(epochs))(jnp.int32(epoch))
    np.testing.assert_allclose(found, factor, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("step", "density"),
    [
        (0, 1),
        (10, 1),
        (15, 0.1 + 0.9 * 27 / 64),
        (20, 0.1 + 0.9 / 8),
        (25, 0.1 + 0.9 / 64),
        (30, 0.1),
        (31, 0.1),
        (1000, 0.1),
    ],
)
def test_cubic_density_by_hand(step, density):
    found = schedules.cubic_density(step, 10, 30, 1.0, 0.1)
    np.testing.assert_allclose(found, density, rtol=1e-6)


def test_cubic_density_is_one_minus_zhu_and_guptas_sparsity():
    initial, final, start, every, times = 0.2, 0.95, 100, 10, 7
    for time in range(times + 1):
        step = start + time * every
        shrinking = (1 - (step - start) / (times * every)) ** 3
        sparsity = final + (initial - final) * shrinking
        found = schedules.cubic_density(
            step, start, start + times * every, 1 - initial, 1 - final
        )
        np.testing.assert_allclose(found, 1 - sparsity, rtol=1e-5)


def test_cubic_density_takes_numbers_of_weights_and_traced_steps():
    initial, final = jnp.array([800.0, 80.0]), jnp.array([0.0, 16.0])
    at = jax.jit(lambda step: schedules.cubic_density(step, 0, 4, initial, final))
    np.testing.assert_allclose(at(2), [100, 24], rtol=1e-6)
    np.testing.assert_allclose(at(4), final)


def test_schedules_by_name():
    assert schedules.parse("constant", (60,), 0.2, 200) is None
    assert schedules.parse("cosine", (60,), 0.2, 200) == schedules.Cosine(200)
    step = schedules.Step((1, 199), 0.2)
    assert schedules.parse("step", (1, 199), 0.2, 200) == step
    assert {"constant", "step", "cosine"} == schedules.NAMES


@pytest.mark.parametrize(
    "milestones", [(120, 60), (60, 60), (0, 60), (60, 200), (-1,), (60, 250)]
)
def test_milestones_that_are_no_ascending_epochs_are_refused(milestones):
    with pytest.raises(
        UserError, match=r"milestones is \(.*ascending epochs.*1\.\.199"
    ):
        schedules.parse("step", milestones, 0.2, 200)
