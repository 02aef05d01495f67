import itertools

import numpy as np
import pytest
import scipy

from sparse_gf import stats
from sparse_gf.core.errors import UserError

CASES = [
    "all_sparse_better",
    "all_dense_better",
    "mixed_no_ties",
    "balanced_no_ties",
    "one_negative_smallest",
    "one_negative_largest",
    "integer_accuracies_ties_zeros",
    "ties_no_zeros",
    "two_zeros_no_ties",
    "all_zero",
    "one_nonzero_positive",
    "one_nonzero_negative",
    "sparse_nan_3",
    "both_nan",
    "all_nan",
    "diverged_reported_as_chance_accuracy",
    "constant_shift_all_tied",
    "n14_no_ties",
    "n13_ties",
    "n5",
    "float_noise_ties",
]
NAN_CASES = ["sparse_nan_3", "both_nan", "all_nan"]
ZERO_METHODS = ["wilcox", "pratt", "zsplit"]

each_zero_method = pytest.mark.parametrize("zero_method", ZERO_METHODS)
each_case = pytest.mark.parametrize("case", CASES)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-16)


def run(file, case, **options):
    return stats.wilcoxon_greater(file[f"{case}/x"], file[f"{case}/y"], **options)


def test_all_cases_of_the_reference_are_tested(reference):
    assert reference("wilcoxon")["case_names"].tolist() == CASES


@each_case
def test_exact_p_enumerates_all_sign_flips(reference, case):
    file = reference("wilcoxon")
    expected = float(file[f"{case}/permutation_exact_p_zeros_dropped"])
    if case in NAN_CASES:
        expected = np.nan
    if case == "all_zero":
        expected = 1.0
    for method in ("exact", "auto"):
        result = run(file, case, method=method)
        close(result.p_value, expected)
        assert result.method == "exact"


@each_case
@each_zero_method
def test_asymptotic_p_is_scipys(reference, case, zero_method):
    file = reference("wilcoxon")
    result = run(file, case, method="asymptotic", zero_method=zero_method)
    expected = file[f"{case}/{zero_method}_asymptotic_propagate_p"]
    if case == "float_noise_ties":
        # Four differences of 0.1, which SciPy takes for three sizes. As equal ones they
        # have a rank sum of 10 where 5 is expected, and a standard deviation of 2.5.
        expected = scipy.stats.norm.sf((10 - 5) / 2.5)
    close(result.p_value, 1.0 if case == "all_zero" else expected)
    assert (result.method, result.zero_method) == ("asymptotic", zero_method)


@each_case
@each_zero_method
@pytest.mark.parametrize("method", ["exact", "asymptotic"])
def test_the_statistic_is_the_positive_rank_sum(reference, case, zero_method, method):
    file = reference("wilcoxon")
    result = run(file, case, method=method, zero_method=zero_method)
    close(result.statistic, file[f"{case}/{zero_method}_auto_propagate_W"])


@each_case
def test_pairs_zeros_and_ties_are_reported(reference, case):
    file = reference("wilcoxon")
    result = run(file, case)
    assert result.num_pairs == file[f"{case}/n_pairs"]
    assert result.num_zeros == file[f"{case}/n_zero"]
    if case not in NAN_CASES:
        assert result.has_ties == file[f"{case}/has_ties_nonzero"]


def differences_with_rank_sum(rank_sum, pairs=15):
    """Differences of sizes 1 .. pairs, those positive that add up to a rank sum."""
    signs = -np.ones(pairs)
    for size in range(pairs, 0, -1):
        if rank_sum >= size:
            signs[size - 1], rank_sum = 1, rank_sum - size
    assert rank_sum == 0
    return signs * np.arange(1, pairs + 1)


def test_the_whole_null_distribution_of_15_pairs(reference):
    file = reference("wilcoxon_null_n15")
    assert file["W"].tolist() == list(range(121))
    for rank_sum in range(121):
        difference = differences_with_rank_sum(rank_sum)
        exact = stats.wilcoxon_greater(difference, np.zeros(15))
        normal = stats.wilcoxon_greater(difference, np.zeros(15), method="asymptotic")
        assert exact.statistic == normal.statistic == rank_sum
        close(exact.p_value, file["p_exact_greater"][rank_sum])
        close(normal.p_value, file["p_normal_nocorrection"][rank_sum])


def test_no_p_of_15_pairs_is_below_2_to_the_minus_15():
    result = stats.wilcoxon_greater(np.arange(15) + 1.0, np.zeros(15))
    assert result.p_value == 2.0**-15


def mid_ranks(sizes):
    """Rank of each size, the mean of their places where sizes are equal."""
    return np.array(
        [
            sum(other < size for other in sizes)
            + (1 + sum(other == size for other in sizes)) / 2
            for size in sizes
        ]
    )


