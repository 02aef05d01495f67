import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import gradient_flow, masks
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError

SHAPES = {"Conv_0": (2, 2, 1, 3), "Dense_0": (5, 4), "Dense_1": (4, 1)}
SIZES = {"Conv_0/kernel": 12, "Dense_0/kernel": 20, "Dense_1/kernel": 4}


# Compiled: eagerly each of their operations is a program of its own.
draw = jax.jit(masks.random)
from_scores = jax.jit(masks.from_scores)
n_of_m = jax.jit(masks.n_of_m, static_argnums=(1, 2, 3))


def network():
    params = {path: {"kernel": jnp.ones(shape)} for path, shape in SHAPES.items()}
    params["Dense_0"]["bias"] = jnp.ones(4)
    params["PReLU_0"] = {"slope": jnp.ones(4)}
    return params


def one_layer(scores):
    return {"Dense_0": {"kernel": jnp.asarray(scores)}}


def kept(scores, count, select=from_scores):
    """Which entries of one layer are kept, as 0s and 1s."""
    mask = select(one_layer(scores), count)
    return np.asarray(mask["Dense_0"]["kernel"]).astype(int).ravel().tolist()


COUNTS = [
    dict.fromkeys(SIZES, 0),
    dict.fromkeys(SIZES, 1),
    SIZES,
    {"Conv_0/kernel": 0, "Dense_0/kernel": 20, "Dense_1/kernel": 3},
    {"Conv_0/kernel": 7, "Dense_0/kernel": 1, "Dense_1/kernel": 4},
]


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_random_masks_have_exactly_the_counts(counts, seed):
    mask = draw(jax.random.key(seed), network(), counts)
    assert masks.num_active(mask) == counts
    assert masks.density(mask) == sum(counts.values()) / 36


@pytest.mark.parametrize("count", [0, 1, 17, 35, 36])
def test_random_masks_have_exactly_the_count_over_all_kernels(count):
    mask = draw(jax.random.key(0), network(), count)
    assert sum(masks.num_active(mask).values()) == count


def test_counts_may_be_traced_and_mapped_over():
    counts = {path: jnp.arange(4) * size // 3 for path, size in SIZES.items()}
    keys = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    @jax.vmap
    def active(key, counts):
        mask = masks.random(key, network(), counts)
        return {path: jnp.sum(leaf) for path, leaf in tree.kernels(mask).items()}

    np.testing.assert_equal(
        jax.device_get(active(keys, counts)), jax.device_get(counts)
    )


def test_traced_counts_select_the_same_weights_as_numbers():
    scores = np.random.default_rng(0).normal(size=(5, 4)).round().astype(np.float32)
    for count in range(21):
        assert kept(scores, count) == kept(scores, count, masks.from_scores)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, [0, 0, 0, 0, 0, 0]),
        (1, [0, 0, 1, 0, 0, 0]),
        (2, [0, 1, 1, 0, 0, 0]),
        (3, [0, 1, 1, 0, 1, 0]),
        (4, [0, 1, 1, 0, 1, 1]),
        (5, [1, 1, 1, 0, 1, 1]),
        (6, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_first_of_equal_scores_is_kept(count, expected):
    assert kept([[1.0, 2.0, 3.0], [0.0, 2.0, 2.0]], count) == expected


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, -np.inf])
def test_scores_that_are_all_equal_keep_the_leading_entries(value):
    assert kept(np.full((2, 3), value, np.float32), 4) == [1, 1, 1, 1, 0, 0]


def test_negative_zero_is_equal_to_zero():
    assert kept([[-0.0, 0.0, -0.0]], 2) == [1, 1, 0]


def test_integer_scores_keep_their_whole_range():
    scores = np.array([[0, 2**32 - 1, 2**32 - 2]], np.uint32)
    assert kept(scores, 2) == [0, 1, 1]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_scores_that_are_nan_leave_the_count_exact(count):
    assert sum(kept([[np.nan, 1.0, 2.0]], count)) == count


