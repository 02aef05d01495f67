"""Models by name: their sizes against published ones, their layers, their styles."""

import collections
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.models import catalog, resnet


def inputs(pixels=32, images=1, dtype=jnp.float32):
    return jax.ShapeDtypeStruct((images, pixels, pixels, 3), dtype)


@functools.cache
def traced(name, classes=10, pixels=32, **style):
    """A network's variables as shapes, and the modules that are called to make them.

    Of each call the path, the kind of the module and the shape of its output.
    """
    found = []

    def watch(function, arguments, keywords, context):
        called = context.module.path
        output = function(*arguments, **keywords)
        if context.method_name == "__call__":
            found.append((called, context.module, output.shape))
        return output

    model = catalog.make(name, classes, **style)
    with nn.intercept_methods(watch):
        variables = jax.eval_shape(model.init, jax.random.key(0), inputs(pixels))
    return variables, found


def shapes(name, *arguments, **style):
    return traced(name, *arguments, **style)[0]


def kernels(name, *arguments, **style):
    """Shapes by path."""
    found = tree.kernels(shapes(name, *arguments, **style)["params"])
    return {path: kernel.shape for path, kernel in found.items()}


def size(name, *arguments, **style):
    leaves = jax.tree.leaves(shapes(name, *arguments, **style)["params"])
    return sum(leaf.size for leaf in leaves)


def thorough(*values):
    """A case that is one of several of a formula."""
    return pytest.param(*values, marks=pytest.mark.thorough)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # He et al. 2016, Table 6: 0.27M, 0.46M, 0.66M, 0.85M, 1.7M.
        ("resnet20", 269_722),
        ("resnet32", 464_154),
        thorough("resnet44", 658_586),
        ("resnet56", 853_018),
        thorough("resnet110", 1_727_962),
        # With a 3x3 stem, as they are commonly reported for CIFAR-10.
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("resnet50", 23_520_842),
        ("mobilenet", 3_217_226),
        ("wrn_28_10", 36_479_194),
        # Less the biases that convolutions before BatchNorm do not have here, one per
        # channel.
        ("vgg11", 9_231_114 - (64 + 128 + 2 * 256 + 4 * 512)),
        ("vgg13", 9_416_010 - 2 * (64 + 128 + 256 + 2 * 512)),
        ("vgg16", 14_728_266 - 4_224),
        ("vgg19", 20_040_522 - (2 * 64 + 2 * 128 + 4 * 256 + 8 * 512)),
        # 3072 * 20 + 20 * 20 + 20 * 10, without biases.
        ("mlp_2_20", 62_040),
    ],
)
def test_parameters_of_networks_for_cifar(name, parameters):
    assert size(name) == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Those of torchvision.
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("mobilenet", 4_231_976),
    ],
)
def test_parameters_of_networks_for_imagenet(name, parameters):
    assert size(name, 1000, stem="imagenet") == parameters


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # Zagoruyko and Komodakis 2016, Tables 4 and 5.
        thorough("wrn_40_2", "2.2"),
        ("wrn_16_8", "11.0"),
        thorough("wrn_40_4", "8.9"),
        ("wrn_22_8", "17.2"),
        thorough("wrn_28_12", "52.5"),
    ],
)
def test_parameters_of_wide_residual_networks_as_printed(name, millions):
    assert f"{size(name) / 1e6:.1f}" == millions


def test_classes_are_those_asked_for():
    assert size("wrn_28_10", 100) == 36_536_884
    # 90 more classes of 640 weights and a bias.
    assert size("wrn_28_10", 100) - size("wrn_28_10", 10) == 90 * 641


def test_the_wide_resnet32_of_grasp():
    found = kernels("resnet32_wide")
    weights = sum(np.prod(k) for path, k in found.items() if path != "Top/kernel")
    assert f"{weights / 1e6:.2f}" == "1.85"
    # Two projections, where the channels change.
    assert len(found) == 32 + 2
    assert found["Top/kernel"] == (128, 10)


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [
        ("resnet20", 19),
        thorough("resnet104", 103),
        ("resnet18", 17 + 3),
        ("resnet34", 33 + 3),
        # The first stage's output has more channels than the stem's.
        ("resnet50", 49 + 4),
        # The depth counts the shortcuts (3) and the stem, but not the last layer.
        ("wrn_28_10", 28),
        # As wide as the stem, so that the first stage needs no shortcut.
        ("wrn_16_1", 15),
        ("vgg11", 10 - 2),
        ("vgg19", 16),
        ("mobilenet", 1 + 2 * 13),
        ("mlp_2_20", 2),
    ],
)
def test_layers_by_name(name, convolutions):
    found = list(kernels(name))
    assert len(found) == convolutions + 1
    last = "Dense_2/kernel" if name.startswith("mlp") else "Top/kernel"
    assert found[-1] == last


