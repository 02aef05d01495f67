import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import curvature, losses, masks
from sparse_gf.core.errors import UserError
from sparse_gf.curvature import lanczos, landscapes
from sparse_gf.models.convolution import convolve

# Name, whether masks are given, and what the reference calls the result.
CASES = [
    ("hessian_mlp_relu", True, "_active_only"),
    ("hessian_mlp_swish_masked", True, "_active_only"),
    ("hessian_mlp_swish_masked", False, ""),
    ("hessian_conv_bn", False, ""),
]
KEY = jax.random.key(0)

pytestmark = pytest.mark.usefixtures("x64")


def arrays(file, prefix):
    """Params whose leaves, which JAX sorts by key, have the order of the file."""
    found = {}
    for order, name in enumerate(file["param_order"]):
        place, entry = name.split(".")
        array = file[f"{prefix}/{name}"]
        if entry == "weight":
            entry = "kernel" if array.ndim > 1 else "scale"
        found[f"{order:02}_{place}"] = {entry: jnp.asarray(array)}
    return found


def network(file):
    params = arrays(file, "param")
    active = jax.tree.map(lambda m: m != 0, arrays(file, "mask"))
    return masks.apply(params, active), active


def loss_fn(file, params, batch=None):
    """The mean loss, from the definition; see tests/reference/README.md."""
    x, y = (file["x"], file["y"]) if batch is None else batch
    layers = {}
    for name, entries in params.items():
        layers.setdefault(int(name.split("_")[1]), {}).update(entries)
    strides = iter(file["meta"].get("strides", []))
    h = jnp.asarray(x)
    places = sorted(layers)
    for place in places:
        layer = layers[place]
        if "scale" in layer:
            mean = file[f"buffer/{place}.running_mean"]
            variance = file[f"buffer/{place}.running_var"]
            h = (h - mean) / np.sqrt(variance + 1e-5)
            h = h * layer["scale"] + layer["bias"]
        elif layer["kernel"].ndim == 4:
            h = convolve(h, layer["kernel"], next(strides))
            continue
        else:
            h = h.mean(axis=(1, 2)) if h.ndim == 4 else h
            h = h @ layer["kernel"] + layer.get("bias", 0)
        if place != places[-1]:
            swish = file["meta"].get("act") == "swish"
            h = h / (1 + jnp.exp(-h)) if swish else jnp.where(h > 0, h, 0)
    return losses.cross_entropy(h, jnp.asarray(y))


def ravel(pytree, stack=()):
    leaves = jax.tree.leaves(pytree)
    return np.concatenate([np.reshape(x, (*stack, -1)) for x in leaves], axis=-1)


def close(actual, expected, tolerance=1e-11):
    """Entries of a vector are known as well as the largest."""
    np.testing.assert_allclose(
        actual, expected, rtol=tolerance, atol=tolerance * np.max(np.abs(expected))
    )


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def case(request, reference):
    """One file and what is compared with it, compiled at once."""
    name, with_masks, suffix = request.param
    file = reference(name)
    loss = functools.partial(loss_fn, file)

    def measure(params, active):
        direction = jax.tree.map(jnp.cos, params)
        top = curvature.top_eigenpairs(loss, params, active, num=5, key=KEY)
        first = jax.tree.map(lambda leaf: leaf[0], top.vectors)
        return {
            "direction": direction,
            "product": curvature.hessian_vector_product(
                loss, params, active, direction
            ),
            "top": top,
            "curve": landscapes.along(loss, params, first, file["curve_lambda"]),
        }

    with jax.enable_x64(True):
        params, active = network(file)
        kept = ravel(active) if with_masks else np.ones(ravel(active).size, bool)
        given = active if with_masks else None
        found = jax.jit(lambda p: measure(p, given))(params)
    return file, kept, suffix, found


def test_products_are_those_with_the_explicit_hessian(case):
    file, kept, _, found = case
    product = ravel(found["product"])
    vector = np.where(kept, ravel(found["direction"]), 0)
    close(product, np.where(kept, file["hessian"] @ vector, 0))
    assert not product[~kept].any()


