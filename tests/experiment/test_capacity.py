"""The two arms of a cell: counts, pairing, and padded against narrow networks."""

import dataclasses

import jax
import numpy as np
import pytest

from sparse_gf import budgets, data, ensemble, masks, training
from sparse_gf.core import tree
from sparse_gf.experiment import capacity, members
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec

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
    return CapacitySpec(**settings | changes)


def train_chunk(cell, chunk, dataset):
    """The states [networks, ...] after every epoch and the history, per group."""
    networks = capacity.ensemble_of(cell, chunk)
    device_data = ensemble.to_device(dataset, cell.dtype)
    measured = training.measured_epochs(cell.epochs, cell.measurements)
    shapes = ensemble.prepare(networks, device_data, len(measured))
    start = ensemble.begin(networks, device_data, shapes)
    states = [jax.device_get(start.state)]
    end = ensemble.fit(
        networks,
        device_data,
        start,
        measured,
        lambda progress: states.append(jax.device_get(progress.state)),
    )
    return states, end.history


ACCELERATOR = ensemble.Machine(memory=2**50, devices=1, one_by_one=False)


def assert_padded_equals_narrow(cell, dataset, machine=None):
    (padded,) = capacity.plan(cell, RunSpec(dense_arm="padded"))
    (narrow,) = capacity.plan(cell, RunSpec(dense_arm="narrow"), machine=machine)
    (everything,) = padded
    wide_states, (wide_history,) = train_chunk(cell, padded, dataset)
    states, histories = train_chunk(cell, narrow, dataset)
    # The first group is the sparse arm.
    for number, group in list(enumerate(narrow))[1:]:
        first = everything.networks.index(group.networks[0])
        columns = slice(first, first + group.size)
        assert everything.networks[columns] == group.networks
        for (wide_state,), state in zip(wide_states, states, strict=True):
            own = state[number]
            cut = jax.tree.map(
                lambda wide, n, at=columns: wide[at][tuple(map(slice, n.shape))],
                wide_state,
                own,
            )
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10),
                (cut.params, cut.batch_stats),
                (own.params, own.batch_stats),
            )
        ours = jax.tree.map(lambda x, at=columns: x[:, at], wide_history)
        theirs = histories[number]
        for name in ("loss", "egf1", "egf2", "gf1_masked", "gf2_masked"):
            np.testing.assert_allclose(
                getattr(ours.flow, name), getattr(theirs.flow, name), rtol=1e-7
            )
        np.testing.assert_array_equal(ours.test.num_correct, theirs.test.num_correct)
        if machine is None:
            np.testing.assert_allclose(theirs.flow.gf2, theirs.flow.gf2_masked)


# Optimizers go entry by entry, whatever the layers, and leave masked entries where they
# are: see their tests. Each is paired with other layers.
PADDED = {
    "adam": ("L1_DO", "sigmoid"),
    "adagrad": ("NR", "pswish"),
    "momentum": ("L2_BN", "prelu_shared"),
    "rmsprop": ("SC", "prelu"),
    "sgd": ("DA_L2_SC_BN", "srelu"),
}


@pytest.mark.parametrize(
    "optimizer",
    [
        # One in the quick tests: it is the strongest test of the pipeline.
        "adam",
        pytest.param("momentum", marks=pytest.mark.thorough),
        pytest.param("sgd", marks=pytest.mark.thorough),
        pytest.param("adagrad", marks=pytest.mark.exhaustive),
        pytest.param("rmsprop", marks=pytest.mark.exhaustive),
    ],
)
def test_padded_dense_network_equals_the_narrow_one(x64, digits, optimizer):
    variant, activation = PADDED[optimizer]
    cell = small_cell(
        optimizer,
        variant=variant,
        activation=activation,
        hidden_layers=2 if optimizer == "adam" or "SC" in variant else 1,
        penalise_activations=activation == "prelu_shared",
    )
    # One of them as accelerators store narrow networks, at 32 units for 30.
    machine = ACCELERATOR if optimizer == "sgd" else None
    assert_padded_equals_narrow(cell, digits, machine)


def test_accelerators_store_narrow_networks_at_multiples_of_16():
    widths = (16, 17, 30, 67)
    for variant, expected in (("BN", [16, 32, 32, 68]), ("LN", list(widths))):
        cell = small_cell(variant=variant, dense_widths=widths, dtype="float32")
        run = RunSpec(dense_arm="narrow")
        (chunk,) = capacity.plan(cell, run, machine=ACCELERATOR)
        assert [group.width for group in chunk[1:]] == expected
        (here,) = capacity.plan(cell, run)
        assert [group.width for group in here[1:]] == list(widths)


