import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import budgets
from sparse_gf.core.errors import UserError
from sparse_gf.models import mlp


def rows(file):
    columns = file["meta"]["columns"]
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(file[column].tolist() for column in columns), strict=True)
    ]


def test_every_row_of_the_capacity_table(reference):
    for row in rows(reference("capacity")):
        inputs, width, layer = row["input_dim"], row["dense_width"], row["layer"]
        assert budgets.max_width(inputs) == row["N_MW"]
        assert budgets.dense_widths(inputs, (row["percent"] / 100,)) == (width,)
        counts = budgets.mlp_num_active(inputs, width, row["n_hidden"], row["n_out"])
        assert counts[layer] == row["nnz"] == row["dense_in"] * row["dense_out"]
        dims = mlp.layer_dims(inputs, row["N_MW"], row["n_hidden"], row["n_out"])
        sparse = (row["sparse_in"], row["sparse_out"])
        assert dims[f"Dense_{layer}/kernel"] == sparse
        np.testing.assert_allclose(
            counts[layer] / np.prod(sparse), row["density"], rtol=1e-15
        )


def test_the_totals_of_the_capacity_table(reference):
    file = reference("capacity")
    columns = file["meta"]["totals_columns"]
    for values in file["totals"].tolist():
        row = dict(zip(columns, values, strict=True))
        network = row["n_hidden"], row["n_out"]
        active = budgets.mlp_num_active(row["input_dim"], row["dense_width"], *network)
        assert sum(active) == row["total_active"]
        wide = mlp.layer_dims(row["input_dim"], row["N_MW"], *network)
        assert sum(a * b for a, b in wide.values()) == row["total_sparse_size"]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (3072, (308, 923, 1538, 2153, 2768)),
        (784, (79, 236, 394, 552, 709)),
        # 6.8, 20.4, 34, 47.6, 61.2
        (64, (7, 20, 34, 48, 61)),
    ],
)
def test_dense_widths_of_the_papers_inputs(inputs, expected):
    assert budgets.dense_widths(inputs) == expected


@pytest.mark.parametrize(
    ("inputs", "tenth", "active", "first"),
    [(3072, 308, 30.8, 0.1), (784, 79, 7.9, 0.1), (64, 7, 0.7, 0.3)],
)
def test_widths_start_where_hidden_units_have_active_inputs(
    inputs, tenth, active, first
):
    """f^2 N_MW at a tenth of the width; on digits too few, so that 30% is first."""
    widest = budgets.max_width(inputs)
    assert round(budgets.active_inputs(tenth, widest), 1) == active
    chosen = budgets.fractions(widest)
    assert (len(chosen), chosen[0], chosen[-1]) == (5, first, 0.9)


@pytest.mark.parametrize(
    ("inputs", "fraction", "expected"),
    [
        (1, 0.5, 3),  # 2.5, which Python's round makes 2
        (96, 0.145, 15),  # 14.5, which is 14.499... in floating point
        (96, 0.144, 14),
        (6, 1.0, 10),
    ],
)
def test_halves_of_widths_are_rounded_up_in_decimal(inputs, fraction, expected):
    assert budgets.dense_widths(inputs, (fraction,)) == (expected,)


def test_dense_width_308_of_3076_is_no_even_sparsity():
    counts = budgets.mlp_num_active(3072, 308, 4, 100)
    sizes = [a * b for a, b in mlp.layer_dims(3072, 3076, 4, 100).values()]
    densities = [f"{c / s:.3f}" for c, s in zip(counts, sizes, strict=True)]
    assert densities == ["0.100", "0.010", "0.010", "0.010", "0.100"]