def enumerate_flips(difference, zero_method):
    """Statistic and P(W+ >= statistic) over all signs of the differences."""
    sizes = np.abs(difference)
    if zero_method == "wilcox":
        difference, sizes = difference[difference != 0], sizes[sizes > 0]
    ranks = mid_ranks(sizes.tolist())
    free = np.flatnonzero(sizes)
    constant = ranks[sizes == 0].sum() / 2 if zero_method == "zsplit" else 0.0
    observed = ranks[difference > 0].sum() + constant
    sums = [
        sum(ranks[i] for i, positive in zip(free, signs, strict=True) if positive)
        + constant
        for signs in itertools.product([False, True], repeat=free.size)
    ]
    return observed, np.mean([total >= observed - 1e-9 for total in sums])


SAMPLES = [
    [0.0, 0.0, 1.0, -1.0, 2.0, 2.0, 2.0, -3.0, 5.0],
    [0.0, -1.0, -1.0, 1.0, -4.0, 0.5, 0.5],
    [0.0, 0.0, 0.0, 3.0],
    [-2.0, 0.0, 0.0, -2.0],
    [1.0, 1.0, 1.0, 1.0, -1.0, 0.0, 7.0, -7.0, 7.0, 0.0],
]


@pytest.mark.parametrize("sample", SAMPLES)
@each_zero_method
def test_exact_p_with_zeros_and_ties_by_brute_force(sample, zero_method):
    difference = np.array(sample)
    result = stats.wilcoxon_greater(
        difference, np.zeros(difference.size), method="exact", zero_method=zero_method
    )
    statistic, p_value = enumerate_flips(difference, zero_method)
    close(result.statistic, statistic)
    close(result.p_value, p_value)


@each_zero_method
@pytest.mark.parametrize("method", ["auto", "exact", "asymptotic"])
def test_equal_arms_have_p_1(zero_method, method):
    result = stats.wilcoxon_greater(
        np.ones(15), np.ones(15), method=method, zero_method=zero_method
    )
    assert (result.p_value, result.num_zeros, result.has_ties) == (1.0, 15, False)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_equal_infinities_are_a_zero_difference():
    result = stats.wilcoxon_greater([np.inf, 2.0, -np.inf], [np.inf, 1.0, -np.inf])
    assert (result.p_value, result.num_zeros) == (0.5, 2)


def test_describe_says_how_p_was_obtained():
    sample = [3.0, 1.0, 1.0, 0.0]
    result = stats.wilcoxon_greater(sample, np.zeros(4), zero_method="pratt")
    text = result.describe()
    assert text == "exact, 4 pairs, mid-ranks for ties, 1 zero ranked, then dropped"


PAIRED = [
    stats.wilcoxon_greater,
    stats.rank_biserial,
    stats.mean_difference_interval,
]


@pytest.mark.parametrize("function", PAIRED)
@pytest.mark.parametrize(
    ("sparse", "dense"),
    [
        ([1.0, 2.0], [1.0]),
        ([[1.0, 2.0]], [[1.0, 2.0]]),
        ([], []),
        (np.array(1.0), np.array(1.0)),
    ],
)
def test_arrays_that_do_not_pair_up_are_refused(function, sparse, dense):
    with pytest.raises(UserError, match=r"sparse has shape .* and dense"):
        function(sparse, dense)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"method": "exakt"}, "'exakt'.*Did you mean 'exact'"),
        ({"zero_method": "prat"}, "'prat'.*Did you mean 'pratt'"),
    ],
)
def test_unknown_options_are_refused_with_a_suggestion(option, message):
    with pytest.raises(UserError, match=message):
        stats.wilcoxon_greater([1.0], [0.0], **option)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        # Ranks 3, 1, 2: (3 + 2 - 1) / 6.
        ([3.0, -1.0, 2.0], 2 / 3),
        ([1.0, 2.0], 1.0),
        ([-1.0, -2.0], -1.0),
        ([0.0, 0.0], 0.0),
        # Mid-ranks 1.5, 1.5, 3 without the zero: (1.5 - 1.5 - 3) / 6.
        ([1.0, 0.0, -1.0, -2.0], -0.5),
    ],
)
def test_rank_biserial_by_hand(difference, expected):
    effect = stats.rank_biserial(difference, np.zeros(len(difference)))
    close(effect, expected)


def test_the_interval_holds_the_mean_and_is_the_same_every_time():
    rng = np.random.default_rng(0)
    sparse, dense = rng.normal(0.5, 1, 15), rng.normal(0, 1, 15)
    mean, low, high = stats.mean_difference_interval(sparse, dense)
    assert stats.mean_difference_interval(sparse, dense) == (mean, low, high)
    close(mean, np.mean(sparse - dense))
    assert low < mean < high
    other = stats.mean_difference_interval(sparse, dense, seed=1)
    assert other[0] == mean
    assert other[1:] != (low, high)
    # Near the normal interval; the bootstrap's is narrower at 15 pairs.
    half = 1.96 * np.std(sparse - dense) / np.sqrt(15)
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.2 * half)


