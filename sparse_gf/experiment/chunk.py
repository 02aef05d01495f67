"""Training of a cell's chunks, one after another, with checkpoints in between."""

import contextlib
import functools
import gc
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from sparse_gf import ensemble, results, specs, training
from sparse_gf.core import words
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import checkpoints, loggers, members, rows, saved
from sparse_gf.experiment.members import Chunk, Job
from sparse_gf.experiment.monitor import Monitor

CHECKPOINT_SHARE = 0.05
"""Most of the time that may go into checkpoints."""


def train_all(
    job: Job, dataset: Dataset, workdir: pathlib.Path, monitor: Monitor
) -> tuple[list[dict[str, Any]], float]:
    """Trains chunk after chunk.

    Returns:
        A row per network, and which share of the training was done here: the rest
        came from checkpoints.
    """
    monitor.progress(0.0, f"compiling, then epoch 1/{job.epochs}")
    data = ensemble.to_device(dataset, job.cell.dtype)
    waiting = job.plan(data)
    folder = checkpoints.folder(workdir, job.hash, rows.environment(job.cell, dataset))
    for other in checkpoints.others(folder):
        monitor.note(
            f"{other} is not used: it was made with other data, versions or devices."
        )
    here = _Here(job, dataset, data, workdir, folder, monitor)
    total = sum(chunk.work for chunk in waiting)
    made: list[dict[str, Any]] = []
    done = resumed = 0.0
    number, cut = 0, set[str]()
    while waiting:
        chunk = waiting.pop(0)
        last = number + 1 + len(waiting)
        label = f"part {number + 1}/{last}, " if last > 1 else ""
        share = chunk.work / total
        begun, end = _train(here, chunk, label, (done, share))
        # What the larger chunk that it was cut from trained, was trained here too.
        resumed += 0.0 if chunk.name in cut else share * begun / job.epochs
        if end is None:
            parts = _halved(here, chunk, label)
            cut |= {part.name for part in parts}
            waiting = parts + waiting
            continue
        number, done = number + 1, done + share
        for identities, history in zip(chunk.identities, end.history, strict=True):
            made += rows.make(job, dataset, identities, history)
    return made, 1.0 - resumed


class _Here(NamedTuple):
    """What all chunks of a cell have in common; ``folder`` has their checkpoints."""

    job: Job
    dataset: Dataset
    data: training.Data
    workdir: pathlib.Path
    folder: pathlib.Path
    monitor: Monitor


def _train(
    here: _Here, chunk: Chunk, label: str, of_cell: tuple[float, float]
) -> tuple[int, ensemble.Progress | None]:
    """Trains a chunk.

    Returns:
        The epoch of the checkpoint that it began at, and its progress at the end: None
        where memory does not hold it, and may hold a part of it.
    """
    job, dataset, data, workdir, folder, monitor = here
    begun = 0
    try:
        networks = chunk.make(workdir)
        steps = checkpoints.Checkpoints(folder / chunk.name, monitor.note)
        with contextlib.closing(steps):
            start = _start(networks, data, steps, len(job.measured))
            if begun := start.epoch:
                monitor.note(f"Continuing: {label}epoch {begun}/{job.epochs}.")
            keeper = _Keeper(job, dataset, workdir, chunk, networks, begun)
            watch = _Watch(job, steps, monitor, keeper, label, of_cell)
            with contextlib.closing(keeper.logs):
                after = watch.after_epoch
                return begun, ensemble.fit(networks, data, start, job.measured, after)
    except jax.errors.JaxRuntimeError as error:
        if not ensemble.is_out_of_memory(error) or not members.halves(chunk.groups):
            raise
        return begun, None


def _halved(here: _Here, chunk: Chunk, label: str) -> list[Chunk]:
    """Cuts a chunk in two, which go on at its checkpoint if there is one.

    Beside checkpoints of their own, from when it was cut before, its own is not used.
    """
    job, _, data, workdir, folder, monitor = here
    gc.collect()  # The error may still hold arrays of the device.
    cuts = members.halves(chunk.groups)
    parts = [job.chunk(members.taken(chunk.groups, cut)) for cut in cuts]
    sizes = " and then ".join(str(part.num_networks) for part in parts)
    monitor.note(
        f"Out of memory: {label}{words.counted(chunk.num_networks, 'network')} at "
        f"once are too many; going on with {sizes}."
    )
    networks = chunk.make(workdir)
    steps = checkpoints.Checkpoints(folder / chunk.name, monitor.note)
    with contextlib.closing(steps):
        if not steps.exist:
            return parts
        shapes = ensemble.prepare(networks, data, len(job.measured), init=False)
        host = jax.sharding.SingleDeviceSharding(jax.local_devices(backend="cpu")[0])
        state = jax.tree.map(lambda leaf: leaf.update(sharding=host), shapes.state)
        progress = steps.restore(ensemble.Progress(0, state, shapes.history))
    for part, cut in zip(parts, cuts, strict=True):
        own = checkpoints.Checkpoints(folder / part.name, monitor.note)
        with contextlib.closing(own):
            if progress and not own.exist:
                own.save(ensemble.part(networks, progress, part.make(workdir), cut))
    return parts


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

    Its ``logs``, of all networks, are to be closed.
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
        self._folder = results.cell_folder(workdir, job.cell.info.name, job.hash)
        self._chunk = chunk
        self._places = ensemble.places(networks)
        self._config = specs.to_config(job.cell, job.options)
        self.logs = loggers.Logs(job.options.logs, self._folder / "logs", epoch)

    @functools.cached_property
    def _normalisation(self) -> dict[str, Any]:
        mean, std = self._dataset.channel_statistics()
        return {"mean": mean.tolist(), "std": std.tolist()}

    def keep(self, progress: ensemble.Progress) -> list[dict[str, Any]]:
        """Writes what is wanted after an epoch.

        Returns:
            What was measured of each network, beside what it is; empty if nothing was.
        """
        if progress.epoch not in self._job.measured:
            return []
        point = self._job.measured.index(progress.epoch)
        self._save(progress, point)
        found: list[dict[str, Any]] = []
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
                found.append(identity.columns | scalars)
        return found

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
                    own = about | {"normalisation": self._normalisation}
                    network = saved.Network(params, masks, batch_stats, own)
                    saved.save_network(self._folder, self._job, network)
                # Masks that change are those of the end, each round's of its own.
                if masks_too and point == identity.points[-1]:
                    saved.save_masks(self._folder, self._job, masks, about)


def _spoken(networks: list[dict[str, Any]]) -> str:
    """Means over each arm's networks, in a few words."""
    arms: dict[str, list[tuple[float, float]]] = {}
    for own in networks:
        arms.setdefault(own["arm"], []).append((own["test_accuracy"], own["egf2"]))
    means = {arm: np.mean(scores, axis=0) for arm, scores in arms.items()}
    return "; ".join(f"{arm} {a:.2%}, EGF_2 {f:.3g}" for arm, (a, f) in means.items())


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
            spoken = _spoken(found)
            self._monitor.measured(f"{self._label}epoch {progress.epoch}: {spoken}")
            self._monitor.scores(progress.epoch, found)
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
