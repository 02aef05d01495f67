"""Which leaves are layers, and what their axes are.

Flax's names say it for most networks. Where they do not, or where others than its
kernels are to be layers, label the params once, and everything follows:

    params = layers.label(params, layers.of_model(model, images))
"""

import functools
import itertools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from sparse_gf.core import layers as layers_lib
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.layers import Labelled, LabelledDict, Layer, Layers

__all__ = ["Layer", "label", "of_model"]


def label(
    params: Any, layers: Layers | Callable[[str, Any], Layer | None]
) -> LabelledDict | Labelled:
    """Params that say which of their leaves are layers, and what their axes are.

    Everything that reads layers - budgets, masks, scores, gradient flow, curvature,
    transformations - goes by it, and so do all trees that are made from these params:
    masks, gradients, states of optimizers. Leaves without a description are never
    pruned and count nowhere.

    Args:
        params: Of any network. Dicts stay dicts, which ``model.apply`` takes as before;
            others are the ``params`` of what is returned.
        layers: By path, in the order in which layers are to be listed; or a function
            of path and leaf that returns a leaf's description, or None.

    Returns:
        Params with the same leaves.

    Raises:
        UserError: If a path is no leaf of the params, if axes do not fit a leaf, or if
            there are no layers.

    Examples:
        >>> import jax.numpy as jnp
        >>> from sparse_gf import budgets, layers
        >>> params = {"linear": {"w": jnp.ones((4, 5)), "b": jnp.ones(5)}}
        >>> params = layers.label(params, {"linear/w": layers.Layer()})
        >>> budgets.uniform(params, density=0.25)
        {'linear/w': 5}
    """
    if isinstance(params, Labelled):
        params = params.params
    leaves = _leaves(params)
    if callable(layers):
        asked = {path: layers(path, leaf) for path, leaf in leaves.items()}
        layers = {path: layer for path, layer in asked.items() if layer is not None}
    if not layers:
        raise UserError(f"layers names none of the leaves {', '.join(leaves)}.")
    for path, layer in layers.items():
        if path not in leaves:
            raise UserError(
                f"layers names {path!r}, which is no leaf of the params; those are "
                f"{', '.join(leaves)}."
            )
        _check(path, layer, jnp.shape(leaves[path]))
    kind = LabelledDict if isinstance(params, dict) else Labelled
    return kind(params, layers)


def _check(path: str, layer: Layer, shape: tuple[int, ...]) -> None:
    ndim = len(shape)
    every = [axis for part in layer for axis in part]
    fits = all(-ndim <= axis < ndim for axis in every)
    if not fits or len({axis % ndim for axis in every}) < len(every):
        raise UserError(
            f"layers describes {path!r} as {layer}; an axis of its shape {shape} must "
            "be one of inputs, outputs, stack or, unnamed, of the window."
        )
    if not layer.outputs:
        raise UserError(f"layers describes {path!r} without outputs: {layer}.")


def of_model(
    model: Any, *inputs: Any, embeddings: bool = False, **options: Any
) -> dict[str, Layer]:
    """Describes the layers of a Flax model, for ``label``.

    Of a Linen module in the order of its calls, which are traced without computing
    anything; of an NNX module in the order of definition. Known are dense layers and
    general ones, attention, convolutions, transposed ones and embeddings, and those
    stacked by ``nn.scan`` and ``vmap``; other kernels follow, as their names say.

    Args:
        model: A ``linen.Module``, or an ``nnx.Module``, which needs no inputs.
        *inputs: What a Linen module is called with; shapes are enough.
        embeddings: Whether tables of embeddings are layers.
        **options: Keywords of a Linen module's call, ``train=False``.

    Returns:
        Descriptions by path.

    Raises:
        UserError: If the axes of a kernel cannot be told.
    """
    if isinstance(model, nn.Module):
        params, found = _traced(model, inputs, options)
    else:
        params, found = _defined(model)
    shapes = {path: jnp.shape(leaf) for path, leaf in _leaves(params).items()}
    known = {
        path: _stacked(path, layer, inner, shapes[path])
        for path, (layer, inner) in found.items()
        if path in shapes and (embeddings or not path.endswith("/embedding"))
    }
    kernels = {path: s for path, s in shapes.items() if _is_kernel(path, s)}
    named = {
        path: layers_lib.by_name(kernels)[path]
        for path in tree.in_order(kernels)
        if path not in known
    }
    return known | named


def _is_kernel(path: str, shape: tuple[int, ...]) -> bool:
    return path.split("/")[-1] == "kernel" and len(shape) >= 2


