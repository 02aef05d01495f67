"""Lottery tickets: searched once by the plain recipe, then trained by every recipe."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from sparse_gf import data, ensemble, experiment, masks, results
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import saved
from sparse_gf.specs import MaskedSpec, MaskSpec, RunSpec, toolkit

PLAIN = MaskedSpec(
    dataset="digits",
    model="mlp_2_20",
    mask=MaskSpec("magnitude", "ticket", density=(0.5, 0.2), search=(0.5, 0.3, 0.2)),
    seeds=(0, 1),
    data_augmentation=False,
    train_examples=256,
    test_examples=100,
    epochs=4,
    measurements=2,
)
TWEAKED = dataclasses.replace(
    PLAIN,
    tost="gsw,gsk,lrsi,ls",
    lrsi=toolkit.LrsiSpec(iterations=2, batch_size=32),
)
DENSITIES = (0.5, 0.2)


class Notes(experiment.Monitor):
    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A work directory in which both recipes were trained, and what was said."""
    workdir, notes = tmp_path_factory.mktemp("tickets"), Notes()
    options = RunSpec(save_networks="measured")
    for cell in (PLAIN, TWEAKED):
        experiment.run(cell, options, workdir, notes)
    return workdir, notes.lines


def networks(workdir, cell, epoch):
    folder = results.cell_folder(workdir, cell.dataset, cell.hash) / "networks"
    files = sorted(folder.glob(f"*_epoch_{epoch}.npz"))
    assert len(files) == 4
    return [saved.load(file) for file in files]


def test_every_recipe_has_the_same_search():
    (search,) = PLAIN.needs
    assert TWEAKED.needs == (search,)
    assert search.mask.schedule == "imp"
    assert search.mask.density == (0.5, 0.3, 0.2)
    assert search.tost == ""
    assert search.needs == ()
    assert len({search.hash, PLAIN.hash, TWEAKED.hash}) == 3


def test_one_command_searches_once_and_trains_both_recipes(finished):
    workdir, notes = finished
    (search,) = PLAIN.needs
    assert {f.stem for f in (workdir / "cells").glob("*.parquet")} == {
        search.hash,
        PLAIN.hash,
        TWEAKED.hash,
    }
    assert sum("is finished" in note for note in notes) == 1
    # Three rounds, two seeds.
    folder = results.cell_folder(workdir, "digits", search.hash) / "masks"
    assert len(list(folder.glob("*.npz"))) == 6


def test_both_recipes_train_the_masks_of_the_search_bit_for_bit(finished):
    workdir, _ = finished
    (search,) = PLAIN.needs
    folder = results.cell_folder(workdir, "digits", search.hash)
    for plain, tweaked in zip(
        *(networks(workdir, cell, 4) for cell in (PLAIN, TWEAKED)), strict=True
    ):
        about = plain.about
        assert about["density"] == tweaked.about["density"]
        wanted = min(DENSITIES, key=lambda d: abs(d - about["density"]))
        key = {"kind": "masks", "density": wanted, "seed": about["seed"]}
        kept, _ = masks.load(saved.masks_path(folder, key))
        for own in (plain.masks, tweaked.masks):
            jax.tree.map(np.testing.assert_array_equal, own, kept)


def test_a_ticket_without_training_is_the_initial_network_under_its_mask(finished):
    """Before the first step: the draws of the search, masked."""
    workdir, _ = finished
    (search,) = PLAIN.needs
    first = {}
    for cell in (PLAIN, search):
        (chunk,) = experiment.job(cell, RunSpec()).plan()
        made = chunk.make(workdir)
        (group,) = made.groups
        part = experiment.part(cell, data.load("digits"))
        on_device = ensemble.to_device(part, cell.dtype)
        init = jax.jit(made.init)
        first[cell.hash] = [
            init(seed, jax.tree.map(lambda x, n=n: x[n], group.members), on_device)
            for n, seed in enumerate(group.seeds)
        ]
    dense = dict(zip(search.seeds, first[search.hash], strict=True))
    for state, seed in zip(first[PLAIN.hash], (0, 1, 0, 1), strict=True):
        kernels = tree.kernels(state.masks)
        for path, kernel in tree.kernels(state.params).items():
            whole = tree.kernels(dense[seed].params)[path]
            np.testing.assert_array_equal(kernel, np.where(kernels[path], whole, 0))


def test_a_ticket_is_measured_along_its_training(finished):
    workdir, _ = finished
    measured = results.read_measurements(workdir, PLAIN.hash)
    assert sorted(measured["epoch"].unique()) == [1, 4]
    rows = results.read(workdir, PLAIN.hash)
    assert sorted(rows["density"].round(1).unique()) == [0.2, 0.5]
    assert set(rows["mask_schedule"]) == {"ticket"}


def test_a_search_without_its_masks_is_told(finished, tmp_path):
    workdir, _ = finished
    (search,) = PLAIN.needs
    (tmp_path / "cells").mkdir()
    path = results.cell_path(workdir, search.hash)
    shutil.copy(path, results.cell_path(tmp_path, search.hash))
    with pytest.raises(UserError, match=rf"no masks.*{search.hash}\.parquet to train"):
        experiment.run(PLAIN, RunSpec(), tmp_path)


def test_a_search_without_densities_is_rounds_of_20_percent():
    mask = MaskSpec("magnitude", "ticket", density=(0.5, 0.1))
    rounds = [0.8**e for e in range(1, 11)]
    assert mask.search == tuple(sorted({*rounds, 0.5, 0.1}, reverse=True))
    # 0.8^2 = 0.64 is that round.
    near = MaskSpec("magnitude", "ticket", density=(0.6401, 0.5))
    assert near.search == (0.8, 0.6401, 0.8**3, 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"density": (1.0,)}, "tickets have densities below 1"),
        ({"rewind_epoch": 1}, "start from the initial weights"),
        ({"search": (0.5,)}, r"config\.mask\.search is"),
        ({"method": "snip"}, "must be 'magnitude'"),
        ({"schedule": "init"}, "are for 'ticket'"),
    ],
)
def test_what_a_ticket_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(PLAIN.mask, **changes)


def test_tickets_start_from_the_initial_weights_alone():
    with pytest.raises(UserError, match="must be 'dense'"):
        dataclasses.replace(PLAIN, initializer_reference="active")
