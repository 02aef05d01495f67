import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import masks, optimizers, training
from sparse_gf.core import tree
from sparse_gf.core.streams import Purpose, key
from sparse_gf.training import pruning

STEPS = 4  # Of an epoch.


class Network(nn.Module):
    """Two layers with BatchNorm, small enough to look at."""

    @nn.compact
    def __call__(self, x, *, train=False, deterministic=True):
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(6, use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(nn.relu(x))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (32, 2, 2, 1), np.uint8)
    labels = rng.integers(0, 3, 32, np.int32)
    half, one = np.full(1, 0.5, np.float32), np.ones(1, np.float32)
    whole = training.Data(images, labels, images, labels, half, one)
    return jax.tree.map(jnp.asarray, whole)


def make(method, counts=None, optimizer="momentum", mask=None, **recipe):
    recipe = training.Recipe(
        Network(), optimizer, "torch", batch_size=8, pruning=method, **recipe
    )
    variables = initial()
    params = variables["params"]
    if mask is None:
        mask = masks.ones(params)
    memory = {} if counts is None else {pruning.NUM_ACTIVE: counts}
    return recipe, create(recipe, params, mask, variables["batch_stats"], memory)


@functools.cache
def initial():
    return jax.jit(Network().init)(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))


@functools.partial(jax.jit, static_argnums=0)
def create(recipe, params, mask, batch_stats, memory):
    return training.create(recipe, params, mask, batch_stats, 0.1, memory)


# Networks of equal recipes share their programs.
advance = jax.jit(training.epoch, static_argnums=0)
draw = jax.jit(masks.random)
smallest = jax.jit(pruning.smallest)


def run(recipe, state, data, epochs, first=1):
    """The states after each epoch."""
    found = []
    for number in range(first, epochs + 1):
        state = advance(recipe, state, data, jnp.int32(3), jnp.int32(number))
        found.append(jax.device_get(state))
    return found


def active(state):
    return {path: np.asarray(m) for path, m in tree.kernels(state.masks).items()}


def weights(state):
    return {path: np.asarray(k) for path, k in tree.kernels(state.params).items()}


def assert_zero_where_masked(state):
    """Masked weights, and what optimizers remember of them, are exactly 0."""
    structure = jax.tree.structure(state.params)
    like = jax.tree.leaves(
        state.opt_state, is_leaf=lambda part: jax.tree.structure(part) == structure
    )
    parts = [state.params, *(p for p in like if jax.tree.structure(p) == structure)]
    for part in parts:
        for path, kernel in tree.kernels(part).items():
            masked = np.asarray(kernel)[~active(state)[path]]
            assert masked.tobytes() == bytes(masked.nbytes)
    return len(parts)


DYNAMIC = [
    pruning.Dynamic(every=3, drop=0.5, end=4, by_gradient=by_gradient)
    for by_gradient in (False, True)
]


def random_mask(counts):
    return draw(jax.random.key(9), initial()["params"], counts)


# What grows connections is nothing to an optimizer, which sees where they are.
@pytest.mark.parametrize(
    ("method", "optimizer"),
    [(DYNAMIC[0], "adam"), *((DYNAMIC[1], name) for name in sorted(optimizers.NAMES))],
)
def test_zeros_stay_zero_while_connections_move(data, method, optimizer):
    counts = {"Dense_0/kernel": 12, "Dense_1/kernel": 9}
    recipe, state = make(
        method, optimizer=optimizer, mask=random_mask(counts), l2=0.1, weight_decay=0.1
    )
    states = run(recipe, state, data, 3)
    moved = 0
    for before, after in zip([state, *states], states, strict=False):
        assert assert_zero_where_masked(after) == 1 + {
            "adam": 2,
            "adamw": 2,
            "sgd": 0,
        }.get(optimizer, 1)
        assert masks.num_active(after.masks) == counts
        moved += sum(
            (active(before)[path] != active(after)[path]).sum() for path in counts
        )
    assert moved > 0