def test_more_confidence_is_a_wider_interval():
    sparse, dense = np.arange(15.0) ** 2, np.arange(15.0)
    ends = [
        stats.mean_difference_interval(sparse, dense, confidence=c)[1:]
        for c in (0.5, 0.9, 0.99)
    ]
    widths = [high - low for low, high in ends]
    assert widths == sorted(widths)
    assert len(set(widths)) == 3


@pytest.mark.parametrize("pairs", [1, 4])
def test_a_constant_difference_has_an_interval_of_one_point(pairs):
    sparse = np.arange(pairs) + 2.0
    interval = stats.mean_difference_interval(sparse, np.arange(pairs))
    assert interval == (2.0, 2.0, 2.0)


KENDALL = [
    "monotone",
    "antitone",
    "noisy",
    "ties_both",
    "ties_one",
    "constant",
    "n2",
    "n11_epochs",
    "nan",
    "inf_gradient_norm",
]


def test_all_kendall_cases_are_tested(reference):
    assert reference("kendall")["case_names"].tolist() == KENDALL


@pytest.mark.parametrize("case", KENDALL)
def test_kendall_is_tau_b(reference, case):
    file = reference("kendall")
    x, y = file[f"{case}/x"], file[f"{case}/y"]
    (tau,) = stats.kendall_taus(x[None], y[None])
    close(tau, file[f"{case}/tau_b"])
    close(stats.mean_absolute_kendall(x[None], y[None]), np.abs(tau))


def tau_b_by_counting(x, y):
    """Concordant less discordant pairs over the root of the untied pairs."""
    pairs = list(itertools.combinations(range(len(x)), 2))
    in_x = np.array([np.sign(x[i] - x[j]) for i, j in pairs])
    in_y = np.array([np.sign(y[i] - y[j]) for i, j in pairs])
    return (in_x @ in_y) / np.sqrt((in_x**2).sum() * (in_y**2).sum())


@pytest.mark.parametrize("case", ["noisy", "ties_both", "ties_one", "n11_epochs"])
def test_kendall_by_counting_pairs(reference, case):
    file = reference("kendall")
    x, y = file[f"{case}/x"], file[f"{case}/y"]
    (tau,) = stats.kendall_taus(x[None], y[None])
    close(tau, tau_b_by_counting(x, y))


def test_mean_absolute_kendall_takes_sizes_before_the_mean(reference):
    file = reference("kendall")
    value = stats.mean_absolute_kendall(file["group/gf"], file["group/loss"])
    close(value, file["group/mean_abs_tau"])
    assert abs(value - file["group/abs_of_mean_tau"]) > 0.1
    assert abs(value - file["group/abs_tau_pooled"]) > 0.1


def test_series_without_a_tau_are_left_out(reference):
    file = reference("kendall")
    measure, metric = file["group/gf"], file["group/loss"]
    broken = metric[:1].copy()
    broken[0, 3] = np.nan
    measures = np.concatenate([measure, np.ones_like(measure[:1]), measure[:1]])
    metrics = np.concatenate([metric, metric[:1], broken])
    assert np.isnan(stats.kendall_taus(measures, metrics)).tolist() == (
        [False] * len(measure) + [True, True]
    )
    close(stats.mean_absolute_kendall(measures, metrics), file["group/mean_abs_tau"])


def test_no_tau_at_all_gives_nan():
    assert np.isnan(stats.mean_absolute_kendall(np.ones((2, 5)), np.ones((2, 5))))


@pytest.mark.parametrize("shapes", [((5,), (5,)), ((2, 5), (5, 2)), ((2, 5), (2, 4))])
def test_tables_of_different_shapes_are_refused(shapes):
    with pytest.raises(UserError, match=r"\[cells, members\]"):
        stats.kendall_taus(*(np.ones(shape) for shape in shapes))


def test_holm_by_hand():
    corrected = stats.holm([0.03, 0.001, np.nan, 0.02, 0.9])
    # Sorted 0.001, 0.02, 0.03, 0.9 times 4, 3, 2, 1: 0.004, 0.06, 0.06, 0.9.
    np.testing.assert_allclose(corrected, [0.06, 0.004, np.nan, 0.06, 0.9])
    np.testing.assert_allclose(stats.holm([0.6, 0.7]), [1, 1])
    assert stats.holm([]).size == 0
    assert np.isnan(stats.holm([np.nan])).all()


