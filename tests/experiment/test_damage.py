"""Damaged files of every kind: what was changed in them is never used in silence."""

import collections
import json
import pathlib
import random
import shutil
from typing import NamedTuple

import jax
import numpy as np
import pytest

from sparse_gf import masks, results
from sparse_gf.core.errors import UserError
from sparse_gf.ensemble import Progress
from sparse_gf.experiment import checkpoints, saved

CELL = 12 * "a"

NUMBERS = np.random.default_rng(0)


def progress(epoch):
    """What is saved after an epoch: weights, masks, steps, and what was measured."""
    kernel = NUMBERS.normal(size=(2, 40, 30)).astype(np.float32) + epoch
    state = {
        "params": {"Dense_0": {"kernel": kernel}},
        "masks": {"Dense_0": {"kernel": kernel > epoch}},
        "step": np.full(2, epoch, np.int32),
    }
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    history = ({"loss": NUMBERS.normal(size=(3, 2)).astype(np.float32)},)
    return Progress(epoch, (jax.device_put(state, device),), history)


def shapes(of):
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def shape(x, sharding=None):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    state = jax.tree.map(lambda x: shape(x, device), of.state)
    return Progress(0, state, jax.tree.map(shape, of.history))


def equal(one, other):
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


class Steps(NamedTuple):
    folder: pathlib.Path
    saved: dict


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Two steps of a checkpoint."""
    folder = tmp_path_factory.mktemp("steps")
    made = {epoch: progress(epoch) for epoch in (3, 4)}
    writer = checkpoints.Checkpoints(folder)
    for own in made.values():
        writer.save(own)
    writer.close()
    return Steps(folder, made)


def restore(steps, folder):
    """What is found in a copy of the steps, and what was said."""
    notes = []
    reader = checkpoints.Checkpoints(folder, notes.append)
    try:
        return reader.restore(shapes(steps.saved[4])), notes
    finally:
        reader.close()


def found_in(steps, folder):
    """The epoch of what was found, which is as it was saved, and what was said."""
    found, notes = restore(steps, folder)
    if found is None:
        return 0, notes
    own = steps.saved[found.epoch]
    assert equal((found.state, found.history), (own.state, own.history))
    return found.epoch, notes


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path, chance):
    """Changes one bit of a file."""
    content = bytearray(path.read_bytes())
    bit = chance.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def flip_in_checkpoint(steps, tmp_path, chance):
    folder = tmp_path / "steps"
    shutil.copytree(steps.folder, folder)
    inside = files_of(folder / "4")
    sizes = [path.stat().st_size for path in inside]
    flip(*chance.choices(inside, sizes), chance)
    epoch, notes = found_in(steps, folder)
    shutil.rmtree(folder)
    if epoch == 4:
        return "the same arrays"
    assert epoch == 3
    assert "checkpoint of epoch 4 is damaged and is removed" in notes[0]
    return "refused"


def rows():
    measured = [{"epoch": 1, "egf2": 0.1, "layer_norms2": [0.25, 0.75]}]
    shared = {"config_hash": CELL, "dataset": "digits", "config": json.dumps({"a": 1})}
    return [
        shared | {"seed": seed, "test_accuracy": 0.3 + seed, "measurements": measured}
        for seed in range(2)
    ]


def write_cell(folder):
    made = [own | {"test_accuracy": own["seed"] / 7} for own in rows()]
    results.write_cell(folder, CELL, made, 1.5)
    return results.cell_path(folder, CELL)


def read_cell(path):
    table, seconds = results.cells.read_file(path)
    return table.to_pylist(), seconds


def write_network(folder):
    own = progress(1).state[0]
    network = saved.Network(own["params"], own["masks"], {}, {"epoch": 1})
    saved.save(folder / "network.npz", network)
    return folder / "network.npz"


def read_network(path):
    network = saved.load(path)
    return jax.tree.map(np.ndarray.tolist, network[:3]), network.about


def write_masks(folder):
    masks.save(folder / "masks.npz", progress(1).state[0]["masks"], {"seed": 1})
    return folder / "masks.npz"


def read_masks(path):
    found, metadata = masks.load(path)
    return jax.tree.map(lambda mask: np.asarray(mask).tolist(), found), metadata


FILES = {
    "cell": (write_cell, read_cell),
    "network": (write_network, read_network),
    "masks": (write_masks, read_masks),
}


def flips(kind, number, steps, tmp_path):
    """Counts what became of so many flips, of which none is used in silence."""
    chance, counts = random.Random(kind), collections.Counter()
    if kind == "checkpoint":
        for _ in range(number):
            counts[flip_in_checkpoint(steps, tmp_path, chance)] += 1
        return counts
    write, read = FILES[kind]
    path = write(tmp_path)
    content, right = path.read_bytes(), read(path)
    for _ in range(number):
        flip(path, chance)
        found = right
        try:
            found = read(path)
            counts["the same numbers"] += 1
        except UserError:
            counts["refused"] += 1
        assert found == right
        path.write_bytes(content)
    return counts


NUMBER = {"checkpoint": 10, "cell": 50, "network": 70, "masks": 70}
"""200 bits, of small files; nothing is compiled."""


@pytest.mark.parametrize("kind", NUMBER)
def test_no_flipped_bit_is_used_in_silence(kind, steps, tmp_path):
    counts = flips(kind, NUMBER[kind], steps, tmp_path)
    print(f"{NUMBER[kind]} flips of a {kind}: {dict(counts)}")
    assert counts.total() == NUMBER[kind]
    assert counts["refused"] > 0


@pytest.mark.thorough
@pytest.mark.parametrize("kind", NUMBER)
def test_no_bit_of_many_is_used_in_silence(kind, steps, tmp_path):
    number = 10 * NUMBER[kind]
    counts = flips(kind, number, steps, tmp_path)
    print(f"{number} flips of a {kind}: {dict(counts)}")
    assert counts["refused"] > 0


@pytest.mark.parametrize("kind", FILES)
def test_files_that_were_cut_or_replaced_are_refused(kind, tmp_path):
    write, read = FILES[kind]
    path = write(tmp_path)
    content = path.read_bytes()
    for part in (b"", content[:1], content[:-1], content[:99], b"text", b"\x80\x04N."):
        path.write_bytes(part)
        with pytest.raises(UserError, match="is damaged or no "):
            read(path)


@pytest.mark.parametrize("kind", FILES)
def test_files_that_cannot_be_read_now_are_not_damaged(kind, tmp_path):
    write, read = FILES[kind]
    path = write(tmp_path)
    path.unlink()
    path.symlink_to("/proc/self/mem")
    with pytest.raises(UserError, match="Input/output error") as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_whole_steps_are_read_without_a_word(steps, tmp_path):
    shutil.copytree(steps.folder, tmp_path / "steps")
    assert found_in(steps, tmp_path / "steps") == (4, [])


@pytest.mark.parametrize("cut", [True, False])
def test_a_file_of_a_step_that_is_cut_or_gone_costs_that_step(steps, tmp_path, cut):
    """A file without which arrays can be read all the same costs nothing."""
    lost = set()
    needed = {"progress/d", "progress/manifest.ocdbt", "checksums/metadata"}
    for path in files_of(steps.folder / "4"):
        place = path.relative_to(steps.folder)
        part = "/".join(place.parts[1:3])
        if part not in needed | {"commit_success.txt"}:
            continue
        folder = tmp_path / "steps"
        shutil.copytree(steps.folder, folder)
        if cut:
            (folder / place).write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            (folder / place).unlink()
        epoch, notes = found_in(steps, folder)
        assert epoch in (3, 4)
        if epoch == 3:
            assert "checkpoint of epoch 4 is damaged and is removed" in notes[0]
            lost.add(part)
        shutil.rmtree(folder)
    assert lost == needed


def test_where_no_step_is_whole_training_begins_again(steps, tmp_path):
    folder = tmp_path / "steps"
    shutil.copytree(steps.folder, folder)
    for epoch in "34":
        (folder / epoch / "progress" / "_METADATA").write_bytes(b"[" * 100_000)
    epoch, notes = found_in(steps, folder)
    assert (epoch, len(notes)) == (0, 3)
    assert notes[-1] == "No checkpoint is whole; training begins again."


def test_arrays_that_storage_changed_in_silence_are_found(steps, tmp_path, monkeypatch):
    """What a flip in data without a checksum comes to, as far as we can see."""
    folder = tmp_path / "steps"
    shutil.copytree(steps.folder, folder)
    restored = checkpoints.ocp.CheckpointManager.restore

    def other(self, epoch, args):
        found = restored(self, epoch, args=args)
        if epoch == 4:
            found["progress"]["history"][0]["loss"] += 1e-3
        return found

    monkeypatch.setattr(checkpoints.ocp.CheckpointManager, "restore", other)
    epoch, notes = found_in(steps, folder)
    assert epoch == 3
    assert "(history/0/loss is not what was saved)" in notes[0]


@pytest.mark.parametrize("place", ["progress/manifest.ocdbt", "progress/_METADATA"])
def test_an_error_of_reading_deletes_no_step(steps, tmp_path, place):
    folder = tmp_path / "steps"
    shutil.copytree(steps.folder, folder)
    broken = folder / "4" / place
    content = broken.read_bytes()
    broken.unlink()
    broken.symlink_to("/proc/self/mem")
    with pytest.raises(UserError, match="nothing was removed") as caught:
        restore(steps, folder)
    assert "Input/output error" in str(caught.value)
    assert str(broken) in str(caught.value)
    # The error has passed.
    broken.unlink()
    broken.write_bytes(content)
    assert found_in(steps, folder) == (4, [])


def test_an_error_that_passes_while_it_is_looked_for_is_none(
    steps, tmp_path, monkeypatch
):
    folder = tmp_path / "steps"
    shutil.copytree(steps.folder, folder)
    restored, failed = checkpoints.ocp.CheckpointManager.restore, []

    def once(self, epoch, args):
        if not failed:
            failed.append(epoch)
            raise Exception("UNAVAILABLE: stale file handle")
        return restored(self, epoch, args=args)

    monkeypatch.setattr(checkpoints.ocp.CheckpointManager, "restore", once)
    assert found_in(steps, folder) == (4, [])
    assert failed == [4]


def test_a_folder_of_checkpoints_that_is_none_is_one_line(tmp_path):
    (tmp_path / "steps").write_text("")
    with pytest.raises(UserError, match="steps cannot be used"):
        checkpoints.Checkpoints(tmp_path / "steps")


def test_what_another_environment_wrote_is_not_removed_without_a_word(tmp_path):
    own = checkpoints.folder(tmp_path, CELL, "here")
    other = checkpoints.folder(tmp_path, CELL, "elsewhere")
    another = checkpoints.folder(tmp_path, 12 * "b", "here")
    for folder in (own, other, another):
        folder.mkdir(parents=True)
    assert checkpoints.others(own) == [other]
    notes = []
    checkpoints.remove(own, notes.append)
    (note,) = notes
    assert str(other) in note
    assert list((tmp_path / "checkpoints").iterdir()) == [another]
    checkpoints.remove(another, notes.append)
    assert len(notes) == 1
    assert not (tmp_path / "checkpoints").exists()
