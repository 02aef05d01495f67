import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import budgets, losses, masks, scores
from sparse_gf.core import tree as tree_lib
from sparse_gf.models.convolution import convolve

MLPS = [
    "prune_mlp_nobias",
    "prune_mlp_bias_2batches",
    "prune_collapse_mlp_12_24x6_5",
    "prune_collapse_mlp_8_80_4_80_3",
]
CONVS = ["prune_conv_bn_eval_gap", "prune_conv_bn_train_gap"]
FILES = MLPS + CONVS
DENSITIES = range(3)
TEMPERATURE = 200.0

pytestmark = pytest.mark.usefixtures("x64")


def num_layers(file):
    return len({name for name in file if name.startswith("theta/")})


def tree(file, prefix):
    """The kernels ``prefix/0``, ``prefix/1``, ... as params."""
    return {
        f"Layer_{i}": {"kernel": jnp.asarray(file[f"{prefix}/{i}"])}
        for i in range(num_layers(file))
    }


def network(file):
    """All params of the network, biases and BatchNorm's too."""
    params = tree(file, "theta")
    for i in range(num_layers(file)):
        for name, entries in (
            (f"bias/{i}", ["bias"]),
            (f"bn_{i}/scale", ["norm_scale"]),
            (f"bn_{i}/bias", ["norm_bias"]),
        ):
            if name in file:
                params[f"Layer_{i}"][entries[0]] = jnp.asarray(file[name])
    return params


def logits(file, params, x, mode):
    """From the definition; see section "Pruning" of tests/reference/README.md."""
    h = x
    for i in range(num_layers(file)):
        layer = params[f"Layer_{i}"]
        if layer["kernel"].ndim == 4:
            h = convolve(h, layer["kernel"], 1)
        else:
            h = h.mean(axis=(1, 2)) if h.ndim == 4 else h
            h = h @ layer["kernel"] + layer.get("bias", 0)
        if "norm_scale" in layer:
            mean, variance = file[f"bn_{i}/mean"], file[f"bn_{i}/var"]
            if mode == "train":
                axes = tuple(range(h.ndim - 1))
                mean = h.mean(axes)
                variance = ((h - mean) ** 2).mean(axes)
            elif mode == "absolute":
                mean, variance = np.abs(mean), np.abs(variance)
            h = (h - mean) / jnp.sqrt(variance + 1e-5)
            h = h * layer["norm_scale"] + layer["norm_bias"]
        if i < num_layers(file) - 1:
            h = jnp.where(h > 0, h, 0)
    return h


def loss_fn(file, params, temperature=1.0):
    """The sum of the batches' mean losses."""
    batches = file["meta"]["batches"]
    parts = zip(
        np.array_split(file["x"], batches),
        np.array_split(file["y"], batches),
        strict=True,
    )
    return sum(
        losses.cross_entropy(
            logits(file, params, jnp.asarray(x), file["meta"]["bn_mode"]) / temperature,
            jnp.asarray(y),
        )
        for x, y in parts
    )


def apply_fn(file, params, x):
    mode = "train" if file["meta"]["bn_mode"] == "train" else "absolute"
    return logits(file, params, x, mode)


@pytest.fixture(scope="module")
def computed():
    """``computed(file)``: the logits and all of the reference's scores.

    One program for a network, and one run of it.
    """
    done = {}

    def compute(file):
        if id(file) not in done:
            done[id(file)] = jax.jit(lambda: _computed(file))()
        return done[id(file)]

    return compute


def _computed(file):
    params, x = network(file), jnp.asarray(file["x"])
    loss = functools.partial(loss_fn, file)
    colder = functools.partial(loss_fn, file, temperature=TEMPERATURE)
    return {
        "logits": logits(file, params, x, file["meta"]["bn_mode"]),
        "mag": scores.magnitude(params),
        "snip": scores.snip(loss, params),
        "grasp": scores.grasp(colder, params),
        "synflow1": scores.synflow(
            functools.partial(apply_fn, file), params, x.shape[1:]
        ),
    }


