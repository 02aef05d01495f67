"""Masks in files of their own format, and masks of other tools.

A mask file is one ``.npz`` without pickles, which NumPy alone can read. It holds

    masks/<path>    for every kernel: ``numpy.packbits`` of its mask in C order, uint8
                    [ceil(size / 8)]
    manifest        a 0-d string of JSON, see below

``<path>`` is the path of the leaf, ``"Dense_0/kernel"``. Leaves that are no kernels are
all True, so that only their shapes are kept. The manifest is an object with

    format          "sparse_gf.masks"
    version         1
    leaves          a list over all leaves in the order of the tree (that of
                    ``jax.tree.leaves``) of objects with ``path``, ``shape`` and
                    ``kernel`` (true or false); those of kernels also have
                    ``num_active`` and ``density``
    num_active      active weights of all kernels
    num_weights     weights of all kernels
    density         their quotient; 1.0 where there are no weights
    digest          the first 16 hex digits of a SHA-256 over, leaf by leaf, the UTF-8
                    JSON ``[path, shape]`` and, for kernels, the packed bits
    metadata        the user's: where the masks come from

Equal masks have equal digests, whatever their metadata and whichever the file. Counts
and digest are computed again when a file is read; metadata are not under the digest.

Imports (``from_torch`` and so on) bring masks of other tools onto the params of a
network here. Pickles are never executed.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_gf.core import errors, files, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Masks, Params

_FORMAT = "sparse_gf.masks"
_VERSION = 1

# What NumPy, zlib and the checks here raise for a damaged or foreign file. Running out
# of memory is none of these.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """One leaf of masks as it is in a file.

    Attributes:
        path: Its path.
        shape: Its shape.
        bits: Packed, uint8 [ceil(size / 8)]; None if it is no kernel.
    """

    path: str
    shape: tuple[int, ...]
    bits: np.ndarray | None


def save(path: str | os.PathLike[str], masks: Masks, metadata: Any = None) -> None:
    """Writes masks to a file, whole or not at all.

    Args:
        path: Of the file, used as it is: no suffix is appended. Folders are made.
        masks: Nested dicts with bool leaves, True = active, all True at leaves that
            are no kernels.
        metadata: A dict that JSON can hold: method, model, data set, seed, hash of the
            config. It comes back as JSON gives it, with lists for tuples.

    Raises:
        UserError: If the masks are no such dicts, if metadata are no such dict, or if
            the file cannot be written.
    """
    leaves = _pack(masks)
    text = _to_json(_manifest(leaves, {} if metadata is None else metadata))
    arrays = {
        f"masks/{leaf.path}": leaf.bits for leaf in leaves if leaf.bits is not None
    }
    _write(pathlib.Path(path), arrays | {"manifest": np.array(text)})


def load(path: str | os.PathLike[str]) -> tuple[Masks, dict[str, Any]]:
    """Reads the masks that ``save`` has written.

    Returns:
        The masks exactly as they were saved, as arrays of JAX, and the metadata.

    Raises:
        UserError: If the file cannot be read, is damaged or is no mask file.
    """
    with _readable(path):
        leaves, manifest = _read(path)
        masks, metadata = _nested(leaves), dict(manifest["metadata"])
    return jax.tree.map(jnp.asarray, masks), metadata


def digest(masks: Masks) -> str:
    """Names masks by their paths, shapes and bits: 16 hex digits.

    Raises:
        UserError: If the masks could not be saved.
    """
    return _digest(_pack(masks))


def read_digest(path: str | os.PathLike[str]) -> str:
    """Reads the digest of the masks in a file, which is checked against them.

    Raises:
        UserError: See ``load``.
    """
    with _readable(path):
        return _read(path)[1]["digest"]


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
        params: See ``from_torch``, as for all that follows.
        names: By kernel path the name of the tensor. open_lth writes layers that it
            was told to ignore last: there, names are needed.
        flattened: For linear layers after a flattened map.

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


def _pack(masks: Masks) -> list[_Leaf]:
    """All leaves, checked, in the order of the tree."""
    kernels = tree.kernels(masks)
    leaves = []
    for keys, leaf in jax.tree_util.tree_leaves_with_path(masks):
        path, mask = tree.path_name(keys), np.asarray(leaf)
        _check_keys(path, keys)
        if mask.dtype != bool:
            raise UserError(f"the mask {path!r} is {mask.dtype}; it must be bool.")
        if path not in kernels and not mask.all():
            raise UserError(
                f"the mask {path!r} has {mask.size - mask.sum()} inactive entries; a "
                f"leaf that is no kernel must be all True. Kernels are "
                f"{', '.join(kernels)}."
            )
        bits = np.packbits(mask) if path in kernels else None
        leaves.append(_Leaf(path, mask.shape, bits))
    if jax.tree.structure(_nested(leaves)) != jax.tree.structure(masks):
        raise UserError(
            f"masks are {str(jax.tree.structure(masks))[:200]}; they must be nested "
            "dicts without None or empty dicts in them, so that they can be read back "
            "as they are (flax.core.unfreeze makes dicts of a FrozenDict)."
        )
    return leaves


def _check_keys(path: str, keys: tuple[Any, ...]) -> None:
    """Refuses keys that a path cannot give back."""
    for key in keys:
        name = getattr(key, "key", None)
        if not isinstance(name, str) or "/" in name:
            raise UserError(
                f"the mask {path!r} has {name if name is not None else key!r} in its "
                "path; masks must be nested dicts with strings without '/' as keys."
            )


def _nested(leaves: list[_Leaf]) -> Masks:
    """The masks of checked leaves, in NumPy."""
    masks: dict[str, Any] = {}
    for leaf in leaves:
        *above, last = leaf.path.split("/")
        node = masks
        for name in above:
            node = node.setdefault(name, {})
        node[last] = _unpack(leaf)
    return masks


def _unpack(leaf: _Leaf) -> np.ndarray:
    if leaf.bits is None:
        return np.ones(leaf.shape, bool)
    bits = np.unpackbits(leaf.bits, count=math.prod(leaf.shape))
    return bits.reshape(leaf.shape).astype(bool)


def _digest(leaves: list[_Leaf]) -> str:
    found = hashlib.sha256()
    for leaf in leaves:
        found.update(json.dumps([leaf.path, leaf.shape], ensure_ascii=False).encode())
        if leaf.bits is not None:
            found.update(leaf.bits.tobytes())
    return found.hexdigest()[:16]


def _manifest(leaves: list[_Leaf], metadata: Any) -> dict[str, Any]:
    """Everything that the manifest says of the leaves; see the top of the module."""
    entries = [_entry(leaf) for leaf in leaves]
    kernels = [entry for entry in entries if entry["kernel"]]
    num_active = sum(entry["num_active"] for entry in kernels)
    num_weights = sum(math.prod(entry["shape"]) for entry in kernels)
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "leaves": entries,
        "num_active": num_active,
        "num_weights": num_weights,
        "density": _share(num_active, num_weights),
        "digest": _digest(leaves),
        "metadata": metadata,
    }


def _entry(leaf: _Leaf) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": leaf.path, "shape": list(leaf.shape)}
    if leaf.bits is None:
        return entry | {"kernel": False}
    size = math.prod(leaf.shape)
    count = int(np.count_nonzero(np.unpackbits(leaf.bits, count=size)))
    share = _share(count, size)
    return entry | {"kernel": True, "num_active": count, "density": share}


def _share(count: int, size: int) -> float:
    return count / size if size else 1.0


def _to_json(manifest: dict[str, Any]) -> str:
    metadata = manifest["metadata"]
    if not isinstance(metadata, dict):
        raise UserError(f"metadata is {metadata!r:.200}; it must be a dict.")
    try:
        # NaN and Infinity are no JSON, and other readers stumble over them.
        return json.dumps(manifest, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"metadata cannot be written as JSON ({error}); it must be a dict of "
            "strings, finite numbers, bools, None, lists and dicts."
        ) from error


def _write(path: pathlib.Path, arrays: Mapping[str, Any]) -> None:
    """Writes an ``.npz`` in one piece."""
    try:
        # NumPy appends a suffix to names, not to files.
        with files.atomic(path) as temporary, temporary.open("xb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise UserError(
            f"masks cannot be written to {str(path)!r} ({error.strerror or error}); "
            "name a file in a folder that can be written."
        ) from error


@contextlib.contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"there is no mask file {str(path)!r}.") from error
    except _UNREADABLE as error:
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        raise UserError(
            f"{str(path)!r} is damaged or no mask file of this version: {lacks}"
            f"{errors.first_line(error)}."
        ) from error


def _read(path: str | os.PathLike[str]) -> tuple[list[_Leaf], dict[str, Any]]:
    """The leaves of a file and its manifest, which agree."""
    with open(path, "rb") as file:
        # NumPy would take other files for arrays or pickles.
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no .npz file, or its end is missing")
        file.seek(0)
        with np.load(file, allow_pickle=False) as members:
            content = {name: members[name] for name in members.files}
    manifest = json.loads(str(content.pop("manifest")))
    found = manifest["format"], manifest["version"]
    if found != (_FORMAT, _VERSION):
        raise ValueError(f"it has format {found}, not {(_FORMAT, _VERSION)}")
    leaves = [_read_leaf(entry, content) for entry in manifest["leaves"]]
    if content:
        raise ValueError(f"{min(content)!r} is not in its manifest")
    _check_manifest(manifest, _manifest(leaves, manifest["metadata"]))
    return leaves, manifest


def _read_leaf(entry: dict[str, Any], content: dict[str, np.ndarray]) -> _Leaf:
    """Makes one leaf of its entry in the manifest; takes its bits out of content."""
    path, shape = entry["path"], tuple(entry["shape"])
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError(f"{path!r} has the shape {list(shape)}")
    if not entry["kernel"]:
        return _Leaf(path, shape, None)
    bits = content.pop(f"masks/{path}")
    if bits.dtype != np.uint8 or bits.shape != (_num_bytes(shape),):
        raise ValueError(
            f"'masks/{path}' is {bits.dtype} {list(bits.shape)}, which does not fit "
            f"the shape {list(shape)}"
        )
    return _Leaf(path, shape, bits)


def _num_bytes(shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) // 8)


def _check_manifest(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Refuses a manifest that does not agree with the bits, and says where."""
    for entry, right in zip(found["leaves"], expected["leaves"], strict=True):
        if entry != right:
            raise ValueError(f"its manifest has {entry}, its bits say {right}")
    for key, right in expected.items():
        if found[key] != right:
            raise ValueError(f"its manifest has {key} {found[key]}, not {right}")


