"""Masks of other tools, brought onto the params of a network here.

PyTorch's pruning, open_lth, jaxpruner, or any pruned weights. Pickles are never
executed.
"""

import dataclasses
import math
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_gf.core import errors, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.layers import Labelled, LabelledDict
from sparse_gf.core.types import Masks, Params
from sparse_gf.masks import pairing, torch_weights, trees
from sparse_gf.masks.files import num_bytes


def from_torch(
    source: Any,
    params: Params,
    *,
    names: Mapping[str, str | None] | None = None,
    flattened: Mapping[str, tuple[int, int, int]] | None = None,
    inputs_first: Collection[str] | None = None,
) -> Masks:
    """Brings the masks of a PyTorch network onto a network here.

    Taken are the buffers ``*.weight_mask`` of ``torch.nn.utils.prune``; a ``*.weight``
    beside them that has no mask was not pruned and is all True. If there are no such
    buffers, the weights ``*.weight`` that are not zero are active. Weights with one
    axis (normalisation) are ignored, and so are embeddings and masks of biases.

    Kernels of convolutions go from [out, in, *window] to [*window, in, out], also
    grouped and depthwise ones, and those of linear layers from [out, in] to [in, out];
    heads of attention and stacked layers land where ``layers`` says. Transposed
    convolutions are refused.

    Which weight belongs to which kernel, names say: ``q_proj``, ``wq`` and ``query``
    are the same, ``downsample`` and ``Shortcut``, ``layer1.0.conv2`` and
    ``Stage_1_Block_0/Conv_1``; numbers count by their ranks, so that the weights
    ``0.weight`` and ``2.weight`` are ``Dense_0`` and ``Dense_1``. Where only one weight
    and one kernel have a shape, they belong together. What is not certain is refused.

    Args:
        source: A ``.safetensors`` file, a ``.pt``, ``.pth`` or ``.bin`` file (read with
            ``weights_only=True``, which executes no pickle), a state dict of tensors or
            arrays, or a whole module.
        params: The network's params, which give structure and shapes.
        names: By kernel path the name of the tensor, ``"conv1.weight"``, or None for a
            kernel that was not pruned. The error for pairs that are not certain has
            them to copy and complete.
        flattened: By path of a kernel [in, out] the (channels, height, width) of the
            map whose flattening it reads: PyTorch flattens C, H, W and Flax H, W, C.
        inputs_first: Names of layers, ``"c_attn"`` for all of that name, whose weights
            are [in, out], as those of GPT-2's ``Conv1D`` are; a module says it by
            itself. Needed for weights with GPT-2's names; ``()`` if they are linear
            layers.

    Returns:
        The masks, all True at leaves that are no kernels.

    Raises:
        UserError: If the source cannot be read or holds no weights, if the pairs do
            not fit or are not certain, or if a mask has values but 0 and 1.
    """
    found = torch_weights.read(source)
    weights = torch_weights.pruned(found, inputs_first, tree.kernels(params))
    return _from_torch_weights(found, weights, params, names, flattened)


def from_open_lth(
    source: str | os.PathLike[str] | Mapping[str, Any],
    params: Params,
    names: Mapping[str, str | None] | None = None,
    flattened: Mapping[str, tuple[int, int, int]] | None = None,
) -> Masks:
    """Brings a mask of open_lth (its ``mask.pth``) onto a network here.

    Args:
        source: The file, a dict from the names of weights (``blocks.0.conv1.weight``)
            to tensors of 0 and 1; or that dict. Their order does not count: open_lth
            moves layers that it was told to ignore to the end.
        params: The network's params.
        names: By kernel path the name of the tensor; see ``from_torch``.
        flattened: Maps that linear layers read flattened; see ``from_torch``.

    Raises:
        UserError: See ``from_torch``.
    """
    found = torch_weights.read(source)
    weights = torch_weights.masks_by_name(found)
    return _from_torch_weights(found, weights, params, names, flattened)


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
    given, leaves = tree.by_path(found[0]), tree.by_path(params)
    if extra := [path for path in given if path not in leaves]:
        raise UserError(
            f"the state has a mask for {extra[0]!r}, which the network does not have; "
            f"its leaves are {', '.join(leaves)}."
        )
    masks = {
        path: torch_weights.zeros_and_ones(
            path, _unpacked(mask, jnp.shape(leaves[path]))
        )
        for path, mask in given.items()
    }
    kernels = tree.kernel_leaves(params)
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
        weights: A pruned network's params; only kernels are looked at, or what labelled
            ``params`` say is a layer.
        params: The network's params.

    Raises:
        UserError: If the kernels of the two differ.
    """
    kernels = tree.kernel_leaves(params)
    if isinstance(params, Labelled | LabelledDict):
        found = {p: leaf for p, leaf in tree.by_path(weights).items() if p in kernels}
    else:
        found = tree.kernel_leaves(weights)
    for path in tree.in_order(kernels | found):
        if path not in kernels or path not in found:
            where = "weights have" if path not in found else "network has"
            raise UserError(
                f"the {where} no kernel {path!r}; the weights have "
                f"{', '.join(found)}, the network has {', '.join(kernels)}."
            )
    return _onto(params, {path: np.asarray(w) != 0 for path, w in found.items()})


def _from_torch_weights(
    source: torch_weights.Source,
    weights: Mapping[str, torch_weights.Weight],
    params: Params,
    names: Mapping[str, str | None] | None,
    flattened: Mapping[str, tuple[int, int, int]] | None,
) -> Masks:
    """Pairs weights of PyTorch with kernels, and converts their masks."""
    kernels = {path: jnp.shape(kernel) for path, kernel in tree.kernels(params).items()}
    if not weights:
        raise UserError(
            f"{source.place} holds no weights with two axes or more. A state dict is "
            "needed; a checkpoint has it below one of its keys."
        )
    shapes = {name: weight.shape for name, weight in weights.items()}
    if names is None:
        pairs = pairing.by_rules(source.place, kernels, shapes)
    else:
        pairs = pairing.by_name(source.place, kernels, shapes, names)
    # Values are looked at only now that no tensor is larger than its kernel.
    masks = {path: weights[name].mask() for path, name in pairs.items()}
    for path, image in (flattened or {}).items():
        errors.one_of("a path of flattened", path, kernels)
        if path in masks:
            masks[path] = _reorder_rows(path, masks[path], image)
    return trees.of_kernels(
        lambda path, kernel: jnp.asarray(masks.get(path, np.ones(kernel.shape, bool))),
        params,
    )


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
