"""What holds of masks of any network: trees of kernels drawn at random."""

import math

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_gf import budgets, layers, masks
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError

pytestmark = pytest.mark.thorough

# Few, so that few programs are compiled.
SHAPES = ((3, 4), (1, 1), (0, 4), (2, 2, 3, 4), (2, 3, 4), (5, 2))
THREE = (
    layers.Layer(),
    layers.Layer((0,), (1, 2)),
    layers.Layer((0, 1), (2,)),
    layers.Layer((1,), (2,), stack=(0,)),
)
DTYPES = (np.float32, np.float16, jnp.bfloat16)
NAMES = ("Dense_0", "Dense_10", "Conv_2", "block", "a b", "é", "0", "kernel")

drawn = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def networks(draw):
    """Params of a network: layers by name, some in blocks, of any shape and type."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    def layer():
        shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(DTYPES))
        # Of few values, so that there are ties, and zeros of both signs.
        kernel = rng.integers(-3, 4, shape).astype(dtype) * dtype(-0.5)
        bias = {"bias": np.ones(shape[-1:], dtype)} if draw(st.booleans()) else {}
        return {"kernel": kernel, **bias}

    names = draw(st.sets(st.sampled_from(NAMES), min_size=1))
    params = {name: layer() for name in sorted(names)}
    if draw(st.booleans()):
        params = {"params": params, "head": layer()}
    params = jax.tree.map(jnp.asarray, params)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = {tree.path_name(path): leaf for path, leaf in leaves if leaf.ndim > 1}
    if draw(st.booleans()) or any(leaf.ndim > 2 for leaf in kernels.values()):
        # What more than two axes are, names may leave open.
        return layers.label(
            params,
            {
                path: draw(st.sampled_from(THREE)) if leaf.ndim == 3 else layers.Layer()
                for path, leaf in kernels.items()
            },
        )
    return flax.core.freeze(params) if draw(st.booleans()) else params


shares = st.floats(0, 1)


def sizes(params):
    return {path: kernel.size for path, kernel in tree.kernels(params).items()}


def active(found):
    return {path: int(mask.sum()) for path, mask in tree.kernels(found).items()}


def are_masks_of(found, params):
    masks.check(found, params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        if not tree.is_kernel(path, leaf):
            assert leaf.all()


@drawn
@given(networks(), shares, st.sampled_from(sorted(budgets.DISTRIBUTIONS)))
def test_counts_are_exact_and_zeros_stay_zero(params, density, distribution):
    counts = budgets.make(params, density, distribution)
    found = masks.random(jax.random.key(0), params, counts)
    are_masks_of(found, params)
    if isinstance(counts, int):
        assert sum(active(found).values()) == counts
    else:
        assert active(found) == counts
    total = sum(sizes(params).values())
    if total:
        assert math.isclose(masks.density(found), sum(active(found).values()) / total)
    stored = masks.apply(params, found)
    for path, kernel in tree.kernels(stored).items():
        kept, own = tree.kernels(found)[path], tree.kernels(params)[path]
        assert kernel.dtype == own.dtype
        values = np.asarray(kernel, np.float64)
        np.testing.assert_array_equal(values, np.where(kept, own, 0).astype(float))
        assert not np.signbit(values[~np.asarray(kept)]).any()


@drawn
@given(networks(), shares)
def test_the_largest_scores_are_kept(params, share):
    flat = {path: np.asarray(k, float) for path, k in tree.kernels(params).items()}
    count = round(share * sum(own.size for own in flat.values()))
    found = tree.kernels(masks.from_scores(params, count))
    assert sum(int(mask.sum()) for mask in found.values()) == count
    kept = np.concatenate([flat[path][np.asarray(found[path])] for path in flat])
    lost = np.concatenate([flat[path][~np.asarray(found[path])] for path in flat])
    if kept.size and lost.size:
        assert kept.min() >= lost.max()


@drawn
@given(networks(), st.sampled_from([(1, 2), (2, 4), (3, 4), (4, 4)]))
def test_patterns_keep_n_of_every_m_inputs(params, pattern):
    n, m = pattern
    found = masks.n_of_m(params, n, m)
    are_masks_of(found, params)
    for mask in tree.kernels(found).values():
        inputs = np.asarray(mask).reshape(-1, mask.shape[-1])
        for start in range(0, len(inputs), m):
            group = inputs[start : start + m]
            assert (group.sum(0) == min(n, len(group))).all()


@drawn
@given(networks(), shares)
def test_files_give_back_what_was_saved(tmp_path, params, density):
    counts = budgets.uniform(params, density)
    found = masks.random(jax.random.key(1), params, counts)
    plain = flax.core.unfreeze(found)
    masks.save(tmp_path / "m.npz", plain, {"density": density})
    loaded, metadata = masks.load(tmp_path / "m.npz")
    assert metadata == {"density": density}
    jax.tree.map(np.testing.assert_array_equal, loaded, plain)
    are_masks_of(masks.placed(loaded, params), params)
    assert masks.digest(loaded) == masks.read_digest(tmp_path / "m.npz")


@drawn
@given(networks(), st.integers(1, 10**12))
def test_more_than_there_is_is_refused_in_one_line(params, beyond):
    own = sizes(params)
    path = sorted(own)[0]
    for counts in (
        sum(own.values()) + beyond,
        own | {path: own[path] + beyond},
        own | {path: -beyond},
        own | {"nowhere/kernel": 1},
    ):
        with pytest.raises(UserError) as refused:
            masks.random(jax.random.key(0), params, counts)
        assert "\n" not in str(refused.value)