def test_the_widest_dense_network_fills_the_sparse_one():
    assert budgets.mlp_num_active(5, 9, 2, 3) == (45, 81, 27)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 10, 1, 3), r"dense_width is 10; it must be at most 9.*5 inputs"),
        ((5, 0, 1, 3), r"dense_width 0.*at least 1"),
        ((0, 1, 1, 3), r"input_dim 0.*at least 1"),
        ((5, 1, 0, 3), r"hidden_layers\s+0.*at least 1"),
        ((5, 1, 1, 0), r"num_classes 0.*at least 1"),
        ((5, -2, 1, 3), r"dense_width -2.*at least 1"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        budgets.mlp_num_active(*arguments)


SHAPES = {
    "Conv_0": (3, 3, 3, 16),
    "Conv_1": (3, 3, 16, 32),
    "Conv_2": (1, 1, 32, 8),
    "Dense_0": (32, 300),
    "Dense_1": (300, 10),
}


def network():
    params = {path: {"kernel": jnp.zeros(shape)} for path, shape in SHAPES.items()}
    params["Dense_1"]["bias"] = jnp.zeros(10)
    return params


DENSITIES = [0.0, 0.003, 0.05, 0.1, 0.33, 0.5, 0.77, 0.95, 0.999, 1.0]


@pytest.mark.parametrize("density", DENSITIES)
def test_uniform_is_within_half_a_weight_of_the_density_in_every_layer(density):
    counts = budgets.uniform(network(), density)
    assert list(counts) == [f"{path}/kernel" for path in SHAPES]
    for path, shape in SHAPES.items():
        assert abs(counts[f"{path}/kernel"] - density * np.prod(shape)) <= 0.5


def erk_by_bisection(density):
    """Real-valued counts min(size, scale * sum of axes) with the right total."""
    axes = np.array([sum(shape) for shape in SHAPES.values()], float)
    sizes = np.array([np.prod(shape) for shape in SHAPES.values()], float)
    low, high = 0.0, (sizes / axes).max()
    for _ in range(200):
        scale = (low + high) / 2
        if np.minimum(sizes, scale * axes).sum() < density * sizes.sum():
            low = scale
        else:
            high = scale
    return np.minimum(sizes, low * axes)


@pytest.mark.parametrize("density", DENSITIES)
def test_erdos_renyi_kernel_solves_its_equation(density):
    counts = budgets.erdos_renyi_kernel(network(), density)
    assert list(counts) == [f"{path}/kernel" for path in SHAPES]
    off = np.array(list(counts.values())) - erk_by_bisection(density)
    assert np.abs(off).max() <= 0.5 + 1e-6
    sizes = [int(np.prod(shape)) for shape in SHAPES.values()]
    assert abs(sum(counts.values()) - density * sum(sizes)) <= 0.5 * len(SHAPES) + 1e-6
    assert all(c <= s for c, s in zip(counts.values(), sizes, strict=True))


def test_the_densities_tested_fill_none_some_and_all_layers():
    sizes = np.array([np.prod(shape) for shape in SHAPES.values()])
    full = {int((erk_by_bisection(d) > sizes - 1e-6).sum()) for d in DENSITIES}
    assert {0, len(SHAPES)} < full


def test_erdos_renyi_kernel_by_hand():
    # Axes 3 + 3 and 9 + 9 over sizes 9 and 81; half of 90 shared out 1 : 3 would
    # give the first layer 11.25 > 9, so it is full and the other has 36.
    params = {
        "a": {"kernel": jnp.zeros((3, 3))},
        "b": {"kernel": jnp.zeros((9, 9))},
    }
    assert budgets.erdos_renyi_kernel(params, 0.5) == {"a/kernel": 9, "b/kernel": 36}


@pytest.mark.parametrize("budget", [budgets.uniform, budgets.erdos_renyi_kernel])
@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan")])
def test_densities_outside_0_to_1_are_refused(budget, density):
    with pytest.raises(UserError, match=rf"density is {density}.*between 0 and 1"):
        budget(network(), density)


def layers(**shapes):
    return {path: {"kernel": jnp.zeros(shape)} for path, shape in shapes.items()}


TWO = {"conv": (3, 3, 10, 10), "dense": (10, 30)}
"""Of 900 and 300 weights; 9 (10 + 10) = 180 and 10 + 30 = 40 are their ER shares,
3 + 3 + 10 + 10 = 26 and 40 their ERK shares."""


@pytest.mark.parametrize(
    ("density", "conv", "dense"),
    [
        # 132 = 0.6 * 220
        (0.11, 108, 24),
        # 1.1 * 180 and 1.1 * 40
        (242 / 1200, 198, 44),
        # 5 * 180 fills the convolution.
        (1100 / 1200, 900, 200),
        (1150 / 1200, 900, 250),
        (0.0, 0, 0),
        (1.0, 900, 300),
    ],
)
def test_erdos_renyi_by_hand(density, conv, dense):
    counts = budgets.erdos_renyi(layers(**TWO), density)
    assert counts == {"conv/kernel": conv, "dense/kernel": dense}


def test_erdos_renyi_fills_small_layers_and_shares_the_rest_out():
    # 453 / 185 * 5 = 12.2 > 6.
    params = layers(conv=(3, 3, 10, 10), dense=(2, 3))
    counts = budgets.erdos_renyi(params, 0.5)
    assert counts == {"conv/kernel": 447, "dense/kernel": 6}


def test_erdos_renyi_looks_at_channels_only_and_erk_at_windows_too():
    params = layers(a=(1, 1, 20, 20), b=(3, 3, 20, 20), c=(20, 20))
    assert list(budgets.erdos_renyi(params, 0.1).values()) == [40, 360, 40]
    # 440 shared out as 42 : 46 : 40.
    assert list(budgets.erdos_renyi_kernel(params, 0.1).values()) == [144, 158, 138]


@pytest.mark.parametrize("density", DENSITIES)
def test_erdos_renyi_has_the_density_over_all(density):
    counts = budgets.erdos_renyi(network(), density)
    assert list(counts) == [f"{path}/kernel" for path in SHAPES]
    off = sum(counts.values()) - density * 17896
    assert abs(off) <= 0.5 * len(SHAPES) + 1e-6


@pytest.mark.parametrize(
    ("density", "count"), [(0, 0), (0.05, 895), (0.5, 8948), (1, 17896)]
)
def test_one_count_is_of_all_kernels_and_of_no_bias(density, count):
    # 432 + 4608 + 256 + 9600 + 3000 = 17896.
    assert budgets.over_all(network(), density) == count


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("uniform", [99, 50, 33]),
        ("er", [108, 50, 24]),
        ("erk", [52, 50, 80]),
        ("global", 182),
    ],
)
def test_dense_layers_are_whole_and_the_density_is_of_the_others(
    distribution, expected
):
    params = layers(a=TWO["conv"], b=(5, 10), c=TWO["dense"])
    found = budgets.make(params, 0.11, distribution, ["b/kernel"])
    if distribution == "global":
        assert found == expected
    else:
        paths = ("a/kernel", "b/kernel", "c/kernel")
        assert list(found.items()) == list(zip(paths, expected, strict=True))


