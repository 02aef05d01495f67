"""The test run refuses arrays that are not as the package's signatures say."""

import jax.numpy as jnp
import jaxtyping
import pytest

from sparse_gf import losses


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (jnp.zeros((3, 2)), jnp.zeros(4, int)),
        (jnp.zeros((3, 2)), jnp.zeros(3)),
        (jnp.zeros(3), jnp.zeros(3, int)),
    ],
    ids=["another number", "not whole", "no classes"],
)
def test_wrong_shapes_and_types_are_refused(logits, labels):
    with pytest.raises(jaxtyping.TypeCheckError, match="cross_entropy"):
        losses.cross_entropy(logits, labels)
