"""Ensembles against single networks, trained one after another."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import data, ensemble, sc_sdc, streams, train
from sparse_gf.data import augment
from sparse_gf.specs import CellSpec, OptimizerSpec, RunSpec
from sparse_gf.streams import Purpose

CELL = CellSpec(
    dense_widths=(9, 30),
    seeds=(4, 7),
    hidden_layers=2,
    epochs=2,
    measurements=2,
    batch_size=100,
    dtype="float64",
    variant="DA_L2_SC_BN_DO",
    activation="prelu",
    optimizer=OptimizerSpec("rmsprop", 0.01),
)


@pytest.fixture(scope="module")
def digits():
    full = data.load("digits")
    return dataclasses.replace(
        full,
        train_images=full.train_images[:250],
        train_labels=full.train_labels[:250],
    )


def begin(cell, device_data):
    (group,) = sc_sdc.plan(cell, RunSpec(dense_arm="padded"))
    programs = sc_sdc.programs(cell, group.width)
    members = sc_sdc.members(cell, group)
    shapes = ensemble.shapes(programs, group.seeds, members, device_data, cell.epochs)
    return group, programs, ensemble.begin(programs, group.seeds, members, shapes)


def train_alone(recipe, state, device_data, seed, epochs):
    """One network, one Python step after another."""
    for epoch in range(1, epochs + 1):
        order = jax.random.permutation(streams.key(seed, Purpose.ORDER, epoch), 250)
        for number in range(2):
            index = order[100 * number : 100 * (number + 1)]
            images = augment.random_crop_and_flip(
                streams.key(seed, Purpose.AUGMENTATION, epoch, number),
                device_data.train_images[index],
                padding=1,
                flip=False,
            )
            images = augment.normalise(
                images, device_data.mean, device_data.std, jnp.float64
            )
            labels = device_data.train_labels[index]
            key = streams.key(seed, Purpose.DROPOUT, epoch, number)
            state = train.step(recipe, state, images, labels, key)
    return state


def test_a_member_equals_the_same_network_trained_alone(x64, digits):
    device_data = ensemble.to_device(digits, "float64")
    group, programs, start = begin(CELL, device_data)
    states = jax.device_get(start.state)
    end = ensemble.fit(programs, group.seeds, device_data, start, (1, 2))
    recipe = sc_sdc.recipe(CELL, group.width)
    for row, seed in enumerate(group.seeds):
        for column in range(len(group.networks)):
            member = jax.tree.map(lambda x, at=(row, column): x[at], states)
            alone = train_alone(recipe, member, device_data, seed, 2)
            ours = jax.tree.map(lambda x, at=(row, column): x[at], end.state)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11),
                (ours.params, ours.batch_stats, ours.opt_state),
                (alone.params, alone.batch_stats, alone.opt_state),
            )


def test_networks_of_the_same_shapes_share_their_programs(digits):
    cell = dataclasses.replace(CELL, dtype="float32", variant="NR")
    other = dataclasses.replace(
        cell,
        seeds=(1, 2),
        dense_widths=(20, 40),
        optimizer=OptimizerSpec("rmsprop", 0.1),
    )
    device_data = ensemble.to_device(digits, "float32")
    group, programs, start = begin(cell, device_data)
    ensemble.fit(programs, group.seeds, device_data, start, (1,))
    compiled = [program._cache_size() for program in programs]
    group, again, start = begin(other, device_data)
    ensemble.fit(again, group.seeds, device_data, start, (1,))
    assert [program._cache_size() for program in again] == compiled == [1, 1, 1]


def test_fit_continues_where_it_was_left(digits):
    cell = dataclasses.replace(CELL, dtype="float32", variant="DA_BN_DO", epochs=4)
    device_data = ensemble.to_device(digits, "float32")
    group, programs, start = begin(cell, device_data)
    whole = ensemble.fit(programs, group.seeds, device_data, start, (1, 2, 3, 4))
    _, _, start = begin(cell, device_data)
    half = ensemble.fit(programs, group.seeds, device_data, start, (1, 2))
    copy = ensemble.Progress(2, jax.device_get(half.state), half.history)
    rest = ensemble.fit(programs, group.seeds, device_data, copy, (1, 2, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, whole.history, rest.history)
    jax.tree.map(np.testing.assert_array_equal, whole.state, rest.state)


def test_memory_sets_how_many_networks_a_program_holds():
    cell = dataclasses.replace(CELL, dtype="float32", variant="NR")
    (group,) = sc_sdc.plan(cell, RunSpec(dense_arm="padded"))
    recipe = sc_sdc.recipe(cell, group.width)
    state = jax.eval_shape(
        lambda seed, member: sc_sdc.init_network(recipe, "he_normal", 64, seed, member),
        np.int32(0),
        jax.tree.map(lambda x: x[0], sc_sdc.members(cell, group)),
    )
    one = ensemble.networks_at_once(state, 1)
    many = ensemble.networks_at_once(state, 2**30)
    assert one == 1
    # RMSProp and PReLU: params, gradients and one moment in float32, one mask byte.
    entries = 64 * 68 + 68 * 68 + 68 * 10 + 2 * 68
    assert many == pytest.approx(0.8 * 2**30 / (1.5 * entries * 13), rel=0.01)


def test_matrix_products_keep_the_precision_of_the_parameters(digits):
    """Else an accelerator may round float32 factors to TensorFloat-32."""
    cell = dataclasses.replace(CELL, dtype="float32", variant="NR")
    device_data = ensemble.to_device(digits, "float32")
    group, programs, start = begin(cell, device_data)
    seeds = np.array(group.seeds, np.int32)
    for lowered in (
        programs.advance.lower(start.state, device_data, seeds, np.int32(1)),
        programs.measure.lower(start.state, device_data),
    ):
        products = [
            line for line in lowered.as_text().splitlines() if "dot_general" in line
        ]
        assert products
        assert all("HIGHEST, HIGHEST" in line for line in products)
