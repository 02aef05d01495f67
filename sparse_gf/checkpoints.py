"""Checkpoints of a running ensemble, on Orbax."""

import pathlib
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from sparse_gf.ensemble import Progress

_DELETED = "deleted"


class Checkpoints:
    """The newest two epochs of one ensemble, in a folder of their own.

    A save is atomic. Steps to be deleted are first moved away: a process killed while
    deleting must not leave half a step that looks whole.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder.absolute()
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

    def save(self, progress: Progress) -> None:
        """Saves state and history; they are on disk when this returns."""
        arrays = {"state": progress.state, "history": progress.history}
        self._manager.save(progress.epoch, args=ocp.args.StandardSave(arrays))
        self._empty_deleted()

    def restore(self, shapes: Progress) -> Progress | None:
        """Reads the newest step that can be read.

        Args:
            shapes: Shapes and types of what was saved.

        Returns:
            The progress, its state on the device, or None if there is nothing.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        like = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=device),
            {"state": shapes.state, "history": shapes.history},
        )
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._manager.restore(
                    epoch, args=ocp.args.StandardRestore(like)
                )
            except Exception as error:  # Orbax raises many kinds for damaged files.
                logging.warning("Checkpoint of epoch %d skipped: %s", epoch, error)
                continue
            history = jax.tree.map(np.array, found["history"])
            return Progress(epoch, found["state"], history)
        return None

    def close(self) -> None:
        """Lets go of the folder."""
        self._manager.close()

    def _empty_deleted(self) -> None:
        shutil.rmtree(self._folder / _DELETED, ignore_errors=True)
