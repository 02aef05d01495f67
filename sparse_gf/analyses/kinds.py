"""What saved networks are like: curvature, landscapes, activation sparsity.

Everything is computed from ``network_files`` and a data set, long after training if
need be. To add an analysis, add a function of a ``Subject`` to ``KINDS``.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from sparse_gf import curvature, experiment, losses, specs, training
from sparse_gf.analyses import activity
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset, LossFn, Params
from sparse_gf.curvature import landscapes
from sparse_gf.data import augment
from sparse_gf.experiment import saved
from sparse_gf.models.ghosts import Gates
from sparse_gf.specs import Cell, RunSpec
from sparse_gf.training import logits

Row = tuple[str, float, float, float]
"""Layer, x, y and value; what does not apply is empty or NaN."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How networks are looked at.

    Attributes:
        examples: Training images of curvature and of landscapes of the weights, the
            first; 0 for all.
        batch_size: Images at a time at most.
        batch_norm: ``"eval"``: running statistics; ``"train"``: those of each batch.
        num: Eigenvalues, largest first.
        iterations: Hessian-vector products for eigenvalues at most; 0 until exact.
        num_samples: Random vectors of trace and density.
        points: Of a landscape, along each direction.
        radius: Largest distance along the top eigenvector and in the plane of weights,
            in units of length 1 and of the weights' filters.
        input_radius: Largest change of a pixel, in standard deviations.
        threshold: Up to which an activation counts as 0.
        every_weight: Whether curvature is that of all weights, not of active ones.
        seed: Of random vectors and directions.
    """

    examples: int = 1000
    batch_size: int = 250
    batch_norm: str = "eval"
    num: int = 5
    iterations: int = 0
    num_samples: int = 10
    points: int = 21
    radius: float = 1.0
    input_radius: float = 0.5
    threshold: float = 0.01
    every_weight: bool = False
    seed: int = 0

    def __post_init__(self):
        errors.one_of("--batch_norm", self.batch_norm, logits.MODES)
        for name, low in {
            "examples": 0,
            "batch_size": 1,
            "num": 1,
            "points": 2,
        }.items():
            errors.in_range(f"--{name}", getattr(self, name), low, None)


class Subject(NamedTuple):
    """A network to be looked at.

    Attributes:
        recipe: Of its training.
        network: Its arrays.
        gates: Of its ghosts in its epoch; None for the plain network.
        train: Images, normalised, and labels, of curvature.
        test: Likewise, the test set.
        settings: How it is looked at.
    """

    recipe: training.Recipe
    network: saved.Network
    gates: Gates | None
    train: tuple[Array, Array]
    test: tuple[Array, Array]
    settings: Settings

    def loss(self, examples: tuple[Array, Array], mode: str) -> LossFn:
        """The mean loss of examples, batch by batch, as a function of the params."""
        size = _divisor(len(examples[1]), self.settings.batch_size)
        batches = curvature.in_batches(examples, size)
        return curvature.mean_over_batches(self._batch_loss(mode), batches)

    def _batch_loss(
        self, mode: str
    ) -> Callable[[Params, tuple[Array, Array]], Float[Array, ""]]:
        def loss_fn(params: Params, batch: tuple[Array, Array]) -> Float[Array, ""]:
            images, labels = batch
            return losses.cross_entropy(self.logits(params, images, mode), labels)

        return loss_fn

    def logits(self, params: Params, images: Array, mode: str) -> Array:
        """The network's; ``mode`` is one of ``logits.MODES``."""
        return logits.logits(
            self.recipe.model,
            params,
            self.network.batch_stats,
            images,
            mode=mode,
            gates=self.gates,
        )

    @property
    def masks(self) -> Any:
        """Of the weights that span the space of curvature."""
        return None if self.settings.every_weight else self.network.masks

    @property
    def key(self) -> Any:
        """Of random vectors; the same for all networks."""
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


def _eigenvalues(subject: Subject) -> Any:
    return subject.top(subject.settings.num).values


