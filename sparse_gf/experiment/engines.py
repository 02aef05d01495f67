"""Engines: what trains the cells of a sweep, on this machine or on a cluster.

An engine is a function of ``ENGINES``. It trains cells that are not finished, in a
prepared work directory, and leaves one result file for each. What has been done is in
the work directory alone, never in the engine: a killed sweep goes on with any engine.
"""

import functools
import logging
import os
import pathlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from sparse_gf import data as data_lib
from sparse_gf import results
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.experiment import cost, running
from sparse_gf.experiment.running import Monitor
from sparse_gf.specs import Cell, RunSpec

RETRIES = 3
"""How often a cell is tried again on a cluster after its worker died."""

CONNECT_SECONDS = 10.0
"""How long the address of a cluster may take to answer."""

POLL_SECONDS = 1.0
"""Time between looks at what a cluster is doing."""

SHARED_SECONDS = 120.0
"""How long a result may take to be seen on another machine than the one it is from."""

# What costs one cell and not the others: too little memory for it, for one.
_OF_ONE_CELL = (UserError, jax.errors.JaxRuntimeError)


class Watch:
    """Turns what happens to single cells into the progress of all.

    Attributes:
        failed: By cell hash, why it could not be trained.
        begin: To be called by an engine before it trains the first cell.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        workdir: pathlib.Path,
        monitor: Monitor,
        describe: Callable[[Cell], str],
        result: Callable[[pathlib.Path, Cell], str],
        begin: Callable[[], None],
    ):
        """Watches the training of some cells.

        Args:
            cells: What is to be trained.
            workdir: Where.
            monitor: Is told shares of all cells' work, and a line per finished cell.
            describe: A cell in a few words.
            result: A finished cell's result in one line.
            begin: Called when all that could be wrong has been checked, before the
                first cell is trained.
        """
        self.failed: dict[str, str] = {}
        self.begin = begin
        self._workdir = workdir
        self._monitor = monitor
        self._describe = describe
        self._result = result
        self._total = sum(map(cost.work, cells))
        self._number = len(cells)
        self._done = 0.0
        self._ended = 0

    def of(self, cell: Cell) -> Monitor:
        """A monitor of one cell that passes on to that of all."""
        return _CellMonitor(self, cell)

    def progress(self, cell: Cell, share: float, message: str) -> None:
        """A share of one cell is done."""
        self._monitor.progress(
            (self._done + share * cost.work(cell)) / self._total,
            f"cell {min(self._ended + 1, self._number)}/{self._number}, "
            f"{self._describe(cell)}, {message}",
        )

    def running(self, number: int) -> None:
        """So many cells are being trained, which do not say how far they are."""
        self._monitor.progress(
            self._done / self._total,
            f"{self._ended}/{self._number} cells, {number} running",
        )

    def note(self, cell: Cell, message: str) -> None:
        """Something happened to a cell."""
        self._monitor.note(f"{self._describe(cell)}: {message}")

    def finished(self, cell: Cell) -> None:
        """A cell's result file is there."""
        self._end(cell)
        self._monitor.note(
            f"{self._ended}/{self._number} {cell.hash} {self._describe(cell)}: "
            f"{self._result(self._workdir, cell)}"
        )

    def fail(self, cell: Cell, error: Exception) -> None:
        """A cell could not be trained; others may be."""
        self._end(cell)
        self.failed[cell.hash] = f"{self._describe(cell)}: {error}"
        self._monitor.note(f"{self._ended}/{self._number} {cell.hash} failed: {error}")

    def _end(self, cell: Cell) -> None:
        self._ended += 1
        self._done += cost.work(cell)


class _CellMonitor(Monitor):
    """Tells the watch of all cells what happens to one."""

    def __init__(self, watch: Watch, cell: Cell):
        self._watch = watch
        self._cell = cell

    def progress(self, share: float, message: str) -> None:
        self._watch.progress(self._cell, share, message)

    def note(self, message: str) -> None:
        self._watch.note(self._cell, message)


