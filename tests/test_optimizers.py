import functools
import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sparse_gf import masks, optimizers, training
from sparse_gf.core.errors import UserError
from sparse_gf.models import mlp
from sparse_gf.models.variants import Variant

NAMES = ["adagrad", "adam", "adamw", "momentum", "nesterov", "rmsprop", "sgd"]
PRESETS = ["optax", "paper", "torch"]

# Every scaling that there is; the other pairs are PyTorch's too.
SCALINGS = [
    *((name, "torch") for name in NAMES),
    ("rmsprop", "paper"),
    ("adagrad", "optax"),
    ("rmsprop", "optax"),
]
each_scaling = pytest.mark.parametrize(("name", "preset"), SCALINGS)

# The reference's name to ours, and which decay is meant by its weight decay.
TORCH = {
    "sgd": ("sgd", "torch", "l2"),
    "momentum09": ("momentum", "torch", "l2"),
    "adam": ("adam", "torch", "l2"),
    "adamw": ("adamw", "torch", "weight_decay"),
    "rmsprop_a099": ("rmsprop", "torch", "l2"),
    "rmsprop_a09": ("rmsprop", "paper", "l2"),
    "adagrad": ("adagrad", "torch", "l2"),
}


def open_loop(file):
    """Gradients that do not depend on the parameters."""
    grads = jnp.asarray(file["grads"] * file["mask"])
    return jnp.asarray(file["w0"]), lambda w, step: grads[step]


def quadratic(file):
    """Gradients of v'Qv / 2 - b'v at v = w * mask."""
    matrix, b, mask = (jnp.asarray(file[name]) for name in ("Q", "b", "mask"))
    return jnp.asarray(file["w0"]), lambda w, step: (matrix @ (w * mask) - b) * mask


def network(file):
    """Gradients of a masked swish network's mean cross-entropy."""
    layers = range(len(file["meta"]["dims"]) - 1)
    kernels = [jnp.asarray(file[f"theta/{i}"]) for i in layers]
    start, unravel = jax.flatten_util.ravel_pytree(kernels)
    mask = jnp.concatenate([file[f"mask/{i}"].ravel() for i in layers])
    x, labels = jnp.asarray(file["x"]), jnp.asarray(file["y"])

    def loss_fn(w):
        h = x
        *hidden, last = unravel(w * mask)
        for kernel in hidden:
            z = h @ kernel
            h = z / (1 + jnp.exp(-z))
        log_p = jax.nn.log_softmax(h @ last)
        return -log_p[jnp.arange(labels.size), labels].mean()

    return start, lambda w, step: jax.grad(loss_fn)(w)


PROBLEMS = {
    "optim_openloop": open_loop,
    "optim_quadratic": quadratic,
    "optim_mlp": network,
}


@pytest.fixture(scope="module")
def problems(reference):
    """Start of all problems as leaves of one params tree, and their gradients.

    Gradients are mapped over a leading axis of learning rates.
    """
    with jax.enable_x64(True):
        built = {problem: PROBLEMS[problem](reference(problem)) for problem in PROBLEMS}

    def gradient(params, step):
        return {p: gradient(params[p], step) for p, (_, gradient) in built.items()}

    start = {problem: start for problem, (start, _) in built.items()}
    return start, jax.jit(jax.vmap(gradient, (0, None)))


def trajectories(make_optimizer, learning_rates, problems, steps=20):
    """The paths [step, rate, parameter], all entries free to move."""
    start, gradient = problems

    def update(learning_rate, grads, state, params):
        updates, state = make_optimizer(learning_rate).update(grads, state, params)
        return optax.apply_updates(params, updates), state

    update = jax.jit(jax.vmap(update))
    rates = np.array(learning_rates)
    params = jax.tree.map(lambda leaf: np.stack([leaf] * rates.size), start)
    init = jax.vmap(lambda rate, p: make_optimizer(rate).init(p))
    state = jax.jit(init)(rates, params)
    path = [params]
    for step in range(steps):
        params, state = update(rates, gradient(params, step), state, params)
        path.append(params)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *path)


@pytest.mark.parametrize("reference_name", sorted(TORCH))
@pytest.mark.parametrize("strength", ["0", "0.0001", "0.1"])
def test_trajectories_are_pytorchs(reference, problems, x64, reference_name, strength):
    name, preset, decay = TORCH[reference_name]
    penalty = {decay: float(strength)}
    make = functools.partial(optimizers.make, name, preset=preset, **penalty)
    rates, compared = ["0.001", "0.1"], 0
    paths = trajectories(make, [float(rate) for rate in rates], problems)
    for problem, (row, rate) in itertools.product(PROBLEMS, enumerate(rates)):
        key, file = f"{reference_name}_lr{rate}_wd{strength}", reference(problem)
        if f"{key}/traj" not in file:
            continue
        tolerance = 5e-12 * max(1, float(file[f"{key}/sensitivity"]))
        np.testing.assert_allclose(
            paths[problem][:, row], file[f"{key}/traj"], rtol=0, atol=tolerance
        )
        compared += 1
    assert compared == (2 if strength == "0.1" else 6)


