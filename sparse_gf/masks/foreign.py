"""Masks of other tools, brought onto the params of a network here.

PyTorch's pruning, open_lth, jaxpruner, or any pruned weights. Pickles are never
executed.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_gf.core import errors, files, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Masks, Params
from sparse_gf.masks import pairing
from sparse_gf.masks.files import num_bytes


def from_torch(
    source: str | os.PathLike[str] | Mapping[str, Any],
    params: Params,
    *,
    names: Mapping[str, str | None] | None = None,
    flattened: Mapping[str, tuple[int, int, int]] | None = None,
) -> Masks:
    """Brings the masks of a PyTorch network onto a network here.

    Taken are the buffers ``*.weight_mask`` of ``torch.nn.utils.prune``; a ``*.weight``
    beside them that has no mask was not pruned and is all True. If there are no such
    buffers, the weights ``*.weight`` that are not zero are active. Weights with one
    axis (normalisation) are ignored, and so are masks of biases.

    Kernels of convolutions go from [out, in, *window] to [*window, in, out], also
    grouped and depthwise ones, and those of linear layers from [out, in] to [in, out].
    Transposed convolutions are not supported.

    Args:
        source: A ``.safetensors`` file, a ``.pt``, ``.pth`` or ``.bin`` file (read with
            ``weights_only=True``, which executes no pickle), or a state dict.
        params: The network's params, which give structure, shapes and order.
        names: By kernel path the name of the tensor, ``"conv1.weight"``, or None for a
            kernel that was not pruned. Without it, the tensors in the order of the
            state dict belong to the kernels in the order of ``tree.kernels``. A
            ``.safetensors`` file keeps no order: there, equal shapes belong together,
            and among several the numbers in their names decide.
        flattened: By path of a kernel [in, out] the (channels, height, width) of the
            map whose flattening it reads: PyTorch flattens C, H, W and Flax H, W, C.

    Returns:
        The masks, all True at leaves that are no kernels.

    Raises:
        UserError: If the source cannot be read or holds no weights, if the pairs do
            not fit or are not certain, or if a mask has values but 0 and 1.
    """
    place, state = _read_torch(source)
    ordered = not place.endswith(".safetensors")
    bits = _torch_bits(place, state)
    return _from_torch_bits(place, bits, params, names, flattened, ordered)


def from_open_lth(
    source: str | os.PathLike[str] | Mapping[str, Any],
    params: Params,
    names: Mapping[str, str | None] | None = None,
    flattened: Mapping[str, tuple[int, int, int]] | None = None,
) -> Masks:
    """Brings a mask of open_lth (its ``mask.pth``) onto a network here.

    Args:
        source: The file, a dict from the names of weights (``blocks.0.conv1.weight``)
            to tensors of 0 and 1; or that dict.
        params: The network's params.
        names: By kernel path the name of the tensor. open_lth writes layers that it
            was told to ignore last: there, names are needed.
        flattened: Maps that linear layers read flattened; see ``from_torch``.

    Raises:
        UserError: See ``from_torch``.
    """
    place, state = _read_torch(source)
    bits = {
        name: _zeros_and_ones(f"{place}: {name}", mask)
        for name, mask in state.items()
        if _axes(mask) >= 2
    }
    return _from_torch_bits(place, bits, params, names, flattened, True)


def from_jaxpruner(state: Any, params: Params) -> Masks:
    """Brings the masks of a jaxpruner state onto a network.

    Args:
        state: A ``SparseState``, or any state of an optimizer that holds one: tuples,
            dicts and dataclasses are searched for the attribute ``masks``. Its leaves
            are 0 or 1 in the shapes of the params, packed (``use_packed_masks``), or
            None where nothing is pruned.
        params: The network's params.

    Raises:
        UserError: If there is not exactly one such attribute, or if its masks do not
            fit the params.
    """
    found = list(_attributes(state, "masks"))
    if len(found) != 1:
        raise UserError(
            f"the state holds {len(found)} attributes called 'masks'; give jaxpruner's "
            "SparseState, or a state that holds one."
        )
    given, leaves = _by_path(found[0]), _by_path(params)
    if extra := [path for path in given if path not in leaves]:
        raise UserError(
            f"the state has a mask for {extra[0]!r}, which the network does not have; "
            f"its leaves are {', '.join(leaves)}."
        )
    masks = {
        path: _zeros_and_ones(path, _unpacked(mask, jnp.shape(leaves[path])))
        for path, mask in given.items()
    }
    kernels = tree.kernels(params)
    for path, mask in masks.items():
        if path not in kernels and not mask.all():
            raise UserError(
                f"the state prunes {path!r}; only kernels can be pruned here: "
                f"{', '.join(kernels)}."
            )
    return _onto(params, masks)


def from_nonzero(weights: Params, params: Params) -> Masks:
    """Takes the weights that are not zero for the active ones; NaN counts as active.

    Args:
        weights: A pruned network's params; only kernels are looked at.
        params: The network's params.

    Raises:
        UserError: If the kernels of the two differ.
    """
    kernels, found = tree.kernels(params), tree.kernels(weights)
    for path in tree.in_order(kernels | found):
        if path not in kernels or path not in found:
            where = "weights have" if path not in found else "network has"
            raise UserError(
                f"the {where} no kernel {path!r}; the weights have "
                f"{', '.join(found)}, the network has {', '.join(kernels)}."
            )
    return _onto(params, {path: np.asarray(w) != 0 for path, w in found.items()})


def _read_torch(
    source: str | os.PathLike[str] | Mapping[str, Any],
) -> tuple[str, Mapping[str, Any]]:
    """A name for messages, and tensors by name; the name of a file is its path."""
    if isinstance(source, Mapping):
        return "the state dict", source
    path = files.user_path("source", source)
    readers = {".safetensors": _safetensors}
    readers |= dict.fromkeys((".pt", ".pth", ".bin"), _torch_file)
    if path.suffix not in readers:
        raise UserError(
            f"{str(path)!r} ends in {path.suffix!r}; it must be one of "
            f"{', '.join(readers)}."
        )
    read = readers[path.suffix]
    try:
        state = read(path)
    except ImportError as error:
        raise UserError(
            f"{str(path)!r} needs {error.name}: pip install {error.name}."
        ) from error
    except Exception as error:  # A damaged file shows as many kinds.
        raise UserError(
            f"{str(path)!r} cannot be read without executing pickles: "
            f"{errors.first_line(error)}."
        ) from error
    if not isinstance(state, Mapping):
        raise UserError(
            f"{str(path)!r} holds a {type(state).__name__}; it must hold a state dict."
        )
    return str(path), state


def _safetensors(path: pathlib.Path) -> Any:
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


def _torch_file(path: pathlib.Path) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.load(path, map_location="cpu", weights_only=True)


def _torch_bits(place: str, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What is active, in PyTorch's layout, by the name of the weight."""
    tensors = {name: t for name, t in state.items() if _axes(t) >= 2}
    masked = any(_last(name) == "weight_mask" for name in tensors)
    bits = {}
    for name, tensor in tensors.items():
        if _last(name) == "weight_mask":
            weight = name.removesuffix("_mask")
            bits[weight] = _zeros_and_ones(f"{place}: {name}", tensor)
        elif _last(name) == "weight" and f"{name}_mask" not in tensors:
            dense = np.ones(tuple(tensor.shape), bool)
            bits[name] = dense if masked else _different(tensor, 0)
    return bits


