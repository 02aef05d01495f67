"""Paths against a search in graphs of single units, and counts against hand ones."""

import dataclasses
import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import masks
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.masks import connectivity
from sparse_gf.models import catalog, mlp
from sparse_gf.models.layers import Style
from sparse_gf.models.resnet import ResNet
from sparse_gf.models.variants import Variant
from sparse_gf.models.vgg import VGG

LINEAR = Style(norm="none", skip=False, pooling="mean")


def on_paths(edges, starts, ends):
    """Labels of the edges (from, to, label) on a path from a start to an end."""

    def visited(nodes, follow):
        seen, left = set(nodes), list(nodes)
        while left:
            for node in follow.get(left.pop(), ()):
                if node not in seen:
                    seen.add(node)
                    left.append(node)
        return seen

    after, before = {}, {}
    for start, end, _ in edges:
        after.setdefault(start, set()).add(end)
        before.setdefault(end, set()).add(start)
    ahead, back = visited(starts, after), visited(ends, before)
    return {label for start, end, label in edges if start in ahead and end in back}


def searched(found, edges, starts, ends):
    """Masks of what the search finds, by path."""
    expected = {
        path: np.zeros(m.shape, bool) for path, m in tree.kernels(found).items()
    }
    for label in on_paths(edges, starts, ends) - {None}:
        path, *index = label
        expected[path][tuple(index)] = True
    return expected


def dense_edges(layer, path, mask):
    return [
        ((layer, i), (layer + 1, o), (path, i, o))
        for i, o in np.argwhere(np.asarray(mask)).tolist()
    ]


def conv_edges(layer, path, mask, image, strides):
    """The edges of a 3x3 convolution with a margin of one pixel, and its output."""
    rows, columns, _ = image
    out = (rows + 1) // 2 if strides == 2 else rows
    edges = [
        ((layer, r, c, i), (layer + 1, row, column, o), (path, y, x, i, o))
        for y, x, i, o in np.argwhere(np.asarray(mask)).tolist()
        for row, column in itertools.product(range(out), repeat=2)
        if 0 <= (r := strides * row + y - 1) < rows
        and 0 <= (c := strides * column + x - 1) < columns
    ]
    return edges, (out, out, mask.shape[-1])


def pool_edges(layer, image):
    rows, columns, channels = image
    edges = [
        ((layer, r, c, i), (layer + 1, r // 2, c // 2, i), None)
        for r, c, i in itertools.product(
            range(rows // 2 * 2), range(columns // 2 * 2), range(channels)
        )
    ]
    return edges, (rows // 2, columns // 2, channels)


def nodes(layer, shape):
    return [(layer, *index) for index in np.ndindex(*shape)]


def dense(model, shape):
    """The masks of all weights of a model."""
    image = jnp.zeros((1, *shape))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image))
    return jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), shapes["params"])


def drawn(model, shape, density, seed):
    """Random masks of a model, of one density over all layers."""
    params = dense(model, shape)
    size = sum(kernel.size for kernel in tree.kernels(params).values())
    draw = jax.jit(masks.random)
    return jax.device_get(draw(jax.random.key(seed), params, int(density * size)))


def reach(model, found, shape):
    def apply_fn(params, x):
        return model.apply({"params": params}, x)

    return connectivity.reachable(apply_fn, found, shape)


def same(live, expected):
    for path, mask in tree.kernels(live).items():
        np.testing.assert_array_equal(mask, expected[path], err_msg=path)


def two_layers(params, x):
    return nn.relu(x @ params["A"]["kernel"]) @ params["B"]["kernel"]


# Hidden unit 1 has no inputs; hidden unit 2 has no way out; output 1 has a dead input.
FIRST = [[1, 0, 1], [0, 0, 1]]
SECOND = [[1, 0], [0, 1], [0, 0]]


def hand_drawn():
    return {
        "A": {"kernel": jnp.array(FIRST, bool)},
        "B": {"kernel": jnp.array(SECOND, bool), "bias": jnp.ones(2, bool)},
    }


