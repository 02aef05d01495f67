"""Checkpoints of a running cell, on Orbax, below ``WORKDIR/checkpoints``."""

import contextlib
import pathlib
import shutil
from collections.abc import Callable

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.ensemble import Progress

_DELETED = "deleted"

# What Orbax and its storage raise for a damaged or foreign step. Running out of memory
# is none of these: it must not cost a good checkpoint.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


class Checkpoints:
    """The newest two epochs of one ensemble, in a folder of their own.

    A save is atomic. Steps to be deleted are first moved away: a process killed while
    deleting must not leave half a step that looks whole.
    """

    def __init__(
        self, folder: pathlib.Path, note: Callable[[str], None] = logging.warning
    ):
        """Opens the folder, or makes it.

        Args:
            folder: Of this ensemble alone.
            note: Is told of steps that cannot be read.
        """
        self._folder = folder.absolute()
        self._note = note
        self._empty_deleted()
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=2,
                todelete_subdir=_DELETED,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=False,
            ),
        )

    @property
    def exist(self) -> bool:
        """Whether any step was saved, readable or not."""
        return bool(self._manager.all_steps())

    def save(self, progress: Progress) -> None:
        """Saves state and history; they are on disk when this returns."""
        arrays = {"state": progress.state, "history": progress.history}
        arguments = ocp.args.Composite(progress=ocp.args.StandardSave(arrays))
        try:
            # Forced: Orbax has rules of its own about when a step is worth saving.
            self._manager.save(progress.epoch, args=arguments, force=True)
        except Exception as error:  # A full disk shows as many kinds.
            raise UserError(
                f"the checkpoint of epoch {progress.epoch} could not be written to "
                f"{self._folder}: {errors.first_line(error)}"
            ) from error
        self._empty_deleted()

    def restore(self, shapes: Progress) -> Progress | None:
        """Reads the newest step that can be read, and deletes those that cannot.

        Args:
            shapes: Shapes and types of what was saved, and the state's sharding.

        Returns:
            The progress, its state on the devices, or None if there is nothing.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        # Orbax reads it as arrays of JAX too.
        history = jax.tree.map(lambda s: s.update(sharding=device), shapes.history)
        like = {"state": shapes.state, "history": history}
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            arguments = ocp.args.Composite(progress=ocp.args.StandardRestore(like))
            try:
                found = self._manager.restore(epoch, args=arguments)["progress"]
                # Orbax warns and goes on where a step has no such item.
                if found is None:
                    raise ValueError("it is incomplete")
            except _UNREADABLE as error:
                self._note(
                    f"The checkpoint of epoch {epoch} cannot be read and is removed "
                    f"({errors.first_line(error)})."
                )
                # Later epochs would not be saved while a newer step seems to be there.
                self._manager.delete(epoch)
                continue
            history = jax.tree.map(np.array, found["history"])
            return Progress(epoch, found["state"], history)
        return None

    def close(self) -> None:
        """Lets go of the folder."""
        self._manager.close()

    def _empty_deleted(self) -> None:
        shutil.rmtree(self._folder / _DELETED, ignore_errors=True)


def folder(workdir: pathlib.Path, config_hash: str, environment: str) -> pathlib.Path:
    """Where the checkpoints of a cell are.

    Args:
        workdir: The work directory.
        config_hash: Of the cell.
        environment: Names everything else that its bits depend on: data, versions.
    """
    return workdir / "checkpoints" / f"{config_hash}-{environment}"


def remove(workdir: pathlib.Path, config_hash: str) -> None:
    """Removes all checkpoints of a cell, in whatever environment they were made."""
    for found in (workdir / "checkpoints").glob(f"{config_hash}-*"):
        shutil.rmtree(found, ignore_errors=True)
    # Not empty while other cells are unfinished.
    with contextlib.suppress(OSError):
        (workdir / "checkpoints").rmdir()