def _read_torch(
    source: str | os.PathLike[str] | Mapping[str, Any],
) -> tuple[str, Mapping[str, Any]]:
    """A name for messages, and tensors by name; the name of a file is its path."""
    if isinstance(source, Mapping):
        return "the state dict", source
    path = pathlib.Path(source)
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
        shapes = {path: jnp.shape(kernel) for path, kernel in kernels.items()}
        if not ordered:
            converted = _in_order_of(shapes, converted)
        pairs = _pair(place, shapes, converted, ordered)
    else:
        pairs = _named(place, kernels, converted, names)
    masks = {path: converted[name] for path, name in pairs.items()}
    for path, image in (flattened or {}).items():
        errors.one_of("a path of flattened", path, kernels)
        if path in masks:
            masks[path] = _reorder_rows(path, masks[path], image)
    return _onto(params, masks)


def _convert(bits: np.ndarray) -> np.ndarray:
    """From [out, in, *window] to [*window, in, out]."""
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


def _named(
    place: str,
    kernels: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    names: Mapping[str, str | None],
) -> dict[str, str]:
    """The user's pairs, checked; kernels that were not pruned are left out."""
    for path in names:
        errors.one_of("a path of names", path, kernels)
    pairs = {}
    for path in kernels:
        if path not in names:
            raise UserError(
                f"names has no tensor for {path!r}; give one of {', '.join(tensors)}, "
                "or None if it was not pruned."
            )
        if (given := names[path]) is None:
            continue
        name = given.removesuffix("_mask")
        errors.one_of(f"names[{path!r}] for {place}", name, tensors)
        pairs[path] = name
        if tensors[name].shape != jnp.shape(kernels[path]):
            raise _no_pair(place, path, jnp.shape(kernels[path]), name, tensors)
    return pairs


