"""Training of a cell's chunks, one after another, with checkpoints in between."""

import contextlib
import pathlib
import time
from typing import Any

import jax
import numpy as np

from sparse_gf import ensemble, results, specs, training
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import checkpoints, loggers, rows, saved
from sparse_gf.experiment.members import Chunk, Job
from sparse_gf.experiment.monitor import Monitor

CHECKPOINT_SHARE = 0.05
"""Most of the time that may go into checkpoints."""


def train_all(
    job: Job, dataset: Dataset, workdir: pathlib.Path, monitor: Monitor
) -> tuple[list[dict[str, Any]], float]:
    """Trains chunk after chunk.

    Args:
        job: What is to be done.
        dataset: What networks are trained on.
        workdir: A prepared work directory.
        monitor: Is told how far the run is.

    Returns:
        A row per network, and which share of the training was done here: the rest
        came from checkpoints.
    """
    monitor.progress(0.0, f"compiling, then epoch 1/{job.epochs}")
    data = ensemble.to_device(dataset, job.cell.dtype)
    chunks = job.plan()
    folder = checkpoints.folder(workdir, job.hash, rows.environment(dataset))
    for other in checkpoints.others(folder):
        monitor.note(
            f"{other} is not used: it was made with other data, versions or devices."
        )
    total = sum(chunk.work for chunk in chunks)
    made: list[dict[str, Any]] = []
    done = resumed = 0.0
    for number, chunk in enumerate(chunks):
        label = f"part {number + 1}/{len(chunks)}, " if len(chunks) > 1 else ""
        share = chunk.work / total
        networks = chunk.make(workdir)
        steps = checkpoints.Checkpoints(folder / chunk.name, monitor.note)
        start = _start(networks, data, steps, len(job.measured))
        if start.epoch:
            resumed += share * start.epoch / job.epochs
            monitor.note(f"Continuing: {label}epoch {start.epoch}/{job.epochs}.")
        keeper = _Keeper(job, dataset, workdir, chunk, networks, start.epoch)
        watch = _Watch(job, steps, monitor, keeper, label, (done, share))
        with contextlib.closing(steps), contextlib.closing(keeper.logs):
            end = ensemble.fit(networks, data, start, job.measured, watch.after_epoch)
        done += share
        for identities, history in zip(chunk.identities, end.history, strict=True):
            made += rows.make(job, dataset, identities, history)
    return made, 1.0 - resumed


def _start(
    networks: ensemble.Ensemble,
    data: training.Data,
    steps: checkpoints.Checkpoints,
    points: int,
) -> ensemble.Progress:
    """The networks of a chunk at their last checkpoint, or new ones."""
    shapes = ensemble.prepare(networks, data, points, init=not steps.exist)
    return steps.restore(shapes) or ensemble.begin(networks, data, shapes)


class _Keeper:
    """Writes masks, networks and logs of a chunk, as far as they are wanted.

    Attributes:
        logs: Of all its networks; to be closed.
    """

    def __init__(
        self,
        job: Job,
        dataset: Dataset,
        workdir: pathlib.Path,
        chunk: Chunk,
        networks: ensemble.Ensemble,
        epoch: int,
    ):
        self._job = job
        self._dataset = dataset
        self._folder = results.cell_folder(workdir, job.cell.dataset, job.hash)
        self._chunk = chunk
        self._places = ensemble.places(networks)
        self._config = specs.to_config(job.cell, job.options)
        self.logs = loggers.Logs(job.options.logs, self._folder / "logs", epoch)

    def keep(self, progress: ensemble.Progress) -> str:
        """Writes what is wanted after an epoch.

        Returns:
            What was measured in a few words; empty if nothing was.
        """
        if progress.epoch not in self._job.measured:
            return ""
        point = self._job.measured.index(progress.epoch)
        self._save(progress, point)
        found: dict[str, list[dict[str, float]]] = {}
        for identities, history in zip(
            self._chunk.identities, progress.history, strict=True
        ):
            scores = rows.newest(
                self._dataset, identities, progress.epoch, point, history
            )
            for identity, scalars in scores:
                # What it shall have in the end; masks that change are denser before.
                own = identity.columns | {"kind": self._job.cell.kind}
                name = saved.which(scalars | own)
                config = self._config | identity.columns
                self.logs.write(name, config, progress.epoch, scalars)
                found.setdefault(identity.columns["arm"], []).append(scalars)
        return "; ".join(_spoken(arm, scores) for arm, scores in found.items())

    def _save(self, progress: ensemble.Progress, point: int) -> None:
        options, last = self._job.options, point == len(self._job.measured) - 1
        masks_too = options.save_masks or self._job.cell.keeps_masks
        whole = options.save_networks == "measured" or (options.save_networks and last)
        if not whole and not masks_too:
            return
        for identities, state, places in zip(
            self._chunk.identities, progress.state, self._places, strict=True
        ):
            for identity in identities:
                if point not in identity.points:
                    continue
                place = int(places[identity.number])
                params, masks, batch_stats = (
                    jax.tree.map(lambda x, at=place: np.asarray(x[at]), part)
                    for part in (state.params, state.masks, state.batch_stats)
                )
                about = identity.columns | {"epoch": progress.epoch}
                if whole:
                    network = saved.Network(params, masks, batch_stats, about)
                    saved.save_network(self._folder, self._job, network)
                # Masks that change are those of the end, each round's of its own.
                if masks_too and point == identity.points[-1]:
                    saved.save_masks(self._folder, self._job, masks, about)


def _spoken(arm: str, scores: list[dict[str, float]]) -> str:
    """Means over an arm's networks, in a few words."""
    accuracy, flow = (
        np.mean([own[name] for own in scores]) for name in ("test_accuracy", "egf2")
    )
    return f"{arm} {accuracy:.2%}, EGF_2 {flow:.3g}"


class _Watch:
    """Says what is to happen after every epoch of a chunk: a checkpoint, if it is time.

    The last epoch is always saved, and the ones before as often as costs little.
    """

    def __init__(
        self,
        job: Job,
        steps: checkpoints.Checkpoints,
        monitor: Monitor,
        keeper: _Keeper,
        label: str,
        of_cell: tuple[float, float],
    ):
        self._epochs = job.epochs
        self._seconds = job.options.checkpoint_seconds
        self._steps = steps
        self._monitor = monitor
        self._keeper = keeper
        self._label = label
        self._done, self._share = of_cell
        self._next_save = time.monotonic() + self._seconds

    def after_epoch(self, progress: ensemble.Progress) -> None:
        if found := self._keeper.keep(progress):
            self._monitor.measured(f"{self._label}epoch {progress.epoch}: {found}")
        if time.monotonic() >= self._next_save or progress.epoch == self._epochs:
            self._save(progress)
        self._monitor.progress(
            self._done + self._share * progress.epoch / self._epochs,
            f"{self._label}epoch {progress.epoch}/{self._epochs}",
        )

    def _save(self, progress: ensemble.Progress) -> None:
        start = time.monotonic()
        self._steps.save(progress)
        now = time.monotonic()
        # No limit if the user wants a checkpoint after every epoch.
        wait = (now - start) / CHECKPOINT_SHARE if self._seconds else 0.0
        self._next_save = now + max(self._seconds, wait)
