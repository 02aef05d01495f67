import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import gradient_flow, losses, masks
from sparse_gf.models import mlp
from sparse_gf.models.variants import Variant

BN = ["gf_mlp_relu_bn_d40", "gf_conv_bn_d50"]
PLAIN = [
    "gf_mlp_relu_d30",
    "gf_mlp_relu_dense",
    "gf_mlp_swish_skip_4h_d20",
    "gf_mlp_prelu_d50",
    "gf_mlp_prelu_isolated_units_d08",
    "gf_mlp_collapsed_layer",
    "gf_conv_d30",
]
CASES = [(name, "") for name in PLAIN] + list(
    itertools.product(BN, ["train/", "eval/"])
)
MLP_CASES = [case for case in CASES if "mlp" in case[0]]

ACTIVATIONS = {
    "relu": lambda x: jnp.where(x > 0, x, 0),
    "prelu": lambda x: jnp.where(x > 0, x, 0.25 * x),
    "swish": lambda x: x / (1 + jnp.exp(-x)),
}

pytestmark = pytest.mark.usefixtures("x64")


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=0)


def close_entries(actual, expected):
    """Entries that are sums of cancelling terms are known as well as the largest."""
    np.testing.assert_allclose(
        actual, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max()
    )


def num_layers(file):
    return sum(name.startswith("theta/") for name in file)


def paths(file):
    """The kernels' names in forward order: convolutions first, then dense layers."""
    convs = sum(file[f"theta/{i}"].ndim == 4 for i in range(num_layers(file)))
    dense = num_layers(file) - convs
    return [f"Conv_{i}" for i in range(convs)] + [f"Dense_{i}" for i in range(dense)]


def tree(file, prefix):
    """A params tree of the arrays ``prefix/0``, ``prefix/1``, ...

    BatchNorm's parameters are there too, so that their gradients are there to count.
    """
    kernels = {
        path: {"kernel": jnp.asarray(file[f"{prefix}/{layer}"])}
        for layer, path in enumerate(paths(file))
    }
    norms = {
        f"BatchNorm_{i}": {
            "scale": jnp.asarray(file[f"bn_{i}/scale"]),
            "bias": jnp.asarray(file[f"bn_{i}/bias"]),
        }
        for i in range(num_layers(file) - 1)
        if file["meta"]["bn"]
    }
    return kernels | norms


def network_masks(file):
    ones = tree(file, "mask")
    return jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf) != 0),
        {
            path: leaves if "kernel" in leaves else jax.tree.map(np.ones_like, leaves)
            for path, leaves in ones.items()
        },
    )


def normalise(file, z, params, layer, mode):
    """BatchNorm over all axes but the last, from its definition."""
    if mode == "train/":
        axes = tuple(range(z.ndim - 1))
        mean = z.mean(axes)
        variance = ((z - mean) ** 2).mean(axes)
    else:
        mean, variance = file[f"bn_{layer}/mean"], file[f"bn_{layer}/var"]
    unit = (z - mean) / jnp.sqrt(variance + file["meta"]["bn_eps"])
    return (
        params[f"BatchNorm_{layer}"]["scale"] * unit
        + (params[f"BatchNorm_{layer}"]["bias"])
    )