def test_layer_norm_is_never_padded():
    cell = small_cell(variant="LN", dense_widths=(9, 30), dtype="float32")
    (chunk,) = capacity.plan(cell, RunSpec(dense_arm="padded"))
    assert [group.width for group in chunk] == [68, 9, 30]


@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_both_arms_have_the_same_counts_at_every_epoch(digits, hidden_layers):
    cell = small_cell(
        dtype="float32", hidden_layers=hidden_layers, dense_widths=(9, 30)
    )
    (chunk,) = capacity.plan(cell, RunSpec())
    states, _ = train_chunk(cell, chunk, digits)
    for (state,) in states:
        for number, (_, width, _) in enumerate(chunk[0].networks):
            expected = budgets.mlp_num_active(64, width, hidden_layers, 10)
            own = jax.tree.map(lambda x, at=number: x[at], state)
            assert tuple(masks.num_active(own.masks).values()) == expected
            assert_masked_are_zero(own)


def assert_masked_are_zero(state):
    for path, mask in tree.kernels(state.masks).items():
        masked = tree.kernels(state.params)[path][~mask]
        # Bit for bit: -0.0 is not 0.0.
        assert not masked.view(np.uint32).any()


def make_networks(cell):
    """The padded networks of a cell before the first step, and which they are."""
    (chunk,) = capacity.plan(cell, RunSpec(dense_arm="padded"))
    networks = capacity.ensemble_of(cell, chunk)
    (group,) = networks.groups
    on_device = ensemble.to_device(data.load("digits"), cell.dtype)
    init = jax.jit(networks.init)
    states = [
        init(seed, jax.tree.map(lambda x, n=n: x[n], group.members), on_device)
        for n, seed in enumerate(group.seeds)
    ]
    stacked = jax.tree.map(lambda *x: np.stack(x), *jax.device_get(states))
    return chunk[0].networks, stacked


def test_networks_differ_in_mask_and_weights_by_seed_width_and_arm():
    networks, state = make_networks(small_cell(dtype="float32", dense_widths=(9, 30)))
    kernels = state.params["Dense_1"]["kernel"]
    mask = state.masks["Dense_1"]["kernel"]
    active = [k[m] for k, m in zip(kernels, mask, strict=True)]
    for i, first in enumerate(active):
        for second in active[i + 1 :]:
            # Some float32 numbers coincide by chance.
            assert np.isin(first, second).mean() < 0.01
    assert [(arm, width) for arm, width, _ in networks[:2]] == [("sparse", 9)] * 2
    assert not (mask[0] == mask[1]).all()


def test_pairs_draw_their_weights_from_the_dense_distribution():
    cell = small_cell(
        dtype="float32",
        dense_widths=(60,),
        seeds=tuple(range(20)),
        hidden_layers=3,
    )
    networks, state = make_networks(cell)
    arms = np.array([arm for arm, _, _ in networks])
    for path, fan_in in {"Dense_0": 64, "Dense_1": 60, "Dense_3": 60}.items():
        for arm in capacity.ARMS:
            mask = state.masks[path]["kernel"][arms == arm]
            weights = state.params[path]["kernel"][arms == arm][mask]
            # He normal; the standard error of a variance is sqrt(2 / n) of it.
            ratio = weights.var() / (2 / fan_in)
            assert abs(ratio - 1) < 5 * np.sqrt(2 / weights.size)


def all_networks(cell):
    return sorted(
        (arm, width, seed)
        for arm in capacity.ARMS
        for width in cell.dense_widths
        for seed in cell.seeds
    )


@pytest.mark.parametrize("dense_arm", ["padded", "narrow"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 30])
def test_chunks_hold_every_network_once(limit, dense_arm):
    cell = small_cell(seeds=(0, 1, 2), dense_widths=(9, 30), dtype="float32")
    options = RunSpec(networks_per_program=limit, dense_arm=dense_arm)
    chunks = capacity.plan(cell, options)
    found = [n for chunk in chunks for group in chunk for n in group.networks]
    assert sorted(found) == all_networks(cell)
    assert max(sum(group.size for group in chunk) for chunk in chunks) <= limit
    assert len({members.name(chunk) for chunk in chunks}) == len(chunks)


