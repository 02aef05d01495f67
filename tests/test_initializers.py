import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sparse_gf import initializers, masks, training
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import capacity
from sparse_gf.initializers import Fans
from sparse_gf.specs import CapacitySpec

# Variance from fan-in and fan-out, and the half-width of the support.
FAMILIES = {
    "he_normal": (lambda i, o: 2 / i, None),
    "he_uniform": (lambda i, o: 2 / i, lambda i, o: np.sqrt(6 / i)),
    "torch": (lambda i, o: 1 / (3 * i), lambda i, o: 1 / np.sqrt(i)),
    "lecun_normal": (lambda i, o: 1 / i, None),
    "xavier_normal": (lambda i, o: 2 / (i + o), None),
    "xavier_uniform": (lambda i, o: 2 / (i + o), lambda i, o: np.sqrt(6 / (i + o))),
}

NO_DATA = jax.tree.map(
    jnp.asarray,
    training.Data(
        np.zeros((0, 8, 8, 1), np.uint8),
        np.zeros(0, np.int32),
        np.zeros((0, 8, 8, 1), np.uint8),
        np.zeros(0, np.int32),
        np.zeros(1, np.float32),
        np.ones(1, np.float32),
    ),
)

each_family = pytest.mark.parametrize("name", sorted(FAMILIES))
each_fans = pytest.mark.parametrize("fans", [(50.0, 200.0), (300.0, 10.0)])


def draw(name, fans, shape=(300, 400), seed=0):
    """One kernel; its shape is not the fans' on purpose."""
    params = {"Dense_0": {"kernel": np.zeros(shape, np.float32)}}
    matched = jax.jit(initializers.matched, static_argnums=2)
    fans = {"Dense_0/kernel": Fans(*map(float, fans))}
    drawn = matched(jax.random.key(seed), params, name, fans)
    return np.asarray(drawn["Dense_0"]["kernel"], float).ravel()


def test_all_families_are_tested():
    assert set(FAMILIES) == initializers.NAMES


@each_family
@each_fans
def test_mean_and_variance_follow_from_the_fans(name, fans):
    weights = draw(name, fans)
    variance, support = FAMILIES[name]
    expected = variance(*fans)
    # Five standard errors: of the mean, and of the variance from the kurtosis.
    assert abs(weights.mean()) < 5 * np.sqrt(expected / weights.size)
    kurtosis = 9 / 5 if support else 3
    error = expected * np.sqrt((kurtosis - 1) / weights.size)
    assert abs(weights.var() - expected) < 5 * error


@each_family
@each_fans
def test_the_whole_distribution_is_the_families(name, fans):
    variance, support = FAMILIES[name]
    if support:
        bound = support(*fans)
        law = scipy.stats.uniform(-bound, 2 * bound)
    else:
        law = scipy.stats.norm(0, np.sqrt(variance(*fans)))
    assert scipy.stats.kstest(draw(name, fans), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", sorted(n for n, f in FAMILIES.items() if f[1]))
@each_fans
def test_uniform_weights_fill_their_support(name, fans):
    weights = np.abs(draw(name, fans))
    bound = FAMILIES[name][1](*fans)
    # The largest of 120,000 misses the bound by about one part in 120,000.
    assert bound * (1 - 2e-4) < weights.max() <= bound * (1 + 1e-6)


def test_normal_weights_are_not_truncated():
    assert np.abs(draw("he_normal", (2.0, 2.0))).max() > 4


def test_traced_fans_give_the_weights_of_numbers():
    params = {"Dense_0": {"kernel": jnp.zeros((4, 3))}}

    @jax.jit
    def traced(inputs):
        fans = {"Dense_0/kernel": Fans(inputs, inputs)}
        return initializers.matched(jax.random.key(0), params, "he_normal", fans)

    actual = traced(jnp.float32(7))["Dense_0"]["kernel"].ravel()
    np.testing.assert_allclose(
        actual, draw("he_normal", (7, 7), shape=(4, 3)), rtol=1e-6
    )


def test_kernels_are_drawn_apart_and_other_leaves_stay():
    params = {
        "Dense_0": {"kernel": jnp.zeros((3, 3)), "bias": jnp.arange(3.0)},
        "Dense_1": {"kernel": jnp.zeros((3, 3))},
        "BatchNorm_0": {"scale": jnp.full(3, 7.0)},
    }
    fans = dict.fromkeys(tree.kernels(params), Fans(3, 3))
    drawn = initializers.matched(jax.random.key(0), params, "he_normal", fans)
    assert (drawn["Dense_0"]["bias"] == jnp.arange(3.0)).all()
    assert (drawn["BatchNorm_0"]["scale"] == 7).all()
    values = [np.asarray(kernel).ravel() for kernel in tree.kernels(drawn).values()]
    assert np.unique(values).size == 18


def test_an_unknown_initializer_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match=r"'he_norml'.*Did you mean 'he_normal'"):
        draw("he_norml", (1.0, 1.0))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("dense", (20, 10)),
        ("wide", (50, 40)),
        # 200 active weights: 5 per output unit of 40, 4 per input of 50.
        ("active", (5, 4)),
    ],
)
def test_reference_fans_by_hand(reference, expected):
    assert initializers.reference_fans(reference, (20, 10), (50, 40)) == expected