# Compiled: eagerly each of its operations is a program, for every shape.
from_scores = jax.jit(masks.from_scores)


def close(found, expected, rtol=1e-11):
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13 * largest),
        kernels(found),
        kernels(expected),
    )


def kernels(params):
    return {path: np.asarray(k) for path, k in tree_lib.kernels(params).items()}


@pytest.mark.parametrize("name", FILES)
def test_logits_and_scores_are_those_of_the_reference(reference, computed, name):
    file = reference(name)
    found = computed(file)
    np.testing.assert_allclose(found["logits"], file["logits"], rtol=1e-12, atol=1e-13)
    close(found["snip"], tree(file, "snip_raw"))
    close(found["grasp"], tree(file, "grasp_theta_Hg"))
    train = file["meta"]["bn_mode"] == "train"
    key = "synflow_score_oneshot" + "_TRAINMODE" * train
    # A batch of one, normalised by itself, is 0: all of it is rounding.
    close(found["synflow1"], tree(file, key), rtol=1e-6 if train else 1e-11)


def count_kept(file, density, local):
    """Reference counts: all but int((1 - density) * N)."""
    sizes = {path: k.size for path, k in kernels(tree(file, "theta")).items()}
    if not local:
        return int(file["n_prunable"]) - int(file["k_removed_global"][density])
    removed = file["k_removed_local"][density]
    return {
        path: size - int(k)
        for (path, size), k in zip(sizes.items(), removed, strict=True)
    }


def assert_same_masks(file, found, key, last_scores=None):
    """Equal where the reference is sure.

    Its rule removes all that tie with the last one removed, and ours as many as asked
    for: there, weights whose score before the last round was 0 may be left; where those
    scores are not known, any, in layers with fewer than asked for.
    """
    suffix = key.removeprefix("mask_")
    for i in range(num_layers(file)):
        expected = file[f"{key}/{i}"].astype(bool)
        unsure = file.get(f"ambiguous_{suffix}/{i}", np.zeros_like(expected)) != 0
        own = np.asarray(found[f"Layer_{i}"]["kernel"])
        if last_scores is None and own.sum() > expected.sum():
            unsure |= own & ~expected
        if last_scores is not None:
            unsure |= own & ~expected & (file[f"{last_scores}/{i}"] == 0)
        np.testing.assert_array_equal(own[~unsure], expected[~unsure])


@pytest.mark.parametrize("name", FILES)
def test_masks_of_one_round_are_those_of_the_reference(reference, computed, name):
    file = reference(name)
    for criterion in ("mag", "snip", "grasp", "synflow1"):
        for density, local in itertools.product(DENSITIES, [False, True]):
            found = computed(file)[criterion]
            own = from_scores(found, count_kept(file, density, local))
            where = "local" if local else "global"
            q = file["densities"][density]
            assert_same_masks(file, own, f"mask_{criterion}_{where}_{q:g}")


@pytest.mark.parametrize("name", FILES)
def test_masks_of_100_rounds_of_synflow_are_those_of_the_reference(reference, name):
    file = reference(name)
    params = network(file)
    sizes = {path: k.size for path, k in kernels(params).items()}
    network_fn, shape = functools.partial(apply_fn, file), file["x"].shape[1:]

    @jax.jit
    def prune(*counts):
        def again(active):
            return scores.synflow(network_fn, params, shape, active)

        return [scores.prune(again, params, own) for own in counts]

    for q in map(float, file["densities"]):

        def kept(size, q=q):
            rounds = range(1, 101)
            return np.array([size - int((1 - q ** (e / 100)) * size) for e in rounds])

        by_layer = {path: kept(size) for path, size in sizes.items()}
        whole = kept(sum(sizes.values()))
        (over_all, finite), (per_layer, also_finite) = prune(whole, by_layer)
        assert finite
        assert also_finite
        before = f"synflow100_score_before_last_threshold_{q:g}"
        assert_same_masks(file, over_all, f"mask_synflow100_global_{q:g}", before)
        assert_same_masks(file, per_layer, f"mask_synflow100_local_{q:g}")


