"""Files of trained networks: params, masks and running statistics of one network each.

A NumPy archive with an array per leaf, ``params/<path>``, ``masks/<path>``,
``batch_stats/<path>``, and ``about``, JSON: the cell's config, the epoch, and what
makes the network differ from others of the cell; and ``digest``, a hash of all of
them, which older files do not have.
"""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from flax import traverse_util

from sparse_gf import masks as masks_lib
from sparse_gf import specs
from sparse_gf.core import archives, checksums, errors, files, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.own import plain
from sparse_gf.core.types import Masks, Params
from sparse_gf.experiment import shapes
from sparse_gf.experiment.members import Job
from sparse_gf.specs import Cell

PARTS = ("params", "masks", "batch_stats")

_LARGEST = 2**33
"""Most bytes of an array."""


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
        f"{part}/{path}": np.asarray(leaf)
        for part in PARTS
        for path, leaf in tree.by_path(getattr(network, part)).items()
    }
    arrays["about"] = np.array(json.dumps(network.about))
    buffer = io.BytesIO()
    # Most weights of a sparse network are 0, and take no room compressed.
    np.savez_compressed(buffer, digest=checksums.of_arrays(arrays), **arrays)
    files.write_bytes(path, buffer.getvalue())


def load(path: pathlib.Path) -> Network:
    """Reads a file.

    Raises:
        UserError: If it is damaged or none of ours, or if it cannot be read now.
    """
    try:
        return _read(path)
    except OSError as error:
        raise UserError(files.explained(error, path)) from error
    except archives.UNREADABLE as error:
        raise UserError(
            f"{path} is damaged or no file of a network ({errors.first_line(error)})."
        ) from error


def labelled(network: Network, cell: Cell, model: nn.Module) -> Network:
    """The network whose params and masks know the layers of a user's own model."""
    own = cell.info.image_shape, cell.dtype
    return network._replace(
        params=shapes.labelled(model, network.params, *own),
        masks=shapes.labelled(model, network.masks, *own),
    )


def _read(path: pathlib.Path) -> Network:
    with archives.npz(path) as file:
        arrays = {name: file.read(name, _LARGEST) for name in file.names}
    expected = arrays.pop("digest", None)
    if expected is not None and str(expected) != checksums.of_arrays(arrays):
        raise ValueError("its arrays are not those that were written")
    about = dict(files.from_json(str(arrays.pop("about"))))
    parts = traverse_util.unflatten_dict(arrays, sep="/")
    params, masks, batch_stats = (parts.get(part, {}) for part in PARTS)
    return Network(params, masks, batch_stats, about)


def save_network(folder: pathlib.Path, job: Job, network: Network) -> None:
    """Writes one network of a cell below ``networks`` in the cell's folder.

    The network's ``about`` says which one of the cell it is, and the epoch.
    """
    about = {
        **_of_cell(job),
        **network.about,
        "density": masks_lib.density(network.masks),
        "config": specs.to_config(job.cell, job.options),
    }
    save(folder / "networks" / name(about), network._replace(about=about))


def save_masks(
    folder: pathlib.Path, job: Job, masks: Masks, about: Mapping[str, Any]
) -> None:
    """Writes the masks of one network below ``masks`` in the cell's folder.

    ``about`` says which network of the cell they are of, and the epoch.
    """
    # The density that was wanted, where there is one: whole weights may miss it.
    own = _of_cell(job) | {"density": masks_lib.density(masks)} | dict(about)
    metadata = {
        **job.masked,
        "method": own["mask_method"],
        "schedule": own["mask_schedule"],
        "epoch": own["epoch"],
        "seed": own["seed"],
        "num_classes": job.cell.info.num_classes,
        "image_shape": list(job.cell.info.image_shape),
        "dataset": own["dataset"],
        "config_hash": own["config_hash"],
    }
    masks_lib.save(masks_path(folder, own), masks, metadata)


def masks_path(folder: pathlib.Path, about: Mapping[str, Any]) -> pathlib.Path:
    """Where the masks of one network are, below the folder of its cell."""
    return folder / "masks" / f"{which(about)}.npz"


def _of_cell(job: Job) -> dict[str, Any]:
    """What is said of every network of a cell."""
    cell = job.cell
    return job.columns | {
        "kind": cell.kind,
        "dataset": cell.info.name,
        "activation": plain(cell.activation),
        "tost": cell.tost,
        "config_hash": cell.hash,
    }


def which(about: Mapping[str, Any]) -> str:
    """Which network of its cell this is, as part of the names of files.

    Args:
        about: ``kind`` and ``seed``; ``arm`` and ``dense_width`` of the networks of a
            comparison of capacities, ``density`` of networks under masks.
    """
    if about["kind"] == "capacity":
        start = f"{about['arm']}_{about['dense_width']}"
    else:
        start = f"density_{about['density']:.4g}"
    return f"{start}_seed_{about['seed']}"


def name(about: Mapping[str, Any]) -> str:
    """A file's name, which no other network of the cell has."""
    return f"{which(about)}_epoch_{about['epoch']}.npz"
