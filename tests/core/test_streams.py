import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.core import streams
from sparse_gf.core.streams import Purpose


def data(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_the_numbers_of_the_purposes_never_change():
    assert {p.name: int(p) for p in Purpose} == {
        "INIT": 0,
        "MASK": 1,
        "ORDER": 2,
        "AUGMENTATION": 3,
        "DROPOUT": 4,
        "SCORE": 5,
        "GROWTH": 6,
        "RESCALING": 7,
    }


def test_a_key_is_folded_from_seed_purpose_and_data_in_turn():
    expected = jax.random.fold_in(
        jax.random.fold_in(jax.random.fold_in(jax.random.key(5), 2), 7), 3
    )
    assert data(streams.key(5, Purpose.ORDER, 7, 3)) == data(expected)


def test_streams_of_seeds_purposes_and_epochs_all_differ():
    keys = {
        data(streams.key(seed, purpose, epoch))
        for seed, purpose, epoch in itertools.product(range(5), Purpose, range(1, 6))
    }
    assert len(keys) == 5 * len(Purpose) * 5


def test_the_order_of_data_matters():
    assert data(streams.key(0, Purpose.INIT, 1, 2)) != data(
        streams.key(0, Purpose.INIT, 2, 1)
    )


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_traced_seeds_give_the_keys_of_python_seeds(seed):
    traced = jax.jit(lambda s, e: streams.key(s, Purpose.MASK, e))
    assert data(traced(jnp.int32(seed), jnp.int32(4))) == data(
        streams.key(seed, Purpose.MASK, 4)
    )
