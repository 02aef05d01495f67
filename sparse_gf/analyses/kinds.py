"""The analyses of a saved network, and what each gives as rows.

To add one, add a function of a ``Subject`` to ``ANALYSES``.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from sparse_gf import curvature, training
from sparse_gf.analyses import activity
from sparse_gf.analyses.subject import Settings, Subject
from sparse_gf.curvature import landscapes

Row = tuple[str, float, float, float]
"""Layer, x, y and value; what does not apply is empty or NaN."""


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
    params, masks = subject.network.params, subject.network.masks
    first, second = (
        landscapes.filter_normalised_direction(key, params, masks)
        for key in jax.random.split(subject.key)
    )
    distances = _distances(subject.settings, subject.settings.radius)
    loss = subject.loss(subject.train, subject.settings.batch_norm)
    return distances, landscapes.surface(loss, params, (first, second), distances)


def _input(subject: Subject) -> Any:
    """Loss of one batch of test images, moved in a plane (Figure 10)."""
    size = min(len(subject.test[1]), subject.settings.batch_size)
    images, labels = subject.test[0][:size], subject.test[1][:size]

    def loss(images: Array) -> Float[Array, ""]:
        return subject.batch_loss(subject.network.params, (images, labels), "eval")

    distances = _distances(subject.settings, subject.settings.input_radius)
    kind = subject.settings.input_directions
    return distances, landscapes.input_surface(
        subject.key, loss, images, distances, kind=kind
    )


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


class Analysis(NamedTuple):
    """A function of a subject, whether it is compiled, and what makes rows of it."""

    function: Callable[[Subject], Any]
    rows: Callable[[Any], Iterator[Row]]
    compiled: bool = True

    def of(self, subject: Subject) -> Iterator[Row]:
        """Rows of a network; compiled once for all networks of a recipe."""
        if not self.compiled:
            return self.rows(self.function(subject))
        program = _program(self.function, subject.recipe, subject.settings)
        arrays = subject.network, subject.gates, subject.train, subject.test
        return self.rows(jax.device_get(program(*arrays)))


@functools.lru_cache(maxsize=64)
def _program(
    function: Callable[[Subject], Any], recipe: training.Recipe, settings: Settings
) -> Callable[..., Any]:
    def run(network: Any, gates: Any, some: Any, test: Any) -> Any:
        return function(Subject(recipe, network, gates, some, test, settings))

    return jax.jit(run)


ANALYSES: Mapping[str, Analysis] = {
    "eigenvalues": Analysis(_eigenvalues, _indexed),
    "trace": Analysis(_trace, _single),
    "density": Analysis(_density, _curve),
    "along": Analysis(_along, _curve),
    "weights": Analysis(_weights, _plane),
    "input": Analysis(_input, _plane),
    "activity": Analysis(_activity, _layers, compiled=False),
}
"""Analyses by name. x is the index of an eigenvalue, a point of the density's axis, or
a distance; y the second distance, or the standard error of the trace."""


def _distances(settings: Settings, radius: float) -> np.ndarray:
    return np.linspace(-radius, radius, settings.points)
