"""A saved network that is looked at, and how."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from sparse_gf import curvature, experiment, training
from sparse_gf.core.types import Dataset, LossFn, Params
from sparse_gf.curvature import landscapes
from sparse_gf.experiment import saved
from sparse_gf.models.ghosts import Gates
from sparse_gf.specs import Cell, RunSpec, fields
from sparse_gf.training import logits

Examples = tuple[Array, Array]
"""Images, normalised, and their labels."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Says how networks are looked at.

    Attributes:
        examples: Training images of curvature and of landscapes of the weights, the
            first; 0 for all.
        batch_size: Images at a time at most.
        batch_norm: ``eval``: running statistics; ``train``: those of a batch.
        num: Number of eigenvalues, largest first.
        iterations: Hessian-vector products for eigenvalues at most; 0 until exact.
        num_samples: Random vectors of trace and density.
        points: Points of a landscape along each direction.
        radius: Largest distance along the top eigenvector and in the plane of weights.
            The units are length 1 and the weights' filters.
        input_radius: Largest distance in the plane of the input, in standard deviations
            of pixels.
        input_directions: Plane of the input: ``random``, ``signs`` or ``gradient``.
            See ``landscapes.input_directions``.
        threshold: Magnitude up to which an activation counts as 0.
        every_weight: Whether curvature is that of inactive weights too.
        seed: Source of random vectors and directions.
    """

    examples: int = fields.at_least(1000, 0)
    batch_size: int = fields.at_least(250, 1)
    batch_norm: str = fields.one_of("eval", logits.MODES)
    num: int = fields.at_least(5, 1, 10**6)
    iterations: int = fields.at_least(0, 0, 10**6)
    num_samples: int = fields.at_least(10, 1, 10**6)
    points: int = fields.at_least(21, 2, 10**4)
    radius: float = fields.rate(1.0)
    input_radius: float = fields.rate(0.5)
    input_directions: str = fields.one_of("random", landscapes.INPUT_DIRECTIONS)
    threshold: float = fields.rate(0.01)
    every_weight: bool = False
    seed: int = fields.at_least(0, 0, 2**31 - 1)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if rule := field.metadata.get("rule"):
                rule(f"--{field.name}", getattr(self, field.name))


class Subject(NamedTuple):
    """A network to be looked at, on training examples and those of the test set.

    ``gates`` are those of ghosts in the network's epoch; None for the plain network.
    """

    recipe: training.Recipe
    network: saved.Network
    gates: Gates | None
    train: Examples
    test: Examples
    settings: Settings

    def loss(self, examples: Examples, mode: str) -> LossFn:
        """The mean loss, batch by batch, of the params; see ``logits.MODES``."""
        size = _divisor(len(examples[1]), self.settings.batch_size)
        batches = curvature.in_batches(examples, size)
        return curvature.mean_over_batches(
            functools.partial(self.batch_loss, mode=mode), batches
        )

    def batch_loss(
        self, params: Params, batch: Examples, mode: str
    ) -> Float[Array, ""]:
        """The mean loss of one batch."""
        network = self.network
        return logits.loss(
            self.recipe.model,
            params,
            network.batch_stats,
            *batch,
            mode=mode,
            gates=self.gates,
        )

    @property
    def masks(self) -> Any:
        """Masks of the weights that span the space of curvature."""
        return None if self.settings.every_weight else self.network.masks

    @property
    def key(self) -> Any:
        """The key of random vectors, the same for all networks."""
        return jax.random.key(self.settings.seed)

    def top(self, num: int) -> curvature.Eigenpairs:
        """Eigenpairs of the Hessian on the training images."""
        return curvature.top_eigenpairs(
            self.loss(self.train, self.settings.batch_norm),
            self.network.params,
            self.masks,
            num=num,
            key=self.key,
            iterations=self.settings.iterations or None,
        )


def make(
    cell: Cell, network: saved.Network, dataset: Dataset, settings: Settings
) -> Subject:
    """Makes the subject of a saved network and the data that its cell is trained on."""
    recipe = experiment.job(cell, RunSpec()).recipe(network.params)
    return Subject(
        recipe,
        saved.labelled(network, cell, recipe.model)._replace(about={}),
        training.gates_at(recipe, network.about["epoch"]),
        *_examples(dataset, cell.dtype, settings.examples),
        settings,
    )


@functools.lru_cache(maxsize=1)
def _examples(dataset: Dataset, dtype: str, most: int) -> tuple[Examples, Examples]:
    """Training and test images, on the device once for all networks of a cell."""
    most = most or len(dataset.train_labels)
    data = training.Data(**jax.device_put(training.arrays(dataset, dtype)))
    return (
        (data.normalised(data.train_images[:most]), data.train_labels[:most]),
        (data.normalised(data.test_images), data.test_labels),
    )


def _divisor(examples: int, most: int) -> int:
    return next(n for n in range(min(most, examples), 0, -1) if examples % n == 0)
