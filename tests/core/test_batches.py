"""Sums over batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.core import batches


def test_examples_beyond_the_last_whole_batch_are_left_out():
    examples = {"x": jnp.arange(14).reshape(7, 2), "y": jnp.arange(7)}
    found = batches.cut(examples, 3)
    assert found["x"].tolist() == [
        [[0, 1], [2, 3], [4, 5]],
        [[6, 7], [8, 9], [10, 11]],
    ]
    assert found["y"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_total_is_that_of_a_loop_and_is_traced_once():
    traced = []

    @jax.jit
    def function(batch):
        traced.append(1)
        x, y = batch
        return {"product": x * y, "count": jnp.int32(len(x))}

    x = jnp.arange(12.0).reshape(4, 3)
    found = batches.total(function, (x, x + 1))
    np.testing.assert_array_equal(found["product"], (x * (x + 1)).sum(axis=0))
    assert found["count"] == 12
    assert found["count"].dtype == jnp.int32
    assert len(traced) == 1


def test_totals_are_differentiated_through():
    x = jnp.arange(6.0).reshape(3, 2)
    slope = jax.grad(lambda a: batches.total(lambda b: a**2 * b.sum(), x))(3.0)
    assert slope == 2 * 3 * 15


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_summed_in_float32(dtype):
    # 1.5625 is exact in either; a running sum of it is not.
    loss = functools.partial(jnp.asarray, dtype=dtype)
    found = jax.jit(functools.partial(batches.total, loss))(jnp.full((2048,), 1.5625))
    assert (found.dtype, float(found)) == (jnp.float32, 2048 * 1.5625)


def test_integers_stay_integers():
    found = batches.total(lambda batch: batch.sum(), jnp.ones((3, 4), jnp.int32))
    assert (found.dtype, int(found)) == (jnp.int32, 12)
