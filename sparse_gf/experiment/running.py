"""An experiment: from specs to result rows, in one place, resumable."""

import contextlib
import functools
import math
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pandas as pd

from sparse_gf import data as data_lib
from sparse_gf import ensemble, masks, results, specs
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import capacity, checkpoints, loggers, masked, rows, saved
from sparse_gf.specs import Cell, CellSpec, MaskedSpec, RunSpec
from sparse_gf.training import train

CHECKPOINT_SHARE = 0.05
"""Most of the time that may go into checkpoints."""


KINDS: dict[type, Any] = {CellSpec: capacity, MaskedSpec: masked}
"""Spec to the module that knows its networks: how many are trained together (``plan``,
``ensemble_of``), for how long (``epochs``, ``measured``), and as what
(``identities``)."""


class Monitor:
    """Is told what happens; this one does not care."""

    def progress(self, share: float, message: str) -> None:
        """A share of the cell, in 0..1, is done."""

    def measured(self, message: str) -> None:
        """Networks were measured after an epoch; the message has their means."""

    def note(self, message: str) -> None:
        """Something happened that is worth a line."""


def set_up_jax(cell: Cell) -> None:
    """Sets what only a whole process can: precision, devices, compilation cache."""
    ensemble.use_all_cores()
    if cell.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    use_cache()