def _pair(
    place: str,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, np.ndarray],
    ordered: bool,
) -> dict[str, str]:
    """Pairs kernels with tensors in order, or refuses the first that does not fit."""
    for path, name in itertools.zip_longest(shapes, tensors):
        shape = shapes.get(path)
        if name is None or shape is None or shape != tensors[name].shape:
            raise _no_pair(place, path, shape, name, tensors)
    for first, second in itertools.combinations(tensors, 2):
        if tensors[first].shape == tensors[second].shape:
            _check_order(place, first, second, ordered)
    return dict(zip(shapes, tensors, strict=True))


def _no_pair(
    place: str,
    path: str | None,
    shape: tuple[int, ...] | None,
    name: str | None,
    tensors: Mapping[str, np.ndarray],
) -> UserError:
    advice = "give names={kernel path: tensor name}"
    if path is None:
        problem = f"no kernel of the network is left for {name!r}"
    elif name is None:
        problem = f"no tensor is left for the kernel {path!r} of shape {shape}"
    else:
        problem = (
            f"the kernel {path!r} of shape {shape} does not fit {name!r}, which has "
            f"the shape {tensors[name].shape} here"
        )
    return UserError(f"{place}: {problem}; {advice}. Tensors: {', '.join(tensors)}.")


def _check_order(place: str, first: str, second: str, ordered: bool) -> None:
    """Refuses to guess which of two equal shapes comes first.

    Names that differ only in numbers must be in the order of the numbers: open_lth
    moves layers to the end. Other names have the order of the state dict, if any.
    """
    alike = re.sub(r"\d+", "0", first) == re.sub(r"\d+", "0", second)
    if (alike and _numbers(first) > _numbers(second)) or not (alike or ordered):
        raise UserError(
            f"{place}: it is not certain which of {first!r} and {second!r}, of the "
            "same shape, comes first; give names={kernel path: tensor name}."
        )


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _in_order_of(
    shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sorts tensors without an order by the shapes of kernels, then by numbers."""
    left = sorted(tensors, key=_numbers)
    names = []
    for shape in shapes.values():
        fitting = [name for name in left if tensors[name].shape == shape]
        if not fitting:
            break  # The pair of this kernel and the next tensor is refused.
        names.append(fitting[0])
        left.remove(fitting[0])
    return {name: tensors[name] for name in [*names, *left]}


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
    """Where a tensor of PyTorch, NumPy or JAX is not the value."""
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
    packed = mask.dtype == np.uint8 and mask.shape == (_num_bytes(shape),)
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
