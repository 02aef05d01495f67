"""Networks of one model under masks: whole cells, on digits."""

import dataclasses
import functools
import itertools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from sparse_gf import (
    data,
    ensemble,
    experiment,
    losses,
    masks,
    results,
    scores,
    specs,
    training,
)
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.data import augment
from sparse_gf.experiment import Monitor, masked
from sparse_gf.reporting import cell_folder, densities
from sparse_gf.specs import MaskedSpec, MaskSpec, RunSpec, ScheduleSpec
from sparse_gf.training import criteria

CELL = MaskedSpec(
    dataset="digits",
    model="mlp_1_20",
    mask=MaskSpec(density=(1.0, 0.2, 0.05)),
    seeds=(0, 3),
    data_augmentation=False,
    train_examples=256,
    test_examples=100,
    epochs=3,
    measurements=2,
)
SIZES = {"Dense_0/kernel": 64 * 20, "Dense_1/kernel": 20 * 10}


def with_mask(**changes):
    return dataclasses.replace(CELL, mask=MaskSpec(**changes))


@functools.cache
def start(cell):
    """The networks of a cell before the first step, by (density, seed)."""
    ((group,),) = masked.plan(cell, RunSpec())
    (own,) = masked.ensemble_of(cell, (group,)).groups
    part = data.stratified(data.load("digits"), cell.train_examples, cell.test_examples)
    on_device = ensemble.to_device(part, cell.dtype)
    init = jax.jit(masked.ensemble_of(cell, (group,)).init)
    return on_device, {
        network: jax.device_get(
            init(
                jnp.int32(own.seeds[place]),
                jax.tree.map(lambda x, at=place: jnp.asarray(x[at]), own.members),
                on_device,
            )
        )
        for place, network in enumerate(group.networks)
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    keep = RunSpec(save_masks=True, save_networks="last")
    return workdir, experiment.run(CELL, keep, workdir)


def test_a_row_per_density_and_seed(finished):
    _, rows = finished
    assert len(rows) == 6
    assert sorted(rows["density"].round(3).unique()) == [0.05, 0.2, 1.0]
    for _, row in rows.iterrows():
        counts = [round(row["density"] * size) for size in SIZES.values()]
        assert list(row["layer_num_active"]) == counts
        assert row["arm"] == ("dense" if row["density"] == 1 else "sparse")
        assert (row["model"], row["mask_method"]) == ("mlp_1_20", "random")
        assert json.loads(row["config"])["mask"]["density"] == [1.0, 0.2, 0.05]


def test_networks_of_a_seed_start_alike_and_their_masks_are_nested():
    _, networks = start(CELL)
    for seed in CELL.seeds:
        dense, some, few = (networks[d, seed] for d in (1.0, 0.2, 0.05))
        for path, kernel in tree.kernels(dense.params).items():
            for sparse in (some, few):
                mask = tree.kernels(sparse.masks)[path]
                own = tree.kernels(sparse.params)[path]
                np.testing.assert_array_equal(own, np.where(mask, kernel, 0))
            inner, outer = (tree.kernels(s.masks)[path] for s in (few, some))
            assert not (inner & ~outer).any()
    first, other = (networks[0.2, seed].masks for seed in CELL.seeds)
    assert any(jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), first, other)))


@pytest.mark.parametrize("method", ["magnitude", "snip_tost", "grasp"])
def test_a_criterion_masks_what_its_score_says(method):
    protocol = criteria.PROTOCOLS[method]
    cell = with_mask(method=method, density=(0.1,), rounds=1)
    on_device, networks = start(cell)
    _, dense = start(with_mask(density=(1.0,)))
    for seed in cell.seeds:
        params = dense[1.0, seed].params
        batches = criteria._batches(protocol, 10, on_device, jnp.int32(seed))

        def loss_fn(params, batches=batches):
            return sum(
                losses.cross_entropy(
                    cell.make_model().apply({"params": params}, images)
                    / protocol.temperature,
                    labels,
                )
                for images, labels in batches
            )

        score = {
            "magnitude": lambda p: scores.magnitude(p),
            "snip": lambda p, loss_fn=loss_fn: scores.snip(loss_fn, p),
            "grasp": lambda p, loss_fn=loss_fn: scores.grasp(loss_fn, p),
        }[protocol.score]
        count = round(0.1 * sum(SIZES.values()))
        kept = jax.jit(lambda p, s=score, c=count: masks.from_scores(s(p), c))(params)
        found = networks[0.1, seed].masks
        agree = jax.tree.map(lambda a, b: np.mean(a == b), found, kept)
        # Not all: scores that are nearly equal are compared after different programs.
        assert min(jax.tree.leaves(agree)) > 0.99


