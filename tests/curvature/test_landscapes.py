import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.core.errors import UserError
from sparse_gf.curvature import landscapes

KEY = jax.random.key(0)

pytestmark = pytest.mark.usefixtures("x64")


def network():
    keys = jax.random.split(jax.random.key(1), 2)
    return {
        "Conv_0": {"kernel": jax.random.normal(keys[0], (2, 2, 2, 4))},
        "Dense_0": {"kernel": jax.random.normal(keys[1], (4, 3)), "bias": jnp.ones(3)},
    }


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def polynomial(params):
    return params["a"] ** 2 + 10 * params["b"]


def test_the_loss_along_a_direction_is_that_of_moved_params():
    params = {"a": jnp.array(1.0), "b": jnp.array(2.0)}
    direction = {"a": jnp.array(2.0), "b": jnp.array(-1.0)}
    found = landscapes.along(polynomial, params, direction, jnp.array([-1.0, 0.0, 0.5]))
    # (1 + 2 d)^2 + 10 (2 - d)
    close(found, [31, 21, 19])


def test_rows_of_a_surface_go_along_the_first_direction():
    params = {"a": jnp.array(1.0), "b": jnp.array(2.0)}
    one = {"a": jnp.array(1.0), "b": jnp.array(0.0)}
    two = {"a": jnp.array(0.0), "b": jnp.array(1.0)}
    found = landscapes.surface(polynomial, params, (one, two), jnp.array([0.0, 3.0]))
    close(found, [[21, 51], [36, 66]])


@jax.jit
def direction(params, active):
    return landscapes.filter_normalised_direction(KEY, params, active)


def lengths(kernel):
    """Of each filter."""
    return np.sqrt(np.sum(np.reshape(kernel, (-1, kernel.shape[-1])) ** 2, axis=0))


@pytest.mark.parametrize("masked", [False, True])
def test_filters_of_a_direction_are_as_long_as_the_active_weights(masked):
    params = jax.tree.map(np.asarray, network())
    active = jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), params)
    if masked:
        active["Conv_0"]["kernel"][:, 0, 1] = False
        # A filter that is masked altogether.
        active["Dense_0"]["kernel"][:, 1] = False
    found = direction(params, active if masked else None)
    for layer in ("Conv_0", "Dense_0"):
        own, mask = np.asarray(found[layer]["kernel"]), active[layer]["kernel"]
        weights = np.where(mask, params[layer]["kernel"], 0)
        close(lengths(own), lengths(weights))
        assert not own[~mask].any()
        # It is another direction than the weights', and has no entry by accident.
        assert (own[mask] != 0).all()
        assert abs(np.sum(own * weights) / np.sum(weights**2)) < 0.9
    assert not found["Dense_0"]["bias"].any()


def test_a_direction_scales_with_the_filters():
    params = network()
    scaled = jax.tree.map(lambda p: p * jnp.arange(1, p.shape[-1] + 1), params)
    expected = jax.tree.map(
        lambda d: d * jnp.arange(1, d.shape[-1] + 1),
        direction(params, None),
    )
    found = direction(scaled, None)
    jax.tree.map(close, found, expected)


def image_loss(images):
    """Uphill is along the second pixel of the first image, down it in the second."""
    return jnp.mean(np.array([1e-200, -2.0, 0.0]) * images[:, 0, 1])


IMAGES = np.zeros((3, 2, 4))


def test_directions_of_the_input_are_signs():
    uphill, drawn = landscapes.input_directions(KEY, image_loss, IMAGES, kind="signs")
    expected = np.zeros(IMAGES.shape)
    expected[:2, 0, 1] = 1, -1
    close(uphill, expected)
    assert set(np.unique(drawn)) == {-1.0, 1.0}


def test_directions_of_the_input_are_random_unless_said_otherwise():
    """The method that Jaiswal et al. 2022 name for Figure 10 looks at no gradient."""

    def loss(images):
        raise AssertionError("No loss is needed.")

    both = landscapes.input_directions(KEY, loss, np.zeros((3, 20, 20, 2)))
    for drawn in both:
        close(jnp.sqrt(jnp.mean(drawn**2, axis=(1, 2, 3))), 1)
    rows = np.reshape(both, (6, 800))
    # Of six vectors in 800 dimensions, no two are nearly parallel.
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 5 / np.sqrt(800)


def test_directions_of_the_input_are_orthonormal_for_each_image():
    uphill, drawn = landscapes.input_directions(
        KEY, image_loss, IMAGES, kind="gradient"
    )
    expected = np.zeros(IMAGES.shape)
    expected[:2, 0, 1] = 1, -1
    close(uphill, expected)
    close(jnp.sum(drawn**2, axis=(1, 2)), 1)
    close(jnp.sum(uphill * drawn, axis=(1, 2)), 0)
    assert not np.allclose(drawn[0], drawn[1])


@pytest.mark.parametrize("kind", landscapes.INPUT_DIRECTIONS)
def test_a_surface_of_the_input(kind):
    target = jax.random.normal(jax.random.key(3), (2, 3, 3, 1))

    def loss(images):
        return jnp.mean((images - target) ** 2)

    images = jnp.zeros((2, 3, 3, 1))
    distances = jnp.array([0.0, 0.1, 0.2])
    found, (first, second) = jax.jit(
        lambda: (
            landscapes.input_surface(KEY, loss, images, distances, kind=kind),
            landscapes.input_directions(KEY, loss, images, kind=kind),
        )
    )()
    close(found[0, 0], loss(images))
    close(found[2, 1], loss(images + 0.2 * first + 0.1 * second))
    # Rows go uphill, where one of the directions does.
    assert (np.diff(found[:, 0]) > 0).all() or kind == "random"


def test_an_unknown_kind_of_directions_is_refused():
    with pytest.raises(UserError, match=r"kind is 'sings'.*Did you mean 'signs'\?"):
        landscapes.input_directions(KEY, image_loss, IMAGES, kind="sings")