def test_selection_equals_a_stable_sort():
    rng = np.random.default_rng(0)
    for count in (0, 3, 10, 24):
        scores = rng.integers(0, 5, (6, 4)).astype(np.float32)
        order = np.argsort(-scores.ravel(), kind="stable")
        expected = np.zeros(24, int)
        expected[order[:count]] = 1
        assert kept(scores, count) == expected.tolist()


def test_one_count_selects_over_all_layers():
    scores = {
        "Dense_10": {"kernel": jnp.array([[5.0, 1.0]])},
        "Dense_2": {"kernel": jnp.array([[1.0], [4.0], [1.0]])},
    }
    mask = from_scores(scores, 3)
    # 5, 4 and then the first 1 in forward order, that of Dense_2.
    assert mask["Dense_2"]["kernel"].ravel().tolist() == [True, True, False]
    assert mask["Dense_10"]["kernel"].ravel().tolist() == [True, False]


@pytest.mark.parametrize("count", [0, COUNTS[0]])
def test_leaves_that_are_no_kernels_are_never_pruned(count):
    params = network()
    mask = draw(jax.random.key(0), params, count)
    assert jax.tree.structure(mask) == jax.tree.structure(params)
    assert mask["Dense_0"]["bias"].all()
    assert mask["PReLU_0"]["slope"].all()
    assert all(leaf.dtype == bool for leaf in jax.tree.leaves(mask))


def test_ones_is_a_mask_of_everything():
    mask = masks.ones(network())
    assert jax.tree.structure(mask) == jax.tree.structure(network())
    assert all(leaf.all() and leaf.dtype == bool for leaf in jax.tree.leaves(mask))
    assert masks.num_active(mask) == SIZES
    assert masks.density(mask) == 1


def test_every_weight_is_equally_likely_to_be_active():
    draws, count, size = 4000, 7, 20
    keys = jax.random.split(jax.random.key(1), draws)
    counts = SIZES | {"Dense_0/kernel": count}
    drawn = jax.jit(jax.vmap(lambda key: masks.random(key, network(), counts)))(keys)
    share = np.asarray(drawn["Dense_0"]["kernel"]).reshape(draws, size).mean(axis=0)
    expected = count / size
    # Five standard errors of a binomial share.
    bound = 5 * np.sqrt(expected * (1 - expected) / draws)
    assert np.abs(share - expected).max() < bound


def test_every_pair_of_weights_is_equally_likely_to_be_active_together():
    draws, count, size = 4000, 2, 4
    keys = jax.random.split(jax.random.key(2), draws)
    params = one_layer(np.ones((2, 2), np.float32))
    drawn = jax.jit(jax.vmap(lambda key: masks.random(key, params, count)))(keys)
    bits = np.asarray(drawn["Dense_0"]["kernel"]).reshape(draws, size)
    _, frequency = np.unique(bits @ (1 << np.arange(size)), return_counts=True)
    assert frequency.size == 6
    bound = 5 * np.sqrt(draws / 6 * 5 / 6)
    assert np.abs(frequency - draws / 6).max() < bound


def test_masks_of_equal_layers_and_of_different_keys_differ():
    params = {f"Dense_{i}": {"kernel": jnp.ones((8, 8))} for i in range(3)}
    counts = {path: 32 for path in tree.kernels(params)}
    drawn = [draw(jax.random.key(seed), params, counts) for seed in range(2)]
    layers = [np.asarray(leaf).tobytes() for m in drawn for leaf in jax.tree.leaves(m)]
    assert len(set(layers)) == 6


def test_equal_keys_give_equal_masks():
    first, second = (draw(jax.random.key(3), network(), 9) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, -1.0, -0.0, 1.0])
def test_masked_entries_become_positive_zero(bad):
    params = one_layer(np.array([[bad, bad]], np.float32))
    mask = one_layer(np.array([[True, False]]))
    applied = np.asarray(masks.apply(params, mask)["Dense_0"]["kernel"])
    assert applied[0, 1] == 0
    assert not np.signbit(applied[0, 1])
    np.testing.assert_array_equal(applied[0, 0], np.float32(bad))