def test_scores_are_computed_on_as_many_images_of_each_class():
    whole = ensemble.to_device(data.load("digits"), "float32")
    protocol = criteria.PROTOCOLS["grasp"]
    first, second = criteria._batches(protocol, 10, whole, jnp.int32(0))
    labels = np.concatenate([first[1], second[1]])
    np.testing.assert_array_equal(labels, np.repeat(np.arange(10), 10))
    # Two halves, class after class, as the authors have it.
    np.testing.assert_array_equal(np.unique(first[1]), np.arange(5))
    images = np.concatenate([first[0], second[0]])
    assert len(np.unique(images.reshape(100, -1), axis=0)) == 100
    other = criteria._batches(protocol, 10, whole, jnp.int32(1))
    assert (np.concatenate([b[0] for b in other]) != images).any()
    known = augment.normalise(whole.train_images, whole.mean, whole.std)
    assert (np.asarray(known)[:, None] == images[None, :1]).all((2, 3, 4)).any()


def test_one_batch_of_images_for_snip():
    whole = ensemble.to_device(data.load("digits"), "float32")
    ((images, _),) = criteria._batches(
        criteria.PROTOCOLS["snip"], 10, whole, jnp.int32(0)
    )
    assert len(images) == 128


@pytest.mark.parametrize(
    "method", ["random", "snip", "synflow", "egf_normalised", "grasp_normalised"]
)
def test_every_criterion_keeps_exactly_as_many_weights_as_asked_for(method):
    _, networks = start(with_mask(method=method, density=(0.1,), rounds=3))
    total = sum(SIZES.values())
    for state in networks.values():
        assert not state.diverged
        counts = masks.num_active(state.masks)
        uniform = criteria.PROTOCOLS[method].distribution == "uniform"
        assert sum(counts.values()) == round(0.1 * total)
        assert (counts == {"Dense_0/kernel": 128, "Dense_1/kernel": 20}) or not uniform
        for path, kernel in tree.kernels(state.params).items():
            assert not kernel[~tree.kernels(state.masks)[path]].any()


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"distribution": "erk", "density": (0.1,)}, None),
        ({"distribution": "2:4", "method": "magnitude"}, (640, 100)),
        ({"num_active": (100, 7)}, (100, 7)),
        ({"density": (0.1,), "dense_layers": ("Dense_1/kernel",)}, (128, 200)),
        (
            {
                "density": (0.1,),
                "distribution": "global",
                "dense_layers": ("Dense_1/kernel",),
            },
            (128, 200),
        ),
    ],
)
def test_budgets_of_a_config(changes, counts):
    _, networks = start(with_mask(**changes))
    for state in networks.values():
        found = tuple(masks.num_active(state.masks).values())
        if counts is None:
            # Shares in the proportions 64 + 20 to 20 + 10.
            counts = tuple(round(148 * share / 114) for share in (84, 30))
        assert found == counts


def test_the_spread_of_active_fans():
    dense = dataclasses.replace(CELL, mask=MaskSpec(density=(0.05,)))
    active = dataclasses.replace(dense, initializer_reference="active")
    (_, wide), (_, own) = start(dense), start(active)
    for path, kernel in tree.kernels(wide[0.05, 0].params).items():
        mask = tree.kernels(own[0.05, 0].masks)[path]
        share = mask.mean()
        found = tree.kernels(own[0.05, 0].params)[path]
        np.testing.assert_allclose(found, kernel / np.sqrt(share), rtol=1e-5)


class Killed(Exception):
    pass


class Killer(Monitor):
    """Ends a run after an epoch."""

    def __init__(self, epoch):
        self._message = f"epoch {epoch}/"

    def progress(self, share, message):
        if share and message.startswith(self._message):
            raise Killed


METHODS = {
    "imp": {"method": "magnitude", "schedule": "imp", "density": (1.0, 0.3, 0.1)},
    "rigl": {"schedule": "rigl", "density": (0.2,), "every": 2},
    "gradual": {
        "method": "magnitude",
        "schedule": "gradual",
        "density": (0.3,),
        "every": 3,
    },
    "one_shot": {"method": "magnitude", "schedule": "one_shot", "density": (0.3,)},
}