def use_cache() -> None:
    """Keeps compiled programs between processes, where the user has not said where."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        folder = pathlib.Path(cache).expanduser() / "sparse_gf" / "jax"
        # It is a convenience: without it programs are compiled again.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))


def run(
    cell: Cell,
    options: RunSpec,
    workdir: str | os.PathLike[str],
    monitor: Monitor | None = None,
) -> pd.DataFrame:
    """Trains one cell, or what is missing of it, and writes its result file.

    A process killed at any moment continues at the last checkpoint when it is run
    again, and ends with the same numbers, bit for bit on the same machine. A finished
    cell is read, not trained again.

    Args:
        cell: What to train.
        options: How.
        workdir: Where results and checkpoints go; see ``results``.
        monitor: Is told how far the run is.

    Returns:
        One row per network, as ``results.read`` gives them.

    Raises:
        UserError: If the work directory or the data cannot be used, if the work
            directory holds this cell computed from other data, or if another process
            is training it there.
    """
    loggers.check(options.logs)
    path = results.prepare(workdir)
    KINDS[type(cell)].check(cell)
    dataset = part(cell, data_lib.load(cell.info, options.data_dir))
    train_cell(cell, options, dataset, path, monitor or Monitor())
    # Also for a finished cell: its process may have been killed right here.
    results.compact(path)
    return results.read(path, cell.hash)


def part(cell: Cell, whole: Dataset) -> Dataset:
    """The part of a data set that a cell is trained and tested on.

    Raises:
        UserError: If the cell wants more than there is, or a type that JAX would
            silently narrow.
    """
    _check_dtype(cell)
    _check_sizes(cell, whole)
    return data_lib.stratified(whole, cell.train_examples, cell.test_examples)


def train_cell(
    cell: Cell,
    options: RunSpec,
    dataset: Dataset,
    workdir: pathlib.Path,
    monitor: Monitor,
    *,
    wait: bool = False,
) -> None:
    """Trains one cell, or what is missing of it, up to its result file; see ``run``.

    Args:
        cell: What to train.
        options: How.
        dataset: The cell's ``part``.
        workdir: A prepared work directory.
        monitor: Is told how far the run is.
        wait: Whether to wait for another process that is training the cell.
    """
    with results.lock(workdir, cell.hash, wait):
        if results.cell_path(workdir, cell.hash).exists():
            _check_same_data(cell, dataset, workdir)
            monitor.note(f"Cell {cell.hash} is finished; nothing to train.")
        else:
            start = time.monotonic()
            trained, share = _train(cell, options, dataset, workdir, monitor)
            seconds = (time.monotonic() - start) / share if share else math.nan
            results.write_cell(workdir, cell.hash, trained, seconds)
        # Also for a finished cell: its process may have been killed right here.
        checkpoints.remove(workdir, cell.hash)


def _train(
    cell: Cell,
    options: RunSpec,
    dataset: Dataset,
    workdir: pathlib.Path,
    monitor: Monitor,
) -> tuple[list[dict[str, Any]], float]:
    """Trains chunk after chunk.

    Returns:
        A row per network, and which share of the training was done here: the rest
        came from checkpoints.
    """
    kind = KINDS[type(cell)]
    epochs, measured = kind.epochs(cell), kind.measured(cell)
    monitor.progress(0.0, f"compiling, then epoch 1/{epochs}")
    data = ensemble.to_device(dataset, cell.dtype)
    chunks = kind.plan(cell, options)
    folder = checkpoints.folder(workdir, cell.hash, rows.environment(dataset))
    total = sum(kind.work(cell, chunk) for chunk in chunks)
    made: list[dict[str, Any]] = []
    done = resumed = 0.0
    for number, chunk in enumerate(chunks):
        label = f"part {number + 1}/{len(chunks)}, " if len(chunks) > 1 else ""
        share = kind.work(cell, chunk) / total
        saved = checkpoints.Checkpoints(folder / kind.name(chunk), monitor.note)
        networks = kind.ensemble_of(cell, chunk)

        start = _start(networks, data, saved, len(measured))
        own = results.cell_folder(workdir, cell.dataset, cell.hash) / "logs"
        logs = loggers.Logs(options.logs, own, start.epoch)
        keep = functools.partial(
            _keep, cell, options, dataset, workdir, chunk, networks, logs
        )
        watch = _Watch(epochs, options, saved, monitor, label, done, share, keep)
        if start.epoch:
            resumed += share * start.epoch / epochs
            monitor.note(f"Continuing: {label}epoch {start.epoch}/{epochs}.")
        with contextlib.closing(logs):
            end = ensemble.fit(networks, data, start, measured, watch.after_epoch)
        saved.close()
        done += share
        for group, history in zip(chunk, end.history, strict=True):
            identities = kind.identities(cell, group)
            made += rows.make(cell, options, dataset, identities, measured, history)
    return made, 1.0 - resumed


def _keep(
    cell: Cell,
    options: RunSpec,
    dataset: Dataset,
    workdir: pathlib.Path,
    chunk: Any,
    networks: ensemble.Ensemble,
    logs: loggers.Logs,
    progress: ensemble.Progress,
) -> str:
    """Writes masks, networks and logs, as far as that is wanted after an epoch.

    Returns:
        What was measured in a few words; empty if nothing was.
    """
    kind = KINDS[type(cell)]
    measured = kind.measured(cell)
    if progress.epoch not in measured:
        return ""
    folder = results.cell_folder(workdir, cell.dataset, cell.hash)
    if options.save_masks and isinstance(cell, MaskedSpec):
        masked.save_masks(folder / "masks", cell, chunk, networks, progress)
    if options.save_networks == "measured" or (
        options.save_networks and progress.epoch == measured[-1]
    ):
        _save_networks(
            folder / "networks", cell, options, chunk, networks, progress, measured
        )
    config = specs.to_config(cell, options)
    point = measured.index(progress.epoch)
    found: dict[str, list[dict[str, float]]] = {}
    for group, history in zip(chunk, progress.history, strict=True):
        identities = kind.identities(cell, group)
        scores = rows.newest(dataset, identities, progress.epoch, point, history)
        for identity, scalars in scores:
            # What it shall have in the end; masks that change are denser before.
            name = saved.which(scalars | identity.columns)
            logs.write(name, config | identity.columns, progress.epoch, scalars)
            found.setdefault(identity.columns["arm"], []).append(scalars)
    return "; ".join(_spoken(arm, scores) for arm, scores in found.items())


def _spoken(arm: str, scores: list[dict[str, float]]) -> str:
    """Means over an arm's networks, in a few words."""
    accuracy, flow = (
        np.mean([own[name] for own in scores]) for name in ("test_accuracy", "egf2")
    )
    return f"{arm} {accuracy:.2%}, EGF_2 {flow:.3g}"