def _last(name: str) -> str:
    return str(name).rpartition(".")[2]


def _axes(tensor: Any) -> int:
    return len(getattr(tensor, "shape", ()))


def _from_torch_bits(
    place: str,
    bits: Mapping[str, np.ndarray],
    params: Params,
    names: Mapping[str, str | None] | None,
    flattened: Mapping[str, tuple[int, int, int]] | None,
    ordered: bool,
) -> Masks:
    """Pairs tensors in PyTorch's layout with kernels, and converts them."""
    kernels = tree.kernels(params)
    if not bits:
        raise UserError(
            f"{place} holds no weights with two axes or more. A state dict is needed; "
            "a checkpoint has it below one of its keys."
        )
    converted = {name: _convert(mask) for name, mask in bits.items()}
    if names is None:
        pairs = pairing.by_order(place, kernels, converted, ordered)
    else:
        pairs = pairing.by_name(place, kernels, converted, names)
    masks = {path: converted[name] for path, name in pairs.items()}
    for path, image in (flattened or {}).items():
        errors.one_of("a path of flattened", path, kernels)
        if path in masks:
            masks[path] = _reorder_rows(path, masks[path], image)
    return _onto(params, masks)


def _convert(bits: np.ndarray) -> np.ndarray:
    """Moves the axes [out, in, *window] to [*window, in, out]."""
    return np.transpose(bits, (*range(2, bits.ndim), 1, 0))


