"""Masked updates and recorded gradient flow in loops of one's own, Linen and NNX."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import sparse_gf as sg
from sparse_gf import transforms
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError

IMAGES = jax.random.normal(jax.random.key(0), (32, 6))
LABELS = jnp.arange(32) % 3


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        hidden = nn.relu(nn.Dense(8)(x))
        return nn.Dense(3)(hidden)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.second = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.second(nnx.relu(self.first(x)))


def cross_entropy(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def linen_loss(params):
    return cross_entropy(Linen().apply({"params": params}, IMAGES))


@pytest.fixture(scope="module")
def params():
    return jax.jit(Linen().init)(jax.random.key(1), IMAGES)["params"]


@jax.jit
def sparse_masks(params):
    counts = {path: k.size // 4 for path, k in tree.kernels(params).items()}
    return sg.masks.random(jax.random.key(2), params, counts)


OPTIMIZERS = {
    "adamw": lambda: optax.adamw(0.1, weight_decay=0.1),
    "lion": lambda: optax.lion(0.01),
    "nesterov": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "clipped": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)),
    "noisy": lambda: optax.noisy_sgd(0.1, key=0),
    "line search": lambda: optax.chain(
        optax.sgd(1.0), optax.scale_by_backtracking_linesearch(5)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_bitwise_zero_under_any_optimizer(params, name):
    kept = sparse_masks(params)
    optimizer = transforms.keep_masked(OPTIMIZERS[name](), kept)

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(linen_loss)(params)
        extra = {"value": value, "grad": grads, "value_fn": linen_loss}
        given = extra if name == "line search" else {}
        updates, state = optimizer.update(grads, state, params, **given)
        return optax.apply_updates(params, updates), state

    params = start = sg.masks.apply(params, kept)
    state = jax.jit(optimizer.init)(params)
    for _ in range(4):
        params, state = step(params, state)
    for kernel, mask, first in zip(
        *(tree.kernels(own).values() for own in (params, kept, start)), strict=True
    ):
        masked = np.asarray(kernel)[~np.asarray(mask)]
        assert not masked.view(np.uint32).any()  # Not even -0.0.
        assert (np.asarray(kernel)[mask] != np.asarray(first)[mask]).any()


def test_the_optimizer_sees_masked_gradients_alone(params):
    kept = sparse_masks(params)
    optimizer = transforms.keep_masked(optax.clip_by_global_norm(1.0), kept)

    @jax.jit
    def update(params):
        params = sg.masks.apply(params, kept)
        grads = jax.tree.map(jnp.ones_like, params)
        return optimizer.update(grads, optimizer.init(params), params)[0]

    updates = update(params)
    active = sum(int(m.sum()) for m in jax.tree.leaves(kept))
    expected = 1 / np.sqrt(active)
    for update, mask in zip(
        *(jax.tree.leaves(own) for own in (updates, kept)), strict=True
    ):
        np.testing.assert_allclose(np.asarray(update)[mask], expected, rtol=1e-6)


def test_a_mask_that_is_replaced_in_the_state_acts_at_the_next_update(params):
    optimizer = transforms.keep_masked(optax.sgd(0.1), sg.masks.ones(params))
    kept = sparse_masks(params)

    @jax.jit
    def step(params):
        state = optimizer.init(params)._replace(masks=kept)
        updates, _ = optimizer.update(jax.grad(linen_loss)(params), state, params)
        return optax.apply_updates(params, updates)

    params = step(params)
    for kernel, mask in zip(
        *(tree.kernels(own).values() for own in (params, kept)), strict=True
    ):
        assert (np.asarray(kernel)[~np.asarray(mask)] == 0).all()


def test_keep_masked_says_what_it_needs(params):
    kept = sparse_masks(params)
    optimizer = transforms.keep_masked(optax.sgd(0.1), kept)
    state = optimizer.init(params)
    with pytest.raises(UserError, match="needs the params"):
        optimizer.update(params, state)
    del kept["Dense_1"]
    with pytest.raises(UserError, match="'Dense_1/bias' is missing in the masks"):
        transforms.keep_masked(optax.sgd(0.1), kept).init(params)


def test_recorded_flow_is_that_of_measure_and_changes_nothing(params):
    kept = sparse_masks(params)
    plain = transforms.keep_masked(optax.adam(0.1), kept)
    recorded = optax.chain(transforms.record_gradient_flow(kept), plain)
    params = others = sg.masks.apply(params, kept)
    state, other = recorded.init(params), plain.init(params)
    assert np.isnan(transforms.gradient_flow(state).egf2)

    @jax.jit
    def step(params, state):
        loss, grads = jax.value_and_grad(linen_loss)(params)
        updates, state = recorded.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def measured_and_step(others, other):
        flow = sg.gradient_flow.measure(linen_loss, others, kept)
        grads = jax.grad(linen_loss)(others)
        updates, other = plain.update(grads, other, others)
        return flow, optax.apply_updates(others, updates), other

    for _ in range(3):
        params, state = step(params, state)
        expected, others, other = measured_and_step(others, other)
        jax.tree.map(close, transforms.gradient_flow(state), expected)
    jax.tree.map(close, params, others)


def test_the_unmasked_norm_is_recorded_before_anything_masks(params):
    kept = sparse_masks(params)
    optimizer = transforms.record_gradient_flow(kept)

    @jax.jit
    def update(params):
        grads = jax.tree.map(jnp.ones_like, params)
        return optimizer.update(grads, optimizer.init(params))[1]

    flow = transforms.gradient_flow(update(params))
    sizes = {path: k.size for path, k in tree.kernels(params).items()}
    assert flow.gf1 == sum(sizes.values())
    assert flow.gf1_masked == sum(size // 4 for size in sizes.values())
    assert np.isnan(flow.loss)


def test_a_state_without_a_record_is_refused(params):
    state = optax.adam(0.1).init(params)
    with pytest.raises(UserError, match=r"has 0 records.*first in its chain"):
        transforms.gradient_flow(state)


def test_linen_and_nnx_train_alike(params):
    """The same weights, masks and steps by Linen dicts and by ``nnx.Optimizer``."""
    kept = sparse_masks(params)
    params = sg.masks.apply(params, kept)
    model = Net(nnx.Rngs(0))
    names = {"first": "Dense_0", "second": "Dense_1"}
    own_kept = {name: kept[linen] for name, linen in names.items()}
    for name, linen in names.items():
        layer = getattr(model, name)
        layer.kernel[...] = params[linen]["kernel"]
        layer.bias[...] = params[linen]["bias"]

    def chain(masks):
        return optax.chain(
            transforms.record_gradient_flow(masks),
            transforms.keep_masked(optax.adamw(0.05), masks),
        )

    optimizer = nnx.Optimizer(model, chain(own_kept), wrt=nnx.Param)
    other = chain(kept)
    state = other.init(params)

    @nnx.jit
    def nnx_step(model, optimizer):
        grads = nnx.grad(lambda model: cross_entropy(model(IMAGES)))(model)
        optimizer.update(model, grads)

    @jax.jit
    def linen_step(params, state):
        updates, state = other.update(jax.grad(linen_loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(3):
        nnx_step(model, optimizer)
        params, state = linen_step(params, state)
    for name, linen in names.items():
        kernel = np.asarray(getattr(model, name).kernel[...])
        np.testing.assert_allclose(kernel, params[linen]["kernel"], rtol=2e-4)
        assert (kernel[~np.asarray(kept[linen]["kernel"])] == 0).all()
    found = transforms.gradient_flow(optimizer.opt_state)
    expected = transforms.gradient_flow(state)
    np.testing.assert_allclose(found.egf2, expected.egf2, rtol=2e-4)
    assert list(found.layer_norms2) == ["first/kernel", "second/kernel"]


def test_the_library_takes_the_state_of_an_nnx_model():
    model = Net(nnx.Rngs(0))
    graph, state = nnx.split(model)

    def loss_fn(state):
        return cross_entropy(nnx.merge(graph, state)(IMAGES))

    counts = sg.budgets.uniform(state, density=0.25)
    assert counts == {"first/kernel": 12, "second/kernel": 6}

    @jax.jit
    def masks_and_flow(state):
        kept = sg.masks.random(jax.random.key(0), state, counts)
        flow = sg.gradient_flow.measure(loss_fn, state, kept)
        snip = sg.masks.from_scores(sg.scores.snip(loss_fn, state), 10)
        key = jax.random.key(1)
        (largest,) = sg.curvature.top_eigenvalues(loss_fn, state, kept, num=1, key=key)
        return kept, flow, snip, largest

    kept, flow, snip, largest = masks_and_flow(state)
    assert sg.masks.num_active(kept) == counts
    assert flow.egf2 > 0
    assert sum(sg.masks.num_active(snip).values()) == 10
    assert np.isfinite(largest)
    plain = {"first": {"kernel": jnp.ones((6, 8), bool), "bias": jnp.ones(8, bool)}}
    plain["second"] = {"kernel": jnp.ones((8, 3), bool), "bias": jnp.ones(3, bool)}
    placed = sg.masks.placed(plain, state)
    assert jax.tree.structure(placed) == jax.tree.structure(state)


def test_partitioned_linen_parameters_are_kernels_too():
    init = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model"))
    params = nn.Dense(3, kernel_init=init).init(jax.random.key(0), IMAGES)["params"]
    assert list(tree.kernels(params)) == ["kernel"]


@pytest.mark.parametrize(
    ("of_params", "of_grads"),
    [
        (jnp.float32, jnp.bfloat16),
        (jnp.bfloat16, jnp.float32),
        (jnp.float16, jnp.bfloat16),
    ],
)
def test_masked_weights_are_0_whatever_types_meet(params, of_params, of_grads):
    kept = sg.masks.random(jax.random.key(1), params, 20)
    own = jax.tree.map(lambda leaf: leaf.astype(of_params), params)
    grads = jax.tree.map(lambda leaf: leaf.astype(of_grads), params)
    optimizer = optax.chain(
        transforms.record_gradient_flow(kept),
        transforms.keep_masked(optax.sgd(0.1), kept),
    )

    def step(carry, _):
        own, state = carry
        updates, state = optimizer.update(grads, state, own)
        return (optax.apply_updates(own, updates), state), None

    run = jax.jit(lambda start: jax.lax.scan(step, start, length=2)[0])
    after, state = run((own, optimizer.init(own)))
    for path, kernel in tree.kernels(after).items():
        assert (np.asarray(kernel)[~tree.kernels(kept)[path]] == 0).all()
        assert kernel.dtype == of_params
    assert transforms.gradient_flow(state).egf2 > 0