def test_parts_of_a_group_share_their_programs():
    """Also when a limit does not divide the group: 6 sparse networks, 4 at once."""
    cell = small_cell(seeds=(0, 1, 2), dense_widths=(9, 30), dtype="float32")
    options = RunSpec(networks_per_program=4, dense_arm="narrow")
    chunks = capacity.plan(cell, options)
    sizes = [[(group.width, group.size) for group in chunk] for chunk in chunks]
    assert sizes == [[(68, 3)], [(68, 3)], [(9, 3)], [(30, 3)]]


def test_small_groups_are_trained_together():
    cell = small_cell(seeds=(0, 1, 2), dense_widths=(9, 30), dtype="float32")
    (chunk,) = capacity.plan(cell, RunSpec(dense_arm="narrow"))
    assert [(group.width, group.size) for group in chunk] == [(68, 6), (9, 3), (30, 3)]


def test_a_16_gb_accelerator_holds_a_part_of_a_cifar_cell(monkeypatch):
    monkeypatch.setattr(ensemble, "device_memory", lambda: 16 * 2**30)
    cell = CapacitySpec(dataset="cifar10")
    chunks = capacity.plan(cell, RunSpec())
    for chunk in chunks:
        needed = 0
        for group in chunk:
            weights = 3072 * group.width + 3 * group.width**2 + group.width * 10
            # Adam: params, gradients and two moments in float32, and the mask.
            needed += group.size * weights * 17
        assert needed < 0.6 * 16 * 2**30
    assert max(group.size for chunk in chunks for group in chunk) > 1
    # What is compiled: one program to make networks, two for each kind of chunk.
    kinds = {tuple((group.width, group.size) for group in chunk) for chunk in chunks}
    assert 1 + 2 * len(kinds) <= 7


SPARSE, DENSE = (members.Group(tuple(range(n)), w) for n, w in ((12, 9), (4, 5)))


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        # The estimate holds 5 at once; the compiler finds that more fit, or fewer.
        (16, [[12, 4]]),
        (12, [[12], [4]]),
        (6, [[6], [6], [4]]),
        (1, [[1]] * 16),
    ],
)
def test_a_plan_follows_what_the_compiler_says(monkeypatch, limit, sizes):
    asked = []

    def planned_bytes(networks, data):
        asked.append(sum(group.size for group in networks))
        return 80 if asked[-1] <= limit else 100

    monkeypatch.setattr(ensemble, "device_memory", lambda: 100)
    monkeypatch.setattr(ensemble, "one_by_one", lambda: False)
    monkeypatch.setattr(ensemble, "planned_bytes", planned_bytes)
    monkeypatch.setattr(members, "need", lambda own, group, there: 16 * group.size)
    own = (SPARSE, DENSE), RunSpec(), lambda group: None, lambda own: own
    plan = members.plan(*own, data="on the devices")
    assert [[group.size for group in part] for part in plan] == sizes
    assert len(asked) <= 3
    estimate = members.plan(*own, None)
    assert max(group.size for part in estimate for group in part) == 4


def test_halves_are_all_of_a_chunk_until_a_device_has_one_network():
    left, right = members.halves((SPARSE, DENSE, DENSE))
    assert left == ((0, slice(None)),)
    assert members.taken((SPARSE, DENSE, DENSE), right) == (DENSE, DENSE)
    odd = members.Group((1, 2, 3, 4, 5), 9)
    parts = [members.taken((odd,), cut)[0].networks for cut in members.halves((odd,))]
    assert parts == [(1, 2, 3), (4, 5)]
    assert members.halves((members.Group((1,), 9),)) == ()


def test_chunk_names_fit_a_file_system_whatever_the_seeds():
    cell = small_cell(seeds=tuple(range(10**9, 10**9 + 300)), dtype="float32")
    (chunk,) = capacity.plan(cell, RunSpec(networks_per_program=10**6))
    assert len(members.name(chunk)) < 64


def test_making_networks_needs_memory_for_one_of_them():
    cell = CapacitySpec(dataset="fashion_mnist", dense_widths=(79, 236), epochs=1)
    (chunk,) = capacity.plan(cell, RunSpec())
    networks = capacity.ensemble_of(cell, chunk)
    sparse = networks.groups[0]
    image, label = np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.int32)
    one, unused = np.ones(1, np.float32), (image, label, image, label)
    program = networks.programs.init.compiled(
        sparse.seeds, sparse.members, training.Data(*unused, one, one)
    )
    memory = program.memory_analysis()
    assert len(sparse.seeds) == 6
    # Random numbers for weights and masks, the latter sorted, twice a state in all:
    # twelve states if all networks were drawn at once.
    assert memory.temp_size_in_bytes < 4 * memory.output_size_in_bytes / 6