def local(
    cells: Sequence[Cell], options: RunSpec, workdir: pathlib.Path, watch: Watch
) -> None:
    """Trains cells one after another in this process.

    All data sets are read and checked before anything is trained. Cells that another
    process is training in the same work directory come last and are waited for, so
    several processes can share a sweep, and one that dies is replaced.

    Args:
        cells: None of them finished when this is called.
        options: How cells are run.
        workdir: A prepared work directory.
        watch: Is told what happens.

    Raises:
        UserError: If a data set cannot be used.
        OSError: If a result cannot be written.
    """
    load = _check_data(cells, options)
    watch.begin()
    busy = [
        cell
        for cell in cells
        if not _train(cell, options, load(cell.info), workdir, watch)
    ]
    for cell in busy:
        watch.note(cell, "waiting for the process that trains it")
        _train(cell, options, load(cell.info), workdir, watch, wait=True)


def _train(
    cell: Cell,
    options: RunSpec,
    whole: Dataset,
    workdir: pathlib.Path,
    watch: Watch,
    *,
    wait: bool = False,
) -> bool:
    """Trains one cell; False if another process is training it."""
    try:
        part = running.part(cell, whole)
        running.train_cell(cell, options, part, workdir, watch.of(cell), wait=wait)
    except results.Busy:
        return False
    except _OF_ONE_CELL as error:
        watch.fail(cell, error)
    else:
        watch.finished(cell)
    return True


def on_ray(
    cells: Sequence[Cell],
    options: RunSpec,
    workdir: pathlib.Path,
    watch: Watch,
    address: str = "auto",
) -> None:
    """Trains cells on a running Ray cluster, each in a process of its own.

    A cell gets one GPU, or, where the cluster has none, one of its CPUs; without a GPU
    JAX still computes on all cores of a machine, which the cells there then share. A
    cell whose worker dies (killed, out of memory, machine lost) is tried again, on
    any machine, and continues at its last checkpoint if the machine is of the same
    kind. If this process ends, so do the workers.

    Every machine of the cluster needs the same environment, with this package in it,
    and the work directory and the data under the same paths; locks on files must hold
    across machines.

    Args:
        cells: None of them finished when this is called.
        options: How cells are run.
        workdir: A prepared work directory.
        watch: Is told what happens.
        address: Of the cluster, HOST:PORT; ``"auto"`` for the one in the environment
            variable RAY_ADDRESS, or else the one that this machine belongs to.

    Raises:
        UserError: If Ray is missing, if the cluster or a data set cannot be used, or
            if results do not arrive in the work directory.
    """
    ray = _connect(address)
    try:
        kind = _resource(ray, address)
        # Here first: a mistake is found at once, and what has to be prepared in a
        # shared folder is prepared by one process.
        _check_data(cells, options)
        watch.begin()
        tasks = _submit(ray, kind, cells, options, workdir)
        waiting = list(tasks)
        while waiting:
            ended, waiting = ray.wait(waiting, timeout=POLL_SECONDS)
            for task in ended:
                _tell(ray, task, tasks[task], workdir, watch)
            if waiting:
                watch.running(min(_busy(ray, kind), len(waiting)))
    finally:
        ray.shutdown()


def _connect(address: str) -> Any:
    """Ray, connected to a cluster."""
    # It prints what happens to workers even if told not to. Read by the import.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
        from ray import exceptions
        from ray._private import services
    except ImportError as error:
        raise UserError('--engine=ray needs Ray: pip install -e ".[ray]".') from error
    try:
        # Where nothing answers, Ray itself would try for many minutes.
        found = services.canonicalize_bootstrap_address(address) or address
        place = services.extract_ip_port(found)
        with socket.create_connection(place, CONNECT_SECONDS):
            pass
        ray.init(found, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, exceptions.RayError) as error:
        raise UserError(
            f"--ray_address is {address!r}, where no Ray cluster can be used ("
            f'{errors.first_line(error)}); start one with "ray start --head", and on '
            'its other machines "ray start --address=HOST:6379".'
        ) from error
    return ray