def test_top_eigenvalues_are_those_of_the_explicit_hessian(case):
    file, _, suffix, found = case
    close(found["top"].values, file[f"eigvals{suffix}"][:5])
    # PyHessian's are relative to a norm that is 1e-6 too large, and by magnitude.
    largest = file["pyhessian_tight_top3"].max()
    if suffix == "":
        np.testing.assert_allclose(found["top"].values[0], largest, rtol=1e-5)


def test_eigenvectors_have_length_one_a_sign_and_small_residuals(case):
    file, kept, suffix, found = case
    vectors = ravel(found["top"].vectors, stack=(5,))
    close(vectors @ vectors.T, np.eye(5))
    assert not vectors[:, ~kept].any()
    largest = np.abs(vectors).argmax(1)
    assert (vectors[np.arange(5), largest] > 0).all()
    if suffix == "" or kept.all():
        close(vectors[0], file["top_eigenvector"], 1e-9)
    hessian = file["hessian"] * np.outer(kept, kept)
    residuals = vectors @ hessian - vectors * np.asarray(found["top"].values)[:, None]
    expected = np.linalg.norm(residuals, axis=1)
    np.testing.assert_allclose(found["top"].residuals, expected, atol=1e-14, rtol=1e-4)
    assert (expected <= 1.5e-8 * np.asarray(found["top"].values)).all()


def test_it_stops_once_the_eigenvalues_are_known(case):
    _, kept, _, found = case
    assert found["top"].products <= 40 < kept.sum()


def test_the_loss_along_the_top_eigenvector_is_that_of_the_reference(case):
    file, kept, suffix, found = case
    if suffix == "" or kept.all():
        close(found["curve"], file["curve_loss"])


@pytest.mark.parametrize("with_masks", [False, True])
def test_the_trace_is_a_mean_of_products_with_signs(reference, with_masks):
    file = reference("hessian_mlp_swish_masked")
    params, active = network(file)
    loss = functools.partial(loss_fn, file)
    given = active if with_masks else None
    estimate = jax.jit(
        lambda: curvature.estimate_trace(loss, params, given, num_samples=100, key=KEY)
    )()
    kept = ravel(active) if with_masks else np.ones(ravel(active).size, bool)
    exact = file["trace_active_only" if with_masks else "trace"]
    samples = np.asarray(estimate.samples)
    assert samples.shape == (100,)
    close(estimate.trace, samples.mean())
    close(estimate.standard_error, samples.std(ddof=1) / 10)
    assert abs(estimate.trace - exact) < 3 * estimate.standard_error
    # The deviation of a sample is known, and that of 100 to within a third or so.
    hessian = file["hessian"][np.ix_(kept, kept)]
    off_diagonal = hessian - np.diag(np.diag(hessian))
    spread = np.sqrt(2 * np.sum(off_diagonal**2))
    assert 0.67 * spread < samples.std(ddof=1) < 1.33 * spread


def test_the_trace_of_a_diagonal_hessian_is_exact():
    values, active = np.arange(12.0), some_masks()
    loss, params = quadratic(np.diag(values)), small_params()
    estimate = jax.jit(
        lambda: curvature.estimate_trace(loss, params, active, num_samples=2, key=KEY)
    )()
    close(estimate.trace, values[ravel(active)].sum())
    close(estimate.samples, [estimate.trace] * 2)


def test_all_eigenvalues_together_are_those_of_the_explicit_hessian(reference):
    file = reference("hessian_mlp_swish_masked")
    params, active = network(file)
    loss = functools.partial(loss_fn, file)
    found = jax.jit(
        lambda: curvature.top_eigenvalues(loss, params, active, num=74, key=KEY)
    )()
    close(found, file["eigvals_active_only"])
    close(found.sum(), file["trace_active_only"])


def batched(file, size):
    batches = curvature.in_batches((file["x"], file["y"]), size)
    loss = functools.partial(loss_fn, file)
    return curvature.mean_over_batches(loss, batches)


def test_many_batches_are_one(reference):
    file = reference("hessian_mlp_swish_masked")
    params, active = network(file)

    many = batched(file, 8)
    assert len(many) == 5

    def derivatives(loss):
        product = curvature.hessian_vector_product(loss, params, active, params)
        return jax.grad(loss)(params), product

    def spectrum(loss):
        top = curvature.top_eigenvalues(
            loss, params, active, num=1, key=KEY, iterations=2
        )
        return top, curvature.trace(loss, params, active, num_samples=3, key=KEY)

    @jax.jit
    def measure():
        whole = functools.partial(loss_fn, file)
        inside = derivatives(lambda params: many(params))
        return [derivatives(whole), derivatives(many), inside], [
            spectrum(whole),
            spectrum(many),
        ]

    for whole, *others in measure():
        for found in others:
            jax.tree.map(close, found, whole)


