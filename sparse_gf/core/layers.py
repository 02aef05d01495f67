"""What the axes of a layer's weights are, and params that say which leaves are layers.

A layer's weights are seen here as ``[*window, inputs, outputs]``, however they are
stored: heads of attention are no axes of their own, and layers that are stacked in one
array are layers each.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sparse_gf.core.errors import UserError

_HEADS = ("query", "key", "value")
"""Layers of Flax's attention whose outputs are heads; ``out`` reads them."""


_MATRICES = (*_HEADS, "dense", "linear")
"""Parts of names of layers that have no window."""


class Layer(NamedTuple):
    """Which axes of an array are what; those of none of the three are a window.

    Attributes:
        inputs: Axes over a unit's inputs.
        outputs: Axes over units.
        stack: Axes over layers of equal shape, as ``nn.scan`` and ``nn.vmap`` stack
            them.
    """

    inputs: tuple[int, ...] = (-2,)
    outputs: tuple[int, ...] = (-1,)
    stack: tuple[int, ...] = ()

    def axes(self, ndim: int) -> "Layer":
        """The same with axes counted from the front."""
        return Layer(*(tuple(axis % ndim for axis in part) for part in self))


Layers = Mapping[str, Layer]
"""A layer's description by the path of its leaf, in the order of the layers."""


@jax.tree_util.register_pytree_with_keys_class
class LabelledDict(dict):
    """Params in dicts that know their layers: a dict in all else, to Flax and JAX."""

    def __init__(self, params: Mapping[str, Any], layers: Layers):
        super().__init__(params)
        self.layers = dict(layers)

    def tree_flatten_with_keys(self) -> tuple[Iterable[tuple[Any, Any]], Any]:
        """Children by key, as JAX flattens a dict."""
        keys = sorted(self)
        children = [(jax.tree_util.DictKey(key), self[key]) for key in keys]
        return children, (tuple(keys), tuple(self.layers.items()))

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Iterable[Any]) -> "LabelledDict":
        """The inverse."""
        keys, layers = aux
        return cls(dict(zip(keys, children, strict=True)), dict(layers))


class Inside:
    """The key of what a ``Labelled`` holds, which is no part of a path."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inside)

    def __hash__(self) -> int:
        return 0


@jax.tree_util.register_pytree_with_keys_class
class Labelled:
    """Params in other containers that know their layers."""

    def __init__(self, params: Any, layers: Layers):
        self.params = params
        self.layers = dict(layers)

    def tree_flatten_with_keys(self) -> tuple[Iterable[tuple[Any, Any]], Any]:
        """What is inside, without a name of its own."""
        return [(Inside(), self.params)], tuple(self.layers.items())

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Iterable[Any]) -> "Labelled":
        """The inverse."""
        (params,) = children
        return cls(params, dict(aux))


def by_name(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Layer]:
    """Describes kernels as Flax names and stores them.

    Two axes are inputs and outputs; more are a window before them, and the heads of
    attention where the layers are called as Flax's are.

    ``shapes`` are those of all kernels, by path.

    Raises:
        UserError: If a name leaves open what the axes are.
    """
    return {path: _named(path, shape, shapes) for path, shape in shapes.items()}


def _named(path: str, shape: tuple[int, ...], all_paths: Iterable[str]) -> Layer:
    *above, module, _ = ("", "", *path.split("/"))
    word = module.lower()
    if len(shape) == 2 or "conv" in path.lower():
        return Layer()
    if len(shape) == 3 and word in _HEADS:
        return Layer((0,), (1, 2))
    siblings = {"/".join((*filter(None, above), name, "kernel")) for name in _HEADS}
    if len(shape) == 3 and word == "out" and siblings <= set(all_paths):
        return Layer((0, 1), (2,))
    if len(shape) > 3 and not any(name in word for name in _MATRICES):
        return Layer()
    raise UserError(
        f"the kernel {path!r} has the shape {shape}: its axes may be a window, heads, "
        "or layers stacked in one array. Say which: params = layers.label(params, "
        "layers.of_model(model, inputs)), or {path: layers.Layer(inputs, outputs, "
        "stack), ...} in the place of the model's."
    )


def names(path: str, shape: tuple[int, ...], layer: Layer) -> Iterator[str]:
    """Names of the layers in one array: ``path``; of a stack, ``path[0]`` and so on."""
    if not layer.stack:
        yield path
        return
    sizes = [shape[axis] for axis in layer.axes(len(shape)).stack]
    for place in range(math.prod(sizes)):
        index = []
        for size in reversed(sizes):
            place, own = divmod(place, size)
            index.append(str(own))
        yield f"{path}[{','.join(reversed(index))}]"


def split(array: Any, layer: Layer) -> list[Any]:
    """The layers in one array, each ``[*window, inputs, outputs]``.

    Arrays are of JAX, NumPy, or a ``jax.ShapeDtypeStruct``.
    """
    if layer == Layer():
        return [array]
    if isinstance(array, jax.ShapeDtypeStruct):
        return jax.eval_shape(lambda x: split(x, layer), array)
    order, sizes = _order(array.shape, layer)
    whole = array.transpose(order).reshape(sizes)
    return list(whole) if layer.stack else [whole[0]]


def merge(parts: list[Any], layer: Layer, shape: tuple[int, ...]) -> Any:
    """The inverse of ``split``, for an array of that shape."""
    if layer == Layer():
        return parts[0]
    order, _ = _order(shape, layer)
    stored = jnp.stack(parts).reshape([shape[axis] for axis in order])
    return stored.transpose(sorted(range(len(order)), key=order.__getitem__))


def _order(shape: tuple[int, ...], layer: Layer) -> tuple[list[int], list[int]]:
    """Axes in the order stack, window, inputs, outputs; and the sizes of the split."""
    inputs, outputs, stack = layer.axes(len(shape))
    known = (*stack, *inputs, *outputs)
    window = [axis for axis in range(len(shape)) if axis not in known]

    def size(axes: tuple[int, ...]) -> int:
        return math.prod(shape[axis] for axis in axes)

    sizes = [size(stack), *(shape[axis] for axis in window), size(inputs)]
    return [*stack, *window, *inputs, *outputs], [*sizes, size(outputs)]