@pytest.mark.parametrize("name", [n for n in FILES if "collapse" in n])
def test_100_rounds_of_synflow_keep_every_layer_that_snip_empties(
    reference, computed, name
):
    file = reference(name)
    snip = from_scores(computed(file)["snip"], count_kept(file, 2, local=False))
    assert min(masks.num_active(snip).values()) == 0
    assert file["survivors_synflow100_global_0.01"].min() > 0
    params = network(file)
    counts = budgets.in_rounds(params, 0.01, "global", rounds=100)

    def snip_again(active):
        pruned = masks.apply(params, active)
        found = scores.snip(functools.partial(loss_fn, file), pruned)
        return scores.layer_normalised(found, active)

    # Ours: normalised by layer, repeated SNIP keeps them all as well.
    found, _ = jax.jit(lambda: scores.prune(snip_again, params, counts))()
    assert min(masks.num_active(found).values()) > 0
    assert sum(masks.num_active(found).values()) == counts[-1]


def test_grasp_is_that_of_its_authors(reference):
    file = reference("grasp_original_mlp")
    half = int(file["half"])
    params = tree(file, "theta")

    def loss(params):
        parts = (
            (file["x"][:half], file["y"][:half]),
            (file["x"][half:], file["y"][half:]),
        )
        return sum(
            losses.cross_entropy(
                logits(file, params, jnp.asarray(x), "eval") / TEMPERATURE,
                jnp.asarray(y),
            )
            for x, y in parts
        )

    found = jax.jit(lambda: scores.grasp(loss, params))()
    scale = float(file["norm_factor"])
    expected = jax.tree.map(
        lambda s: -scale * s, tree(file, "score_minus_theta_Hg_normalised")
    )
    close(found, expected, rtol=1e-9)
    for ratio in file["ratios"]:
        # Their rule keeps one weight more than N minus the number to remove.
        number = sum(file[f"survivors_graspRepo_{ratio:g}"])
        own = from_scores(found, int(number))
        assert_same_masks(file, own, f"mask_graspRepo_{ratio:g}")


def small(seed=0):
    """Two dense layers, and data for them."""
    rng = np.random.default_rng(seed)
    params = {
        "a": {"kernel": rng.normal(size=(4, 6)), "bias": np.ones(6)},
        "b": {"kernel": rng.normal(size=(6, 3))},
    }
    params = jax.tree.map(jnp.asarray, params)
    x, y = jnp.asarray(rng.normal(size=(16, 4))), jnp.asarray(rng.integers(0, 3, 16))

    def loss(params):
        h = jnp.tanh(x @ params["a"]["kernel"] + params["a"]["bias"])
        return losses.cross_entropy(h @ params["b"]["kernel"], y)

    return params, loss


def test_grasp_is_theta_times_the_kernels_hessian_times_their_gradient():
    params, loss = small()

    @jax.jit
    def both(params):
        flat, unravel = jax.flatten_util.ravel_pytree(params)
        gradient = jax.grad(lambda v: loss(unravel(v)))(flat)
        hessian = jax.hessian(lambda v: loss(unravel(v)))(flat)
        is_kernel = jax.flatten_util.ravel_pytree(
            tree_lib.map_kernels(lambda _, k: jnp.ones_like(k), jnp.zeros_like, params)
        )[0]
        expected = unravel(flat * (hessian @ (gradient * is_kernel)))
        return scores.grasp(loss, params), expected

    close(*both(params))


def mask(params, **counts):
    """Random, so many weights of each layer."""
    rng, found = np.random.default_rng(3), jax.tree.map(np.ones_like, params)
    for layer, count in counts.items():
        kernel = np.arange(params[layer]["kernel"].size) < count
        shape = params[layer]["kernel"].shape
        found[layer]["kernel"] = rng.permutation(kernel).reshape(shape)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, bool), found)