@pytest.mark.parametrize("inside", [False, True])
def test_memory_is_that_of_one_batch(inside):
    """Of 512 examples, activations take 512 x 64 x 8 bytes per layer."""
    params = {f"L_{i}": {"kernel": jnp.eye(64)} for i in range(4)}

    def loss(params, x):
        for layer in params.values():
            x = jnp.tanh(x @ layer["kernel"])
        return jnp.mean(x)

    def product(params, batches):
        mean = curvature.mean_over_batches(loss, batches)
        wrapped = (lambda p: mean(p)) if inside else mean
        gradient = jax.grad(wrapped)(params)
        return curvature.hessian_vector_product(wrapped, params, None, gradient)

    def needs(batches):
        shape = jax.ShapeDtypeStruct((batches, 512, 64), jnp.float64)
        compiled = jax.jit(product).lower(params, shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert needs(20) < needs(2) + 512 * 64 * 8


SHAPES = {"a": {"kernel": (2, 3)}, "b": {"bias": (6,)}}
SIZE = 12


def small_params(dtype=jnp.float64):
    return jax.tree.map(
        lambda shape: jnp.ones(shape, dtype), SHAPES, is_leaf=lambda x: type(x) is tuple
    )


def quadratic(matrix):
    """``x^T A x / 2``, whose Hessian is A everywhere."""
    matrix = jnp.asarray(matrix)

    def loss(params):
        x = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
        return x @ (matrix.astype(x.dtype) @ x) / 2

    return loss


def rotated(values, seed=0):
    normal = np.random.default_rng(seed).normal(size=(len(values),) * 2)
    rotation = np.linalg.qr(normal)[0]
    return rotation @ np.diag(np.asarray(values, float)) @ rotation.T


@functools.partial(jax.jit, static_argnames=("num", "iterations"))
def top(matrix, active=None, num=3, iterations=None):
    params = small_params()
    return curvature.top_eigenpairs(
        quadratic(matrix), params, active, num=num, key=KEY, iterations=iterations
    )


@pytest.mark.parametrize(
    "values",
    [
        [-20, 3, 2, 1, 0.5, 0.4, 0.3, 0.2, 0.1, 0, -1, -2],
        [5, 5, 5, 1, 1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -7],
        [2] * 12,
        [-2] * 12,
        [0] * 12,
        [1e-30 * i for i in range(1, 13)],
        [3, 3 * (1 - 1e-9), 1, 0, 0, 0, 0, 0, 0, 0, 0, -1],
    ],
)
def test_the_largest_signed_values_of_a_known_matrix_are_found(values):
    found = top(rotated(values))
    expected = np.sort(values)[::-1][:3]
    scale = np.abs(values).max()
    np.testing.assert_allclose(found.values, expected, rtol=1e-12, atol=1e-13 * scale)
    vectors = ravel(found.vectors, stack=(3,))
    close(vectors @ vectors.T, np.eye(3))
    products = vectors @ rotated(values) @ vectors.T
    np.testing.assert_allclose(products, np.diag(expected), atol=1e-7 * scale)


@pytest.mark.parametrize("num", [1, 2])
def test_one_eigenvalue_is_the_first_of_many(num):
    """Nothing has converged before there is a product."""
    pairs = top(rotated([5.0, 3.0, 1.0, -9.0] + [0.1] * 8), num=num)
    np.testing.assert_allclose(pairs.values, [5.0, 3.0][:num], rtol=1e-12)
    assert pairs.products > 0


def some_masks():
    """Four active kernel entries and three active biases."""
    kernel = jnp.array([[True, False, True], [True, True, False]])
    return {"a": {"kernel": kernel}, "b": {"bias": jnp.arange(6) < 3}}


def test_masked_weights_are_no_directions():
    matrix = rotated(np.arange(12) - 6.0)
    active = some_masks()
    kept = ravel(active)
    inside = matrix[np.ix_(kept, kept)]
    params, loss = small_params(), quadratic(matrix)
    # Masks that are known: the subspace has 7 dimensions, and no more products.
    found = jax.jit(
        lambda: curvature.top_eigenpairs(loss, params, active, num=7, key=KEY)
    )()
    close(found.values, np.linalg.eigvalsh(inside)[::-1])
    assert found.products == 7
    vectors = ravel(found.vectors, stack=(7,))
    assert not vectors[:, ~kept].any()
    close(np.abs(vectors).max(1), vectors.max(1))


def test_traced_masks_give_nan_beyond_the_active_weights():
    matrix = rotated(np.arange(12) - 20.0)
    active = some_masks()
    kept = ravel(active)
    found = top(matrix, active, num=9)
    expected = np.linalg.eigvalsh(matrix[np.ix_(kept, kept)])[::-1]
    close(found.values[:7], expected)
    assert np.isnan(found.values[7:]).all()
    assert found.products == 7
    vectors = ravel(found.vectors, stack=(9,))
    close(vectors[:7] @ vectors[:7].T, np.eye(7))
    assert not vectors[7:].any()


def test_fewer_iterations_give_ritz_values_and_true_residuals():
    matrix = rotated(np.arange(12) ** 2.0)
    found = top(matrix, iterations=6)
    assert found.products == 6
    vectors = ravel(found.vectors, stack=(3,))
    values = np.asarray(found.values)
    residuals = np.linalg.norm(vectors @ matrix - values[:, None] * vectors, axis=1)
    close(found.residuals, residuals, 1e-8)
    assert residuals.max() > 1e-3
    exact = np.array([121.0, 100.0, 81.0])
    assert (np.abs(values - exact) <= residuals).all()
    assert (values < exact).all()


def test_a_basis_stays_orthonormal():
    values = 2.0 ** -np.arange(60)
    matrix = jnp.asarray(rotated(values))
    krylov = jax.jit(
        lambda: lanczos.run(
            lambda v: matrix @ v, lambda key: jax.random.normal(key, (60,)), KEY, 60
        )
    )()
    close(krylov.basis @ krylov.basis.T, np.eye(60), 1e-13)


def test_a_loss_that_is_not_finite_gives_nan():
    assert np.isnan(top(np.full((12, 12), np.nan)).values).all()


def test_members_are_mapped_over():
    matrices = jnp.stack(
        [rotated(np.arange(12.0)), rotated([5.0] * 6 + [0.0] * 6), rotated([0.0] * 12)]
    )
    active = jax.tree.map(lambda m: jnp.stack([m, ~m, m]), some_masks())

    found = jax.jit(jax.vmap(functools.partial(top.__wrapped__, num=3)))(
        matrices, active
    )
    for member, matrix in enumerate(np.asarray(matrices)):
        kept = ravel(jax.tree.map(lambda leaf, member=member: leaf[member], active))
        exact = np.linalg.eigvalsh(matrix[np.ix_(kept, kept)])[::-1][:3]
        np.testing.assert_allclose(found.values[member], exact, rtol=1e-10, atol=1e-12)
        vectors = ravel(found.vectors, stack=(3, 3))[member]
        close(vectors @ vectors.T, np.eye(3))
        assert not vectors[:, ~kept].any()


@jax.jit
def density(values, active):
    loss = quadratic(jnp.diag(values))
    return curvature.spectral_density(
        loss, small_params(), active, key=KEY, num_samples=3
    )


def test_density_integrates_to_one_and_has_the_moments_of_the_hessian():
    # Of a diagonal matrix every vector of signs gives the exact moments.
    values = np.array([-3, -1, 0, 0, 0, 0, 1, 1, 2, 5, 8, 13.0])
    found = density(values, masks.ones(small_params()))
    assert found.nodes.shape == found.weights.shape == (3, 12)
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-12)
    for power in range(1, 5):
        moments = np.sum(found.weights * found.nodes**power, axis=1)
        np.testing.assert_allclose(moments, np.mean(values**power), rtol=1e-10)
    integral = functools.partial(np.trapezoid, x=found.grid)
    np.testing.assert_allclose(integral(found.density), 1, rtol=1e-12)
    np.testing.assert_allclose(
        integral(found.density * found.grid), values.mean(), rtol=1e-10
    )
    sigma = 0.01 * 16
    np.testing.assert_allclose(
        integral(found.density * found.grid**2),
        np.mean(values**2) + sigma**2,
        rtol=1e-10,
    )
    # A third of the eigenvalues is 0: the peak there has a third of the mass.
    peak = np.asarray(found.density)[np.abs(found.grid).argmin()]
    np.testing.assert_allclose(peak, 4 / 12 / (sigma * np.sqrt(2 * np.pi)), rtol=2e-2)