def _resource(ray: Any, address: str) -> str:
    """What a cell needs one of."""
    for kind in ("GPU", "CPU"):
        if ray.cluster_resources().get(kind, 0.0) >= 1:
            return kind
    raise UserError(
        f"--ray_address is {address!r}, a Ray cluster that has neither GPUs nor CPUs "
        "to train on."
    )


def _submit(
    ray: Any,
    kind: str,
    cells: Sequence[Cell],
    options: RunSpec,
    workdir: pathlib.Path,
) -> dict[Any, Cell]:
    """Hands cells to a cluster; a task for each, the longest first."""
    work = ray.remote(
        **{"num_gpus": 1} if kind == "GPU" else {"num_cpus": 1},
        # A process that has used JAX keeps its settings and the accelerator's memory.
        max_calls=1,
        max_retries=RETRIES,
        scheduling_strategy="SPREAD",
    )(_work)
    # The folder of this process means nothing on other machines.
    folder = os.path.expanduser(options.data_dir)
    data_dir = folder and os.path.abspath(folder)
    return {
        work.options(name=cell.hash).remote(
            cell, options, data_dir, workdir.absolute()
        ): cell
        for cell in sorted(cells, key=cost.work, reverse=True)
    }


def _work(
    cell: Cell, options: RunSpec, data_dir: str, workdir: pathlib.Path
) -> tuple[str, list[str]]:
    """Trains one cell in a worker: why that failed, if it did, and what happened."""
    running.set_up_jax(cell)
    notes = _Notes()
    try:
        part = running.part(cell, data_lib.load(cell.info, data_dir))
        # A worker that was cut off may hold the cell's lock for a while.
        running.train_cell(cell, options, part, workdir, notes, wait=True)
    # A disk that fails may be that of one machine.
    except (*_OF_ONE_CELL, OSError) as error:
        return str(error) or type(error).__name__, notes.lines
    return "", notes.lines


class _Notes(Monitor):
    """Keeps what is said about a cell."""

    def __init__(self):
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def _busy(ray: Any, kind: str) -> int:
    """How many of a resource are in use."""
    free = ray.available_resources().get(kind, 0.0)
    return int(ray.cluster_resources().get(kind, 0.0) - free)


def _tell(ray: Any, task: Any, cell: Cell, workdir: pathlib.Path, watch: Watch) -> None:
    """Tells how the task of a cell ended."""
    try:
        problem, notes = ray.get(task)
    except ray.exceptions.RayTaskError:
        raise  # No worker died: it is an error in the program.
    except ray.exceptions.RayError as error:
        problem, notes = errors.first_line(error), []
    for line in notes:
        watch.note(cell, line)
    if problem:
        watch.fail(cell, UserError(problem))
    else:
        _wait_for_result(cell, workdir)
        watch.finished(cell)


def _wait_for_result(cell: Cell, workdir: pathlib.Path) -> None:
    """Waits for shared storage, which may show new files late."""
    path = results.cell_path(workdir, cell.hash)
    deadline = time.monotonic() + SHARED_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise UserError(
                f"cell {cell.hash} was trained, but {path} does not appear here; "
                "--workdir must be storage that all machines of the cluster share."
            )
        time.sleep(POLL_SECONDS)


def _check_data(
    cells: Sequence[Cell], options: RunSpec
) -> Callable[[DatasetInfo], Dataset]:
    """Reads the data sets that cells need and checks them; gives each."""
    load = functools.cache(lambda info: data_lib.load(info, options.data_dir))
    for cell in cells:
        running.KINDS[type(cell)].check(cell)
        running.part(cell, load(cell.info))
    return load


ENGINES: dict[str, Callable[..., None]] = {"local": local, "ray": on_ray}
"""By name; each can be called as ``local`` is."""


def choose(name: str, ray_address: str) -> Callable[..., None]:
    """An engine by name, to be called as ``local`` is.

    Args:
        name: One of ``ENGINES``.
        ray_address: Of the cluster, for the engine that wants one.

    Raises:
        UserError: If there is no such engine.
    """
    errors.one_of("--engine", name, ENGINES)
    if name == "ray":
        return functools.partial(on_ray, address=ray_address)
    return ENGINES[name]
