import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import masks
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError

# Compiled: eagerly each of its operations is a program of its own.
norm_of = jax.jit(tree.norm, static_argnums=1)


def params():
    return {
        "Dense_10": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
        "Dense_2": {"kernel": jnp.ones((3, 2))},
        "Conv_0": {"kernel": jnp.ones((3, 3, 1, 2))},
        "BatchNorm_0": {"scale": jnp.ones(2)},
        "odd": {"kernel": jnp.ones(4)},
        "nested": {"Dense_0": {"kernel": jnp.ones((1, 1))}},
    }


def test_kernels_come_by_path_in_numeric_order():
    assert list(tree.kernels(params())) == [
        "Conv_0/kernel",
        "Dense_2/kernel",
        "Dense_10/kernel",
        "nested/Dense_0/kernel",
    ]


def test_a_bare_array_is_no_kernel():
    with pytest.raises(UserError, match="no kernel"):
        tree.kernels(jnp.ones((2, 2)))


def test_in_order_sorts_equal_stems_by_number():
    names = [f"block_{i}/Dense_{j}" for i in (0, 2, 11) for j in (1, 3, 20)]
    shuffled = dict.fromkeys(sorted(names, reverse=True), 0)
    assert list(tree.in_order(shuffled)) == names


def test_map_kernels_gives_each_kernel_its_path_and_the_rest_to_otherwise():
    seen = []
    mapped = tree.map_kernels(
        lambda path, kernel: seen.append(path) or 2 * kernel, lambda x: -x, params()
    )
    assert sorted(seen) == sorted(tree.kernels(params()))
    assert (mapped["Dense_2"]["kernel"] == 2).all()
    assert (mapped["Dense_10"]["bias"] == -1).all()
    assert (mapped["odd"]["kernel"] == -1).all()
    assert jax.tree.structure(mapped) == jax.tree.structure(params())


@pytest.mark.parametrize(("order", "expected"), [(1, 7.0), (2, 5.0)])
def test_norm_of_3_and_minus_4(order, expected):
    assert norm_of(np.float32([[3.0], [-4.0]]), order) == expected


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shape", [(0,), (3, 2)])
def test_norm_of_nothing_and_of_zeros_is_0(order, shape):
    assert norm_of(np.zeros(shape, np.float32), order) == 0


@pytest.mark.parametrize("order", [0, 3, -1])
def test_other_orders_are_refused(order):
    with pytest.raises(ValueError, match=rf"order is {order}; it must be 1 or 2"):
        tree.norm(jnp.ones(2), order)


GRADIENT = jax.jit(jax.grad(lambda x: tree.norm(x, 2)))


def test_gradient_of_the_2_norm_at_zero_is_zero():
    gradient = GRADIENT(np.zeros(5, np.float32))
    np.testing.assert_array_equal(gradient, np.zeros(5))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_gradient_of_the_2_norm_is_the_unit_vector(scale):
    gradient = GRADIENT(np.float32(scale) * np.float32([3.0, -4.0]))
    np.testing.assert_allclose(gradient, [0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e38, 1e20, 1e-20, 1e-30, 1.2e-38])
def test_the_2_norm_neither_overflows_nor_underflows_in_float32(scale):
    norm = norm_of(np.full(4, scale, np.float32), 2)
    assert norm.dtype == jnp.float32
    np.testing.assert_allclose(norm, 2 * scale, rtol=1e-6)


def test_the_2_norm_mixes_huge_and_tiny_entries():
    x = np.float32([1e30, 1e-30, 0.0, -1e30])
    np.testing.assert_allclose(norm_of(x, 2), np.sqrt(2) * 1e30, rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("bad", "expected"),
    [(np.inf, np.inf), (-np.inf, np.inf), (np.nan, np.nan)],
)
def test_norm_propagates_what_is_not_finite(order, bad, expected):
    norm = norm_of(np.float32([1.0, bad, 0.0]), order)
    np.testing.assert_array_equal(norm, expected)


@pytest.mark.parametrize("order", [1, 2])
def test_nan_wins_over_infinity(order):
    assert np.isnan(norm_of(np.float32([np.inf, np.nan]), order))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("order", [1, 2])
def test_half_precision_is_summed_in_float32(order, dtype):
    x = jnp.full((400, 300), 0.01, dtype)
    found = tree.norm(x, order)
    wanted = float(x[0, 0]) * (120_000 if order == 1 else np.sqrt(120_000))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found.dtype == jnp.float32


@pytest.mark.parametrize(("order", "wanted"), [(1, 10), (2, 50**0.5)])
def test_the_norm_of_complex_numbers_is_that_of_their_sizes(order, wanted):
    found = tree.norm(jnp.array([[3 + 4j, 0], [0, 5j]]), order)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_kernels_of_one_path_are_refused():
    kernel = {"kernel": jnp.ones((2, 2))}
    with pytest.raises(UserError, match=r"two kernels .* called 'a/b/kernel'"):
        tree.kernels({"a/b": kernel, "a": {"b": kernel}})


def test_arrays_of_another_byte_order_are_refused_by_name():
    foreign = {"Dense_0": {"kernel": np.ones((2, 3), ">f4")}}
    for read in (tree.kernels, lambda p: masks.apply(p, masks.ones({**p}))):
        with pytest.raises(UserError, match=r"'Dense_0/kernel' is >f4, .*newbyteorder"):
            read(foreign)
    little = {"Dense_0": {"kernel": np.ones((2, 3), "<f4")}}
    assert list(tree.kernels(little)) == ["Dense_0/kernel"]