def test_every_other_scaling_is_pytorchs():
    for name, preset in itertools.product(NAMES, PRESETS):
        is_torchs = (
            optimizers.SCALINGS[preset][name] is optimizers.SCALINGS["torch"][name]
        )
        assert is_torchs == (preset == "torch" or (name, preset) not in SCALINGS)


OPTAX = {
    "adagrad": optax.adagrad,
    "adam": optax.adam,
    "adamw": optax.adamw,
    "momentum": functools.partial(optax.sgd, momentum=0.9),
    "nesterov": functools.partial(optax.sgd, momentum=0.9, nesterov=True),
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_optax_preset_is_plain_optax(problems, x64, name):
    decay = optimizers.default_weight_decay(name, "optax")
    ours = functools.partial(optimizers.make, name, preset="optax", weight_decay=decay)
    expected, actual = (
        trajectories(make, [0.01], problems) for make in (OPTAX[name], ours)
    )
    for problem in PROBLEMS:
        np.testing.assert_allclose(
            actual[problem], expected[problem], rtol=1e-12, atol=1e-15
        )


def first_update(name, grads, params, **options):
    optimizer = optimizers.make(name, 1.0, **options)

    @jax.jit
    def update(grads, params):
        return optimizer.update(grads, optimizer.init(params), params)[0]

    return jax.device_get(update(grads, params))


@pytest.mark.parametrize("name", NAMES)
def test_a_traced_learning_rate_equals_a_number(name):
    params, grads = {"kernel": jnp.array([3.0, -2.0])}, {"kernel": jnp.array([1.0, 4])}

    def update(learning_rate):
        optimizer = optimizers.make(name, learning_rate, l2=0.1, weight_decay=0.1)
        return optimizer.update(grads, optimizer.init(params), params)[0]["kernel"]

    both = jax.jit(lambda learning_rate: (update(learning_rate), update(0.01)))
    traced, number = jax.device_get(both(np.float32(0.01)))
    np.testing.assert_allclose(traced, number, rtol=1e-6)
    assert (traced != 0).all()


def test_penalties_and_decay_of_sgd_by_hand():
    params = {"kernel": jnp.array([2.0, -4.0, 0.0])}
    grads = {"kernel": jnp.ones(3)}
    update = functools.partial(first_update, "sgd", grads, params)
    np.testing.assert_array_equal(update()["kernel"], [-1, -1, -1])
    np.testing.assert_array_equal(update(l2=0.5)["kernel"], [-2, 1, -1])
    np.testing.assert_array_equal(update(l1=0.5)["kernel"], [-1.5, -0.5, -1])
    np.testing.assert_array_equal(update(weight_decay=0.25)["kernel"], [-1.5, 0, -1])


def test_nesterovs_momentum_by_hand():
    """As PyTorch writes it: b = 0.9 b + g from 0, and a step of g + 0.9 b."""
    params = {"kernel": jnp.zeros(1)}
    optimizer = optimizers.make("nesterov", 1.0)
    state, found = optimizer.init(params), []
    for g in (1.0, 2.0, 0.0):
        update, state = optimizer.update({"kernel": jnp.array([g])}, state, params)
        found.append(float(update["kernel"][0]))
    # Buffers 1, 2.9, 2.61.
    assert found == pytest.approx([-(1 + 0.9), -(2 + 0.9 * 2.9), -0.9 * 2.61])
    plain = first_update("momentum", {"kernel": jnp.ones(1)}, params)["kernel"]
    assert float(plain[0]) == -1


def test_coupled_penalties_are_scaled_and_decoupled_decay_is_not():
    # Adam's first step is the sign of what it sees, whatever its size.
    params, grads = {"kernel": jnp.array([1e3])}, {"kernel": jnp.array([1e-3])}
    update = functools.partial(first_update, "adam", grads, params)
    np.testing.assert_allclose(update(l2=1.0)["kernel"], [-1.0], rtol=1e-4)
    np.testing.assert_allclose(update(weight_decay=1.0)["kernel"], [-1001.0], rtol=1e-5)


@each_scaling
def test_learned_activation_parameters_receive_no_penalty_unasked(name, preset):
    three = np.full(2, 3.0, np.float32)
    learned = {
        "PReLU_0": {"slope": three},
        "SharedPReLU_1": {"slope": three[:1]},
        "SReLU_3": {"t_right": three, "a_right": three, "t_left": three},
        "PSwish_12": {"beta": three},
    }
    # Somebody's own norm may call its offset beta: that is no activation's.
    params = learned | {
        "BatchNorm_0": {"scale": three},
        "MyNorm_0": {"beta": three},
        "Dense_0": {"kernel": np.full((2, 2), 3.0, np.float32)},
    }
    zeros = jax.tree.map(np.zeros_like, params)
    for penalty in ("l1", "l2", "weight_decay"):
        updates = first_update(name, zeros, params, preset=preset, **{penalty: 0.1})
        for module in learned:
            assert all((leaf == 0).all() for leaf in updates[module].values())
        assert (updates["MyNorm_0"]["beta"] < 0).all()
        assert (updates["Dense_0"]["kernel"] < 0).all()
        assert (updates["BatchNorm_0"]["scale"] < 0).all()


@pytest.mark.parametrize(
    ("penalty", "shrunk"),
    # -1, and 0.5 of the sign for L1, of the 4 itself for the others.
    [("l1", -1.5), ("l2", -3.0), ("weight_decay", -3.0)],
)
@pytest.mark.parametrize("module", ["PReLU_0", "SharedPReLU_0"])
def test_slopes_are_penalised_if_asked(module, penalty, shrunk):
    params = {module: {"slope": jnp.array([4.0])}, "Dense_0": {"kernel": jnp.ones(1)}}
    grads = jax.tree.map(jnp.ones_like, params)
    for asked, expected in ((False, -1.0), (True, shrunk)):
        options = {penalty: 0.5, "penalise_activations": asked}
        updates = first_update("sgd", grads, params, **options)
        np.testing.assert_array_equal(updates[module]["slope"], [expected])
        np.testing.assert_array_equal(updates["Dense_0"]["kernel"], [-1.5])


# Where moments of masked weights start, and stay. Optax's own Adagrad starts its
# accumulator at 0.1; everything else starts at 0.
START = {("adagrad", "optax"): 0.1}
MOMENTS = {"adagrad": 1, "adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 0}
MOMENTS |= {"momentum": 1, "nesterov": 1}


@pytest.fixture(scope="module")
def small():
    """A small network, its variables and its masks."""
    model = mlp.MLP(
        width=6,
        hidden_layers=1,
        num_classes=3,
        activation="prelu",
        variant=Variant(batch_norm=True),
        param_dtype=jnp.dtype("float32"),
    )
    variables = jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 5)))
    draw = jax.jit(masks.random, static_argnums=2)
    return model, variables, draw(jax.random.key(1), variables["params"], 24)


