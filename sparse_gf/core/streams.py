"""Random streams: one seed per network, one stream per purpose.

A stream's key is made from the seed alone, never from an earlier stream's state, so
that any epoch can be repeated without running the ones before it.
"""

import enum

import jax
from jaxtyping import Array, Int, PRNGKeyArray


class Purpose(enum.IntEnum):
    """What random numbers are drawn for. The numbers are part of every result."""

    INIT = 0
    MASK = 1
    ORDER = 2
    AUGMENTATION = 3
    DROPOUT = 4
    SCORE = 5
    GROWTH = 6
    RESCALING = 7


def key(
    seed: int | Int[Array, ""], purpose: Purpose, *data: int | Int[Array, ""]
) -> PRNGKeyArray:
    """The key of one stream, which ``data`` splits further, for example by epoch."""
    stream = jax.random.fold_in(jax.random.key(seed), purpose)
    for datum in data:
        stream = jax.random.fold_in(stream, datum)
    return stream