FAMILIES = (
    "resnet20_wide",
    "resnet50",
    "wrn_16_2",
    "vgg16",
    "mobilenet",
    "mlp_12_20",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_kernels_come_in_forward_order(name):
    # Shortcuts come after the other convolutions of their block.
    layers = [
        "/".join((*path, "kernel"))
        for path, module, _ in traced(name)[1]
        if isinstance(module, nn.Conv | nn.Dense)
    ]
    assert list(kernels(name)) == layers


@pytest.mark.parametrize(
    ("name", "stem", "pixels", "sizes"),
    [
        ("resnet20", "cifar", 32, {"Stage_0": 32, "Stage_1": 32, "Stage_3": 8}),
        ("resnet18", "cifar", 32, {"Stage_1": 32, "Stage_2": 16, "Stage_4": 4}),
        ("resnet18", "tinyimagenet", 64, {"Stage_0": 32, "Stage_1": 32, "Stage_4": 4}),
        # He et al. 2016, Table 1.
        (
            "resnet18",
            "imagenet",
            224,
            {"Stage_0": 112, "Stage_1": 56, "Stage_2": 28, "Stage_3": 14, "Stage_4": 7},
        ),
        ("wrn_10_1", "cifar", 32, {"Stage_1": 32, "Stage_2": 16, "Stage_3": 8}),
        ("wrn_10_1", "tinyimagenet", 64, {"Stage_1": 32, "Stage_3": 8}),
        ("wrn_10_1", "imagenet", 224, {"Stage_0": 112, "Stage_1": 56, "Stage_3": 14}),
        ("vgg16", "cifar", 32, {"Conv_0": 32, "Conv_2": 16, "Conv_12": 2}),
        ("vgg11", "tinyimagenet", 64, {"Conv_0": 32, "Conv_1": 16, "Conv_7": 2}),
        ("mobilenet", "cifar", 32, {"Block_0": 32, "Block_2": 16, "Block_13": 2}),
        ("mobilenet", "tinyimagenet", 64, {"Block_0": 32, "Block_13": 2}),
        # Howard et al. 2017, Table 1.
        ("mobilenet", "imagenet", 224, {"Block_0": 112, "Block_2": 56, "Block_13": 7}),
    ],
)
def test_images_shrink_as_documented(name, stem, pixels, sizes):
    found = collections.defaultdict(set)
    style = {} if stem == "cifar" else {"pixels": pixels, "stem": stem}
    for path, _, shape in traced(name, **style)[1]:
        if len(path) == 1 and len(shape) == 4:
            found[path[0].split("_Block_")[0]].add(shape[1:3])
    for stage, side in sizes.items():
        assert found[stage] == {(side, side)}


NARROW = resnet.ResNet(7, (1, 1, 1), (4, 4, 8), bottleneck=True)

SMALL = {
    "resnet8": (catalog.make("resnet8", 7), 8),
    "bottleneck": (NARROW, 8),
    "wrn_10_1": (catalog.make("wrn_10_1", 7), 8),
    "vgg11": (catalog.make("vgg11", 7), 32),
    "mobilenet": (catalog.make("mobilenet", 7), 8),
    "mlp_2_20": (catalog.make("mlp_2_20", 7, norm="batch_norm"), 8),
}


@pytest.mark.parametrize("name", SMALL)
def test_training_updates_statistics_and_evaluation_does_not(name):
    model, pixels = SMALL[name]
    rng = np.random.default_rng(0)

    def draw(leaf):
        # By fans, of kernels; scales are 1 as usual, biases too.
        fan_in = np.prod(leaf.shape[:-1])
        normal = rng.normal(size=leaf.shape) * np.sqrt(2 / fan_in)
        return np.asarray(normal if leaf.ndim > 1 else np.ones(leaf.shape), np.float32)

    variables = jax.tree.map(
        draw, jax.eval_shape(model.init, jax.random.key(0), inputs(pixels))
    )
    images = jnp.asarray(rng.normal(size=(2, pixels, pixels, 3)), jnp.float32)

    def both(variables, images):
        apply = functools.partial(model.apply, variables, mutable=["batch_stats"])
        return apply(images, train=True), apply(images)

    quickly = {"xla_backend_optimization_level": 0}
    trained, evaluated = jax.jit(both, compiler_options=quickly)(variables, images)
    for logits, _ in (trained, evaluated):
        assert logits.shape == (2, 7)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
    assert not np.allclose(trained[0], evaluated[0])
    old = variables["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, evaluated[1]["batch_stats"], old)
    new = trained[1]["batch_stats"]
    changed = jax.tree.map(lambda a, b: np.all(np.asarray(a) != b), new, old)
    assert jax.tree.all(changed)


ALL = ("resnet8", "wrn_10_1", "vgg11", "mobilenet", "mlp_2_20")
CONVOLUTIONAL = ALL[:-1]


@pytest.mark.parametrize("name", ALL)
def test_parameters_and_logits_have_the_type_asked_for(x64, name):
    style = {"activation": "prelu", "norm": "batch_norm", "param_dtype": "float64"}
    model = catalog.make(name, 7, **style)
    logits, variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), inputs(32, 2, jnp.float64)
    )
    assert logits.shape == (2, 7)
    assert logits.dtype == jnp.float64
    types = {leaf.dtype for leaf in jax.tree.leaves(variables["params"])}
    assert types == {jnp.dtype("float64")}