def at_masked(tree, state):
    """Masked entries of every leaf of ``tree`` that belongs to a kernel."""
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith("/kernel"):
            layer = name.split("/")[-2]
            mask = np.asarray(state.masks[layer]["kernel"])
            found.append(np.asarray(leaf)[~mask])
    return found


@each_scaling
def test_masked_weights_and_their_moments_never_move(small, name, preset):
    model, variables, mask = small
    recipe = training.Recipe(
        model, name, preset, batch_size=8, l2=0.1, l1=0.1, weight_decay=0.1
    )
    create = jax.jit(functools.partial(training.create, recipe), static_argnums=3)
    state = create(variables["params"], mask, variables["batch_stats"], 0.1)
    before = state.params
    step = jax.jit(functools.partial(training.step, recipe))
    key, rng = jax.random.key(2), np.random.default_rng(2)
    for _ in range(4):
        images = np.float32(rng.normal(size=(8, 5)))
        state, _ = step(state, images, np.arange(8) % 3, key)
        for entries in at_masked(state.params, state):
            assert entries.size
            assert entries.tobytes() == bytes(entries.nbytes)  # +0.0, bit for bit
        moments = at_masked(state.opt_state, state)
        assert len(moments) == 2 * MOMENTS[name]
        for entries in moments:
            expected = np.float32(START.get((name, preset), 0.0))
            np.testing.assert_array_equal(entries, np.full_like(entries, expected))
    assert not state.diverged
    moved = jax.tree.map(
        lambda a, b: (np.asarray(a) != np.asarray(b)).any(), before, state.params
    )
    assert all(jax.tree.leaves(moved))


RATES = ["learning_rate", "l2", "l1", "weight_decay"]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("value", [-1e-9, -1, float("nan"), float("inf")])
def test_rates_that_are_negative_or_not_finite_are_refused(rate, value):
    rates = {"learning_rate": 0.1, rate: float(value)}
    with pytest.raises(UserError, match=rf"{rate} is {float(value)}.*finite and >= 0"):
        optimizers.make("sgd", **rates)


def test_an_unknown_optimizer_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match=r"'Adem'.*Did you mean 'adam'"):
        optimizers.make("Adem", 0.1)


def test_an_unknown_preset_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match=r"'pytorch'.*Did you mean 'torch'"):
        optimizers.make("adam", 0.1, preset="pytorch")


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("adamw", "torch", 1e-2),
        ("adamw", "paper", 1e-2),
        ("adamw", "optax", 1e-4),
        *itertools.product(sorted({*NAMES} - {"adamw"}), PRESETS, [0.0]),
    ],
)
def test_only_adamw_decays_unasked(name, preset, expected):
    assert optimizers.default_weight_decay(name, preset) == expected


def test_every_preset_has_every_optimizer():
    assert sorted(optimizers.NAMES) == NAMES
    assert sorted(optimizers.PRESETS) == PRESETS
    assert all(sorted(scaling) == NAMES for scaling in optimizers.SCALINGS.values())