def test_apply_keeps_types_and_leaves_without_zeros():
    params = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2, jnp.int32)}
    applied = masks.apply(params, masks.ones(params))
    assert jax.tree.map(lambda leaf: leaf.dtype, applied) == jax.tree.map(
        lambda leaf: leaf.dtype, params
    )


def test_block_masks_keep_leading_rows_and_columns():
    params = {"Dense_0": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}}
    mask = masks.blocks(params, {"Dense_0/kernel": (2, 3)})
    np.testing.assert_array_equal(
        mask["Dense_0"]["kernel"], [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    )
    assert mask["Dense_0"]["bias"].all()


def test_block_masks_take_traced_widths():
    params = one_layer(np.ones((3, 4), np.float32))

    @jax.jit
    def active(rows, columns):
        mask = masks.blocks(params, {"Dense_0/kernel": (rows, columns)})
        return jnp.sum(mask["Dense_0"]["kernel"])

    assert active(jnp.int32(2), jnp.int32(4)) == 8


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.ones((3, 4)), 0),
        (np.zeros((3, 4)), 4),
        ([[1, 0, 0], [1, 1, 0]], 1),
        # Units are the last axis: only the second has no input in any window.
        (np.array([1, 0, 1, 0, 0, 0, 0, 0]).reshape(2, 1, 2, 2), 1),
    ],
)
def test_isolated_units_by_hand(mask, expected):
    assert masks.isolated_units(jnp.asarray(mask, bool)) == expected


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"Conv_0/kernel": 1, "Dense_0/kernel": 1},
            r"no count for 'Dense_1/kernel'.*Conv_0/kernel, Dense_0/kernel",
        ),
        (SIZES | {"Dense_9/kernel": 1}, r"names 'Dense_9/kernel'.*no kernel"),
        (SIZES | {"Dense_0/bias": 4}, r"names 'Dense_0/bias'.*no kernel"),
        (SIZES | {"Dense_0/kernel": 21}, r"Dense_0/kernel is 21.*0\.\.20"),
        (SIZES | {"Dense_1/kernel": -1}, r"Dense_1/kernel is -1.*0\.\.4"),
        (37, r"all kernels is 37.*0\.\.36"),
        (-1, r"all kernels is -1.*0\.\.36"),
    ],
)
def test_wrong_counts_are_refused_by_path(counts, message):
    with pytest.raises(UserError, match=message):
        masks.random(jax.random.key(0), network(), counts)


@pytest.mark.parametrize("count", [9, -1, jnp.int32(9), jnp.int32(-1)], ids=str)
def test_counts_that_are_no_counts_are_refused(count):
    scores = {"Dense_0": {"kernel": jnp.ones((2, 4))}}
    with pytest.raises(UserError, match="num_active for Dense_0/kernel"):
        masks.from_scores(scores, {"Dense_0/kernel": count})


def test_params_without_kernels_are_refused_by_the_names_they_have():
    with pytest.raises(UserError, match=r"no kernel.*found layer/weight"):
        masks.random(jax.random.key(0), {"layer": {"weight": jnp.ones((2, 2))}}, 1)


def pattern(scores, n, m):
    """Which entries of one layer N:M keeps, as 0s and 1s, unit by unit."""
    mask = n_of_m({"Conv_0": {"kernel": jnp.asarray(scores)}}, n, m)["Conv_0"]["kernel"]
    assert mask.shape == np.shape(scores)
    assert mask.dtype == bool
    return np.asarray(mask).astype(int).T.tolist()


def test_two_of_four_by_hand():
    scores = np.array([[1, 8], [3, 7], [2, 6], [4, 5], [9, 1], [9, 2], [8, 4], [7, 3]])
    assert pattern(scores.astype(np.float32), 2, 4) == [
        [0, 1, 0, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 1, 1],
    ]


