"""Logs of training: TensorBoard's event files and offline runs of Weights & Biases."""

import pathlib
import shutil
import struct
import sys
import types

import numpy as np
import pytest

from sparse_gf import experiment, results
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import loggers, saved
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec, RunSpec

CELL = CapacitySpec(dense_widths=(20,), seeds=(0, 1), hidden_layers=1, epochs=3)


def events(folder):
    """Scalars by (name, epoch) of the event files of one network."""
    from tensorboardX.proto import event_pb2

    found = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            # Each record: its length, a checksum of that, the event, its checksum.
            (size,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + size])
            at += 12 + size + 4
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


def test_event_files_hold_what_the_rows_hold(tmp_path):
    pytest.importorskip("tensorboardX")
    rows = experiment.run(CELL, RunSpec(log="tensorboard"), tmp_path)
    measured = results.read_measurements(tmp_path)
    folder = results.cell_folder(tmp_path, CELL.dataset, CELL.hash) / "logs"
    names = {path.name for path in (folder / "tensorboard").iterdir()}
    assert names == {
        f"{arm}_20_seed_{s}" for arm in ("sparse", "dense") for s in (0, 1)
    }
    assert len(rows) == 4
    for _, row in measured.iterrows():
        network = f"{row['arm']}_20_seed_{row['seed']}"
        found = events(folder / "tensorboard" / network)
        for column in ("test_accuracy", "train_loss", "egf1", "egf2", "gf2"):
            np.testing.assert_allclose(found[column, row["epoch"]], row[column], 1e-6)
        norms = [found[f"layer_norms2/Dense_{i}/kernel", row["epoch"]] for i in (0, 1)]
        np.testing.assert_allclose(norms, row["layer_norms2"], 1e-6)
    # Of a finished cell they are made of its rows.
    logs = folder / "tensorboard"
    before = {path.name: events(path) for path in logs.iterdir()}
    shutil.rmtree(folder)
    experiment.run(CELL, RunSpec(log="tensorboard"), tmp_path)
    assert {path.name: events(path) for path in logs.iterdir()} == before


def test_a_network_keeps_its_log_while_its_density_falls(tmp_path):
    pytest.importorskip("tensorboardX")
    cell = MaskedSpec(
        dataset="digits",
        model="mlp_1_16",
        mask=MaskSpec(method="magnitude", schedule="gradual", density=(0.1,)),
        seeds=(0,),
        epochs=4,
        batch_size=360,
    )
    experiment.run(cell, RunSpec(log="tensorboard"), tmp_path)
    folder = results.cell_folder(tmp_path, cell.dataset, cell.hash) / "logs"
    (network,) = (folder / "tensorboard").iterdir()
    assert network.name == "density_0.1_seed_0"
    found = events(network)
    densities = [
        value for (name, _), value in sorted(found.items()) if name == "density"
    ]
    assert densities[0] > 0.11
    assert densities[-1] == pytest.approx(0.1, abs=0.001)


class Log:
    """Remembers what it is told."""

    opened: list

    def __init__(self, folder, name, config, epoch):
        self.opened.append((folder.name, name, config["dataset"], epoch))
        self.lines = []

    def write(self, epoch, scalars):
        self.lines.append(epoch)

    def close(self):
        self.opened.append("closed")


def test_logs_open_once_and_close(monkeypatch):
    Log.opened = []
    monkeypatch.setitem(loggers.WRITERS, "tensorboard", ("json", Log))
    logs = loggers.Logs(("tensorboard",), pathlib.Path("logs"), 3)
    assert Log.opened == []
    for epoch in (4, 5):
        logs.write("dense_7_seed_0", {"dataset": "digits"}, epoch, {"loss": 1.0})
    logs.close()
    logs.close()
    assert Log.opened == [("logs", "dense_7_seed_0", "digits", 3), "closed"]


def test_a_missing_package_is_named_before_training(monkeypatch, tmp_path):
    monkeypatch.setitem(loggers.WRITERS, "wandb", ("no_such_package", Log))
    workdir = tmp_path / "work"
    with pytest.raises(UserError, match=r"needs no_such_package.*sparse_gf\[wandb\]"):
        experiment.run(CELL, RunSpec(log="wandb"), workdir)
    assert not workdir.exists()


def test_an_unknown_log_is_refused():
    with pytest.raises(UserError, match=r"config\.log is 'tensorbord'.*'tensorboard'"):
        RunSpec(log="tensorbord")


class Wandb(types.ModuleType):
    """Remembers what runs are begun with, and what they log."""

    Settings = dict
    Table = dict

    def __init__(self):
        super().__init__("wandb")
        self.begun, self.logged = [], []

    def init(self, **given):
        if not given["config"]:
            raise RuntimeError("no login\nmore")
        self.begun.append(given)
        return types.SimpleNamespace(
            log=lambda what, step=None: self.logged.append((step, what)),
            finish=lambda: self.logged.append("finished"),
        )


def test_runs_of_a_cell_are_one_group_with_one_table(monkeypatch, tmp_path):
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(
        sys.modules, "wandb.errors", types.SimpleNamespace(Error=RuntimeError)
    )
    folder = tmp_path / "digits-abc" / "logs"
    for mode in ("", "online", "online"):
        if mode:
            monkeypatch.setenv("WANDB_MODE", mode)
            monkeypatch.setenv("WANDB_PROJECT", "mine")
        logs = loggers.Logs(("wandb",), folder, 0)
        logs.write("dense_7_seed_0", {"dataset": "digits"}, 4, {"egf2": 1.0})
        logs.close()
    offline, online, again = wandb.begun
    assert (offline["mode"], offline["project"]) == ("offline", "sparse_gf")
    assert "id" not in offline
    assert (online["mode"], online["project"]) == ("online", "mine")
    assert online == again  # One run, though training was cut off.
    assert online["group"] == "digits-abc"
    assert wandb.logged == [(4, {"egf2": 1.0}), "finished"] * 3

    rows = [
        {"arm": arm, "seed": 0, "egf2": 1.0, "layers": ["a"], "config": '{"epochs": 4}'}
        for arm in ("sparse", "dense")
    ]
    loggers.tabulate(("tensorboard", "wandb"), folder, rows)
    begun, (_, table) = wandb.begun[-1], wandb.logged[-2]
    assert (begun["config"], begun["group"]) == ({"epochs": 4}, "digits-abc")
    assert begun["id"] != online["id"]
    columns, data = ["arm", "seed", "egf2"], [["sparse", 0, 1.0], ["dense", 0, 1.0]]
    assert table == {"networks": {"columns": columns, "data": data}}
    with pytest.raises(UserError, match=r"has wandb, which cannot begin: no login$"):
        loggers.WandB(folder, "name", {}, 0)


@pytest.mark.thorough
def test_offline_runs_of_weights_and_biases(tmp_path):
    pytest.importorskip("wandb")
    experiment.run(CELL, RunSpec(log="wandb"), tmp_path)
    folder = results.cell_folder(tmp_path, CELL.dataset, CELL.hash) / "logs"
    runs = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(runs) == 5  # One has the table.
    text = b"".join(path.read_bytes() for path in runs)
    for arm in ("sparse", "dense"):
        assert f"{arm}_20_seed_1".encode() in text


def test_names_of_networks():
    about = {"kind": "capacity", "arm": "sparse", "dense_width": 20, "seed": 3}
    assert saved.which(about) == "sparse_20_seed_3"
    about = {"kind": "masks", "dense_width": 0, "density": 0.05, "seed": 1}
    assert saved.which(about) == "density_0.05_seed_1"
