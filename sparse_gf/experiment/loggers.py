"""Logs of training for other tools: TensorBoard's event files, Weights & Biases.

Every network of a cell is a run of its own, written at every measured epoch. Nothing
is sent anywhere: ``tensorboard --logdir=W`` and ``wandb sync`` read the files.
"""

import importlib.util
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

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
    """An offline run below ``wandb/``, in a group with the other networks."""

    def __init__(
        self, folder: pathlib.Path, name: str, config: Mapping[str, Any], epoch: int
    ):
        import wandb

        del epoch
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            mode="offline",
            project="sparse_gf",
            group=folder.parent.name,
            name=name,
            dir=str(folder),
            config=dict(config),
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True),
        )

    def write(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Adds the scores of one epoch."""
        self._run.log(dict(scalars), step=epoch)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


WRITERS: dict[str, tuple[str, Open]] = {
    "tensorboard": ("tensorboardX", TensorBoard),
    "wandb": ("wandb", WandB),
}
"""Name to the package that it needs, which is an extra, and what opens it."""


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

        Args:
            names: Of ``WRITERS``.
            folder: ``logs`` in that of the cell.
            epoch: Epochs that were trained before.
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
