"""LRsI against GradInit as it was released, and under masks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sparse_gf import masks
from sparse_gf.training import rescaling
from sparse_gf.training.rescaling import Settings

FILES = (
    "lrsi_mlp_masked_sgd",
    "lrsi_mlp_adam_gamma",
    "lrsi_conv_bn_gamma_tight_sgd",
    *(
        pytest.param(name, marks=pytest.mark.thorough)
        for name in ("lrsi_mlp_sgd", "lrsi_mlp_masked_leaky_sgd", "lrsi_conv_bn_sgd")
    ),
)


def as_params(arrays, prefix):
    """``<module>.weight`` and ``.bias``, 1-d weights being BatchNorm's scales."""
    params = {}
    for name, value in arrays.items():
        if not name.startswith(prefix):
            continue
        module, kind = name.removeprefix(prefix).split(".")
        leaf = "bias" if kind == "bias" else "scale" if value.ndim == 1 else "kernel"
        params.setdefault(f"Layer_{int(module):02}", {})[leaf] = jnp.asarray(value)
    return params


def as_masks(arrays, params):
    kernels = sorted(name for name in params if "kernel" in params[name])
    ones = masks.ones(params)
    for number, name in enumerate(kernels):
        ones[name]["kernel"] = jnp.asarray(arrays[f"mask/{number}"] > 0)
    return ones


def network(strides):
    """Stacks of layers; ReLU between, after BatchNorm where there is one."""

    def apply(params, x):
        kernels = [name for name in sorted(params) if "kernel" in params[name]]
        for number, name in enumerate(sorted(params)):
            layer = params[name]
            if "scale" in layer:
                axes = tuple(range(x.ndim - 1))
                mean, variance = x.mean(axes), x.var(axes)
                x = (x - mean) / jnp.sqrt(variance + 1e-5)
                x = jax.nn.relu(x * layer["scale"] + layer["bias"])
            elif layer["kernel"].ndim == 4:
                stride = strides[kernels.index(name)]
                x = jax.lax.conv_general_dilated(
                    x,
                    layer["kernel"],
                    (stride, stride),
                    [(1, 1), (1, 1)],
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )
            else:
                x = x.mean((1, 2)) if x.ndim == 4 else x
                x = x @ layer["kernel"] + layer.get("bias", 0)
                x = jax.nn.relu(x) if number < len(params) - 1 else x
        return x

    return apply


@pytest.mark.parametrize("file", FILES)
def test_scales_follow_the_released_ones(x64, reference, file):
    arrays = reference(file)
    given, meta = arrays["meta"]["args"], arrays["meta"]
    settings = Settings(
        step=given["gradinit_alg"],
        eta=given["gradinit_eta"],
        gamma=given["gradinit_gamma"],
        learning_rate=given["gradinit_lr"],
        min_scale=given["gradinit_min_scale"],
        iterations=given["gradinit_iters"],
        clip=given["gradinit_grad_clip"],
        normalised=given["gradinit_normalize_grad"],
    )
    params = as_params(arrays, "init/")
    own = as_masks(arrays, params)
    apply = network(meta["strides"])
    batches = jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"])

    def loss_fn(params, batch):
        images, labels = batch
        logits = apply(params, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    if meta["pruned_weights_receive_lookahead_step"]:
        params, own = masks.apply(params, own), None

    @jax.jit
    def run(params):
        def take(number):
            return jax.tree.map(lambda x: x[number % len(x)], batches)

        return rescaling.rescale(loss_fn, params, own, take, settings)

    final, record = run(params)
    names = arrays["param_order"]
    scales = as_params(
        {f"scale/{name}": np.zeros_like(arrays[f"init/{name}"]) for name in names},
        "scale/",
    )
    places = jax.tree.leaves(
        as_params(
            {
                f"at/{name}": np.full(arrays[f"init/{name}"].shape, i)
                for i, name in enumerate(names)
            },
            "at/",
        )
    )
    assert jax.tree.structure(scales) == jax.tree.structure(record.scales)
    for place, scale in zip(places, jax.tree.leaves(record.scales), strict=True):
        wanted = arrays["alpha"][:, int(place.ravel()[0])]
        np.testing.assert_allclose(scale, wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(record.constrained, arrays["constraint_step"])
    np.testing.assert_allclose(record.gradient_norm, arrays["gnorm"], rtol=1e-12)
    np.testing.assert_allclose(record.loss, arrays["loss_before"], rtol=1e-12)
    taken = ~arrays["constraint_step"]
    np.testing.assert_allclose(
        record.next_loss[taken], arrays["loss_after_lookahead"][taken], rtol=1e-12
    )
    wanted = as_params(arrays, "final/")
    if own is not None:
        wanted = masks.apply(wanted, own)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-12), final, wanted
    )


def test_masked_weights_stay_zero_and_zero_arrays_keep_their_scale():
    params = {"Dense_0": {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}}
    own = {"Dense_0": {"kernel": jnp.eye(4, 3, dtype=bool), "bias": jnp.ones(3, bool)}}
    x = jnp.linspace(-1, 1, 8).reshape(2, 4)

    def loss_fn(params, batch):
        layer = params["Dense_0"]
        return jnp.mean((batch @ layer["kernel"] + layer["bias"] - 2) ** 2)

    settings = Settings(iterations=3, gamma=100.0)

    @jax.jit
    def run(params):
        return rescaling.rescale(loss_fn, params, own, lambda number: x, settings)

    final, record = run(params)
    kernel = final["Dense_0"]["kernel"]
    assert (np.asarray(kernel)[~np.asarray(own["Dense_0"]["kernel"])] == 0).all()
    assert len(np.unique(np.diag(kernel))) == 1
    assert float(kernel[0, 0]) != 1
    np.testing.assert_array_equal(record.scales["Dense_0"]["bias"], np.ones(3))


def test_only_scales_of_biases_may_fall_to_zero():
    """The loss is linear, so that every smaller scale lowers the next one."""
    params = {"Dense_0": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}

    def loss_fn(params, batch):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params)) + 0 * batch[0]

    # Adam's steps are as long as the learning rate where gradients do not change.
    settings = Settings(gamma=100.0, learning_rate=0.1, iterations=12)
    take = lambda number: jnp.zeros(1) + number  # noqa: E731
    run = jax.jit(lambda p: rescaling.rescale(loss_fn, p, None, take, settings))
    end, record = run(params)
    assert not record.constrained.any()
    np.testing.assert_allclose(end["Dense_0"]["kernel"], 0.01, rtol=1e-6)
    np.testing.assert_array_equal(end["Dense_0"]["bias"], 0.0)
    np.testing.assert_allclose(record.scales["Dense_0"]["bias"][4], 0.5, rtol=1e-5)