def test_density_of_equal_eigenvalues_and_of_masked_weights():
    found = density(np.where(ravel(some_masks()), 4.0, 9.0), some_masks())
    np.testing.assert_allclose(found.nodes, 4, rtol=1e-12)
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-12)
    integral = np.trapezoid(found.density, found.grid)
    np.testing.assert_allclose(integral, 1, rtol=1e-8)


def test_float32_gives_float32_and_its_accuracy():
    with jax.enable_x64(False):
        values = [40, 30, -50, 1, 1, 1, 0, 0, 0, 0, -1, 2]
        params = small_params(jnp.float32)
        loss = quadratic(rotated(values).astype(np.float32))
        found = jax.jit(
            lambda: curvature.top_eigenpairs(loss, params, None, num=3, key=KEY)
        )()
        assert found.values.dtype == np.float32
        np.testing.assert_allclose(found.values, [40, 30, 2], rtol=2e-5)
        vectors = ravel(found.vectors, stack=(3,))
        close(vectors @ vectors.T, np.eye(3), 1e-5)


def refuse(message, function, *args, **kwargs):
    with pytest.raises(UserError, match=message):
        function(*args, **kwargs)


def test_refusals_name_what_was_given_and_what_is_allowed():
    params, loss, active = small_params(), quadratic(np.eye(12)), some_masks()
    pairs = functools.partial(curvature.top_eigenvalues, loss, params, key=KEY)
    refuse("num is 8; there are 7 active", pairs, active, num=8)
    refuse("num is 13; there are 12 active", pairs, None, num=13)
    refuse("num is 0", pairs, None, num=0)
    refuse("iterations is 2; it must be at least 3", pairs, None, num=3, iterations=2)
    refuse("'b/bias' is missing", pairs, {"a": active["a"]}, num=1)
    trace = functools.partial(curvature.trace, loss, params, None, key=KEY)
    refuse("num_samples is 0", trace, num_samples=0)
    density = functools.partial(curvature.spectral_density, loss, params, None, key=KEY)
    refuse("points is 100; .* at least 117", density, points=100)
    refuse("width is 0.0; it must be above 0", density, width=0.0)


