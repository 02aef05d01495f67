"""Files of trained networks: params, masks and running statistics of one network each.

A NumPy archive with an array per leaf, ``params/<path>``, ``masks/<path>``,
``batch_stats/<path>``, and ``about``, JSON: the cell's config, the epoch, and what
makes the network differ from others of the cell.
"""

import io
import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from sparse_gf.core import files, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Masks, Params

PARTS = ("params", "masks", "batch_stats")


class Network(NamedTuple):
    """What a file holds.

    Attributes:
        params: Masked.
        masks: Like the params.
        batch_stats: BatchNorm's running statistics; empty without BatchNorm.
        about: ``config``, ``epoch``, and columns of the results.
    """

    params: Params
    masks: Masks
    batch_stats: Any
    about: dict[str, Any]


def save(path: pathlib.Path, network: Network) -> None:
    """Writes a file in one piece."""
    arrays: dict[str, Any] = {
        f"{part}/{tree.path_name(place)}": np.asarray(leaf)
        for part in PARTS
        for place, leaf in jax.tree_util.tree_leaves_with_path(getattr(network, part))
    }
    buffer = io.BytesIO()
    # Most weights of a sparse network are 0, and take no room compressed.
    np.savez_compressed(buffer, about=json.dumps(network.about), **arrays)
    files.write_bytes(path, buffer.getvalue())


def load(path: pathlib.Path) -> Network:
    """Reads a file.

    Raises:
        UserError: If it is none of ours.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        parts: dict[str, Any] = {part: {} for part in PARTS}
        for name, array in arrays.items():
            *folders, leaf = name.split("/")
            place = parts
            for folder in folders:
                place = place.setdefault(folder, {})
            place[leaf] = array
        return Network(parts["params"], parts["masks"], parts["batch_stats"], about)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no file of a network ({error}).") from error


def which(about: Mapping[str, Any]) -> str:
    """Which network of its cell this is, as part of the names of files.

    Args:
        about: ``arm``, ``dense_width``, ``seed``, and ``density`` if the width is 0.
    """
    if about["dense_width"]:
        start = f"{about['arm']}_{about['dense_width']}"
    else:
        start = f"density_{about['density']:.4g}"
    return f"{start}_seed_{about['seed']}"


def name(about: Mapping[str, Any]) -> str:
    """A file's name, which no other network of the cell has."""
    return f"{which(about)}_epoch_{about['epoch']}.npz"