@pytest.mark.thorough
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, method):
    cell = dataclasses.replace(CELL, mask=MaskSpec(**METHODS[method]))
    options = RunSpec(checkpoint_seconds=0)
    whole = experiment.run(cell, options, tmp_path / "whole")
    total = masked.measured(cell)[-1]
    for epoch in sorted({2, total - 2, total - 1} - {0}):
        with pytest.raises(Killed):
            experiment.run(cell, options, tmp_path / "killed", Killer(epoch))
    resumed = experiment.run(cell, options, tmp_path / "killed")
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    assert not whole["diverged"].any()


def test_iterative_pruning_gives_a_row_per_round(tmp_path):
    cell = dataclasses.replace(CELL, mask=MaskSpec(**METHODS["imp"]))
    rows = experiment.run(cell, RunSpec(save_masks=True), tmp_path)
    assert masked.measured(cell) == (3, 6, 9)
    assert len(rows) == 3 * 2
    total = sum(SIZES.values())
    expected = sorted(2 * [round(d * total) for d in (1.0, 0.3, 0.1)])
    assert sorted(rows["num_active"]) == expected
    folder = tmp_path / f"digits-{cell.hash}" / "masks"
    for seed in cell.seeds:
        nested = [
            masks.load(folder / f"density_{d:g}_seed_{seed}.npz")[0]
            for d in (1, 0.3, 0.1)
        ]
        for outer, inner in itertools.pairwise(nested):
            lost = jax.tree.map(lambda i, o: bool((i & ~o).any()), inner, outer)
            assert not any(jax.tree.leaves(lost))


def test_masks_that_were_not_kept_are_made_of_networks(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    folder = results.cell_folder(tmp_path, CELL.dataset, CELL.hash) / "masks"
    before = {path.name: masks.read_digest(path) for path in folder.iterdir()}
    shutil.rmtree(folder)
    assert experiment.complete([CELL], RunSpec(save_masks=True), tmp_path) == ""
    assert {p.name: masks.read_digest(p) for p in folder.iterdir()} == before
    assert len(before) == 6


def test_saved_masks_train_again(finished, tmp_path):
    workdir, rows = finished
    folder = workdir / f"digits-{CELL.hash}" / "masks"
    file = str(folder / "density_0.05_seed_{seed}.npz")
    cell = with_mask(file=file)
    assert cell.mask.method == "file"
    again = experiment.run(cell, RunSpec(), tmp_path)
    # The same masks, weights and batches: the same networks.
    same = ["seed", "num_active", "test_accuracy"]
    before = rows[rows["density"].round(3) == 0.05]
    pd.testing.assert_frame_equal(
        again[same].reset_index(drop=True), before[same].reset_index(drop=True)
    )
    _, about = masks.load(folder / "density_0.05_seed_3.npz")
    assert about["model"] == "mlp_1_20"
    assert about["seed"] == 3
    one = with_mask(file=file.replace("{seed}", "0"))
    assert one.hash != cell.hash
    other = dataclasses.replace(one, model="mlp_1_30")
    with pytest.raises(UserError, match=r"not of mlp_1_30.*Dense_0/kernel.*\(64, 20\)"):
        experiment.run(other, RunSpec(), tmp_path)


@pytest.mark.slow
def test_a_convolutional_network_trains_like_the_mlps(tmp_path):
    cell = dataclasses.replace(
        CELL,
        model="wrn_10_1",
        mask=MaskSpec(density=(0.5,)),
        seeds=(0,),
        train_examples=64,
        batch_size=32,
        epochs=2,
        schedule=ScheduleSpec("step", (1,), 0.1),
    )
    rows = experiment.run(cell, RunSpec(), tmp_path)
    assert not rows["diverged"].any()
    layers = list(rows["layers"].iloc[0])
    assert layers[0] == "Stage_0/kernel"
    assert layers[-1] == "Top/kernel"
    assert len(layers) == 10  # Six convolutions in blocks, two shortcuts.
    flow = np.array(rows["egf2"])
    assert np.isfinite(flow).all()
    assert (flow > 0).all()


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", ["wrn_10_1", "mobilenet"])
def test_members_of_convolutional_networks_agree_however_they_are_mapped(x64, model):
    cell = dataclasses.replace(
        CELL,
        dataset="cifar10",
        model=model,
        mask=MaskSpec(density=(0.5, 0.1)),
        seeds=(0,),
        batch_size=4,
        train_examples=0,
        dtype="float64",
    )
    images = jax.random.randint(jax.random.key(0), (8, 32, 32, 3), 0, 256)
    labels = jnp.arange(8) % 10
    some = images.astype(jnp.uint8), labels
    on_device = training.Data(*some, *some, jnp.full(3, 0.5), jnp.ones(3))
    (chunk,) = masked.plan(cell, RunSpec())
    networks = masked.ensemble_of(cell, chunk)
    shapes = ensemble.prepare(networks, on_device, 1)
    begun = ensemble.begin(networks, on_device, shapes)
    states = jax.device_get(begun.state)
    recipes = (networks.groups[0].recipe,)
    seeds, counts = ensemble.seeds_and_counts(networks)
    ends = []
    for mapping in (ensemble.ONE_BY_ONE, ensemble.SIDE_BY_SIDE):
        run = ensemble.programs(recipes, networks.init, mapping)
        ends.append(run.advance(states, on_device, seeds, counts, np.int32(1)))
    one, other = (jax.device_get(end[0].params) for end in ends)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), one, other
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"density": (0.0,)}, r"density is \(0.0,\).*above 0"),
        ({"density": (0.1, 0.1)}, "distinct"),
        ({"density": ()}, "density is empty"),
        ({"method": "snp"}, r"'snp'.*Did you mean 'snip'"),
        ({"schedule": "lth"}, "config.mask.schedule is 'lth'"),
        ({"method": "snip", "schedule": "imp"}, "must be 'magnitude'"),
        (
            {"method": "magnitude", "schedule": "imp", "density": (0.1, 0.5)},
            "it must fall",
        ),
        ({"distribution": "5:4"}, "1 <= N <= M"),
        ({"distribution": "unform"}, "Did you mean 'uniform'"),
        ({"method": "file"}, "config.mask.file is empty"),
        ({"file": "nowhere.npz"}, "nowhere.npz"),
        ({"drop": 1.5}, "config.mask.drop is 1.5"),
    ],
)
def test_wrong_masks_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        with_mask(**changes)