def leaves_of(module, variables):
    """Shapes of the parameters of the modules of one kind, by path."""
    flat = jax.tree_util.tree_leaves_with_path(variables["params"])
    named = {tree.path_name(path): leaf.shape for path, leaf in flat}
    return {path: shape for path, shape in named.items() if module in path}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_normalisations(name):
    batch = shapes(name)
    group, layer, none = (
        shapes(name, norm=norm) for norm in ("group_norm", "layer_norm", "none")
    )
    assert leaves_of("BatchNorm", batch)
    assert not leaves_of("GroupNorm", batch)
    for variables in (group, layer, none):
        assert variables.keys() == {"params"}
        assert not leaves_of("BatchNorm", variables)
    # Every BatchNorm is one of the others: as many scales and biases.
    renamed = {
        path.replace("BatchNorm", "GroupNorm"): shape
        for path, shape in leaves_of("BatchNorm", batch).items()
    }
    assert leaves_of("GroupNorm", group) == leaves_of("GroupNorm", layer) == renamed
    # Kernels, and the last layer's biases.
    assert len(jax.tree.leaves(none)) == len(kernels(name)) + 1


@pytest.mark.parametrize(
    ("norm", "groups"), [("group_norm", {16}), ("layer_norm", {1})]
)
def test_groups_of_channels(norm, groups):
    modules = [module for _, module, _ in traced("wrn_10_1", norm=norm)[1]]
    layers = [module for module in modules if isinstance(module, nn.GroupNorm)]
    assert {layer.num_groups for layer in layers} == groups


def test_mlps_have_no_normalisation_of_their_own():
    assert shapes("mlp_2_20").keys() == {"params"}
    assert shapes("mlp_2_20") == shapes("mlp_2_20", norm="none")
    assert leaves_of("LayerNorm", shapes("mlp_2_20", norm="layer_norm"))
    assert leaves_of("BatchNorm", shapes("mlp_2_20", norm="batch_norm"))


def primitives(jaxpr):
    """How often each primitive occurs, inner functions included."""
    counts = collections.Counter()
    for equation in jaxpr.eqns:
        counts[equation.primitive.name] += 1
        for inner in core.jaxprs_in_params(equation.params):
            counts += primitives(inner)
    return counts


@functools.cache
def operations(name, **style):
    """What a network without normalisation computes."""
    model = catalog.make(name, 10, norm="none", **style)
    # Neither of the others has parameters here.
    of_shape = {key: value for key, value in style.items() if key in ("skip", "stem")}
    variables = shapes(name, norm="none", **of_shape)
    return primitives(jax.make_jaxpr(model.apply)(variables, inputs()).jaxpr)


# Activations: of every layer but the last.
ACTIVATED = {
    "resnet8": 7,
    # Two per block, and the last one.
    "wrn_10_1": 7,
    "vgg11": 8,
    "mobilenet": 27,
    "mlp_2_20": 2,
}