def _leaves(params: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {tree.path_name(path): leaf for path, leaf in leaves}


_Found = dict[str, tuple[Layer, tuple[int, ...]]]
"""By path a layer and the shape that its module knows, without a stack."""


def _traced(
    model: nn.Module, inputs: Sequence[Any], options: Mapping[str, Any]
) -> tuple[Any, _Found]:
    found: _Found = {}

    def record(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result, module = run(*args, **kwargs), context.module
        layer = _of_linen(module)
        if layer is not None and context.method_name == "__call__":
            leaf = "embedding" if isinstance(module, nn.Embed) else "kernel"
            shape = jnp.shape(nn.unbox(module.variables["params"][leaf]))
            found.setdefault("/".join((*module.path, leaf)), (layer(len(shape)), shape))
        return result

    with nn.intercept_methods(record):
        init = functools.partial(model.init, **options)
        variables = jax.eval_shape(init, jax.random.key(0), *inputs)
    return variables["params"], found


_ByAxes = Callable[[int], Layer]
"""The number of an array's axes, without a stack, to its description."""


def _of_linen(module: nn.Module) -> _ByAxes | None:
    if isinstance(module, nn.DenseGeneral):
        outputs, stack = _count(module.features), _count(module.batch_dims)
        return functools.partial(_general, outputs, stack)
    if isinstance(module, nn.ConvTranspose):
        return lambda _: _transposed(module.transpose_kernel)
    if isinstance(module, nn.Dense | nn.Conv | nn.Embed):
        return lambda _: Layer()
    return None


def _general(outputs: int, stack: int, ndim: int) -> Layer:
    """A kernel stored as stack, inputs, outputs, each of several axes."""
    axes = tuple(range(ndim))
    first = ndim - outputs
    return _usual(Layer(axes[stack:first], axes[first:], axes[:stack]), ndim)


def _usual(layer: Layer, ndim: int) -> Layer:
    """The default description where it says the same."""
    return Layer() if layer == Layer().axes(ndim) else layer


def _transposed(transpose_kernel: bool) -> Layer:
    return Layer((-1,), (-2,)) if transpose_kernel else Layer()


def _defined(model: Any) -> tuple[Any, _Found]:
    from flax import nnx

    if not isinstance(model, nnx.Module):
        raise UserError(
            f"model is a {type(model).__name__}; it must be a module of flax.linen or "
            "flax.nnx. Label params of other libraries by path."
        )
    found: _Found = {}
    for path, module in _modules(nnx, model, (), set()):
        leaf, ndim, layer = "kernel", 2, Layer()
        match module:
            case nnx.LinearGeneral():
                parts = module.batch_axis, module.in_features, module.out_features
                stack, inputs, outputs = (_count(part) for part in parts)
                ndim = stack + inputs + outputs
                layer = _general(outputs, stack, ndim)
            case nnx.ConvTranspose():
                ndim = len(module.kernel.shape)
                layer = _transposed(module.transpose_kernel)
            case nnx.Conv():
                ndim = _count(module.kernel_size) + 2
            case nnx.Embed():
                leaf = "embedding"
            case nnx.Linear():
                pass
            case _:
                continue
        shape = getattr(module, leaf).shape
        found["/".join((*path, leaf))] = layer, shape[len(shape) - ndim :]
    return nnx.state(model, nnx.Param), found


def _count(sizes: Any) -> int:
    return 1 if isinstance(sizes, int) else len(sizes)


def _modules(
    nnx: types.ModuleType, value: Any, path: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The modules below a value, each once, in the order of definition."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        children = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        children = enumerate(value)
    elif isinstance(value, nnx.Module):
        yield path, value
        children = ((k, v) for k, v in vars(value).items() if not k.startswith("_"))
    else:
        return
    for name, child in children:
        yield from _modules(nnx, child, (*path, str(name)), seen)


def _stacked(
    path: str, layer: Layer, inner: tuple[int, ...], shape: tuple[int, ...]
) -> Layer:
    """The description of an array that holds several of a module's own."""
    more = len(shape) - len(inner)
    if not more:
        return layer
    fitting = [
        axes
        for axes in itertools.combinations(range(len(shape)), more)
        if tuple(n for axis, n in enumerate(shape) if axis not in axes) == inner
    ]
    if len(fitting) != 1:
        raise UserError(
            f"{path!r} of shape {shape} holds several layers of shape {inner}, and "
            "which axes count them cannot be told; describe it by hand, as "
            f"layers.Layer(inputs, outputs, stack={tuple(range(more))})."
        )
    (stack,) = fitting
    own = [axis for axis in range(len(shape)) if axis not in stack]
    inputs, outputs, first = (
        tuple(own[axis] for axis in part) for part in layer.axes(len(inner))
    )
    return Layer(inputs, outputs, (*stack, *first))