@pytest.mark.parametrize("method", DYNAMIC, ids=["set", "rigl"])
def test_masks_are_fixed_between_updates_and_after_the_end(data, method):
    late = dataclasses.replace(method, end=2)
    mask = random_mask({"Dense_0/kernel": 12, "Dense_1/kernel": 9})
    recipe, state = make(late, mask=mask)
    states = run(recipe, state, data, 4)
    for path in active(states[1]):
        # The last update is at step 6 of 8; the end is step 8.
        np.testing.assert_array_equal(active(states[1])[path], active(states[3])[path])
    rare, state = make(dataclasses.replace(method, every=100), mask=mask)
    for path, own in active(run(rare, state, data, 2)[-1]).items():
        np.testing.assert_array_equal(own, np.asarray(tree.kernels(mask)[path]))


def test_rigl_moves_what_it_says():
    """Two of four active weights move: the smallest go, the largest gradients come."""
    method = pruning.Dynamic(every=2, drop=0.5, end=1, by_gradient=True)
    recipe, _ = make(method)
    kernel = np.array([[4.0, -1.0, 3.0, 0.5, 0, 0, 0, 0]], np.float32)
    mask = np.array([[True] * 4 + [False] * 4])
    # Of either sign.
    gradient = np.array([[0.0, -8.0, 0.0, 1.0, 2.0, -9.0, 7.0, 3.0]], np.float32)

    @jax.jit
    def update(kernel, mask, gradient, number):
        params, masks = {"a": {"kernel": kernel}}, {"a": {"kernel": mask}}
        state = training.create(recipe, params, masks, {}, 0.1)
        grads = {"a": {"kernel": gradient}}
        step = training.Step(state, state, grads, number, STEPS, jnp.int32(3))
        after = method.after_step(recipe, step)
        return after.masks["a"]["kernel"]

    # Of the candidates (all but 0 and 2) the best are 5 and, just dropped, 1.
    expected = [[True, True, True, False, False, True, False, False]]
    np.testing.assert_array_equal(update(kernel, mask, gradient, 0), expected)
    np.testing.assert_array_equal(update(kernel, mask, gradient, 1), mask)


def test_an_update_takes_the_place_of_the_step(data):
    """RigL, Algorithm 1: weights that stay are as they were before the update."""
    method = pruning.Dynamic(every=1, drop=0.5, end=100, by_gradient=True)
    mask = random_mask({"Dense_0/kernel": 12, "Dense_1/kernel": 9})
    recipe, state = make(method, mask=mask)
    (after,) = run(recipe, state, data, 1)
    for path, kernel in weights(after).items():
        stayed = active(after)[path] & active(state)[path]
        kept = kernel[stayed & (kernel != 0)]
        before = weights(state)[path][stayed & (kernel != 0)]
        np.testing.assert_array_equal(kept, before)
        new = active(after)[path] & ~active(state)[path]
        assert new.any()
        assert not kernel[new].any()


def test_the_share_that_moves_falls_on_half_a_cosine():
    method = DYNAMIC[0]
    found = [float(method.share(jnp.float32(done))) for done in (0, 0.5, 1)]
    np.testing.assert_allclose(found, [0.5, 0.25, 0], atol=1e-7)


def test_one_shot_pruning_removes_the_smallest_weights_once(data):
    counts = jnp.int32(15)
    recipe, state = make(pruning.OneShot(2), counts)
    states = run(recipe, state, data, 4)
    assert all(own.all() for s in states[:2] for own in active(s).values())
    before = np.concatenate([k.ravel() for k in weights(states[1]).values()])
    kept = np.concatenate([m.ravel() for m in active(states[2]).values()])
    assert kept.sum() == 15
    assert np.abs(before[kept]).min() > np.abs(before[~kept]).max()
    for path in active(states[2]):
        np.testing.assert_array_equal(active(states[2])[path], active(states[3])[path])
    assert_zero_where_masked(states[3])
    dense_recipe, dense = make(training.Static())
    jax.tree.map(
        np.testing.assert_array_equal,
        states[1].params,
        run(dense_recipe, dense, data, 2)[1].params,
    )