@pytest.mark.parametrize(
    ("scores", "n", "m", "expected"),
    [
        # Of a last group with fewer entries, N are kept, or all that there are.
        ([1, 2, 3, 4, 0], 2, 4, [0, 0, 1, 1, 1]),
        ([1, 2, 3, 4, 0, -1], 1, 4, [0, 0, 0, 1, 1, 0]),
        ([-5, -4, -3], 2, 4, [0, 1, 1]),
        ([-np.inf, np.nan], 2, 4, [1, 1]),
        # Ties.
        ([7, 7, 7, 7], 1, 4, [1, 0, 0, 0]),
        ([7, 7, 7, 7], 3, 4, [1, 1, 1, 0]),
        ([0, 2, 1, 2, 1, 1], 2, 3, [0, 1, 1, 1, 1, 0]),
        ([0.0, -0.0, 0.0], 1, 3, [1, 0, 0]),
        ([-0.0, 0.0, 0.0], 1, 3, [1, 0, 0]),
        # NaN.
        ([np.nan, 1, np.nan, -5], 1, 4, [0, 1, 0, 0]),
        ([np.nan, 1, np.nan, -5], 2, 4, [0, 1, 0, 1]),
        ([np.nan, 1, np.nan, -5], 3, 4, [1, 1, 0, 1]),
        ([np.nan, np.nan], 1, 2, [1, 0]),
        # The ends of the ranges.
        ([3, 1, 2], 1, 1, [1, 1, 1]),
        ([3, 1, 2, 0], 4, 4, [1, 1, 1, 1]),
        ([3, 1, 2], 1, 100, [1, 0, 0]),
    ],
)
def test_groups_by_hand(scores, n, m, expected):
    column = np.array(scores, np.float32)[:, None]
    assert pattern(column, n, m) == [expected]


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (3, 4), (4, 8)])
@pytest.mark.parametrize("shape", [(3, 3, 8, 5), (3, 3, 1, 4), (7, 3)])
def test_every_group_of_every_unit_has_exactly_n(n, m, shape):
    scores = np.random.default_rng(0).integers(0, 4, shape).astype(np.float32)
    found = pattern(scores, n, m)
    # The transpose of [rows, columns, inputs, units] has columns after inputs.
    axes = tuple(range(1, len(shape)))[::-1]
    kept = np.asarray(found).transpose(0, *axes).reshape(shape[-1], -1)
    unit_scores = np.moveaxis(scores, -1, 0).reshape(shape[-1], -1)
    for unit, own in zip(kept, unit_scores, strict=True):
        for start in range(0, own.size, m):
            group = own[start : start + m]
            best = sorted(range(group.size), key=lambda i: (-group[i], i))[:n]
            chosen = np.flatnonzero(unit[start : start + m]).tolist()
            assert chosen == sorted(best)


def test_groups_of_convolutions_lie_along_the_input_channels():
    kernel = np.zeros((1, 2, 4, 1), np.float32)
    kernel[0, 0, 2:] = kernel[0, 1, :2] = 1
    mask = n_of_m({"Conv_0": {"kernel": jnp.asarray(kernel)}}, 2, 4)
    np.testing.assert_array_equal(mask["Conv_0"]["kernel"], kernel.astype(bool))


def test_patterns_leave_dense_layers_and_other_leaves_whole():
    mask = n_of_m(network(), 1, 4, ("Dense_1/kernel",))
    assert jax.tree.structure(mask) == jax.tree.structure(network())
    # A unit's 4 inputs are one group, its 5 inputs two.
    active = {"Conv_0/kernel": 3, "Dense_0/kernel": 8, "Dense_1/kernel": 4}
    assert masks.num_active(mask) == active
    assert mask["Dense_0"]["bias"].all()
    assert mask["PReLU_0"]["slope"].all()
    assert all(leaf.dtype == bool for leaf in jax.tree.leaves(mask))


def test_patterns_may_be_made_in_a_compiled_function():
    scores = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    alone = masks.n_of_m(one_layer(scores), 2, 4)["Dense_0"]["kernel"]
    assert np.asarray(alone).astype(int).T.tolist() == pattern(scores, 2, 4)


