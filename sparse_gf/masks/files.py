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
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from sparse_gf.core import archives, errors, files, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.layers import LabelledDict
from sparse_gf.core.types import Masks

_FORMAT = "sparse_gf.masks"
_VERSION = 1

MOST_WEIGHTS = 2**30
"""Entries of the largest masks that are read unless more are allowed."""

_LONGEST_MANIFEST = 2**26


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """One leaf of masks as it is in a file.

    Of a kernel ``bits`` is the packed mask, uint8 [ceil(size / 8)]; else None.
    """

    path: str
    shape: tuple[int, ...]
    bits: np.ndarray | None


def save(path: str | os.PathLike[str], masks: Masks, metadata: Any = None) -> None:
    """Writes masks to a file, whole or not at all.

    Args:
        path: The file's, used as it is: no suffix is appended. Folders are made.
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
    _write(files.user_path("path", path), arrays | {"manifest": np.array(text)})


def load(
    path: str | os.PathLike[str], *, limit: int = MOST_WEIGHTS
) -> tuple[Masks, dict[str, Any]]:
    """Reads the masks that ``save`` has written.

    Args:
        path: The file's.
        limit: The most entries of all leaves together, for each of which a byte is
            needed. A file of some kB can hold the masks of a network of any size.

    Returns:
        The masks exactly as they were saved, as arrays of JAX, and the metadata.

    Raises:
        UserError: If the file cannot be read, is damaged, is no mask file or is larger.
    """
    path = files.user_path("path", path)
    with _readable(path):
        leaves, manifest = _read(path, limit)
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
    path = files.user_path("path", path)
    with _readable(path):
        return _read(path, MOST_WEIGHTS)[1]["digest"]


def _pack(masks: Masks) -> list[_Leaf]:
    """All leaves, checked, in the order of the tree."""
    kernels = tree.kernel_leaves(masks)
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
    # Labels are not kept: whoever reads the masks has labelled params.
    plain = dict(masks) if isinstance(masks, LabelledDict) else masks
    if jax.tree.structure(_nested(leaves)) != jax.tree.structure(plain):
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
    unpacked = {leaf.path: _unpack(leaf) for leaf in leaves}
    return traverse_util.unflatten_dict(unpacked, sep="/")


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
        with files.atomic(path) as temporary, temporary.open("wb") as file:
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
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"there is no mask file {str(path)!r}.") from error
    except OSError as error:
        if error.errno is None:
            raise UserError(f"{str(path)!r} is damaged: {error}") from error
        raise UserError(files.explained(error, path)) from error
    except archives.UNREADABLE as error:
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        raise UserError(
            f"{str(path)!r} is damaged or no mask file of this version: {lacks}"
            f"{errors.first_line(error)}."
        ) from error


def _read(
    path: str | os.PathLike[str], limit: int
) -> tuple[list[_Leaf], dict[str, Any]]:
    """The leaves of a file and its manifest, which agree."""
    with archives.npz(path) as file:
        manifest = json.loads(str(file.read("manifest", _LONGEST_MANIFEST)))
        found = manifest["format"], manifest["version"]
        if found != (_FORMAT, _VERSION):
            raise ValueError(f"it has format {found}, not {(_FORMAT, _VERSION)}")
        entries = manifest["leaves"]
        _check_entries(entries, file.names)
        if (total := sum(math.prod(entry["shape"]) for entry in entries)) > limit:
            raise UserError(
                f"the masks in {str(path)!r} have {total} weights, more than "
                f"limit={limit}; masks.load takes a larger limit."
            )
        leaves = [_read_leaf(entry, file) for entry in entries]
    _check_manifest(manifest, _manifest(leaves, manifest["metadata"]))
    return leaves, manifest


def _check_entries(entries: list[dict[str, Any]], members: list[str]) -> None:
    """Refuses a manifest that does not fit the members, before they are unpacked."""
    for entry in entries:
        shape = entry["shape"]
        if not all(isinstance(length, int) and length >= 0 for length in shape):
            raise ValueError(f"{entry['path']!r} has the shape {shape}")
    expected = ["manifest", *(f"masks/{e['path']}" for e in entries if e["kernel"])]
    if missing := set(expected) - set(members):
        raise KeyError(min(missing))
    if extra := set(members) - set(expected):
        raise ValueError(f"{min(extra)!r} is not in its manifest")
    if len({entry["path"] for entry in entries}) < len(entries):
        raise ValueError("it has a leaf twice")


def _read_leaf(entry: dict[str, Any], file: archives.Npz) -> _Leaf:
    """Makes one leaf of its entry in the manifest."""
    path, shape = entry["path"], tuple(entry["shape"])
    if not entry["kernel"]:
        return _Leaf(path, shape, None)
    name, length = f"masks/{path}", num_bytes(shape)
    header = file.header(name)
    if header.dtype != np.uint8 or header.shape != (length,):
        raise ValueError(
            f"{name!r} is {header.dtype} {list(header.shape)}, which does not fit "
            f"the shape {list(shape)}"
        )
    return _Leaf(path, shape, file.read(name, length))


def num_bytes(shape: tuple[int, ...]) -> int:
    """Length of the packed mask of a leaf."""
    return -(-math.prod(shape) // 8)


def _check_manifest(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Refuses a manifest that does not agree with the bits, and says where."""
    for entry, right in zip(found["leaves"], expected["leaves"], strict=True):
        if entry != right:
            raise ValueError(f"its manifest has {entry}, its bits say {right}")
    for key, right in expected.items():
        if found[key] != right:
            raise ValueError(f"its manifest has {key} {found[key]}, not {right}")
