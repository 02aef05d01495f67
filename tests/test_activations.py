import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import activations
from sparse_gf.core.errors import UserError

PLAIN = ["relu", "elu", "swish", "mish", "sigmoid", "tanh"]
SRELU_NAMES = ["tl", "al", "tr", "ar"]


@pytest.fixture
def file(reference, x64):
    return reference("activations")


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-15)


def srelu(x, parameters):
    t_left, a_left, t_right, a_right = parameters
    return activations.srelu(x, t_right, a_right, t_left, a_left)


@pytest.mark.parametrize("name", PLAIN)
def test_values_and_derivatives_equal_the_reference(file, name):
    function = activations.get(name)
    first, second = jax.grad(function), jax.grad(jax.grad(function))

    @jax.jit
    def everywhere(x, big):
        each = function(x), jax.vmap(first)(x), jax.vmap(second)(x)
        return *each, function(big), jax.vmap(first)(big)

    *found, big, slopes_of_big = everywhere(file["x"], file["x_big"])
    close(found[0], file[f"{name}/y"])
    close(found[1], file[f"{name}/dy"])
    close(big, file[f"{name}/y_big"])
    close(slopes_of_big, file[f"{name}/dy_big"])
    actual, expected = np.asarray(found[2]), file[f"{name}/d2y"]
    if name == "elu":
        # At 0 it does not exist: PyTorch takes the limit from the right, JAX that
        # from the left. First derivatives agree everywhere.
        at_0 = np.flatnonzero(file["x"] == 0)
        assert (actual[at_0] == 1).all()
        assert (expected[at_0] == 0).all()
        actual, expected = np.delete(actual, at_0), np.delete(expected, at_0)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


def everywhere(function):
    """Values at x, and derivatives by x and by the parameters, in one program."""
    slopes = jax.vmap(jax.grad(function, (0, 1)), (0, None))
    return jax.jit(
        lambda x, parameters: (function(x, parameters), *slopes(x, parameters))
    )


PRELU = everywhere(activations.prelu)
PSWISH = everywhere(activations.pswish)
SRELU = everywhere(srelu)


@pytest.mark.parametrize("case", range(3))
def test_prelu_equals_the_reference(file, case):
    y, by_x, by_slope = PRELU(file["x"], float(file["prelu_slopes"][case]))
    close(y, file[f"prelu/{case}/y"])
    close(by_x, file[f"prelu/{case}/dy"])
    close(by_slope, file[f"prelu/{case}/dy_da"])
    close(np.sum(by_slope), file[f"prelu/{case}/sum_grad_a"][0])


@pytest.mark.parametrize("case", range(8))
def test_pswish_equals_the_reference(file, case):
    beta = float(file["betas"][case])
    y, by_x, by_beta = PSWISH(file["x"], beta)
    close(y, file[f"pswish/{case}/y"])
    close(by_x, file[f"pswish/{case}/dy"])
    close(by_beta, file[f"pswish/{case}/dy_dbeta"])
    y, by_x, _ = PSWISH(file["x_big"], beta)
    close(y, file[f"pswish/{case}/y_big"])
    close(by_x, file[f"pswish/{case}/dy_big"])


@pytest.mark.parametrize("case", range(5))
def test_srelu_equals_the_reference(file, case):
    y, by_x, by_parameters = SRELU(file["x"], file["srelu_params"][case])
    close(y, file[f"srelu/{case}/y"])
    close(by_x, file[f"srelu/{case}/dy"])
    by_parameters = np.asarray(by_parameters)
    for column, name in enumerate(SRELU_NAMES):
        close(by_parameters[:, column], file[f"srelu/{case}/dy_d{name}"])
        total = file[f"srelu/{case}/sum_grad_{name}"]
        np.testing.assert_allclose(
            by_parameters[:, column].sum(), total, rtol=1e-13, atol=1e-12
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", 0.0),
        ("elu", 1.0),
        ("swish", 0.5),
        # tanh(log 2) = (4 - 1) / (4 + 1)
        ("mish", 0.6),
        ("sigmoid", 0.25),
        ("tanh", 1.0),
    ],
)
def test_derivative_at_exactly_0(x64, name, expected, dtype):
    zero = np.zeros((), dtype)
    actual = jax.jit(jax.grad(activations.get(name)))(zero)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_derivatives_of_learned_activations_at_exactly_0(zero):
    at = np.array([zero])
    assert PRELU(at, 0.125)[1] == 0.125
    assert PSWISH(at, 3.0)[1] == 0.5
    # As SReLU starts, 0 is its left threshold: the left slope counts.
    assert SRELU(at, np.array([0.0, 0.125, 1.0, 1.0]))[1] == 0.125