def _trace(subject: Subject) -> Any:
    estimate = curvature.estimate_trace(
        subject.loss(subject.train, subject.settings.batch_norm),
        subject.network.params,
        subject.masks,
        num_samples=subject.settings.num_samples,
        key=subject.key,
    )
    return estimate.trace, estimate.standard_error


def _density(subject: Subject) -> Any:
    found = curvature.spectral_density(
        subject.loss(subject.train, subject.settings.batch_norm),
        subject.network.params,
        subject.masks,
        key=subject.key,
        num_samples=subject.settings.num_samples,
        iterations=subject.settings.iterations or 90,
    )
    return found.grid, found.density


def _along(subject: Subject) -> Any:
    """Test loss along the eigenvector of the largest eigenvalue (Figure 8)."""
    direction = jax.tree.map(lambda leaf: leaf[0], subject.top(1).vectors)
    distances = _distances(subject.settings, subject.settings.radius)
    loss = subject.loss(subject.test, "eval")
    return distances, landscapes.along(
        loss, subject.network.params, direction, distances
    )


def _weights(subject: Subject) -> Any:
    """Training loss in a plane of filter-normalised directions (Li et al. 2018)."""
    first, second = (
        landscapes.filter_normalised_direction(
            key, subject.network.params, subject.network.masks
        )
        for key in jax.random.split(subject.key)
    )
    distances = _distances(subject.settings, subject.settings.radius)
    loss = subject.loss(subject.train, subject.settings.batch_norm)
    return distances, landscapes.surface(
        loss, subject.network.params, (first, second), distances
    )


def _input(subject: Subject) -> Any:
    """Loss of one batch of test images, moved uphill and at random (Figure 10)."""
    size = min(len(subject.test[1]), subject.settings.batch_size)
    images, labels = subject.test[0][:size], subject.test[1][:size]

    def loss(images: Array) -> Float[Array, ""]:
        found = subject.logits(subject.network.params, images, "eval")
        return losses.cross_entropy(found, labels)

    distances = _distances(subject.settings, subject.settings.input_radius)
    return distances, landscapes.input_surface(subject.key, loss, images, distances)


def _activity(subject: Subject) -> dict[str, float]:
    """Share of activations that are 0, of every layer, on the test set (Table 1)."""
    variables = {
        "params": subject.network.params,
        "batch_stats": subject.network.batch_stats,
    }
    return activity.sparsity(
        subject.recipe.model,
        variables,
        subject.test[0],
        threshold=subject.settings.threshold,
        batch_size=subject.settings.batch_size,
        **training.with_gates(subject.gates),
    )


def _indexed(values: Any) -> Iterator[Row]:
    for index, value in enumerate(values):
        yield "", float(index), math.nan, float(value)


def _single(found: Any) -> Iterator[Row]:
    value, error = found
    yield "", math.nan, float(error), float(value)


def _curve(found: Any) -> Iterator[Row]:
    for x, value in zip(*found, strict=True):
        yield "", float(x), math.nan, float(value)


def _plane(found: Any) -> Iterator[Row]:
    distances, values = found
    for x, row in zip(distances, values, strict=True):
        for y, value in zip(distances, row, strict=True):
            yield "", float(x), float(y), float(value)


def _layers(found: Any) -> Iterator[Row]:
    for layer, value in found.items():
        yield layer, math.nan, math.nan, value


class Kind(NamedTuple):
    """One analysis.

    Attributes:
        function: Of a subject.
        rows: Of what it gives.
        compiled: Whether ``function`` is to be compiled as a whole.
    """

    function: Callable[[Subject], Any]
    rows: Callable[[Any], Iterator[Row]]
    compiled: bool = True