def test_an_unknown_reference_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match=r"'activ'.*Did you mean 'active'"):
        initializers.reference_fans("activ", (1, 1), (1, 1))


WIDTH = 34


def network(arm, reference, seed=0):
    """One network of a cell on the digits, trained at the maximum width of 68."""
    cell = CapacitySpec(
        dataset="digits",
        hidden_layers=2,
        initializer_reference=reference,
        dense_widths=(WIDTH,),
    )
    group = capacity.Group(((arm, WIDTH, seed),), 68)
    member = jax.tree.map(
        lambda leaf: jnp.asarray(leaf[0]), capacity.members(cell, group)
    )
    recipe = capacity.recipe(cell, 68)
    init = jax.jit(
        lambda seed: capacity.init_network(
            recipe, "he_normal", None, 64, seed, member, NO_DATA
        )
    )
    return init(jnp.int32(seed))


@pytest.fixture(scope="module", params=["dense", "wide", "active"])
def arms(request):
    return (
        request.param,
        network("sparse", request.param),
        network("dense", request.param),
    )


def active(state, layer):
    mask = np.asarray(state.masks[layer]["kernel"])
    return np.asarray(state.params[layer]["kernel"])[mask]


SIZES = {
    "Dense_0": (64, WIDTH),
    "Dense_1": (WIDTH, WIDTH),
    "Dense_2": (WIDTH, 10),
}
FAN_IN = {
    "dense": {"Dense_0": 64, "Dense_1": 34, "Dense_2": 34},
    "wide": {"Dense_0": 64, "Dense_1": 68, "Dense_2": 68},
    # Active weights over units: 64 * 34 / 68, 34 * 34 / 68, 34 * 10 / 10.
    "active": {"Dense_0": 32, "Dense_1": 17, "Dense_2": 34},
}


@pytest.mark.parametrize("layer", sorted(SIZES))
def test_active_weights_of_both_arms_have_one_distribution(arms, layer):
    reference, *states = arms
    law = scipy.stats.norm(0, np.sqrt(2 / FAN_IN[reference][layer]))
    sparse, dense = (active(state, layer) for state in states)
    assert sparse.size == dense.size == np.prod(SIZES[layer])
    assert scipy.stats.ks_2samp(sparse, dense).pvalue > 1e-3
    for weights in (sparse, dense):
        assert scipy.stats.kstest(weights, law.cdf).pvalue > 1e-3


def test_the_two_arms_are_different_draws(arms):
    _, sparse, dense = arms
    shared = np.intersect1d(active(sparse, "Dense_0"), active(dense, "Dense_0"))
    assert shared.size < 5


def test_masked_weights_start_at_zero(arms):
    for state in arms[1:]:
        for path, kernel in tree.kernels(state.params).items():
            mask = np.asarray(tree.kernels(state.masks)[path])
            assert (np.asarray(kernel)[~mask] == 0).all()
            assert (np.asarray(kernel)[mask] != 0).all()


def test_the_dense_arm_is_the_leading_block(arms):
    mask = np.asarray(arms[2].masks["Dense_1"]["kernel"])
    assert mask[:WIDTH, :WIDTH].all()
    assert masks.num_active(arms[2].masks)["Dense_1/kernel"] == WIDTH**2
