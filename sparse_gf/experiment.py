"""An experiment: from specs to result rows, in one place, resumable."""

import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pandas as pd

from sparse_gf import checkpoints, ensemble, results, sc_sdc, specs, train, tree
from sparse_gf import data as data_lib
from sparse_gf.errors import UserError
from sparse_gf.sc_sdc import Group
from sparse_gf.specs import CellSpec, RunSpec
from sparse_gf.types import Dataset

PACKAGES = ("sparse_gf", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")

CHECKPOINT_SHARE = 0.05
"""Most of the time that may go into checkpoints."""

OnProgress = Callable[[float, str], None]
"""``on_progress(share, message)``: share of the cell that is done, in 0..1."""


def run(
    cell: CellSpec,
    run: RunSpec,
    workdir: str | os.PathLike[str],
    on_progress: OnProgress = lambda share, message: None,
) -> pd.DataFrame:
    """Trains one cell, or what is missing of it, and writes its result file.

    A process killed at any moment continues at the last checkpoint when it is run
    again, and ends with the same numbers, bit for bit on the same machine. A finished
    cell is read, not trained again.

    Args:
        cell: What to train.
        run: How.
        workdir: Where results and checkpoints go; see ``results``.
        on_progress: Called when something was done.

    Returns:
        One row per network, as ``results.read`` gives them.

    Raises:
        UserError: If the work directory or the data cannot be used, or if the work
            directory holds this cell computed from other data.
    """
    path = results.prepare(workdir)
    dataset = data_lib.load(cell.dataset, run.data_dir)
    _check_sizes(cell, dataset)
    if results.cell_path(path, cell.hash).exists():
        rows = results.read(path, cell.hash)
        _check_same_data(cell, dataset, rows, path)
        on_progress(1.0, "finished before")
        return rows
    folder = path / "checkpoints" / f"{cell.hash}-{dataset.fingerprint}"
    rows = list(_train(cell, run, dataset, folder, on_progress))
    results.write_cell(path, cell.hash, rows)
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return results.read(path, cell.hash)


def _train(
    cell: CellSpec,
    run: RunSpec,
    dataset: Dataset,
    folder: pathlib.Path,
    on_progress: OnProgress,
) -> Iterator[dict[str, Any]]:
    """Trains group after group and yields a row per network."""
    on_progress(0.0, f"{dataset.title}: compiling")
    data = ensemble.to_device(dataset, cell.dtype)
    groups = sc_sdc.plan(cell, run)
    work = [_work(cell, group) for group in groups]
    for number, group in enumerate(groups):
        before, own = sum(work[:number]) / sum(work), work[number] / sum(work)

        def report(
            epoch: int, before: float = before, own: float = own, at: int = number
        ) -> None:
            share = before + own * epoch / cell.epochs
            program = f"program {at + 1}/{len(groups)}, " if len(groups) > 1 else ""
            on_progress(share, f"{program}epoch {epoch}/{cell.epochs}")

        history = _train_group(cell, run, group, data, folder / group.name, report)
        yield from _rows(cell, run, dataset, group, history)


def _train_group(
    cell: CellSpec,
    run: RunSpec,
    group: Group,
    data: train.Data,
    folder: pathlib.Path,
    report: Callable[[int], None],
) -> ensemble.Measurement:
    """Trains the networks of one group from its last checkpoint."""
    programs = sc_sdc.programs(cell, group.width)
    measured = train.measured_epochs(cell.epochs, cell.measurements)
    members = sc_sdc.members(cell, group)
    shapes = ensemble.shapes(programs, group.seeds, members, data, len(measured))
    saved = checkpoints.Checkpoints(folder)
    progress = saved.restore(shapes)
    if progress is None:
        progress = ensemble.begin(programs, group.seeds, members, shapes)
    next_save = time.monotonic() + run.checkpoint_seconds

    def after_epoch(progress: ensemble.Progress) -> None:
        nonlocal next_save
        start = time.monotonic()
        if start >= next_save or progress.epoch == cell.epochs:
            saved.save(progress)
            now = time.monotonic()
            wait = (now - start) / CHECKPOINT_SHARE
            next_save = now + max(run.checkpoint_seconds, wait)
        report(progress.epoch)

    report(progress.epoch)
    progress = ensemble.fit(
        programs, group.seeds, data, progress, measured, after_epoch
    )
    saved.close()
    return progress.history


def _rows(
    cell: CellSpec,
    run: RunSpec,
    dataset: Dataset,
    group: Group,
    history: ensemble.Measurement,
) -> Iterator[dict[str, Any]]:
    """One row per network of a group, with the columns of ``results.NETWORKS``."""
    shared = _shared_columns(cell, run, dataset)
    for column, (arm, width) in enumerate(group.networks):
        for row, seed in enumerate(group.seeds):
            own = jax.tree.map(lambda x, at=(row, column): x[:, *at], history)
            measurements = _measurements(cell, dataset, arm, own)
            last = measurements[-1]
            means = {
                name: float(np.mean([m[name] for m in measurements]))
                for name in ("egf1", "egf2", "gf1", "gf2", "gf1_masked", "gf2_masked")
            }
            counts = [
                int(count[-1]) for count in tree.in_order(own.num_active).values()
            ]
            yield (
                shared
                | means
                | {
                    "arm": arm,
                    "dense_width": width,
                    "seed": seed,
                    "num_active": sum(counts),
                    "layers": list(tree.in_order(own.num_active)),
                    "layer_num_active": counts,
                    "isolated_units": 0
                    if arm == "dense"
                    else int(own.isolated_units[-1]),
                    "test_accuracy": last["test_accuracy"],
                    "test_loss": last["test_loss"],
                    "train_loss": last["train_loss"],
                    "diverged": last["diverged"],
                    "measurements": measurements,
                }
            )


def _measurements(
    cell: CellSpec, dataset: Dataset, arm: str, own: ensemble.Measurement
) -> list[dict[str, Any]]:
    """One dict per measured epoch of one network, axes [points] taken apart.

    A dense network has masks of ones, so its unmasked norms are its masked ones. Where
    it was trained padded, the gradients at padding are not part of it.
    """
    flow = own.flow
    unmasked = (
        (flow.gf1, flow.gf2) if arm == "sparse" else (flow.gf1_masked, flow.gf2_masked)
    )
    points = train.measured_epochs(cell.epochs, cell.measurements)
    layers1 = list(tree.in_order(flow.layer_norms1).values())
    layers2 = list(tree.in_order(flow.layer_norms2).values())
    return [
        {
            "epoch": epoch,
            "egf1": float(flow.egf1[i]),
            "egf2": float(flow.egf2[i]),
            "gf1": float(unmasked[0][i]),
            "gf2": float(unmasked[1][i]),
            "gf1_masked": float(flow.gf1_masked[i]),
            "gf2_masked": float(flow.gf2_masked[i]),
            "layer_norms1": [float(norm[i]) for norm in layers1],
            "layer_norms2": [float(norm[i]) for norm in layers2],
            "train_loss": float(flow.loss[i]),
            "test_loss": float(own.test.loss[i]),
            "test_accuracy": int(own.test.num_correct[i]) / len(dataset.test_labels),
            "diverged": bool(own.diverged[i]),
        }
        for i, epoch in enumerate(points)
    ]


def _shared_columns(cell: CellSpec, run: RunSpec, dataset: Dataset) -> dict[str, Any]:
    """The columns that all networks of a cell have in common."""
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    device = jax.local_devices()[0].device_kind
    return {
        "dataset": cell.dataset,
        "hidden_layers": cell.hidden_layers,
        "optimizer": cell.optimizer.name,
        "variant": cell.variant,
        "activation": cell.activation,
        "learning_rate": cell.optimizer.learning_rate,
        "epochs": cell.epochs,
        "batch_size": cell.batch_size,
        "initializer": cell.initializer,
        "initializer_reference": cell.initializer_reference,
        "optimizer_preset": cell.optimizer.preset,
        "l2": cell.l2,
        "l1": cell.l1,
        "weight_decay": cell.weight_decay,
        "dropout_rate": cell.dropout_rate,
        "test_examples": len(dataset.test_labels),
        "probe_examples": cell.probe_size or len(dataset.train_labels),
        "dataset_title": dataset.title,
        "dataset_source": dataset.source,
        "dataset_fingerprint": dataset.fingerprint,
        "config_hash": cell.hash,
        "config": json.dumps(specs.to_config(cell, run)),
        "versions": json.dumps({"python": platform.python_version()} | versions),
        "device": f"{device} ({platform.machine()}, {os.cpu_count()} CPU cores)",
    }


def _work(cell: CellSpec, group: Group) -> float:
    """Relative time that a group takes: its multiplications."""
    input_dim = data_lib.info(cell.dataset).input_dim
    hidden = group.width**2 * (cell.hidden_layers - 1)
    return group.size * (input_dim * group.width + hidden)


def _check_sizes(cell: CellSpec, dataset: Dataset) -> None:
    """Local files may hold fewer images than the published data set."""
    size = len(dataset.train_labels)
    for name in ("batch_size", "probe_size"):
        if getattr(cell, name) > size:
            raise UserError(
                f"config.{name} is {getattr(cell, name)}; {dataset.title} from "
                f"{dataset.source} has only {size} training images."
            )


def _check_same_data(
    cell: CellSpec, dataset: Dataset, rows: pd.DataFrame, workdir: pathlib.Path
) -> None:
    known = rows["dataset_fingerprint"].iloc[0]
    if known != dataset.fingerprint:
        raise UserError(
            f"--workdir {str(workdir)!r} holds cell {cell.hash} computed from other "
            f"data ({rows['dataset_source'].iloc[0]}, fingerprint {known}) than "
            f"config.data_dir gives now ({dataset.source}, fingerprint "
            f"{dataset.fingerprint}); use another work directory."
        )