def _save_networks(
    folder: pathlib.Path,
    cell: Cell,
    options: RunSpec,
    chunk: Any,
    networks: ensemble.Ensemble,
    progress: ensemble.Progress,
    measured: tuple[int, ...],
) -> None:
    kind, point = KINDS[type(cell)], measured.index(progress.epoch)
    for group, state, places in zip(
        chunk, progress.state, ensemble.places(networks), strict=True
    ):
        for identity in kind.identities(cell, group):
            if point not in identity.points:
                continue
            place = int(places[identity.number])
            params, own_masks, batch_stats = (
                jax.tree.map(lambda x, at=place: np.asarray(x[at]), part)
                for part in (state.params, state.masks, state.batch_stats)
            )
            about = identity.columns | {
                "epoch": progress.epoch,
                "density": masks.density(own_masks),
                "config_hash": cell.hash,
                "config": specs.to_config(cell, options),
            }
            network = saved.Network(params, own_masks, batch_stats, about)
            saved.save(folder / saved.name(about), network)


def _start(
    networks: ensemble.Ensemble,
    data: train.Data,
    saved: checkpoints.Checkpoints,
    points: int,
) -> ensemble.Progress:
    """The networks of a chunk at their last checkpoint, or new ones."""
    shapes = ensemble.prepare(networks, data, points, init=not saved.exist)
    return saved.restore(shapes) or ensemble.begin(networks, data, shapes)


class _Watch:
    """What happens after every epoch of a chunk: a checkpoint, if it is time.

    The last epoch is always saved, and the ones before as often as costs little.
    """

    def __init__(
        self,
        epochs: int,
        options: RunSpec,
        saved: checkpoints.Checkpoints,
        monitor: Monitor,
        label: str,
        done: float,
        share: float,
        keep: Callable[[ensemble.Progress], str],
    ):
        self._keep = keep
        self._epochs = epochs
        self._seconds = options.checkpoint_seconds
        self._saved = saved
        self._monitor = monitor
        self._label = label
        self._done = done
        self._share = share
        self._next_save = time.monotonic() + self._seconds

    def after_epoch(self, progress: ensemble.Progress) -> None:
        if found := self._keep(progress):
            self._monitor.measured(f"{self._label}epoch {progress.epoch}: {found}")
        if time.monotonic() >= self._next_save or progress.epoch == self._epochs:
            self._save(progress)
        self._monitor.progress(
            self._done + self._share * progress.epoch / self._epochs,
            f"{self._label}epoch {progress.epoch}/{self._epochs}",
        )

    def _save(self, progress: ensemble.Progress) -> None:
        start = time.monotonic()
        self._saved.save(progress)
        now = time.monotonic()
        # No limit if the user wants a checkpoint after every epoch.
        wait = (now - start) / CHECKPOINT_SHARE if self._seconds else 0.0
        self._next_save = now + max(self._seconds, wait)


def _check_dtype(cell: Cell) -> None:
    if jax.dtypes.canonicalize_dtype(cell.dtype) != np.dtype(cell.dtype):
        raise UserError(
            f"config.dtype is {cell.dtype}, which JAX would silently narrow; set "
            'jax.config.update("jax_enable_x64", True) first.'
        )


def _check_sizes(cell: Cell, dataset: Dataset) -> None:
    """Local files may hold fewer images than the published data set."""
    for name, kind, labels in (
        ("train_examples", "training", dataset.train_labels),
        ("batch_size", "training", dataset.train_labels),
        ("probe_size", "training", dataset.train_labels),
        ("test_examples", "test", dataset.test_labels),
    ):
        if getattr(cell, name) > len(labels):
            raise UserError(
                f"config.{name} is {getattr(cell, name)}; {dataset.title} from "
                f"{dataset.source} has only {len(labels)} {kind} images."
            )


def _check_same_data(cell: Cell, dataset: Dataset, workdir: pathlib.Path) -> None:
    finished = results.read(workdir, cell.hash)
    known = finished["dataset_fingerprint"].iloc[0]
    if known != dataset.fingerprint:
        raise UserError(
            f"--workdir {str(workdir)!r} holds cell {cell.hash} computed from other "
            f"data ({finished['dataset_source'].iloc[0]}, fingerprint {known}) than "
            f"config.data_dir gives now ({dataset.source}, fingerprint "
            f"{dataset.fingerprint}); use another work directory."
        )