def test_unequal_batches_are_refused():
    batches = {"x": np.ones((3, 4, 2)), "y": np.ones((2, 4))}
    refuse(r"x: \[3\], y: \[2\]", curvature.mean_over_batches, len, batches)
    refuse("no array", curvature.mean_over_batches, len, {})
    refuse(r"x: \[0\]", curvature.mean_over_batches, len, {"x": np.ones((0, 4))})
    refuse(r"x: \[\]", curvature.mean_over_batches, len, {"x": 3.0})
    examples = np.ones((10, 2)), np.ones(10)
    refuse("batch_size is 4; it must divide the 10", curvature.in_batches, examples, 4)
    images, labels = curvature.in_batches(examples, 5)
    assert (images.shape, labels.shape) == ((2, 5, 2), (2, 5))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_params_in_half_precision_are_computed_in_float32(dtype):
    params = {"Dense_0": {"kernel": jnp.ones((3, 3), dtype)}}
    weights = jnp.arange(1.0, 10).reshape(3, 3)

    def loss_fn(params):
        return jnp.sum(weights * params["Dense_0"]["kernel"] ** 2) / 2

    key = jax.random.key(0)
    found = curvature.top_eigenpairs(loss_fn, params, None, num=2, key=key)
    np.testing.assert_allclose(found.values, [9, 8], rtol=1e-5)
    density = curvature.spectral_density(loss_fn, params, None, key=key, num_samples=2)
    np.testing.assert_allclose(density.nodes.max(), 9, rtol=1e-3)