@pytest.mark.parametrize("order", [1, 2])
def test_egf_is_the_derivative_of_egf_with_respect_to_the_mask(order):
    params, loss = small()
    active = mask(params, a=20, b=15)

    @jax.jit
    def both(params, active):
        grads = jax.grad(loss)(masks.apply(params, active))

        def egf(soft):
            norms = [
                jnp.sum(jnp.abs(grads[layer]["kernel"] * soft[layer]) ** order)
                ** (1 / order)
                for layer in soft
            ]
            return sum(norms) / 2

        soft = {name: active[name]["kernel"].astype(float) for name in "ab"}
        return scores.egf(loss, params, active, order=order), jax.grad(egf)(soft)

    found, expected = jax.device_get(both(params, active))
    for name in "ab":
        own, kept = found[name]["kernel"], np.asarray(active[name]["kernel"])
        np.testing.assert_allclose(own[kept], expected[name][kept], rtol=1e-12)
        assert not own[~kept].any()


def test_normalised_scores_of_a_layer_add_up_to_one():
    params, loss = small()
    active = mask(params, a=20, b=1)
    found = jax.jit(
        lambda: scores.layer_normalised(scores.grasp(loss, params), active)
    )()
    for kernel in kernels(found).values():
        np.testing.assert_allclose(np.abs(kernel).sum(), 1, rtol=1e-12)


def test_relative_synflow_is_synflow_in_shares():
    params, _ = small()
    params["a"]["bias"] = jnp.zeros(6)

    def apply(params, x):
        h = jax.nn.relu(x @ params["a"]["kernel"] + params["a"]["bias"])
        return h @ params["b"]["kernel"]

    @jax.jit
    def both(params):
        whole = scores.synflow(apply, params, (4,))
        return whole, scores.relative_synflow(apply, params, (4,))

    whole, shares = jax.device_get(both(params))
    # What flows through a layer is all there is.
    total = whole["b"]["kernel"].sum()
    np.testing.assert_allclose(whole["a"]["kernel"].sum(), total, rtol=1e-12)
    close(jax.tree.map(lambda s: s * total, shares), whole)


def test_relative_synflow_holds_where_synflow_leaves_float32():
    with jax.enable_x64(False):
        ones = jnp.asarray(np.ones((50, 50), np.float32))
        params = {f"L_{i:02}": {"kernel": ones} for i in range(30)}

        def apply(params, x):
            for layer in params.values():
                x = x @ layer["kernel"]
            return x

        # R = 50^31, about 5e52; every weight has the same share. Not compiled: all
        # layers are one program.
        whole = scores.synflow(apply, params, (50,))
        assert not np.isfinite(whole["L_00"]["kernel"]).all()
        found = scores.relative_synflow(apply, params, (50,))
        for kernel in kernels(found).values():
            np.testing.assert_allclose(kernel, 1 / 2500, rtol=1e-4)


def test_pruned_weights_never_come_back():
    params, _ = small()
    counts = budgets.in_rounds(params, 0.25, "global", rounds=4)

    def adversary(active):
        # Best where the weight has been removed.
        return jax.tree.map(lambda m, p: jnp.where(m, jnp.abs(p), 1e9), active, params)

    @jax.jit
    def both(params):
        of_kernels = scores.prune(lambda _: scores.magnitude(params), params, counts)
        return of_kernels, scores.prune(adversary, params, counts)

    (by_magnitude, finite), (nested, _) = both(params)
    assert finite
    jax.tree.map(np.testing.assert_array_equal, nested, by_magnitude)
    assert sum(masks.num_active(nested).values()) == counts[-1]


def test_scores_that_are_not_finite_are_said_to_be():
    params, _ = small()
    bad = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), params)
    counts = budgets.in_rounds(params, 0.5, "global")
    assert not scores.prune(lambda _: bad, params, counts)[1]


def test_protected_kernels_stay_whole():
    params, _ = small()
    counts = budgets.make(params, 0.1, "global", dense_layers=("b/kernel",))
    protected = scores.protect(scores.magnitude(params), ("b/kernel",))
    found = from_scores(protected, counts)
    assert masks.num_active(found) == {"a/kernel": 2, "b/kernel": 18}
