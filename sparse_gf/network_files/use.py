"""A saved network that can be called."""

import dataclasses
import os
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from sparse_gf import experiment, specs, training
from sparse_gf.core import files
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Masks, Params
from sparse_gf.experiment import saved
from sparse_gf.models.ghosts import Gates
from sparse_gf.specs import Cell, RunSpec
from sparse_gf.training import logits


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A trained network.

    Attributes:
        params: Masked.
        masks: Like the params.
        batch_stats: BatchNorm's running statistics; empty without BatchNorm.
        about: ``config``, ``epoch``, and columns of the results.
        cell: What was trained.
        model: The Linen module.
        gates: Of ghosts that are still there; None for the plain network.
        mean: Of the training images, per channel, of bytes divided by 255.
        std: Likewise.
    """

    params: Params
    masks: Masks
    batch_stats: Any
    about: dict[str, Any]
    cell: Cell
    model: nn.Module
    gates: Gates | None
    mean: np.ndarray
    std: np.ndarray

    def apply(
        self, images: Num[Array | np.ndarray, "batch ..."]
    ) -> Float[Array, "batch classes"]:
        """Logits of inputs as the data set has them, uint8 images or float features.

        They are normalised as in training. Normalisation layers use their running
        statistics.

        Raises:
            UserError: If the inputs have another shape than those of the training.
        """
        shape = self.cell.info.image_shape
        if np.shape(images)[1:] != tuple(shape):
            raise UserError(
                f"images have the shape {np.shape(images)}; it must be "
                f"{('examples', *shape)}, as in the training of {self.cell.what}."
            )
        dtype = self.cell.dtype
        given = training.normalised(np.asarray(images), self.mean, self.std, dtype)
        return logits.logits(
            self.model,
            self.params,
            self.batch_stats,
            jnp.asarray(given),
            mode="eval",
            gates=self.gates,
        )

    def accuracy(
        self,
        images: Num[Array | np.ndarray, "batch ..."],
        labels: Int[Array | np.ndarray, " batch"],
        batch_size: int = 1000,
    ) -> float:
        """The share of examples whose largest logit is that of their class."""
        correct = 0
        for start in range(0, len(labels), batch_size):
            part = slice(start, start + batch_size)
            found = jnp.argmax(self.apply(images[part]), axis=-1)
            correct += int(jnp.sum(found == jnp.asarray(labels[part])))
        return correct / len(labels)


def load(path: str | os.PathLike[str]) -> Network:
    """Reads a network's file and rebuilds what it takes to call it.

    Raises:
        UserError: If the file is damaged or none of a network, if it has no
            normalisation, as older ones, or if something of a user's own that it was
            trained with is not registered.
    """
    file = files.user_path("path", path)
    found = saved.load(file)
    if "normalisation" not in found.about:
        raise UserError(
            f"{file} does not say how its images were normalised; train the cell "
            "again, or call found.params with inputs that are."
        )
    cell, _ = specs.from_config(found.about["config"])
    recipe = experiment.job(cell, RunSpec()).recipe(found.params)
    normalisation = found.about["normalisation"]
    return Network(
        *saved.labelled(found, cell, recipe.model),
        cell=cell,
        model=recipe.model,
        gates=training.gates_at(recipe, found.about["epoch"]),
        mean=np.asarray(normalisation["mean"]),
        std=np.asarray(normalisation["std"]),
    )
