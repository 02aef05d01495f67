"""Checkpoints of a running cell, on Orbax, below ``WORKDIR/checkpoints``.

Beside the arrays stands a checksum of each: much of what Orbax writes has none.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from sparse_gf.core import checksums, errors, files
from sparse_gf.core.errors import UserError
from sparse_gf.ensemble import Progress

_DELETED = "deleted"

_FORMAT = 2
"""Of what is written here; steps of another one are as those of another version."""


class Checkpoints:
    """The newest two epochs of one ensemble, in a folder of their own.

    A save is atomic. Steps to be deleted are first moved away: a process killed while
    deleting must not leave half a step that looks whole.
    """

    def __init__(
        self, folder: pathlib.Path, note: Callable[[str], None] = logging.warning
    ):
        """Opens the folder of one ensemble, or makes it; ``note`` is told of damage.

        Raises:
            UserError: If it cannot be used.
        """
        self._folder = folder.absolute()
        self._note = note
        self._empty_deleted()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2,
            todelete_subdir=_DELETED,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=False,
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            os.listdir(self._folder)
        except OSError as error:
            raise UserError(files.explained(error, self._folder)) from error
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    @property
    def exist(self) -> bool:
        """Whether any step was saved, readable or not."""
        return bool(self._manager.all_steps())

    def save(self, progress: Progress) -> None:
        """Saves state and history; they are on disk when this returns."""
        arrays = {"state": progress.state, "history": progress.history}
        arguments = ocp.args.Composite(
            progress=ocp.args.StandardSave(arrays),
            checksums=ocp.args.JsonSave(checksums.of_leaves(arrays)),
        )
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
        """Reads the newest step that is whole, and deletes those that are damaged.

        ``shapes`` are the shapes and types of what was saved, and the state's sharding.

        Returns:
            The progress, its state on the devices, or None if there is nothing.

        Raises:
            UserError: If a file cannot be read now; nothing is deleted then.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        # Orbax reads it as arrays of JAX too.
        history = jax.tree.map(lambda s: s.update(sharding=device), shapes.history)
        like = {"state": shapes.state, "history": history}
        steps = sorted(self._manager.all_steps(), reverse=True)
        for epoch in steps:
            try:
                found = self._read_again(epoch, like)
            except _Damaged as error:
                self._note(
                    f"The checkpoint of epoch {epoch} is damaged and is removed "
                    f"({errors.first_line(error)})."
                )
                # Later epochs would not be saved while a newer step seems to be there.
                self._manager.delete(epoch)
                continue
            history = jax.tree.map(np.array, found["history"])
            return Progress(epoch, found["state"], history)
        if steps:
            self._note("No checkpoint is whole; training begins again.")
        return None

    def _read_again(self, epoch: int, like: Any) -> Any:
        """Reads a step, twice if need be.

        An error of reading may pass, and TensorStore does not tell it from damage. What
        can be read from end to end in between, and not by it, is damaged.
        """
        try:
            return self._read(epoch, like)
        except _Damaged:
            _check_readable(self._folder / str(epoch))
            return self._read(epoch, like)

    def _read(self, epoch: int, like: Any) -> Any:
        """The arrays of a step, which are those that were saved."""
        arguments = ocp.args.Composite(
            progress=ocp.args.StandardRestore(like),
            checksums=ocp.args.JsonRestore(),
        )
        try:
            found = self._manager.restore(epoch, args=arguments)
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise  # They must not cost a good checkpoint.
        except Exception as error:  # TensorStore raises it as it is.
            raise _Damaged(error) from error
        arrays, written = found["progress"], found["checksums"]
        # Orbax warns and goes on where a step has no such item.
        if arrays is None or not isinstance(written, dict):
            raise _Damaged("it is incomplete")
        for path, name in checksums.of_leaves(arrays).items():
            if written.get(path) != name:
                raise _Damaged(f"{path} is not what was saved")
        return arrays

    def close(self) -> None:
        """Lets go of the folder."""
        self._manager.close()

    def _empty_deleted(self) -> None:
        shutil.rmtree(self._folder / _DELETED, ignore_errors=True)


class _Damaged(Exception):
    """A step was read, and is not what was saved."""


def _check_readable(folder: pathlib.Path) -> None:
    """Reads every file in a folder to its end.

    Raises:
        UserError: If one cannot be read; it has the path and the reason.
    """

    def stop(error: OSError) -> None:
        raise error

    path = str(folder)
    try:
        for above, _, names in os.walk(folder, onerror=stop):
            for path in (os.path.join(above, name) for name in names):
                with open(path, "rb") as file:
                    while file.read(2**20):
                        pass
    except OSError as error:
        raise UserError(
            f"the checkpoint {error.filename or path} cannot be read now "
            f"({error.strerror}), and nothing was removed; give the command again when "
            f"it can be, or remove {folder} to train from the step before."
        ) from error


def folder(workdir: pathlib.Path, config_hash: str, environment: str) -> pathlib.Path:
    """Where the checkpoints of a cell are.

    ``environment`` names everything that its bits depend on besides: data, versions.
    """
    return workdir / "checkpoints" / f"{config_hash}-{environment}.{_FORMAT}"


def others(own: pathlib.Path) -> list[pathlib.Path]:
    """Where another environment has kept checkpoints of the cell of a folder."""
    config_hash = own.name.partition("-")[0]
    return sorted(path for path in own.parent.glob(f"{config_hash}-*") if path != own)


def remove(own: pathlib.Path, note: Callable[[str], None]) -> None:
    """Removes all checkpoints of a finished cell, in whatever environment made.

    Those in ``own`` were made here; ``note`` is told of others.
    """
    for found in (own, *others(own)):
        if found != own:
            note(f"Removed {found}: its cell is finished, and was not trained on it.")
        shutil.rmtree(found, ignore_errors=True)
    # Not empty while other cells are unfinished.
    with contextlib.suppress(OSError):
        own.parent.rmdir()
