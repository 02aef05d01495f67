import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.analyses import activity
from sparse_gf.core.errors import UserError


class Shown(nn.Module):
    @nn.compact
    def __call__(self, x):
        self.sow("intermediates", "post", jax.nn.relu(x))
        self.sow("intermediates", "pre", x + 100)
        return x


class Network(nn.Module):
    """Shows its input and, layer by layer, its input less 1, 2, ... in a far order."""

    depth: int = 11

    @nn.compact
    def __call__(self, x, *, train=False):
        self.sow("intermediates", "post", x)
        x = Shown(name="Top")(x)
        for layer in range(self.depth):
            x = Shown(name=f"Block_{layer}")(x - 1)
        return Shown(name="After")(x + train)


# A share of 0.7 of the units is above 1e-2: 0, 0.01 and -0.005 are not.
IMAGES = np.array([0, 0.01, -0.005, 0.02, 1, 2, 3, 4, 5, 13], np.float32)


def shares(size, **call):
    images = np.tile(IMAGES, (10, 1)).T[:, :, None]
    return activity.sparsity(Network(), {}, images, batch_size=size, **call)


@pytest.mark.parametrize("size", [4, 64])
def test_shares_are_counted_over_all_examples_and_units(size):
    found = shares(size)
    assert found["post"] == 0.3
    # After ReLU, the negative one is 0 too.
    assert found["Top"] == 0.3
    # 2, 3, 4, 5 and 13 stay above 1e-2 after 1 is taken off.
    assert found["Block_0"] == 0.5
    assert found["Block_10"] == found["After"] == 0.9
    assert shares(size, train=True)["After"] == 0.9
    assert shares(size, threshold=0.02)["Top"] == 0.4


def test_layers_have_the_order_of_the_computation():
    blocks = [f"Block_{layer}" for layer in range(11)]
    assert list(shares(10)) == ["post", "Top", *blocks, "After"]


def test_units_of_a_layer_count_alike_whatever_the_batch():
    # One batch of 3 and one of 1: the mean of the batches' shares would be 0.5.
    images = np.array([[0.0], [0.0], [0.0], [1.0]])
    model = Network(depth=0)
    found = activity.sparsity(model, {}, images, batch_size=3)
    assert found["post"] == 0.75


class Repeated(nn.Module):
    """Shows several arrays itself."""

    @nn.compact
    def __call__(self, x):
        for number in range(3):
            self.sow("intermediates", "post", x - number)
        return x


def test_arrays_of_one_module_are_numbered():
    found = activity.sparsity(Repeated(), {}, jnp.array([[0.0, 1.0]]))
    assert found == {"0": 0.5, "1": 0.5, "2": 0.0}


def test_variables_reach_the_model():
    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Shown()(nn.Dense(4, use_bias=False)(x))

    model = Scaled()
    kernel = jnp.array([[1.0, -1.0, 0.0, 5e-3]])
    variables = {"params": {"Dense_0": {"kernel": kernel}}}
    found = activity.sparsity(model, variables, jnp.ones((3, 1)))
    assert found == {"Shown_0": 0.75}


def test_refusals():
    variables = {"params": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    with pytest.raises(UserError, match="Dense shows no post-activations"):
        activity.sparsity(nn.Dense(2), variables, jnp.ones((1, 2)))
    with pytest.raises(UserError, match="there are 0 images"):
        activity.sparsity(Network(), {}, jnp.ones((0, 2)))
    with pytest.raises(UserError, match="batch_size is 0"):
        activity.sparsity(Network(), {}, jnp.ones((1, 2)), batch_size=0)