def test_gradual_pruning_follows_the_cubic_and_ends_exactly(data):
    counts = {"Dense_0/kernel": jnp.int32(5), "Dense_1/kernel": jnp.int32(7)}
    recipe, state = make(pruning.Gradual(1, 3, every=2), counts)
    states = run(recipe, state, data, 4)
    # From step 4 of 24 and 18 weights to step 12: at step 8 an eighth is still to go.
    expected = [
        {"Dense_0/kernel": 24, "Dense_1/kernel": 18},
        {"Dense_0/kernel": 5 + 19 // 8, "Dense_1/kernel": 7 + 11 // 8},
        {"Dense_0/kernel": 5, "Dense_1/kernel": 7},
        {"Dense_0/kernel": 5, "Dense_1/kernel": 7},
    ]
    assert [masks.num_active(s.masks) for s in states] == expected
    for early, late in itertools.pairwise(states):
        for path in active(late):
            assert not (active(late)[path] & ~active(early)[path]).any()
        assert_zero_where_masked(late)


@pytest.mark.parametrize("rewind", [0, 1])
def test_iterative_pruning_rewinds_and_its_masks_are_nested(data, rewind):
    method = pruning.Iterative(epochs=3, rounds=2, rewind=rewind)
    recipe, state = make(method, jnp.array([30, 11], jnp.int32))
    assert method.ends == ((3, 6, 9) if rewind == 0 else (3, 5, 7))
    states = run(recipe, state, data, method.ends[-1])
    start = state if rewind == 0 else states[rewind - 1]
    trained = [states[end - 1] for end in method.ends]
    sizes = [sum(masks.num_active(s.masks).values()) for s in trained]
    assert sizes == [42, 30, 11]
    for number, end in enumerate(method.ends[:-1]):
        # The first epoch after pruning, by hand: from where it was, under the mask that
        # keeps the largest weights of the training before.
        counts = [30, 11][number]
        kept = smallest(trained[number].params, trained[number].masks, counts)
        plain, fresh = make(training.Static(), mask=kept)
        fresh = dataclasses.replace(
            fresh,
            params=masks.apply(start.params, kept),
            batch_stats=start.batch_stats,
        )
        (expected,) = run(plain, fresh, data, rewind + 1, first=rewind + 1)
        found = states[end]
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
        jax.tree.map(np.testing.assert_array_equal, found.masks, kept)
        for path in active(found):
            assert not (active(found)[path] & ~active(trained[number])[path]).any()


def test_every_training_of_iterative_pruning_goes_by_its_own_epochs():
    method = pruning.Iterative(epochs=4, rounds=2, rewind=1)
    found = [int(method.schedule_epoch(jnp.int32(n))) for n in range(1, 11)]
    assert found == [1, 2, 3, 4, 2, 3, 4, 2, 3, 4]


def test_layers_that_stay_dense_are_not_pruned(data):
    method = pruning.OneShot(1, dense_layers=("Dense_1/kernel",))
    recipe, state = make(method, jnp.int32(18 + 3))
    states = run(recipe, state, data, 2)
    assert masks.num_active(states[-1].masks) == {
        "Dense_0/kernel": 3,
        "Dense_1/kernel": 18,
    }


def test_growth_of_set_is_random_by_seed(data):
    mask = random_mask({"Dense_0/kernel": 12, "Dense_1/kernel": 9})
    recipe, state = make(DYNAMIC[0], mask=mask)
    # So that nothing but growth differs.
    state = dataclasses.replace(state, learning_rate=jnp.float32(0))

    def end(seed):
        return advance(recipe, state, data, jnp.int32(seed), jnp.int32(1))

    first, again, other = end(0), end(0), end(1)
    assert all((active(first)[p] == active(again)[p]).all() for p in active(first))
    assert any((active(first)[p] != active(other)[p]).any() for p in active(first))
    assert key(0, Purpose.GROWTH) != key(0, Purpose.MASK)