def test_paths_of_a_network_drawn_by_hand():
    live = connectivity.reachable(two_layers, hand_drawn(), (2,))
    np.testing.assert_array_equal(live["A"]["kernel"], [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(live["B"]["kernel"], [[1, 0], [0, 0], [0, 0]])
    assert live["B"]["bias"].all()
    assert live["A"]["kernel"].dtype == bool
    assert not jax.config.jax_enable_x64


def test_dead_units_have_no_inputs_dead_inputs_or_no_way_out():
    live = connectivity.reachable(two_layers, hand_drawn(), (2,))
    assert connectivity.dead_units(live) == {"A/kernel": 2, "B/kernel": 1}


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_paths_of_random_perceptrons(seed, skip):
    model = mlp.MLP(8, 3, 3, variant=Variant(skip=skip))
    found = drawn(model, (2, 3, 1), 0.2, seed)
    edges = []
    for layer, (path, mask) in enumerate(tree.kernels(found).items()):
        edges += dense_edges(layer, path, mask)
        if skip and layer in (1, 2):
            edges += [((layer, i), (layer + 1, i), None) for i in range(8)]
    expected = searched(found, edges, nodes(0, (6,)), nodes(4, (3,)))
    same(reach(model, found, (2, 3, 1)), expected)
    alive = sum(mask.sum() for mask in expected.values())
    assert 0 < alive < sum(masks.num_active(found).values())


class Convolutions(nn.Module):
    """Two convolutions, the second with stride 2, and logits."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(LINEAR.conv(3, 3, name="First")(x))
        x = nn.relu(LINEAR.conv(4, 3, 2, name="Second")(x))
        return LINEAR.classify(x, 2)


@pytest.mark.parametrize(("seed", "rows"), [(0, 4), (1, 4), (2, 1)])
def test_paths_of_random_convolutions(seed, rows):
    # Of an image of one pixel, all weights but the middle ones meet zeros alone.
    found = drawn(Convolutions(), (rows, rows, 2), 0.2, seed)
    kernels = tree.kernels(found)
    edges, image = [], (rows, rows, 2)
    for layer, (name, strides) in enumerate([("First", 1), ("Second", 2)]):
        path = f"{name}/kernel"
        own, image = conv_edges(layer, path, kernels[path], image, strides)
        edges += own
    edges += [(node, (3, node[-1]), None) for node in nodes(2, image)]
    edges += dense_edges(3, "Top/kernel", kernels["Top/kernel"])
    expected = searched(found, edges, nodes(0, (rows, rows, 2)), nodes(4, (2,)))
    same(reach(Convolutions(), found, (rows, rows, 2)), expected)
    assert sum(mask.sum() for mask in expected.values()) < sum(
        masks.num_active(found).values()
    )


def vgg_edges(found, image):
    kernels, edges, layer = tree.kernels(found), [], 0
    for name in ("Conv_0", "Conv_1"):
        path = f"{name}/kernel"
        own, image = conv_edges(layer, path, kernels[path], image, 1)
        pooled, image = pool_edges(layer + 1, image)
        edges, layer = edges + own + pooled, layer + 2
    edges += [(node, (layer + 1, node[-1]), None) for node in nodes(layer, image)]
    return edges + dense_edges(layer + 1, "Top/kernel", kernels["Top/kernel"])


@pytest.mark.parametrize(("seed", "density"), [(0, 0.15), (1, 0.15), (2, 1.0)])
def test_paths_through_windows(seed, density):
    # Of the last window only one pixel is the largest; all weights count.
    model = VGG(3, ((4,), (5,)), style=LINEAR)
    found = drawn(model, (4, 4, 2), density, seed)
    edges = vgg_edges(found, (4, 4, 2))
    expected = searched(found, edges, nodes(0, (4, 4, 2)), nodes(6, (3,)))
    same(reach(model, found, (4, 4, 2)), expected)


def collapsed(skip):
    """What is reachable of a small ResNet without the first layer of a block."""
    style = dataclasses.replace(LINEAR, skip=skip)
    model = ResNet(2, (2, 1), (3, 4), shortcut="padding", style=style)
    found = dense(model, (4, 4, 1))
    kernel = found["Stage_1_Block_1"]["Conv_0"]["kernel"]
    found["Stage_1_Block_1"]["Conv_0"]["kernel"] = np.zeros_like(kernel)
    return reach(model, found, (4, 4, 1))


def test_a_skip_connection_is_a_path_around_a_collapsed_layer():
    live = collapsed(skip=True)
    block = ["Stage_1_Block_1/Conv_0/kernel", "Stage_1_Block_1/Conv_1/kernel"]
    for path, mask in tree.kernels(live).items():
        assert mask.all() if path not in block else not mask.any(), path


def test_without_skips_a_collapsed_layer_ends_all_paths():
    live = collapsed(skip=False)
    assert sum(masks.num_active(live).values()) == 0


def deep_live(mask, layers):
    """Live weights of layers that all have one mask, and no others between them."""
    found = {f"Layer_{i}": {"kernel": jnp.asarray(mask)} for i in range(layers)}

    def apply_fn(params, x):
        stack = jnp.stack([params[f"Layer_{i}"]["kernel"] for i in range(layers)])
        return jax.lax.scan(lambda x, kernel: (nn.relu(x @ kernel), None), x, stack)[0]

    live = connectivity.reachable(apply_fn, found, mask.shape[:1])
    return list(masks.num_active(live).values())


def test_thin_paths_of_deep_networks_are_found():
    # One of a hundred inputs is alive in each of 75 layers: values fall to 1e-150.
    mask = np.zeros((100, 100), bool)
    mask[:, 0] = True
    assert deep_live(mask, 75) == [100, *[1] * 74]


def test_values_do_not_grow_with_depth():
    # With weights of 1 they would, to 1e320.
    assert deep_live(np.ones((100, 100), bool), 160) == [10_000] * 160


class Pooled(nn.Module):
    """Logits of windows of 2 x 2 pixels."""

    @nn.compact
    def __call__(self, x):
        return LINEAR.classify(LINEAR.pool(x, 2, 2), 2)


def test_images_that_are_too_small_are_refused():
    found = dense(Pooled(), (2, 2, 3))
    with pytest.raises(UserError, match=r"input of shape \(1, 1, 3\) add up to nan"):
        reach(Pooled(), found, (1, 1, 3))


def test_multiply_adds_by_hand():
    # 5 x 5 pixels at stride 2 are 3 x 3; 3 * 3 * 2 * 3 and 3 * 3 * 3 * 4 weights.
    found = dense(Convolutions(), (5, 5, 2))
    kernel = found["Second"]["kernel"]
    found["Second"]["kernel"] = np.zeros_like(kernel)
    found["Second"]["kernel"][1, 2, 0] = True
    assert connectivity.multiply_adds(Convolutions(), found, (5, 5, 2)) == {
        "First/kernel": (54 * 25, 54 * 25),
        "Second/kernel": (108 * 9, 4 * 9),
        "Top/kernel": (8, 8),
    }


@pytest.mark.parametrize(
    ("name", "published"),
    # He et al. 2019 (filter pruning via geometric median), Table 1, to three digits.
    [
        ("resnet20", 4.06e7),
        pytest.param("resnet32", 6.89e7, marks=pytest.mark.thorough),
        pytest.param("resnet56", 1.25e8, marks=pytest.mark.thorough),
    ],
)
def test_multiply_adds_as_published(name, published):
    model = catalog.make(name, 10)
    found = dense(model, (32, 32, 3))
    counts = connectivity.multiply_adds(model, found, (32, 32, 3))
    assert float(f"{sum(c.dense for c in counts.values()):.2e}") == published


class Depthwise(nn.Module):
    """A convolution of each channel by itself."""

    @nn.compact
    def __call__(self, x):
        return LINEAR.conv(6, 3, 2, name="Own", groups=6)(x)


def test_depthwise_convolutions_count_one_input_per_channel():
    found = dense(Depthwise(), (8, 8, 6))
    counts = connectivity.multiply_adds(Depthwise(), found, (8, 8, 6))
    assert counts == {"Own/kernel": (9 * 6 * 4 * 4,) * 2}


class Twice(nn.Module):
    """One layer, used twice."""

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(4, use_bias=False, name="Layer")
        return layer(layer(x))


def test_a_layer_that_is_used_twice_multiplies_twice():
    found = {"Layer": {"kernel": jnp.eye(4, dtype=bool)}}
    counts = connectivity.multiply_adds(Twice(), found, (4,))
    assert counts == {"Layer/kernel": (32, 8)}


class Transposed(nn.Module):
    """A layer whose products are not counted."""

    @nn.compact
    def __call__(self, x):
        return nn.ConvTranspose(2, (3, 3), name="Up")(x)


def test_layers_that_are_not_counted_are_refused():
    found = dense(Transposed(), (4, 4, 1))
    with pytest.raises(UserError, match="'Up/kernel' is in the masks, and no"):
        connectivity.multiply_adds(Transposed(), found, (4, 4, 1))


def test_overlap_by_hand():
    first = {"A": {"kernel": jnp.array([[1, 1, 1, 0]], bool)}}
    second = {"A": {"kernel": jnp.array([[0, 1, 0, 1]], bool)}}
    layer = connectivity.overlap(first, second)["A/kernel"]
    assert layer == (3, 2, 1)
    assert layer.jaccard == 1 / 4
    assert layer.kept == 1 / 3
    assert math.isnan(connectivity.Overlap(0, 2, 0).kept)
    assert math.isnan(connectivity.Overlap(0, 0, 0).jaccard)


def test_overlap_of_masks_of_two_networks_is_refused():
    other = {"A": {"kernel": jnp.ones((2, 2), bool)}}
    with pytest.raises(UserError, match="'A/kernel' has the shape"):
        connectivity.overlap({"A": {"kernel": jnp.ones((2, 3), bool)}}, other)