@pytest.mark.parametrize("name", ALL)
def test_activations(name):
    relu, swish = operations(name), operations(name, activation="swish")
    assert (relu["max"], relu["logistic"]) == (ACTIVATED[name], 0)
    assert (swish["max"], swish["logistic"]) == (0, ACTIVATED[name])
    slopes = leaves_of("PReLU", shapes(name, activation="prelu"))
    assert len(slopes) == ACTIVATED[name]
    assert not leaves_of("PReLU", shapes(name))


# Blocks, or layers where input and output have one shape.
SKIPS = {
    "resnet8": 3,
    "wrn_10_1": 3,
    # One of 256 channels, one of 512, both of the last stage.
    "vgg11": 4,
    # 128, 256, five of 512 and 1024 channels.
    "mobilenet": 8,
    # The second hidden layer.
    "mlp_2_20": 1,
}
RESIDUAL = {"resnet8", "wrn_10_1"}


@pytest.mark.parametrize("name", ALL)
def test_skips(name):
    # The last layer's bias is added too, and MLPs have none.
    bias, residual = int(name != "mlp_2_20"), name in RESIDUAL
    adds = {True: SKIPS[name] + bias, False: bias}
    assert operations(name)["add"] == adds[residual]
    assert operations(name, skip=not residual)["add"] == adds[not residual]


@pytest.mark.parametrize(
    ("name", "shortcuts"),
    [("resnet20", 0), ("resnet20_wide", 2), ("resnet18", 3), ("wrn_10_2", 3)],
)
def test_shortcuts_are_gone_without_skips(name, shortcuts):
    with_skips, without = kernels(name), kernels(name, skip=False)
    assert sum("Shortcut" in path for path in with_skips) == shortcuts
    assert without == {
        path: shape for path, shape in with_skips.items() if "Shortcut" not in path
    }


@pytest.mark.parametrize("name", catalog.EXAMPLES)
def test_the_examples_are_models(name):
    assert isinstance(catalog.make(name, 10), nn.Module)


@pytest.mark.parametrize(
    ("name", "style", "message"),
    [
        ("resnet33", {}, r"model is 'resnet33'.*resnet18.*Did you mean 'resnet32'"),
        ("resnet", {}, "model is 'resnet'"),
        ("resnet50_wide", {}, "model is 'resnet50_wide'"),
        ("resnet20 ", {}, "model is 'resnet20 '"),
        ("ResNet20", {}, "model is 'ResNet20'"),
        ("vgg12", {}, "model is 'vgg12'.*Did you mean 'vgg16'"),
        ("mlp_0_10", {}, "model is 'mlp_0_10'"),
        ("mlp_2", {}, "model is 'mlp_2'"),
        ("wrn_11_1", {}, r"model is 'wrn_11_1'.*6n \+ 4"),
        ("wrn_28_0", {}, r"model is 'wrn_28_0'.*width in 1\.\.1000"),
        ("wrn_4_2", {}, r"model is 'wrn_4_2'.*\(10, 16"),
        ("wrn_28", {}, "model is 'wrn_28'"),
        ("vgg16", {"stem": "svhn"}, "stem is 'svhn'.*cifar, imagenet, tinyimagenet"),
        ("mlp_2_20", {"stem": "svhn"}, "stem is 'svhn'"),
        ("vgg16", {"norm": "batchnorm"}, "norm is 'batchnorm'.*mean 'batch_norm'"),
        ("vgg16", {"pooling": "avg"}, "pooling is 'avg'.*max, mean"),
        ("mlp_2_20", {"norm": "group_norm"}, "norm is 'group_norm'.*MLPs"),
    ],
)
def test_unknown_names_are_refused(name, style, message):
    with pytest.raises(UserError, match=message):
        catalog.make(name, 10, **style)


def test_unknown_activations_are_refused():
    with pytest.raises(UserError, match="activation is 'gelu'"):
        shapes("resnet20", activation="gelu")


@pytest.mark.parametrize(
    ("name", "stem", "windows"), [("vgg11", "cifar", 5), ("resnet18", "imagenet", 1)]
)
def test_poolings(name, stem, windows):
    stems = {} if stem == "cifar" else {"stem": stem}
    largest, mean = (
        operations(name, pooling=pooling, **stems) for pooling in ("max", "mean")
    )
    assert (largest["reduce_window_max"], largest["reduce_window_sum"]) == (windows, 0)
    assert (mean["reduce_window_max"], mean["reduce_window_sum"]) == (0, windows)
    assert operations(name, **stems) == largest
