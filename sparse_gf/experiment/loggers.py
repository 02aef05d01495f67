"""Logs of training for other tools: TensorBoard's event files, Weights & Biases.

Every network of a cell is a run of its own, written at every measured epoch. Nothing
is sent anywhere unless the environment says so: ``tensorboard --logdir=W`` and ``wandb
sync`` read the files.
"""

import hashlib
import importlib.util
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError


class Writer(Protocol):
    """The log of one network."""

    def write(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Adds the scores of one epoch."""

    def close(self) -> None:
        """Ends the log; nothing can be added then."""


Open = Callable[[pathlib.Path, str, Mapping[str, Any], int], Writer]
"""(folder, name of the network, its config, epochs that were trained before)."""


class TensorBoard:
    """An event file below ``tensorboard/NETWORK/``, made without TensorFlow."""

    def __init__(
        self, folder: pathlib.Path, name: str, config: Mapping[str, Any], epoch: int
    ):
        import tensorboardX

        del config
        # What a killed run wrote after its last checkpoint counts no more.
        self._writer = tensorboardX.SummaryWriter(
            str(folder / "tensorboard" / name), purge_step=epoch + 1 if epoch else None
        )

    def write(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Adds the scores of one epoch."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


class WandB:
    """A run in a group with the other networks of its cell.

    It is offline, below ``wandb/``, unless ``WANDB_MODE=online`` is in the environment;
    there ``WANDB_PROJECT``, ``WANDB_ENTITY`` and others are W&B's own, too. Online, a
    network stays one run when its training is continued.
    """

    def __init__(
        self, folder: pathlib.Path, name: str, config: Mapping[str, Any], epoch: int
    ):
        del epoch
        self._run = _run_of_wandb(folder, name, config, job_type="network")

    def write(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Adds the scores of one epoch."""
        self._run.log(dict(scalars), step=epoch)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def _run_of_wandb(
    folder: pathlib.Path, name: str, config: Mapping[str, Any], job_type: str
) -> Any:
    """A run that begins, or goes on.

    Raises:
        UserError: If W&B cannot begin it: without a login, for example.
    """
    import wandb
    from wandb.errors import Error

    folder.mkdir(parents=True, exist_ok=True)
    mode: Any = os.environ.get("WANDB_MODE", "offline")
    # In other work directories the same network is another run.
    place = f"{folder.absolute()}/{name}".encode()
    same: dict[str, Any] = {
        "id": hashlib.sha256(place).hexdigest()[:16],
        "resume": "allow",
    }
    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True)
    try:
        return wandb.init(
            mode=mode,
            project=os.environ.get("WANDB_PROJECT", "sparse_gf"),
            group=folder.parent.name,
            job_type=job_type,
            name=name,
            dir=str(folder),
            config=dict(config),
            reinit="create_new",
            settings=settings,
            **same if mode == "online" else {},
        )
    except Error as error:
        reason = errors.first_line(error)
        raise UserError(
            f"config.log has wandb, which cannot begin: {reason}"
        ) from error


def _table_of_wandb(folder: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One run with a table of a cell's networks, in the group of their runs."""
    import wandb

    first = {key: own for key, own in rows[0].items() if isinstance(own, _IN_A_TABLE)}
    config = json.loads(rows[0]["config"])
    del first["config"]
    data: Any = [[row.get(key) for key in first] for row in rows]
    run = _run_of_wandb(folder, "networks", config, job_type="table")
    run.log({"networks": wandb.Table(columns=list(first), data=data)})
    run.finish()


_IN_A_TABLE = (bool, int, float, str)

WRITERS: dict[str, tuple[str, Open]] = {
    "tensorboard": ("tensorboardX", TensorBoard),
    "wandb": ("wandb", WandB),
}
"""Name to the package that it needs, which is an extra, and what opens it."""


TABLES: dict[str, Callable[[pathlib.Path, Sequence[Mapping[str, Any]]], None]] = {
    "wandb": _table_of_wandb
}
"""Of some of ``WRITERS``: (folder, rows of a finished cell) as a table."""


def tabulate(
    names: tuple[str, ...], folder: pathlib.Path, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Shows the networks of a finished cell in one table, where a tool has tables.

    ``folder`` is ``logs`` in that of the cell, ``rows`` are what ``results.write_cell``
    takes.
    """
    for name in names:
        if name in TABLES:
            TABLES[name](folder, rows)


def check(names: tuple[str, ...]) -> None:
    """Makes sure that the packages are there.

    Raises:
        UserError: If one is not.
    """
    for name in names:
        package, _ = WRITERS[name]
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"config.log has {name}, which needs {package}; run: "
                f'pip install "sparse_gf[{name}]"'
            )


class Logs:
    """The logs of all networks of an ensemble; opened when first written."""

    def __init__(self, names: tuple[str, ...], folder: pathlib.Path, epoch: int):
        """Opens nothing yet.

        ``folder`` is ``logs`` in that of the cell; so many epochs were trained before.
        """
        self._names = names
        self._folder = folder
        self._epoch = epoch
        self._open: dict[tuple[str, str], Writer] = {}

    def write(
        self,
        network: str,
        config: Mapping[str, Any],
        epoch: int,
        scalars: Mapping[str, float],
    ) -> None:
        """Adds the scores of one network at one epoch to its logs."""
        for name in self._names:
            if (name, network) not in self._open:
                make = WRITERS[name][1]
                own = make(self._folder, network, config, self._epoch)
                self._open[name, network] = own
            self._open[name, network].write(epoch, scalars)

    def close(self) -> None:
        """Closes all of them."""
        for writer in self._open.values():
            writer.close()
        self._open.clear()
