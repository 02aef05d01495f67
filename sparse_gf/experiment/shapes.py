"""Networks as shapes: what they are made of, before any of them is made."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sparse_gf import layers, masks, training
from sparse_gf.models.ghosts import Ghosts
from sparse_gf.training import pruning


def variables(
    model: nn.Module,
    ghosts: Ghosts | None,
    image_shape: tuple[int, ...],
    dtype: str,
    key: Any,
) -> Any:
    """New variables of a model, as Flax draws them; ``key`` is consumed.

    Params of a user's own model know their layers, in the order of calls.
    """
    example = jnp.zeros((1, *image_shape), dtype)
    gates = ghosts.gates(1) if ghosts else None
    found = model.init(key, example, **training.with_gates(gates))
    return {**found, "params": labelled(model, found["params"], image_shape, dtype)}


def labelled(
    model: nn.Module, params: Any, image_shape: tuple[int, ...], dtype: str
) -> Any:
    """A model's params, or masks, that know the layers of a user's own model."""
    if type(model).__module__.startswith("sparse_gf."):
        return params
    return layers.label(params, _layers(model, image_shape, dtype))


@functools.lru_cache(maxsize=64)
def _layers(
    model: nn.Module, image_shape: tuple[int, ...], dtype: str
) -> dict[str, layers.Layer]:
    return layers.of_model(model, jax.ShapeDtypeStruct((1, *image_shape), dtype))


class Network(NamedTuple):
    """What a network is made of.

    ``output_bytes`` are those of all its layers' outputs, for one image.
    """

    recipe: training.Recipe
    image_shape: tuple[int, ...]
    state: training.TrainState
    output_bytes: int


def network(
    recipe: training.Recipe,
    image_shape: tuple[int, ...],
    dtype: str,
    counts: Any = None,
) -> Network:
    """What the networks of a recipe are made of.

    ``counts`` are like those that the recipe's pruning is given; None if it is given
    none.
    """
    leaves, structure = jax.tree.flatten(counts)
    alike = structure, tuple(leaf.shape for leaf in leaves)
    found = traced(recipe.model, recipe.ghosts, image_shape, dtype)
    state = _state(recipe, image_shape, dtype, alike)
    return Network(recipe, image_shape, state, found.output_bytes)


class Traced(NamedTuple):
    """Shapes and types of a model's variables, and bytes of its layers' outputs."""

    variables: Any
    output_bytes: int


@functools.lru_cache(maxsize=64)
def traced(
    model: nn.Module, ghosts: Ghosts | None, image_shape: tuple[int, ...], dtype: str
) -> Traced:
    """Traces the initialisation of a model, once for all cells that have it."""
    sizes: list[int] = []

    def record(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = run(*args, **kwargs)
        if not context.module.__class__.__module__.startswith("sparse_gf"):
            sizes.extend(leaf.size for leaf in jax.tree.leaves(result))
        return result

    with nn.intercept_methods(record):
        found = jax.eval_shape(
            lambda: variables(model, ghosts, image_shape, dtype, jax.random.key(0))
        )
    return Traced(found, sum(sizes) * np.dtype(dtype).itemsize)


@functools.lru_cache(maxsize=64)
def _state(
    recipe: training.Recipe, image_shape: tuple[int, ...], dtype: str, alike: Any
) -> training.TrainState:
    found = traced(recipe.model, recipe.ghosts, image_shape, dtype).variables

    def make(params: Any, batch_stats: Any) -> training.TrainState:
        structure, sizes = alike
        counts = structure.unflatten(jnp.zeros(size, jnp.int32) for size in sizes)
        memory = {} if counts is None else {pruning.NUM_ACTIVE: counts}
        ones = masks.ones(params)
        return training.create(recipe, params, ones, batch_stats, 0.0, memory)

    return jax.eval_shape(make, found["params"], found.get("batch_stats", {}))
