"""Training on a running Ray cluster, each cell in a process of its own."""

import logging
import os
import pathlib
import socket
from collections.abc import Sequence
from typing import Any

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import elsewhere
from sparse_gf.experiment.monitor import Watch
from sparse_gf.specs import Cell, RunSpec

RETRIES = 3
"""How often a cell is tried again on a cluster after its worker died."""

CONNECT_SECONDS = 10.0
"""How long the address of a cluster may take to answer."""


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

    ``address`` is the cluster's HOST:PORT; ``"auto"`` stands for the one in the
    environment variable RAY_ADDRESS, or else the one that this machine belongs to. The
    rest is as for ``engines.local``.

    Raises:
        UserError: If Ray is missing, if the cluster or a data set cannot be used, or
            if results do not arrive in the work directory.
    """
    ray = _connect(address)
    try:
        kind = _resource(ray, address)
        data_dir = elsewhere.check(cells, options)
        watch.begin()
        tasks = _submit(ray, kind, cells, options, data_dir, workdir)
        waiting = list(tasks)
        while waiting:
            ended, waiting = ray.wait(waiting, timeout=elsewhere.POLL_SECONDS)
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
    data_dir: str,
    workdir: pathlib.Path,
) -> dict[Any, Cell]:
    """Hands cells to a cluster; a task for each, the longest first."""
    work = ray.remote(
        **{"num_gpus": 1} if kind == "GPU" else {"num_cpus": 1},
        # A process that has used JAX keeps its settings and the accelerator's memory.
        max_calls=1,
        max_retries=RETRIES,
        scheduling_strategy="SPREAD",
    )(elsewhere.work)
    return {
        work.options(name=cell.hash).remote(
            cell, options, data_dir, workdir.absolute()
        ): cell
        for cell in elsewhere.longest_first(cells)
    }


def _busy(ray: Any, kind: str) -> int:
    """How many of a resource are in use."""
    free = ray.available_resources().get(kind, 0.0)
    return int(ray.cluster_resources().get(kind, 0.0) - free)


def _tell(ray: Any, task: Any, cell: Cell, workdir: pathlib.Path, watch: Watch) -> None:
    """Tells how the task of a cell ended."""
    try:
        ended = ray.get(task)
    except ray.exceptions.RayTaskError:
        raise  # No worker died: it is an error in the program.
    except ray.exceptions.RayError as error:
        ended = errors.first_line(error), []
    elsewhere.tell(cell, ended, workdir, watch)