def test_images_too_small_for_vgg_are_refused(tmp_path):
    with pytest.raises(UserError, match="8 x 8 pixels after VGG's five poolings"):
        experiment.run(dataclasses.replace(CELL, model="vgg11"), RunSpec(), tmp_path)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"num_active": (1, 2, 3)}, r"has 3 counts; mlp_1_20 has 2 layers"),
        ({"num_active": (1281, 2)}, r"1281 for Dense_0/kernel.*0..1280"),
        ({"dense_layers": ("Dense_2/kernel",)}, r"dense layer.*Dense_2"),
    ],
)
def test_masks_that_do_not_fit_the_model_are_refused_before_data_is_read(
    tmp_path, monkeypatch, mask, message
):
    monkeypatch.setattr(data, "load", None)
    with pytest.raises(UserError, match=message):
        experiment.run(with_mask(**mask), RunSpec(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "wrn_11_2"}, "6n"),
        ({"model": "resnet19"}, "Did you mean"),
        ({"activation": "rellu"}, "Did you mean 'relu'"),
        ({"norm": "batch"}, "config.norm"),
        ({"schedule": ScheduleSpec("step", (3,))}, r"milestones is \(3,\).*1..2"),
        ({"dataset": "imagefolder"}, "image_size"),
    ],
)
def test_wrong_cells_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(CELL, **changes)


def test_configs_come_back():
    cell = dataclasses.replace(CELL, schedule=ScheduleSpec("step", (1, 2), 0.2))
    run = RunSpec(save_masks=True)
    text = json.loads(json.dumps(specs.to_config(cell, run)))
    again = specs.from_config(text)
    assert again == (cell, run)
    assert again[0].hash == cell.hash


def test_the_config_file_of_a_cell_makes_the_cell_again(finished):
    _, rows = finished
    made = {}
    exec(cell_folder.config_file(rows["config"].iloc[0]), made)
    config = made["get_config"]()
    assert specs.from_config(config)[0] == CELL
    assert config.mask.density == (1.0, 0.2, 0.05)


def test_where_a_mask_file_lies_does_not_name_a_cell(finished, tmp_path):
    workdir, _ = finished
    file = workdir / f"digits-{CELL.hash}" / "masks" / "density_0.2_seed_0.npz"
    copy = tmp_path / "copy.npz"
    copy.write_bytes(file.read_bytes())
    assert with_mask(file=str(file)).hash == with_mask(file=str(copy)).hash


def test_the_summary_names_empty_layers(finished):
    _, rows = finished
    summary = densities.summarise(rows)
    assert list(summary.table["density"]) == ["100", "20", "5"]
    emptied = rows.copy()
    counts = emptied["layer_num_active"].map(list)
    counts.iloc[0] = [0, *counts.iloc[0][1:]]
    emptied["layer_num_active"] = counts
    notes = " ".join(densities.summarise(emptied).notes)
    assert "Layer collapse under random" in notes
    assert "Dense_0/kernel" in notes
