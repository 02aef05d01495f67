"""Ensembles against single networks, trained one after another."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import data, ensemble, training
from sparse_gf.core import streams
from sparse_gf.core.streams import Purpose
from sparse_gf.data import augment
from sparse_gf.experiment import capacity
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec

CELL = CapacitySpec(
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
    (chunk,) = capacity.plan(cell, RunSpec(dense_arm="padded"))
    networks = capacity.ensemble_of(cell, chunk)
    shapes = ensemble.prepare(networks, device_data, cell.epochs)
    return networks, ensemble.begin(networks, device_data, shapes)


def train_alone(recipe, state, device_data, seed, epochs):
    """One network, one Python step after another."""
    for epoch in range(1, epochs + 1):
        for number in range(2):
            state = step_alone(recipe, state, device_data, seed, epoch, number)
    return state


# Compiled once for all networks and steps: eagerly it takes most of the test's time.
@functools.partial(jax.jit, static_argnums=0)
def step_alone(recipe, state, device_data, seed, epoch, number):
    order = jax.random.permutation(streams.key(seed, Purpose.ORDER, epoch), 250)
    index = jax.lax.dynamic_slice_in_dim(order, 100 * number, 100)
    images = augment.random_crop_and_flip(
        streams.key(seed, Purpose.AUGMENTATION, epoch, number),
        device_data.train_images[index],
        padding=1,
        flip=False,
    )
    images = augment.normalise(images, device_data.mean, device_data.std, jnp.float64)
    labels = device_data.train_labels[index]
    key = streams.key(seed, Purpose.DROPOUT, epoch, number)
    state, _ = training.step(recipe, state, images, labels, key)
    return state


# One by one; the quick tests compare with side by side.
@pytest.mark.thorough
def test_a_member_equals_the_same_network_trained_alone(x64, digits):
    device_data = ensemble.to_device(digits, "float64")
    networks, start = begin(CELL, device_data)
    (states,) = jax.device_get(start.state)
    end = ensemble.fit(networks, device_data, start, (1, 2))
    (group,) = networks.groups
    assert len(group.seeds) == 8
    for place, seed in enumerate(group.seeds):
        member = jax.tree.map(lambda x, at=place: x[at], states)
        alone = train_alone(group.recipe, member, device_data, int(seed), 2)
        ours = jax.tree.map(lambda x, at=place: x[at], end.state[0])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11),
            (ours.params, ours.batch_stats, ours.opt_state),
            (alone.params, alone.batch_stats, alone.opt_state),
        )


def test_networks_one_by_one_equal_those_side_by_side(x64, digits):
    """Also where places are left over: two groups of one ensemble, one place short."""
    device_data = ensemble.to_device(digits, "float64")
    networks, start = begin(CELL, device_data)
    (group,) = networks.groups
    arguments = jax.device_get(start.state), device_data
    seeds, counts = (group.seeds,), (np.array([7], np.int32),)
    states, measurements = {}, {}
    for mapping in (ensemble.ONE_BY_ONE, ensemble.SIDE_BY_SIDE):
        run = ensemble.programs((group.recipe,), networks.init, mapping)
        (after,) = run.advance(*arguments, seeds, counts, np.int32(1))
        (measured,) = run.measure((after,), device_data, counts, np.int32(1))
        states[mapping] = jax.tree.map(lambda x: np.asarray(x)[:7], after)
        measurements[mapping] = jax.tree.map(lambda x: np.asarray(x)[:7], measured)
        untouched = jax.tree.map(
            lambda a, b: bool((a[7] == b[7]).all()),
            after.params,
            arguments[0][0].params,
        )
        assert all(jax.tree.leaves(untouched)) == (mapping is ensemble.ONE_BY_ONE)
    for results in (states, measurements):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
            *results.values(),
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
    networks, start = begin(cell, device_data)
    needed = ensemble.planned_bytes(networks, device_data)
    assert needed > sum(leaf.nbytes for leaf in jax.tree.leaves(start.state)) / 2
    ensemble.fit(networks, device_data, start, (1,))
    compiled = [program.num_compiled for program in networks.programs]
    networks, start = begin(other, device_data)
    ensemble.fit(networks, device_data, start, (1,))
    assert [program.num_compiled for program in networks.programs] == compiled
    assert compiled == [1, 1, 1]


@pytest.mark.thorough
def test_fit_continues_where_it_was_left(digits):
    cell = dataclasses.replace(CELL, dtype="float32", variant="DA_BN_DO", epochs=4)
    device_data = ensemble.to_device(digits, "float32")
    networks, start = begin(cell, device_data)
    whole = ensemble.fit(networks, device_data, start, (1, 2, 3, 4))
    _, start = begin(cell, device_data)
    half = ensemble.fit(networks, device_data, start, (1, 2))
    copy = ensemble.Progress(2, jax.device_get(half.state), half.history)
    rest = ensemble.fit(networks, device_data, copy, (1, 2, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, whole.history, rest.history)
    jax.tree.map(np.testing.assert_array_equal, whole.state, rest.state)


def test_a_network_needs_its_arrays_its_gradients_and_half_as_much_again():
    cell = dataclasses.replace(CELL, dtype="float32", variant="NR")
    (chunk,) = capacity.plan(cell, RunSpec(dense_arm="padded"))
    (group,) = capacity.ensemble_of(cell, chunk).groups
    # RMSProp and PReLU: params, gradients and one moment in float32, one mask byte.
    entries = 64 * 68 + 68 * 68 + 68 * 10 + 2 * 68
    needed = ensemble.network_bytes(group.shapes)
    assert needed == pytest.approx(1.5 * entries * 13, rel=0.01)


@pytest.mark.parametrize("devices", [1, 2, 3, 4, 16])
def test_devices_share_every_group_and_the_work(devices):
    sizes, costs = (15, 3, 3, 3, 3, 3), (100.0, 2.0, 9.0, 22.0, 45.0, 80.0)
    places = ensemble.divide(sizes, costs, devices)
    loads = np.zeros(devices)
    for size, cost, at in zip(sizes, costs, places, strict=True):
        share = at.num_places // devices
        assert at.counts.sum() == size == len(set(at.of_network))
        assert at.counts.max() == share
        assert at.counts.min() >= share - 1
        # A device's networks are in its first places.
        found = np.bincount(at.of_network // share, minlength=devices)
        np.testing.assert_array_equal(found, at.counts)
        assert (at.of_network % share < at.counts[at.of_network // share]).all()
        loads += at.counts * cost
    assert loads.max() - loads.min() <= max(costs)


def test_matrix_products_keep_the_precision_of_the_parameters(digits):
    """Else an accelerator may round float32 factors to TensorFloat-32."""
    cell = dataclasses.replace(CELL, dtype="float32", variant="NR")
    device_data = ensemble.to_device(digits, "float32")
    networks, _ = begin(cell, device_data)
    for program in (networks.programs.advance, networks.programs.measure):
        ((_, compiling),) = program._prepared.values()
        lines = compiling.result().as_text().splitlines()
        products = [line for line in lines if " dot(" in line]
        assert products
        assert all("operand_precision={highest,highest}" in line for line in products)