def convolve(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def logits(file, params, mode):
    meta, h = file["meta"], jnp.asarray(file["x"])
    function = ACTIVATIONS[meta.get("act", "relu")]
    for layer, path in enumerate(paths(file)):
        kernel = params[path]["kernel"]
        last = layer == num_layers(file) - 1
        if kernel.ndim == 4:
            z = convolve(h, kernel, meta["strides"][layer])
        else:
            # A global average pool where a map comes in.
            h = h.mean(axis=(1, 2)) if h.ndim == 4 else h
            z = h @ kernel
        if last:
            return z
        z = normalise(file, z, params, layer, mode) if meta["bn"] else z
        out = function(z)
        h = out + h if meta.get("skip") and out.shape == h.shape else out
    raise AssertionError


def loss_function(file, mode):
    labels = jnp.asarray(file["y"])

    def loss_fn(params):
        log_p = jax.nn.log_softmax(logits(file, params, mode))
        return -log_p[jnp.arange(labels.size), labels].mean()

    return loss_fn


def norms_of(file, mode, which):
    keys = (f"{mode}layer_l{order}_masked" for order in (1, 2))
    return dict(zip((1, 2), (file[key] for key in keys), strict=True))[which]


@pytest.fixture
def case(request, reference):
    name, mode = request.param
    return reference(name), mode


each_case = pytest.mark.parametrize("case", CASES, indirect=True, ids="/".join)
each_mlp = pytest.mark.parametrize("case", MLP_CASES, indirect=True, ids="/".join)
each_order = pytest.mark.parametrize("order", [1, 2])


@pytest.fixture(scope="module")
def compute():
    """``compute(file, mode)``: gradients and flow, in one program for a network.

    The gradients at masked params, and what is measured at params that are not masked
    yet; of MLPs also what is measured of the penalised gradients.
    """

    def program(file, mode):
        loss_fn = loss_function(file, mode)

        def run(params, network_mask):
            masked = masks.apply(params, network_mask)
            loss, gradients = jax.value_and_grad(loss_fn)(masked)
            flow = gradient_flow.measure(loss_fn, params, network_mask)
            if "Conv_0" in params:
                return gradients, flow, None
            penalised = jax.tree.map(lambda g, w: g + 1e-4 * w, gradients, masked)
            found = gradient_flow.from_gradients(loss, penalised, network_mask)
            return gradients, flow, found

        return jax.jit(run)(tree(file, "theta"), network_masks(file))

    done = {}

    def compute(file, mode):
        key = (id(file), mode)
        if key not in done:
            done[key] = program(file, mode)
        return done[key]

    return compute


@each_case
def test_dense_gradients_at_masked_params(case, compute):
    file, mode = case
    gradients, _, _ = compute(file, mode)
    for layer, path in enumerate(paths(file)):
        own = gradients[path]["kernel"]
        close_entries(own, file[f"{mode}dense_grad/{layer}"])


@each_mlp
def test_flow_of_the_penalised_gradient(case, compute):
    file, mode = case
    _, _, flow = compute(file, mode)
    for order in (1, 2):
        egf = flow.measures[f"egf{order}"]
        close(egf, file[f"{mode}EGF_{order}_with_coupled_l2_1e-4"])
        norm = flow.measures[f"gf{order}_masked"]
        close(norm, file[f"{mode}gf_l{order}_masked_with_coupled_l2_1e-4"])


@each_mlp
def test_flow_is_not_a_mean_over_active_weights(case, compute):
    file, mode = case
    flow = float(compute(file, mode)[1].egf1)
    wrong = file[f"{mode}mean_layer_l1_per_active_weight_NOT_EQ7"]
    # A network whose masked gradients are all 0 has no flow under any reading.
    assert flow == wrong == 0 or flow > 10 * wrong


@pytest.mark.parametrize("mode", ["train/", "eval/"])
@each_order
def test_normalisation_parameters_are_no_layers(reference, compute, mode, order):
    file = reference("gf_mlp_relu_bn_d40")
    flow = float(compute(file, mode)[1].measures[f"egf{order}"])
    wrong = file[f"{mode}EGF_{order}_if_bn_params_counted_as_layers"]
    assert abs(flow - wrong) > 1e-3 * wrong


def check_measurement(file, mode, flow):
    """Compares a ``GradientFlow`` with every number of the reference."""
    close(flow.loss, file[f"{mode}loss"])
    for order, egf, gf, gf_masked, norms in (
        (1, flow.egf1, flow.gf1, flow.gf1_masked, flow.layer_norms1),
        (2, flow.egf2, flow.gf2, flow.gf2_masked, flow.layer_norms2),
    ):
        close(egf, file[f"{mode}EGF_{order}"])
        close(gf, file[f"{mode}gf_l{order}_unmasked"])
        close(gf_masked, file[f"{mode}gf_l{order}_masked"])
        assert list(norms) == [f"{path}/kernel" for path in paths(file)]
        close(list(norms.values()), norms_of(file, mode, order))


@each_case
def test_measure_masks_the_params_itself(case, compute):
    file, mode = case
    check_measurement(file, mode, compute(file, mode)[1])


def real_model(file):
    """The package's own network for a file, with its params, masks and statistics."""
    meta = file["meta"]
    model = mlp.MLP(
        width=meta["dims"][1],
        hidden_layers=len(meta["dims"]) - 2,
        num_classes=meta["dims"][-1],
        activation=meta["act"],
        variant=Variant(skip=meta["skip"], batch_norm=meta["bn"]),
        param_dtype=jnp.dtype("float64"),
    )
    start = jax.eval_shape(model.init, jax.random.key(0), file["x"])
    slopes = {
        path: {"slope": jnp.full(leaves["slope"].shape, 0.25)}
        for path, leaves in start["params"].items()
        if path.startswith("PReLU")
    }
    params = tree(file, "theta") | slopes
    network_mask = masks.ones(params) | network_masks(file)
    statistics = {
        path: {
            name: jnp.asarray(file[f"bn_{path.split('_')[1]}/{name}"])
            for name in ("mean", "var")
        }
        for path in start.get("batch_stats", {})
    }
    assert jax.tree.structure(params) == jax.tree.structure(start["params"])
    return model, params, network_mask, statistics


@each_mlp
def test_the_packages_own_network_gives_the_reference(case):
    file, mode = case
    model, params, network_mask, statistics = real_model(file)

    def loss_fn(params):
        logits, _ = model.apply(
            {"params": params, "batch_stats": statistics},
            jnp.asarray(file["x"]),
            train=mode == "train/",
            mutable=["batch_stats"],
        )
        return losses.cross_entropy(logits, jnp.asarray(file["y"]))

    measure = jax.jit(functools.partial(gradient_flow.measure, loss_fn))
    flow = measure(params, network_mask)
    check_measurement(file, mode, flow)


def test_the_isolated_units_file_has_isolated_units(reference):
    file = reference("gf_mlp_prelu_isolated_units_d08")
    assert masks.isolated_units(jnp.asarray(file["mask/0"]) != 0) > 0


def by_hand():
    dense_grads = {
        "Dense_0": {"kernel": jnp.array([[3.0, -4.0], [12.0, 0.0]])},
        "Dense_1": {"kernel": jnp.array([[-84.0]]), "bias": jnp.array([1e6])},
    }
    mask = masks.ones(dense_grads)
    mask["Dense_0"]["kernel"] = jnp.array([[True, True], [False, True]])
    return dense_grads, mask


def test_all_measures_of_a_network_by_hand():
    # Unmasked: |3| + |4| + |12| + |84| and sqrt(13^2 + 84^2); masked without the 12.
    flow = jax.jit(gradient_flow.from_gradients)(jnp.float64(2.0), *by_hand())
    assert flow.loss == 2
    assert (flow.gf1, flow.gf2) == (103, 85)
    assert (flow.gf1_masked, flow.egf1) == (91, 45.5)
    close(flow.gf2_masked, np.sqrt(25 + 84**2))
    assert flow.egf2 == (5 + 84) / 2
    assert flow.layer_norms1 == {"Dense_0/kernel": 7, "Dense_1/kernel": 84}
    assert flow.layer_norms2 == {"Dense_0/kernel": 5, "Dense_1/kernel": 84}


@each_order
def test_functions_of_gradients_are_the_measures(order):
    dense_grads, mask = by_hand()

    @jax.jit
    def both(dense_grads, mask):
        flow = gradient_flow.from_gradients(jnp.float64(2.0), dense_grads, mask)
        return flow, [
            gradient_flow.layer_norms(dense_grads, mask, order=order),
            gradient_flow.effective_gradient_flow(dense_grads, mask, order=order),
            gradient_flow.gradient_norm(dense_grads, order=order),
            gradient_flow.gradient_norm(masks.apply(dense_grads, mask), order=order),
        ]

    flow, found = jax.device_get(both(dense_grads, mask))
    names = [f"egf{order}", f"gf{order}", f"gf{order}_masked"]
    norms = flow.layer_norms1 if order == 1 else flow.layer_norms2
    assert found == [norms, *(flow.measures[name] for name in names)]


def test_layers_come_in_forward_order():
    layers = [f"Dense_{number}" for number in range(12)]
    grads = {layer: {"kernel": jnp.ones((1, 1))} for layer in reversed(layers)}
    norms = gradient_flow.layer_norms(grads, masks.ones(grads), order=1)
    assert list(norms) == [f"{layer}/kernel" for layer in layers]


@each_order
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_masked_gradient_that_is_not_finite_has_no_effect_on_the_flow(order, bad):
    dense_grads, mask = by_hand()
    finite = gradient_flow.effective_gradient_flow(dense_grads, mask, order=order)
    broken = dense_grads["Dense_0"]["kernel"].at[1, 0].set(bad)
    dense_grads["Dense_0"]["kernel"] = broken
    assert finite == gradient_flow.effective_gradient_flow(
        dense_grads, mask, order=order
    )
    assert not np.isfinite(gradient_flow.gradient_norm(dense_grads, order=order))


@each_order
def test_flow_without_any_active_weight_is_zero(order):
    dense_grads, mask = by_hand()
    mask = jax.tree.map(jnp.zeros_like, mask)
    assert gradient_flow.effective_gradient_flow(dense_grads, mask, order=order) == 0