def _reorder_rows(
    path: str, mask: np.ndarray, image: tuple[int, int, int]
) -> np.ndarray:
    """Puts the rows of a mask [in, out] from the order C, H, W into H, W, C."""
    if mask.ndim != 2 or len(image) != 3 or math.prod(image) != mask.shape[0]:
        raise UserError(
            f"flattened[{path!r}] is {tuple(image)}; it must be (channels, height, "
            f"width) with the product {mask.shape[0]} for the shape {mask.shape}."
        )
    rows = mask.reshape(*image, mask.shape[1])
    return np.transpose(rows, (1, 2, 0, 3)).reshape(mask.shape)


def _onto(params: Params, masks: Mapping[str, Any]) -> Masks:
    """Makes masks like params, all True at paths that have none."""

    def active(keys: tuple[Any, ...], leaf: Any) -> jax.Array:
        path, shape = tree.path_name(keys), jnp.shape(leaf)
        mask = masks.get(path)
        if mask is None:
            return jnp.ones(shape, bool)
        if mask.shape != shape:
            raise UserError(
                f"the mask for {path!r} has the shape {mask.shape}; it must be "
                f"{shape}, as in the network."
            )
        return jnp.asarray(mask)

    return jax.tree_util.tree_map_with_path(active, params)


def _different(tensor: Any, value: int) -> np.ndarray:
    """Tells where a tensor of PyTorch, NumPy or JAX is not the value."""
    if hasattr(tensor, "detach"):
        # NumPy lacks some of PyTorch's types, so that PyTorch itself compares.
        return (tensor.detach().cpu() != value).numpy()
    return np.asarray(tensor) != value


def _zeros_and_ones(place: str, mask: Any) -> np.ndarray:
    active, wrong = _different(mask, 0), _different(mask, 1)
    if (wrong := active & wrong).any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise UserError(
            f"the mask {place} is {mask[index].item()} at {list(index)}; it must be 0 "
            "or 1."
        )
    return active


def _unpacked(mask: Any, shape: tuple[int, ...]) -> Any:
    """Undoes jaxpruner's packing, which is that of NumPy over all entries."""
    mask = np.asarray(mask)
    packed = mask.dtype == np.uint8 and mask.shape == (num_bytes(shape),)
    if not packed or mask.shape == shape:
        return mask
    return np.unpackbits(mask, count=math.prod(shape)).reshape(shape)


def _attributes(state: Any, name: str) -> Iterator[Any]:
    """The outermost attributes of a name in tuples, lists, dicts and dataclasses."""
    if hasattr(state, name):
        yield getattr(state, name)
        return
    parts: Any = ()
    if isinstance(state, Mapping):
        parts = state.values()
    elif isinstance(state, tuple | list):
        parts = state
    elif dataclasses.is_dataclass(state):
        parts = [getattr(state, field.name) for field in dataclasses.fields(state)]
    for part in parts:
        yield from _attributes(part, name)


def _by_path(pytree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(pytree)
    return {tree.path_name(path): leaf for path, leaf in leaves}