KINDS: Mapping[str, Kind] = {
    "eigenvalues": Kind(_eigenvalues, _indexed),
    "trace": Kind(_trace, _single),
    "density": Kind(_density, _curve),
    "along": Kind(_along, _curve),
    "weights": Kind(_weights, _plane),
    "input": Kind(_input, _plane),
    "activity": Kind(_activity, _layers, compiled=False),
}
"""Analyses by name. x is the index of an eigenvalue, a point of the density's axis, or
a distance; y the second distance, or the standard error of the trace."""

COLUMNS = (
    "config_hash",
    "model",
    "dataset",
    "mask_method",
    "density",
    "tost",
    "activation",
    "arm",
    "dense_width",
    "seed",
    "epoch",
    "examples",
    "batch_norm",
    "kind",
    "layer",
    "x",
    "y",
    "value",
)
"""Of the table of analyses; the last five are those of one number."""


def of_network(
    path: pathlib.Path,
    kinds: Sequence[str],
    settings: Settings,
    load: Callable[[Cell], Dataset],
) -> pd.DataFrame:
    """Looks at one network.

    Args:
        path: Its file.
        kinds: Names in ``KINDS``.
        settings: How.
        load: Gives the part of the data set that a cell is trained on.

    Returns:
        One row per number, with ``COLUMNS``.

    Raises:
        UserError: If the file is none of a network, or of another version.
    """
    network = saved.load(path)
    try:
        cell, _ = specs.from_config(network.about["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} has no config of a cell ({error}).") from error
    dataset = load(cell)
    found = []
    for name in kinds:
        kind = KINDS[name]
        subject = _subject(cell, network, dataset, settings)
        values = _run(kind, subject) if kind.compiled else kind.function(subject)
        found += [(name, *row) for row in kind.rows(jax.device_get(values))]
    rows = pd.DataFrame(found, columns=list(COLUMNS[-5:]))
    about = {
        "examples": len(subject.train[1]) if kinds else 0,
        "batch_norm": settings.batch_norm,
    } | network.about
    return rows.assign(**{name: about[name] for name in COLUMNS[:-5]})[list(COLUMNS)]


def _subject(
    cell: Cell, network: saved.Network, dataset: Dataset, settings: Settings
) -> Subject:
    recipe = experiment.job(cell, RunSpec()).recipe(network.params)
    epoch, gates = network.about["epoch"], None
    if recipe.ghosts is not None:
        number = int(recipe.pruning.schedule_epoch(jnp.int32(epoch)))
        gates = recipe.ghosts.gates(number) if recipe.ghosts.are_on(number) else None
    mean, std = dataset.channel_statistics()
    dtype = cell.dtype

    def examples(images: np.ndarray, labels: np.ndarray, most: int) -> Any:
        part = jnp.asarray(images[: most or None])
        spread = np.where(std > 0, std, 1).astype(dtype)
        ready = augment.normalise(
            part, jnp.asarray(mean.astype(dtype)), jnp.asarray(spread), jnp.dtype(dtype)
        )
        return ready, jnp.asarray(labels[: most or None])

    return Subject(
        recipe,
        network._replace(about={}),
        gates,
        examples(dataset.train_images, dataset.train_labels, settings.examples),
        examples(dataset.test_images, dataset.test_labels, 0),
        settings,
    )


def _run(kind: Kind, subject: Subject) -> Any:
    """Compiled once for all networks of one recipe and settings."""
    arrays = subject.network, subject.gates, subject.train, subject.test
    return _program(kind.function, subject.recipe, subject.settings)(*arrays)


@functools.lru_cache(maxsize=64)
def _program(
    function: Callable[[Subject], Any], recipe: training.Recipe, settings: Settings
) -> Callable[..., Any]:
    def run(network: Any, gates: Any, some: Any, test: Any) -> Any:
        return function(Subject(recipe, network, gates, some, test, settings))

    return jax.jit(run)


def _divisor(examples: int, most: int) -> int:
    return next(n for n in range(min(most, examples), 0, -1) if examples % n == 0)


def _distances(settings: Settings, radius: float) -> np.ndarray:
    return np.linspace(-radius, radius, settings.points)