@pytest.mark.parametrize("distribution", ["uniform", "er", "erk", "global"])
def test_budgets_by_name_are_those_of_their_functions(distribution):
    function = {
        "uniform": budgets.uniform,
        "er": budgets.erdos_renyi,
        "erk": budgets.erdos_renyi_kernel,
        "global": budgets.over_all,
    }[distribution]
    assert budgets.make(network(), 0.2, distribution) == function(network(), 0.2)


@pytest.mark.parametrize("distribution", sorted(budgets.DISTRIBUTIONS))
def test_all_layers_may_be_dense(distribution):
    whole = {f"{path}/kernel": int(np.prod(shape)) for path, shape in SHAPES.items()}
    found = budgets.make(network(), 0.2, distribution, list(whole))
    assert found == whole


def test_rounds_fall_exponentially():
    params = layers(a=(100, 100), b=(10, 10), c=(5, 3))
    found = budgets.in_rounds(params, 0.001, "uniform", ["c/kernel"], rounds=3)
    assert {path: counts.tolist() for path, counts in found.items()} == {
        "a/kernel": [1000, 100, 10],
        "b/kernel": [10, 1, 0],
        "c/kernel": [15, 15, 15],
    }
    assert all(counts.dtype == np.int32 for counts in found.values())
    over_all = budgets.in_rounds(params, 0.01, "global", ["c/kernel"], rounds=2)
    assert over_all.dtype == np.int32
    # 10100 / 10 and / 100, and 15.
    assert over_all.tolist() == [1025, 116]


@pytest.mark.parametrize("density", [0.0, 0.013, 0.1, 0.77, 1.0])
@pytest.mark.parametrize("rounds", [1, 3, 100])
@pytest.mark.parametrize("distribution", ["erk", "global"])
def test_the_last_round_has_exactly_the_density(density, rounds, distribution):
    found = budgets.in_rounds(network(), density, distribution, rounds=rounds)
    last = budgets.make(network(), density, distribution)
    if distribution == "global":
        assert found.shape == (rounds,)
        assert found[-1] == last
    else:
        assert {path: counts[-1] for path, counts in found.items()} == last
        assert all(counts.shape == (rounds,) for counts in found.values())


@pytest.mark.parametrize("rounds", [1, 2])
def test_unknown_distributions_and_layers_are_refused(rounds):
    with pytest.raises(UserError, match=r"distribution is 'erx'.*er, erk, global, uni"):
        budgets.in_rounds(network(), 0.1, "erx", rounds=rounds)
    with pytest.raises(
        UserError, match=r"dense layer is 'Dense_1'.*Did you mean 'Dense_1/kernel'"
    ):
        budgets.in_rounds(network(), 0.1, "erk", ["Dense_1"], rounds=rounds)


@pytest.mark.parametrize("distribution", sorted(budgets.DISTRIBUTIONS))
@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan")])
def test_densities_outside_0_to_1_are_refused_by_every_name(distribution, density):
    with pytest.raises(UserError, match=rf"density is {density}.*between 0 and 1"):
        budgets.make(network(), density, distribution)


def test_layers_without_weights_have_none_of_a_budget():
    empty = {"a": {"kernel": np.zeros((0, 0))}, "b": {"kernel": np.zeros((0, 4))}}
    for distribution in (
        budgets.uniform,
        budgets.erdos_renyi,
        budgets.erdos_renyi_kernel,
    ):
        assert distribution(empty, 0.5) == {"a/kernel": 0, "b/kernel": 0}
        beside = distribution({**empty, "c": {"kernel": np.zeros((4, 4))}}, 0.5)
        assert beside == {"a/kernel": 0, "b/kernel": 0, "c/kernel": 8}
