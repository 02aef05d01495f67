"""Every block and network against its formula, written out in NumPy."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.models import layers, mobilenet, resnet, vgg, wide_resnet

pytestmark = pytest.mark.usefixtures("x64")

QUICKLY = {"xla_backend_optimization_level": 0}
"""Compiled in a tenth of the time."""

ACTIVATIONS = {
    "relu": lambda x, _: np.maximum(x, 0),
    "swish": lambda x, _: x / (1 + np.exp(-x)),
    "prelu": lambda x, own: np.where(x > 0, x, own["PReLU"]["slope"] * x),
}


def windows(x, size, strides, fill):
    """[images, rows, columns, channels, size, size]; as many pixels around as fit."""
    margin = (size - 1) // 2
    margins = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    padded = np.pad(x, margins, constant_values=fill)
    every = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    return every[:, ::strides, ::strides]


def convolve(x, kernel, strides=1):
    return np.tensordot(
        windows(x, len(kernel), strides, 0), kernel, ((4, 5, 3), (0, 1, 2))
    )


def depthwise(x, kernel, strides):
    return np.einsum(
        "nhwcij,ijc->nhwc", windows(x, 3, strides, 0), kernel.squeeze(axis=2)
    )


def standardise(x, axes):
    mean = x.mean(axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


class Network:
    """Its layers, in NumPy; those without names are numbered as they are made."""

    def __init__(self, params, statistics, style, train=False):
        self.params, self.statistics = params, statistics
        self.style, self.train = style, train

    def __getitem__(self, name):
        statistics = self.statistics.get(name, {})
        return Network(self.params[name], statistics, self.style, self.train)

    def conv(self, name, x, strides=1):
        return convolve(x, self.params[name]["kernel"], strides)

    def normalise(self, number, x):
        if self.style.norm == "none":
            return x
        if self.style.norm == "batch_norm":
            name = f"BatchNorm_{number}"
            if self.train:
                x = standardise(x, (0, 1, 2))
            else:
                own = self.statistics[name]
                x = (x - own["mean"]) / np.sqrt(own["var"] + 1e-5)
        else:
            name = f"GroupNorm_{number}"
            groups = 16 if self.style.norm == "group_norm" else 1
            grouped = x.reshape(*x.shape[:3], groups, -1)
            x = standardise(grouped, (1, 2, 4)).reshape(x.shape)
        return x * self.params[name]["scale"] + self.params[name]["bias"]

    def activate(self, number, x):
        own = {"PReLU": self.params.get(f"PReLU_{number}")}
        return ACTIVATIONS[self.style.activation](x, own)

    def classify(self, x):
        top = self.params["Top"]
        return x.mean((1, 2)) @ top["kernel"] + top["bias"]


def padded(x, channels, strides):
    """Option A."""
    y = np.zeros((*x[:, ::strides, ::strides].shape[:3], channels))
    first = (channels - x.shape[3]) // 2
    y[..., first : first + x.shape[3]] = x[:, ::strides, ::strides]
    return y


def shortcut(net, block, x, channels, number):
    if not net.style.skip:
        return 0
    if block.strides == 1 and x.shape[3] == channels:
        return x
    if block.shortcut == "padding":
        return padded(x, channels, block.strides)
    return net.normalise(number, net.conv("Shortcut", x, block.strides))


def basic(net, block, x):
    y = net.activate(0, net.normalise(0, net.conv("Conv_0", x, block.strides)))
    y = net.normalise(1, net.conv("Conv_1", y))
    return net.activate(1, y + shortcut(net, block, x, block.features, 2))


def bottleneck(net, block, x):
    y = net.activate(0, net.normalise(0, net.conv("Conv_0", x)))
    y = net.activate(1, net.normalise(1, net.conv("Conv_1", y, block.strides)))
    y = net.normalise(2, net.conv("Conv_2", y))
    return net.activate(2, y + shortcut(net, block, x, 4 * block.features, 3))


def pre_activation(net, block, x):
    start = net.activate(0, net.normalise(0, x))
    y = net.conv("Conv_0", start, block.strides)
    y = net.conv("Conv_1", net.activate(1, net.normalise(1, y)))
    if not net.style.skip:
        return y
    if x.shape == y.shape:
        return y + x
    return y + net.conv("Shortcut", start, block.strides)


def separable(net, block, x):
    y = depthwise(x, net.params["Depthwise"]["kernel"], block.strides)
    y = net.activate(0, net.normalise(0, y))
    y = net.normalise(1, net.conv("Pointwise", y))
    return net.activate(1, y + (x if net.style.skip and x.shape == y.shape else 0))


def draw(model, x, **arguments):
    """Random variables of every kind, none of them at its usual start."""
    rng = np.random.default_rng(0)
    init = functools.partial(model.init, **arguments)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.asarray(x))

    def leaf(path, shape):
        name = path[-1].key
        if name == "kernel":
            fan_in = np.prod(shape.shape[:-1])
            return rng.normal(size=shape.shape) * np.sqrt(2 / fan_in)
        if name in ("scale", "var", "slope"):
            return rng.uniform(0.3, 1.5, shape.shape)
        return 0.3 * rng.normal(size=shape.shape)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def images(*shape):
    return np.random.default_rng(1).normal(size=shape)


def check(model, formula, x, style, train):
    """Compares a module, called with ``train``, with its formula."""
    variables = draw(model, x, train=train)
    apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
    found, _ = jax.jit(apply, compiler_options=QUICKLY)(variables, x)
    statistics = variables.get("batch_stats", {})
    expected = formula(Network(variables["params"], statistics, style, train), x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def style(norm="none", activation="relu", skip=True, pooling="max"):
    return layers.Style(
        activation=activation,
        norm=norm,
        skip=skip,
        pooling=pooling,
        param_dtype=jnp.float64,
    )


BLOCKS = {
    "basic": (functools.partial(resnet.BasicBlock, shortcut="projection"), basic),
    "basic, option A": (
        functools.partial(resnet.BasicBlock, shortcut="padding"),
        basic,
    ),
    "bottleneck": (
        functools.partial(resnet.Bottleneck, shortcut="projection"),
        bottleneck,
    ),
    "bottleneck, option A": (
        functools.partial(resnet.Bottleneck, shortcut="padding"),
        bottleneck,
    ),
    "wide": (wide_resnet.PreActivationBlock, pre_activation),
    "separable": (mobilenet.SeparableBlock, separable),
}

STYLES = [
    (style("batch_norm"), False),
    (style("batch_norm", "prelu"), True),
    (style("group_norm", "swish"), True),
    (style("layer_norm"), False),
    (style("none", skip=False), False),
]


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    ("style", "train"), STYLES, ids=lambda s: getattr(s, "norm", s)
)
def test_blocks_that_change_the_shape(kind, style, train):
    make, formula = BLOCKS[kind]
    block = make(features=32, strides=2, style=style)
    check(
        block,
        lambda net, x: formula(net, block, x),
        images(2, 6, 5, 16),
        style,
        train,
    )


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("skip", [True, False])
def test_blocks_that_keep_the_shape(kind, skip):
    own, (make, formula) = style("batch_norm", skip=skip), BLOCKS[kind]
    block = make(features=3, strides=1, style=own)
    x = images(2, 4, 3, 12 if formula is bottleneck else 3)
    assert "Shortcut" not in draw(block, x, train=False)["params"]
    check(block, lambda net, x: formula(net, block, x), x, own, False)


@pytest.mark.parametrize("kind", ["basic", "bottleneck", "wide"])
@pytest.mark.parametrize("strides", [1, 2])
def test_more_channels_or_fewer_pixels_each_need_a_shortcut(kind, strides):
    own, (make, formula) = style(), BLOCKS[kind]
    outputs = 12 if strides == 2 else 16
    block = make(outputs // (4 if kind == "bottleneck" else 1), strides, own)
    x = images(2, 4, 4, 12)
    kernel = draw(block, x, train=False)["params"]["Shortcut"]["kernel"]
    assert kernel.shape == (1, 1, 12, outputs)
    check(block, lambda net, x: formula(net, block, x), x, own, False)


def test_option_a_takes_every_second_pixel_and_has_zeros_on_both_sides():
    x = np.arange(1, 4 * 3 * 2 + 1.0).reshape(1, 4, 3, 2)
    pad_channels = jax.jit(layers.pad_channels, static_argnums=(1, 2))
    found = pad_channels(x, 5, 2)
    # Rows 0 and 2, columns 0 and 2; one new channel before and two after.
    np.testing.assert_array_equal(
        found,
        [
            [
                [[0, 1, 2, 0, 0], [0, 5, 6, 0, 0]],
                [[0, 13, 14, 0, 0], [0, 17, 18, 0, 0]],
            ]
        ],
    )
    found = np.asarray(pad_channels(x, 4, 1))
    np.testing.assert_array_equal(found[..., 1:3], x)
    np.testing.assert_array_equal(found[..., [0, 3]], 0)


@pytest.mark.parametrize("change", [True, False])
def test_wide_shortcuts_take_the_activated_input(change):
    """But where the shape stays, the block adds its input as it came."""
    block = wide_resnet.PreActivationBlock(2, 1, style())
    x = jnp.array([-1.0, 2.0, -3.0][: 3 if change else 2]).reshape(1, 1, 1, -1)
    params = jax.tree.map(np.zeros_like, draw(block, x, train=False)["params"])
    if change:
        params["Shortcut"]["kernel"] = np.ones((1, 1, 3, 2))
    found = jax.jit(functools.partial(block.apply, train=False))({"params": params}, x)
    # 0 + 2 + 0; the input as it is would give -2.
    expected = [2, 2] if change else [-1, 2]
    np.testing.assert_array_equal(found.ravel(), expected)


def stem(net, kind, name, x):
    if kind == "imagenet":
        return net.conv(name, x, 2)
    return net.conv(name, x, 2 if kind == "tinyimagenet" else 1)


def pool(net, kind, x):
    if kind != "imagenet":
        return x
    if net.style.pooling == "mean":
        return windows(x, 3, 2, 0).mean((4, 5))
    return windows(x, 3, 2, -np.inf).max((4, 5))


def staged(formula, x, blocks, net, make):
    """Applies blocks; the first one of each stage but the first halves the image."""
    for stage, features in enumerate(blocks, start=1):
        for number, width in enumerate(features):
            block = make(width, 2 if stage > 1 and number == 0 else 1)
            x = formula(net[f"Stage_{stage}_Block_{number}"], block, x)
    return x


@pytest.mark.parametrize(
    ("kind", "deep", "pooling"),
    [
        ("cifar", False, "max"),
        ("tinyimagenet", True, "max"),
        ("imagenet", False, "max"),
        ("imagenet", False, "mean"),
    ],
)
def test_residual_networks(kind, deep, pooling):
    own = style("batch_norm", pooling=pooling)
    model = resnet.ResNet(
        5, (2, 1), (4, 6), bottleneck=deep, stem=kind, shortcut="projection", style=own
    )
    make = resnet.Bottleneck if deep else resnet.BasicBlock

    def formula(net, x):
        x = net.activate(0, net.normalise(0, stem(net, kind, "Stage_0", x)))
        return net.classify(
            staged(
                bottleneck if deep else basic,
                pool(net, kind, x),
                ((4, 4), (6,)),
                net,
                functools.partial(make, style=own, shortcut="projection"),
            )
        )

    check(model, formula, images(2, 12, 12, 3), own, False)


@pytest.mark.parametrize("kind", ["cifar", "imagenet"])
def test_wide_residual_networks(kind):
    own = style("batch_norm" if kind == "cifar" else "none")
    model = wide_resnet.WideResNet(5, 1, 1, kind, own)

    def formula(net, x):
        x = staged(
            pre_activation,
            pool(net, kind, stem(net, kind, "Stage_0", x)),
            ((16,), (32,), (64,)),
            net,
            functools.partial(wide_resnet.PreActivationBlock, style=own),
        )
        return net.classify(net.activate(0, net.normalise(0, x)))

    check(model, formula, images(2, 8, 8, 3), own, False)


@pytest.mark.parametrize(
    ("strides", "skip", "pooling"), [(1, False, "max"), (2, True, "mean")]
)
def test_vgg(strides, skip, pooling):
    own = style("batch_norm", skip=skip, pooling=pooling)
    model = vgg.VGG(5, ((4, 4), (6, 6, 6)), strides, own)

    def formula(net, x):
        for number in range(5):
            y = net.conv(f"Conv_{number}", x, strides if number == 0 else 1)
            y = net.normalise(number, y)
            if skip and number in (1, 3, 4):
                y = y + x
            x = net.activate(number, y)
            if number in (1, 4):
                n, rows, columns, channels = x.shape
                fours = x.reshape(n, rows // 2, 2, columns // 2, 2, channels)
                x = getattr(fours, pooling)((2, 4))
        return net.classify(x)

    check(model, formula, images(2, 16, 8, 3), own, False)


def test_mobilenet():
    """After the first convolution, as Howard et al. 2017 have it in Table 1."""
    own = style(skip=False)
    model = mobilenet.MobileNet(5, "cifar", own)
    table = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    table += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]

    def formula(net, x):
        x = net.activate(0, net.conv("Block_0", x))
        for number, (features, strides) in enumerate(table, start=1):
            block = mobilenet.SeparableBlock(features, strides, own)
            x = separable(net[f"Block_{number}"], block, x)
        return net.classify(x)

    check(model, formula, images(1, 16, 16, 3), own, False)


@pytest.mark.parametrize(
    ("precision", "wanted"), [("float32", "HIGHEST"), ("tensorfloat32", "HIGH>|tf32")]
)
def test_accelerators_multiply_at_the_precision_asked_for(precision, wanted):
    style = layers.Style(norm="none", precision=precision)
    model = resnet.ResNet(3, (1,), (16,), style=style)
    x = jax.ShapeDtypeStruct((2, 8, 8, 3), np.dtype("float32"))
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)
    gradient = jax.jit(jax.grad(lambda variables, x: model.apply(variables, x).sum()))
    lowered = gradient.trace(variables, x).lower(lowering_platforms=("cuda",))
    products = re.findall(r".*stablehlo\.(?:conv|dot_).*", lowered.as_text())
    # Forward, and the gradients of weights and of images, but for the network's own.
    assert len(products) >= 2 * len(jax.tree.leaves(variables)) - 2
    assert all(re.search(wanted, line) for line in products)