def test_the_interval_of_a_mean_correlation_by_hand():
    measure = [[1, 2, 3], [1, 2, 3], [1, 1, 1]]
    metric = [[1, 2, 3], [3, 1, 2], [1, 2, 3]]
    mean, low, high = stats.mean_absolute_kendall_interval(measure, metric)
    # Cells with |tau| 1 and 1/3 and one without: resamples of two.
    assert mean == pytest.approx(2 / 3)
    assert (low, high) == pytest.approx((1 / 3, 1))
    mean, low, high = stats.mean_absolute_kendall_interval(measure[:1], metric[:1])
    assert mean == pytest.approx(1)
    assert np.isnan([low, high]).all()


def test_the_interval_of_a_mean_correlation_narrows_with_less_confidence():
    measure = [[1, 2, 3]] * 4
    metric = [[1, 2, 3], [1, 2, 3], [3, 1, 2], [3, 1, 2]]
    interval = stats.mean_absolute_kendall_interval
    # A resample holds 0 to 4 cells of 1, as four coins fall: 1/16 have none, 1/16 all.
    assert interval(measure, metric)[1:] == pytest.approx((1 / 3, 1))
    assert interval(measure, metric, confidence=0.8)[1:] == pytest.approx(
        (1 / 2, 5 / 6)
    )


def test_equal_correlations_have_an_interval_of_one_point():
    interval = stats.mean_absolute_kendall_interval([[1, 2, 3]] * 2, [[3, 1, 2]] * 2)
    assert interval == pytest.approx((1 / 3, 1 / 3, 1 / 3))


SHARES = [
    # Equal in exact arithmetic, not as floats: 0.025 and 0.05 each twice; 0.1 + 0.2.
    ([0.5, 0.825, 0.375, 0.5], [0.525, 0.775, 0.325, 0.55]),
    ([0.1 + 0.2, 0.9, 0.8], [0.3, 0.7, 0.7]),
]


@pytest.mark.parametrize("pairs", SHARES)
@each_zero_method
def test_rounding_hides_neither_ties_nor_zeros(pairs, zero_method):
    whole = [np.rint(1000 * np.array(arm)) for arm in pairs]
    found = stats.wilcoxon_greater(*pairs, zero_method=zero_method)
    assert found == stats.wilcoxon_greater(*whole, zero_method=zero_method)
    assert stats.rank_biserial(*pairs) == stats.rank_biserial(*whole)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_shares_of_355_are_ranked_as_their_counts(dtype):
    rng = np.random.default_rng(0)
    for _ in range(100):
        counts = rng.integers(320, 355, (2, 15))
        shares = (counts / 355).astype(dtype)
        assert stats.wilcoxon_greater(*shares) == stats.wilcoxon_greater(*counts)


def test_changes_of_shares_are_snapped_with_the_size_of_the_shares():
    rng = np.random.default_rng(1)
    for _ in range(50):
        counts = rng.integers(320, 355, (4, 15))
        a, b, c, d = 100 * counts / 355
        snapped = stats.snapped((a - b) - (c - d), 100)
        whole = (counts[0] - counts[1]) - (counts[2] - counts[3])
        zeros = np.zeros(15)
        found, wanted = (
            stats.wilcoxon_greater(values, zeros)._replace(statistic=0)
            for values in (snapped, whole)
        )
        assert found == wanted


def test_different_sizes_stay_different():
    values = np.array([1.0, 1 + 1e-12, -(1 + 2e-12), 1e-300])
    np.testing.assert_array_equal(stats.snapped(values, np.abs(values)), values)
    np.testing.assert_array_equal(stats.snapped([1e-16, -np.inf], 1.0), [0, -np.inf])


@each_zero_method
def test_no_p_is_above_1(zero_method):
    lost = -np.arange(1.0, 71)
    found = stats.wilcoxon_greater(lost, np.zeros(70), zero_method=zero_method)
    assert found.p_value == 1.0


def test_many_pairs_are_approximated_unless_asked_for():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, stats.EXACT_PAIRS + 1))
    auto, exact = (stats.wilcoxon_greater(x, y, method=m) for m in ("auto", "exact"))
    assert (auto.method, exact.method) == ("asymptotic", "exact")
    assert abs(auto.p_value - exact.p_value) < 1e-3
    assert stats.wilcoxon_greater(x[1:], y[1:]).method == "exact"


def test_missing_values_are_named():
    found = stats.wilcoxon_greater([0.5, np.nan, 0.7], [0.4, 0.5, np.nan])
    assert np.isnan(found.p_value)
    assert found.describe() == "no test: 2 of 3 pairs have no value"


@pytest.mark.parametrize("value", [2.0, -0.1])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(UserError, match=r"each must be in 0..1"):
        stats.holm([0.5, value])


@pytest.mark.parametrize("confidence", [-1, 0, 1, 95])
def test_what_is_no_coverage_is_refused(confidence):
    with pytest.raises(UserError, match="confidence is"):
        stats.mean_difference_interval([1.0, 2.0], [0.0, 0.5], confidence=confidence)