def test_pswish_at_beta_0_is_half_of_x():
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    np.testing.assert_array_equal(PSWISH(x, 0.0)[0], x / 2)


@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_the_largest_gap_of_pswish_to_relu_falls_as_1_over_beta(x64, beta):
    x = np.linspace(-20, 20, 400_001)
    gap = np.max(np.abs(jax.jit(activations.pswish)(x, beta) - np.maximum(x, 0)))
    assert abs(float(gap) * beta - 0.2785) < 5e-5


def test_the_right_condition_of_srelu_wins_where_both_hold():
    # t_left = 2 >= t_right = 1: at 1.5 the right branch gives 1 + 3 (1.5 - 1).
    assert srelu(jnp.float32(1.5), (2.0, 5.0, 1.0, 3.0)) == 2.5


STARTS = {
    "prelu": {"slope": 0.25},
    "prelu_shared": {"slope": 0.25},
    "pswish": {"beta": 1.0},
    "srelu": {"t_right": 1.0, "a_right": 1.0, "t_left": 0.0, "a_left": 0.2},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(STARTS))
def test_learned_layers_own_one_parameter_per_unit_or_layer(x64, name, dtype):
    layer = activations.layer(name, jnp.dtype(dtype))
    x = np.ones((2, 3, 5), dtype)
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    params = variables["params"]
    assert set(variables) == {"params"}
    assert set(params) == set(STARTS[name])
    own = 1 if name == "prelu_shared" else 5
    for parameter, start in STARTS[name].items():
        assert params[parameter].dtype == dtype
        np.testing.assert_array_equal(params[parameter], np.full(own, start, dtype))


def test_all_learned_activations_are_known_by_name():
    for module in ("PReLU_0", "SharedPReLU_12", "SReLU", "PSwish_1"):
        assert activations.is_learned(module)
    assert not activations.is_learned("Dense_0")
    assert set(STARTS) == set(activations.LEARNED)


@pytest.mark.parametrize(
    ("name", "slopes", "expected"),
    [
        ("prelu", [0.0, 0.5, -1.0], [0.0, -0.5, 1.0]),
        ("prelu_shared", [0.5], [-0.5, -0.5, -0.5]),
    ],
)
def test_each_unit_uses_its_own_slope_or_that_of_the_layer(name, slopes, expected):
    layer = activations.layer(name, jnp.dtype("float32"))
    y = jax.jit(layer.apply)(
        {"params": {"slope": np.float32(slopes)}}, -np.ones((2, 3), np.float32)
    )
    np.testing.assert_array_equal(y, [expected] * 2)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("prelu", lambda x: np.where(x > 0, x, x / 4)),
        ("prelu_shared", lambda x: np.where(x > 0, x, x / 4)),
        ("pswish", lambda x: x / (1 + np.exp(-x))),
        ("srelu", lambda x: np.where(x > 0, x, 0.2 * x)),
    ],
)
def test_learned_layers_begin_as_known_functions(name, function):
    x = np.linspace(-4, 4, 30, dtype=np.float32).reshape(3, 10)
    layer = activations.layer(name, jnp.dtype("float32"))
    y, _ = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    np.testing.assert_allclose(y, function(x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("look_up", [activations.get, activations.layer])
def test_an_unknown_name_is_refused_with_a_suggestion(look_up):
    with pytest.raises(UserError, match=r"'swich'.*Did you mean 'swish'\?"):
        look_up("swich")


@pytest.mark.parametrize("name", sorted(STARTS))
def test_get_refuses_activations_with_parameters(name):
    with pytest.raises(UserError, match=f"activation is '{name}'"):
        activations.get(name)


@pytest.mark.parametrize("name", sorted(STARTS))
def test_a_learned_layers_default_type_fits_its_own_annotation(name):
    init = activations.layer(name).init
    variables = jax.eval_shape(init, jax.random.key(0), np.ones((1, 2), np.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
