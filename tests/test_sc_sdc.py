"""The two arms of a cell: counts, pairing, and padded against narrow networks."""

import dataclasses

import jax
import numpy as np
import pytest

from sparse_gf import budgets, data, ensemble, masks, optimizers, sc_sdc, train, tree
from sparse_gf.specs import CellSpec, OptimizerSpec, RunSpec

EPOCHS = 2


@pytest.fixture(scope="module")
def digits():
    """300 + 100 digits: four steps an epoch and a ragged last batch."""
    full = data.load("digits")
    return dataclasses.replace(
        full,
        train_images=full.train_images[:300],
        train_labels=full.train_labels[:300],
        test_images=full.test_images[:100],
        test_labels=full.test_labels[:100],
    )


@pytest.fixture
def quick_compile():
    """Compiles without optimising: these tests compile more than they compute."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def small_cell(optimizer="adam", **changes):
    settings = {
        "dense_widths": (30,),
        "seeds": (4, 7),
        "hidden_layers": 2,
        "epochs": EPOCHS,
        "batch_size": 64,
        "measurements": EPOCHS,
        "dtype": "float64",
        "optimizer": OptimizerSpec(optimizer, learning_rate=0.01),
    }
    return CellSpec(**settings | changes)


def train_group(cell, group, dataset):
    """The states after every epoch and the history of one group."""
    programs = sc_sdc.programs(cell, group.width)
    device_data = ensemble.to_device(dataset, cell.dtype)
    measured = train.measured_epochs(cell.epochs, cell.measurements)
    members = sc_sdc.members(cell, group)
    shapes = ensemble.shapes(programs, group.seeds, members, device_data, len(measured))
    start = ensemble.begin(programs, group.seeds, members, shapes)
    states = [jax.device_get(start.state)]
    end = ensemble.fit(
        programs,
        group.seeds,
        device_data,
        start,
        measured,
        lambda progress: states.append(jax.device_get(progress.state)),
    )
    return states, end.history


def assert_padded_equals_narrow(cell, dataset):
    (padded,) = sc_sdc.plan(cell, RunSpec(dense_arm="padded"))
    narrow = [
        group
        for group in sc_sdc.plan(cell, RunSpec(dense_arm="narrow"))
        if group.networks[0][0] == "dense"
    ]
    wide_states, wide_history = train_group(cell, padded, dataset)
    for group in narrow:
        column = padded.networks.index(group.networks[0])
        states, history = train_group(cell, group, dataset)
        for wide_state, state in zip(wide_states, states, strict=True):
            cut = jax.tree.map(
                lambda wide, n, at=column: wide[:, at][
                    tuple(slice(size) for size in n[:, 0].shape)
                ],
                wide_state,
                state,
            )
            own = jax.tree.map(lambda x: x[:, 0], state)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10),
                (cut.params, cut.batch_stats),
                (own.params, own.batch_stats),
            )
        ours, theirs = (
            jax.tree.map(lambda x, at=at: x[:, :, at], h)
            for h, at in ((wide_history, column), (history, 0))
        )
        for name in ("loss", "egf1", "egf2", "gf1_masked", "gf2_masked"):
            np.testing.assert_allclose(
                getattr(ours.flow, name), getattr(theirs.flow, name), rtol=1e-7
            )
        np.testing.assert_array_equal(ours.test.num_correct, theirs.test.num_correct)
        np.testing.assert_allclose(theirs.flow.gf2, theirs.flow.gf2_masked)


@pytest.mark.parametrize("optimizer", sorted(optimizers.NAMES))
def test_padded_dense_network_equals_the_narrow_one(
    x64, quick_compile, digits, optimizer
):
    assert_padded_equals_narrow(small_cell(optimizer, variant="L2_BN"), digits)


@pytest.mark.parametrize(
    ("variant", "activation"),
    [("DA_L2_SC_BN", "srelu"), ("L1_DO", "sigmoid"), ("SC", "prelu"), ("NR", "pswish")],
)
def test_padded_equals_narrow_with_other_layers(
    x64, quick_compile, digits, variant, activation
):
    cell = small_cell(variant=variant, activation=activation)
    assert_padded_equals_narrow(cell, digits)


def test_layer_norm_is_never_padded():
    cell = small_cell(variant="LN", dense_widths=(9, 30), dtype="float32")
    groups = sc_sdc.plan(cell, RunSpec(dense_arm="padded"))
    assert [group.width for group in groups] == [68, 9, 30]


@pytest.mark.parametrize("hidden_layers", [1, 2, 4])
def test_both_arms_have_the_same_counts_at_every_epoch(digits, hidden_layers):
    cell = small_cell(
        dtype="float32", hidden_layers=hidden_layers, dense_widths=(9, 30)
    )
    (group,) = sc_sdc.plan(cell, RunSpec())
    states, _ = train_group(cell, group, digits)
    for state in states:
        for column, (_, width) in enumerate(group.networks):
            expected = budgets.mlp_num_active(64, width, hidden_layers, 10)
            for row in range(len(group.seeds)):
                own = jax.tree.map(lambda x, at=(row, column): x[at], state)
                assert tuple(masks.num_active(own.masks).values()) == expected
                assert_masked_are_zero(own)


def assert_masked_are_zero(state):
    for path, mask in tree.kernels(state.masks).items():
        masked = tree.kernels(state.params)[path][~mask]
        # Bit for bit: -0.0 is not 0.0.
        assert not masked.view(np.uint32).any()


def test_networks_differ_in_mask_and_weights_by_seed_width_and_arm():
    cell = small_cell(dtype="float32", dense_widths=(9, 30))
    (group,) = sc_sdc.plan(cell, RunSpec())
    programs = sc_sdc.programs(cell, group.width)
    state = programs.init(np.array(group.seeds), sc_sdc.members(cell, group))
    kernel = np.asarray(state.params["Dense_1"]["kernel"])
    mask = np.asarray(state.masks["Dense_1"]["kernel"])
    kernels = kernel.reshape(-1, *kernel.shape[2:])
    active = [k[m] for k, m in zip(kernels, mask.reshape(kernels.shape), strict=True)]
    for i, first in enumerate(active):
        for second in active[i + 1 :]:
            # Some float32 numbers coincide by chance.
            assert np.isin(first, second).mean() < 0.01
    sparse = [i for i, (arm, _) in enumerate(group.networks) if arm == "sparse"]
    assert not (mask[0, sparse[0]] == mask[1, sparse[0]]).all()


def test_pairs_draw_their_weights_from_the_dense_distribution():
    cell = small_cell(
        dtype="float32",
        dense_widths=(60,),
        seeds=tuple(range(20)),
        hidden_layers=3,
    )
    (group,) = sc_sdc.plan(cell, RunSpec())
    state = sc_sdc.programs(cell, 68).init(
        np.array(group.seeds), sc_sdc.members(cell, group)
    )
    for path, fan_in in {"Dense_0": 64, "Dense_1": 60, "Dense_3": 60}.items():
        for column in range(2):
            mask = state.masks[path]["kernel"][:, column]
            weights = np.asarray(state.params[path]["kernel"][:, column][mask])
            # He normal; the standard error of a variance is sqrt(2 / n) of it.
            ratio = weights.var() / (2 / fan_in)
            assert abs(ratio - 1) < 5 * np.sqrt(2 / weights.size)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 30])
def test_chunks_hold_every_network_once(limit):
    cell = small_cell(seeds=(0, 1, 2), dense_widths=(9, 30), dtype="float32")
    groups = sc_sdc.plan(cell, RunSpec(networks_per_program=limit))
    found = sorted(
        (arm, width, seed)
        for group in groups
        for arm, width in group.networks
        for seed in group.seeds
    )
    assert found == sorted(
        (arm, width, seed)
        for arm in ("sparse", "dense")
        for width in cell.dense_widths
        for seed in cell.seeds
    )
    assert max(group.size for group in groups) <= limit
    assert len({group.name for group in groups}) == len(groups)


def test_a_16_gb_accelerator_holds_a_part_of_a_cifar_cell(monkeypatch):
    monkeypatch.setattr(ensemble, "device_memory", lambda: 16 * 2**30)
    cell = CellSpec(dataset="cifar10")
    weights = 3072 * 3076 + 3 * 3076**2 + 3076 * 10
    for group in sc_sdc.plan(cell, RunSpec()):
        if group.width == 3076:
            # Adam: params, gradients and two moments in float32, and the mask.
            assert group.size * weights * 17 < 0.6 * 16 * 2**30
            assert group.size > 1


def test_group_names_fit_a_file_system_whatever_the_seeds():
    cell = small_cell(seeds=tuple(range(10**9, 10**9 + 300)), dtype="float32")
    (group,) = sc_sdc.plan(cell, RunSpec(networks_per_program=10**6))
    assert len(group.name) < 64


@pytest.mark.parametrize("arm", ["sparse", "dense"])
def test_making_networks_needs_little_more_memory_than_having_them(arm):
    """The networks themselves, and the random numbers of one of them."""
    cell = CellSpec(dataset="fashion_mnist", dense_widths=(79, 236), epochs=1)
    group = next(g for g in sc_sdc.plan(cell, RunSpec()) if g.networks[0] == (arm, 79))
    init = sc_sdc.programs(cell, group.width).init
    plan = init.lower(
        np.array(group.seeds, np.int32), sc_sdc.members(cell, group)
    ).compile()
    memory = plan.memory_analysis()
    one = 4 * (784 * 788 + 3 * 788**2 + 788 * 10)
    # Three networks drawn at once would need three times as much.
    assert memory.temp_size_in_bytes < memory.output_size_in_bytes + 12 * one
