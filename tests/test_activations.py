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


def derivative(function, x, times=1):
    for _ in range(times):
        function = jax.grad(function)
    return jax.vmap(function)(jnp.asarray(x))


def srelu(x, parameters):
    t_left, a_left, t_right, a_right = parameters
    return activations.srelu(x, t_right, a_right, t_left, a_left)


@pytest.mark.parametrize("name", PLAIN)
def test_values_equal_the_reference(file, name):
    close(activations.get(name)(jnp.asarray(file["x"])), file[f"{name}/y"])


@pytest.mark.parametrize("name", PLAIN)
def test_derivatives_equal_the_reference(file, name):
    function = activations.get(name)
    close(derivative(function, file["x"]), file[f"{name}/dy"])


@pytest.mark.parametrize("name", PLAIN)
def test_second_derivatives_equal_the_reference(file, name):
    actual = derivative(activations.get(name), file["x"], times=2)
    expected = file[f"{name}/d2y"]
    if name == "elu":
        # At 0 it does not exist: PyTorch takes the limit from the right, JAX that
        # from the left. First derivatives agree everywhere.
        at_0 = np.flatnonzero(file["x"] == 0)
        assert (actual[at_0] == 1).all()
        assert (expected[at_0] == 0).all()
        actual, expected = np.delete(actual, at_0), np.delete(expected, at_0)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", PLAIN)
def test_extreme_inputs_equal_the_reference(file, name):
    function = activations.get(name)
    close(function(jnp.asarray(file["x_big"])), file[f"{name}/y_big"])
    close(derivative(function, file["x_big"]), file[f"{name}/dy_big"])


@pytest.mark.parametrize("case", range(3))
def test_prelu_equals_the_reference(file, case):
    x, slope = jnp.asarray(file["x"]), float(file["prelu_slopes"][case])
    close(activations.prelu(x, slope), file[f"prelu/{case}/y"])
    close(
        derivative(lambda x: activations.prelu(x, slope), x), file[f"prelu/{case}/dy"]
    )
    by_slope = jax.vmap(jax.grad(activations.prelu, 1), (0, None))(x, slope)
    close(by_slope, file[f"prelu/{case}/dy_da"])
    close(by_slope.sum(), file[f"prelu/{case}/sum_grad_a"][0])


@pytest.mark.parametrize("case", range(8))
def test_pswish_equals_the_reference(file, case):
    x, beta = jnp.asarray(file["x"]), float(file["betas"][case])
    big = jnp.asarray(file["x_big"])
    close(activations.pswish(x, beta), file[f"pswish/{case}/y"])
    close(activations.pswish(big, beta), file[f"pswish/{case}/y_big"])
    by_x = jax.vmap(jax.grad(activations.pswish, 0), (0, None))
    close(by_x(x, beta), file[f"pswish/{case}/dy"])
    close(by_x(big, beta), file[f"pswish/{case}/dy_big"])
    by_beta = jax.vmap(jax.grad(activations.pswish, 1), (0, None))(x, beta)
    close(by_beta, file[f"pswish/{case}/dy_dbeta"])


@pytest.mark.parametrize("case", range(5))
def test_srelu_equals_the_reference(file, case):
    x, parameters = jnp.asarray(file["x"]), jnp.asarray(file["srelu_params"][case])
    close(srelu(x, parameters), file[f"srelu/{case}/y"])
    by_x, by_parameters = jax.vmap(jax.grad(srelu, (0, 1)), (0, None))(x, parameters)
    close(by_x, file[f"srelu/{case}/dy"])
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
    zero = jnp.zeros((), dtype)
    actual = jax.grad(activations.get(name))(zero)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_derivatives_of_learned_activations_at_exactly_0(zero):
    assert jax.grad(activations.prelu)(zero, 0.125) == 0.125
    assert jax.grad(activations.pswish)(zero, 3.0) == 0.5
    # As SReLU starts, 0 is its left threshold: the left slope counts.
    assert jax.grad(srelu)(zero, (0.0, 0.125, 1.0, 1.0)) == 0.125


def test_pswish_at_beta_0_is_half_of_x():
    x = jnp.linspace(-3, 3, 7)
    np.testing.assert_array_equal(activations.pswish(x, 0.0), x / 2)


@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_the_largest_gap_of_pswish_to_relu_falls_as_1_over_beta(x64, beta):
    x = jnp.linspace(-20, 20, 400_001)
    gap = jnp.max(jnp.abs(activations.pswish(x, beta) - jax.nn.relu(x)))
    assert abs(float(gap) * beta - 0.2785) < 5e-5


def test_the_right_condition_of_srelu_wins_where_both_hold():
    # t_left = 2 >= t_right = 1: at 1.5 the right branch gives 1 + 3 (1.5 - 1).
    assert srelu(jnp.float32(1.5), (2.0, 5.0, 1.0, 3.0)) == 2.5


STARTS = {
    "prelu": {"slope": 0.25},
    "pswish": {"beta": 1.0},
    "srelu": {"t_right": 1.0, "a_right": 1.0, "t_left": 0.0, "a_left": 0.2},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(STARTS))
def test_learned_layers_own_one_parameter_per_unit(x64, name, dtype):
    layer = activations.layer(name, jnp.dtype(dtype))
    variables = layer.init(jax.random.key(0), jnp.ones((2, 3, 5), dtype))
    params = variables["params"]
    assert set(variables) == {"params"}
    assert set(params) == set(STARTS[name])
    for parameter, start in STARTS[name].items():
        assert params[parameter].shape == (5,)
        assert params[parameter].dtype == dtype
        np.testing.assert_array_equal(params[parameter], np.full(5, start, dtype))


def test_all_learned_activations_are_known_by_name():
    assert {"PReLU", "SReLU", "PSwish"} == activations.LEARNED_MODULES
    assert set(STARTS) == set(activations.LEARNED)


def test_each_unit_uses_its_own_parameter():
    slopes = jnp.array([0.0, 0.5, -1.0])
    layer = activations.layer("prelu", jnp.dtype("float32"))
    y = layer.apply({"params": {"slope": slopes}}, -jnp.ones((2, 3)))
    np.testing.assert_array_equal(y, [[0.0, -0.5, 1.0]] * 2)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("prelu", lambda x: jnp.where(x > 0, x, x / 4)),
        ("pswish", jax.nn.swish),
        ("srelu", lambda x: jnp.where(x > 0, x, 0.2 * x)),
    ],
)
def test_learned_layers_begin_as_known_functions(name, function):
    x = jnp.linspace(-4, 4, 30).reshape(3, 10)
    layer = activations.layer(name, jnp.dtype("float32"))
    y, _ = layer.init_with_output(jax.random.key(0), x)
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
    variables = activations.layer(name).init(jax.random.key(0), jnp.ones((1, 2)))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
