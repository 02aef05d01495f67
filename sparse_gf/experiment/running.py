"""Training of one cell: from its spec to result rows, in one place, resumable."""

import contextlib
import functools
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import pandas as pd

from sparse_gf import data as data_lib
from sparse_gf import ensemble, results, specs
from sparse_gf.core import errors, files, own, words
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.experiment import checkpoints, chunk, kept, kinds, loggers, rows
from sparse_gf.experiment.monitor import Monitor
from sparse_gf.specs import Cell, RunSpec

OF_ONE_CELL = (UserError, jax.errors.JaxRuntimeError)
"""What costs one cell and not the others: too little memory for it, for one."""


def set_up_jax(cell: Cell) -> None:
    """Sets what only a whole process can: precision, devices, compilation cache."""
    ensemble.use_all_cores()
    if cell.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    use_cache()


def use_cache() -> None:
    """Keeps compiled programs between processes, where the user has not said where."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        # It is a convenience: without it, or a home, programs are compiled again.
        with contextlib.suppress(OSError, UserError):
            above = files.user_path("XDG_CACHE_HOME", cache)
            folder = above / "sparse_gf" / "jax"
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
            is training it there; ``errors.Failed`` if training had begun.
    """
    loggers.check(options.logs)
    monitor = monitor or Monitor()
    path = results.prepare(workdir, monitor.note)
    results.check(path)
    kinds.job(cell, options)
    dataset = part(cell, data_lib.load(cell.files, options.data_dir))
    train_cell(cell, options, dataset, path, monitor)
    with errors.begun():
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
    chosen = data_lib.stratified(whole, cell.train_examples, cell.test_examples)
    return data_lib.resized(chosen, cell.image_size)


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

    ``dataset`` is the cell's ``part``, and the work directory is prepared. With
    ``wait``, another process that is training the cell is waited for.
    """
    with results.lock(workdir, cell.hash, wait):
        if results.cell_path(workdir, cell.hash).exists():
            _check_same(cell, dataset, workdir)
            monitor.note(f"Cell {cell.hash} is finished; nothing to train.")
            if lacking := kept.complete([cell], options, workdir):
                monitor.note(lacking)
        else:
            folder = results.cell_folder(workdir, cell.info.name, cell.hash)
            results.check_writable(folder)
            for warning in cell.warnings:
                monitor.note(f"Warning: {warning}")
            for needed in cell.needs:
                _have(needed, options, dataset, workdir, monitor)
            start = time.monotonic()
            job = kinds.job(cell, options)
            with errors.begun(jax.errors.JaxRuntimeError):
                trained, share = chunk.train_all(job, dataset, workdir, monitor)
                seconds = (time.monotonic() - start) / share if share else math.nan
                results.write_cell(workdir, cell.hash, trained, seconds)
                loggers.tabulate(options.logs, kept.logs(cell, workdir), trained)
        # Also for a finished cell: its process may have been killed right here.
        environment = rows.environment(cell, dataset)
        own = checkpoints.folder(workdir, cell.hash, environment)
        checkpoints.remove(own, monitor.note)


def _have(
    cell: Cell,
    options: RunSpec,
    dataset: Dataset,
    workdir: pathlib.Path,
    monitor: Monitor,
) -> None:
    """Makes sure that a cell whose masks are needed is finished, and has them."""
    monitor.note(f"First the masks of cell {cell.hash}: {cell.what}.")
    train_cell(cell, options, dataset, workdir, monitor, wait=True)
    folder = results.cell_folder(workdir, cell.info.name, cell.hash) / "masks"
    if not any(folder.glob("*.npz")):
        path = results.cell_path(workdir, cell.hash)
        raise UserError(
            f"{folder} has no masks, though cell {cell.hash} is finished; remove "
            f"{path} to train it again."
        )


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
                f"{dataset.source} has only "
                f"{words.counted(len(labels), f'{kind} image')}."
            )


def _check_same(cell: Cell, dataset: Dataset, workdir: pathlib.Path) -> None:
    """Makes sure that a finished cell is the one wanted, on the data at hand."""
    finished = results.read(workdir, cell.hash)
    found, _ = specs.from_config(files.from_json(finished["config"].iloc[0]))
    for place, text in cell.own().items():
        before = found.own().get(place, "")
        if before != text and own.plain(before) == own.plain(text):
            raise UserError(
                f"config.{place} is {own.plain(text)!r}, and its code or content is "
                f"not that with which --workdir {str(workdir)!r} has cell {cell.hash} "
                f"({own.behind(before)}, now {own.behind(text)}); use another work "
                "directory, or another name."
            )
    if found != cell:
        raise UserError(
            f"--workdir {str(workdir)!r} holds another cell under the name "
            f"{cell.hash}; use another work directory."
        )
    known = finished["dataset_fingerprint"].iloc[0]
    if known != dataset.fingerprint:
        raise UserError(
            f"--workdir {str(workdir)!r} holds cell {cell.hash} computed from other "
            f"data ({finished['dataset_source'].iloc[0]}, fingerprint {known}) than "
            f"config.data_dir gives now ({dataset.source}, fingerprint "
            f"{dataset.fingerprint}); use another work directory."
        )


def load_all(
    cells: Sequence[Cell], options: RunSpec
) -> Callable[[DatasetInfo], Dataset]:
    """Reads the data sets that cells need and checks everything before training.

    Returns:
        A function from what is known of a data set, as it is stored, to the whole.

    Raises:
        UserError: If a data set cannot be used, or a cell not be trained.
    """
    load = functools.cache(lambda info: data_lib.load(info, options.data_dir))
    for cell in cells:
        kinds.job(cell, options)
        part(cell, load(cell.files))
    return load