@pytest.mark.parametrize(("n", "m"), [(0, 4), (5, 4), (-1, 4), (1, 0), (0, 0)])
def test_patterns_that_are_none_are_refused(n, m):
    with pytest.raises(UserError, match=rf"pattern is {n}:{m};.*1 <= N <= M"):
        masks.n_of_m(network(), n, m)


def numbered(**shapes):
    """A network whose layers have another order as strings than as numbers."""
    shapes = {"Conv_0": (2, 2, 1, 3), "Dense_2": (5, 4), "Dense_10": (4, 1)} | shapes
    params = {
        name: {"kernel": jnp.ones(shape)} for name, shape in shapes.items() if shape
    }
    return {"params": params}


def test_check_takes_masks_of_the_network():
    mask = draw(jax.random.key(0), numbered(), 17)
    masks.check(mask, numbered())
    masks.check(mask, jax.eval_shape(numbered))


@pytest.mark.parametrize(
    ("mask", "params", "message"),
    [
        (numbered(Dense_10=None), numbered(), r"Dense_10/kernel' is missing.*\(4, 1\)"),
        (
            numbered(),
            numbered(Conv_0=None),
            r"Conv_0/kernel' is in.*\(2, 2, 1, 3\), not",
        ),
        # 2 is before 10; as strings it is not.
        (
            numbered(Dense_2=(5, 3), Dense_10=(3, 1)),
            numbered(),
            r"Dense_2/kernel' has the shape \(5, 3\).*\(5, 4\)",
        ),
        (
            network() | {"Dense_0": {"kernel": jnp.ones((5, 4)), "bias": None}},
            network(),
            "'Dense_0/bias' is missing",
        ),
        (numbered()["params"], numbered(), r"^'Conv_0/kernel' is in the masks"),
        (numbered(), flax.core.freeze(numbered()), "different types"),
    ],
)
def test_check_names_the_first_difference(mask, params, message):
    with pytest.raises(UserError, match=message):
        masks.check(masks.ones(mask), params)


def kernel(*rows, dtype=jnp.float32):
    return {"Dense_0": {"kernel": jnp.array(rows, dtype)}}


def kept_of(scores, count):
    return masks.from_scores(scores, count)["Dense_0"]["kernel"].tolist()


def test_subnormal_scores_are_told_apart():
    scores = kernel([1e-40, 3e-40, 2e-40, -1e-40])
    assert kept_of(scores, 1) == [[False, True, False, False]]
    assert kept_of(scores, 3) == [[True, True, True, False]]
    pairs = masks.n_of_m(kernel([1e-40], [3e-40], [2e-40], [0.0]), 2, 4)
    assert pairs["Dense_0"]["kernel"][:, 0].tolist() == [False, True, True, False]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_zeros_are_equal_and_nan_is_below_all(dtype):
    scores = kernel([jnp.nan, -jnp.inf, -1.0, -0.0, 0.0], dtype=dtype)
    assert kept_of(scores, 1) == [[False, False, False, True, False]]
    assert kept_of(scores, 4) == [[False, True, True, True, True]]


def test_nothing_has_nothing_to_keep():
    empty = {"a": {"kernel": jnp.zeros((0, 4))}, **kernel([2.0, 1.0])}
    found = masks.from_scores(empty, {"a/kernel": 0, "Dense_0/kernel": 1})
    assert masks.num_active(found) == {"Dense_0/kernel": 1, "a/kernel": 0}
    assert np.isnan(masks.density({"a": masks.ones(empty)["a"]}))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (jnp.ones((2, 2)), "is float32 in the masks; it must be bool"),
        (jnp.ones((2, 1), bool), "has the shape"),
    ],
)
def test_masks_that_are_none_are_refused_where_they_act(mask, message):
    params = kernel([1.0, 2.0], [3.0, 4.0])
    for use in (
        lambda masks_: masks.apply(params, masks_),
        lambda masks_: masks.check(masks_, params),
        lambda masks_: masks.placed(masks_, params),
        lambda masks_: gradient_flow.measure(lambda p: 0.0, params, masks_),
    ):
        with pytest.raises(UserError, match=message):
            use({"Dense_0": {"kernel": mask}})
