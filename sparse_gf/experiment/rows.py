"""Result rows: from the measurements of a group to the columns of ``results``."""

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from sparse_gf import ensemble, gradient_flow, results, specs
from sparse_gf.core.own import plain
from sparse_gf.core.types import Dataset
from sparse_gf.experiment.members import Identity, Job

PACKAGES = ("sparse_gf", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")
"""Whose versions are recorded with every result."""


def environment(cell: specs.Cell, dataset: Dataset) -> str:
    """Twelve hex digits for what a cell's bits depend on besides its hash.

    The number of devices is part of it: how many networks share a device decides how
    their matrix products are computed. So is the code of a user's own things.
    """
    own = sorted(cell.own().items())
    parts = [dataset.fingerprint, _versions(), _device(), *([own] if own else [])]
    text = json.dumps(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make(
    job: Job,
    dataset: Dataset,
    identities: Iterable[Identity],
    history: ensemble.Measurement,
) -> Iterator[dict[str, Any]]:
    """One row per network of a group, with the columns of ``results.NETWORKS``.

    Measures of a user's own are beside them, in JSON.

    ``history`` has arrays [points, networks].
    """
    shared = _shared_columns(job, dataset)
    for identity in identities:
        arm = identity.columns["arm"]
        own = jax.tree.map(lambda x, i=identity: x[list(i.points), i.number], history)
        own_epochs = [job.measured[point] for point in identity.points]
        measurements = _measurements(dataset, arm, own_epochs, own)
        last = measurements[-1]
        means = {
            name: float(np.mean([m[name] for m in measurements]))
            for name in gradient_flow.MEASURES
        }
        own_measures = {
            name: [measured[name] for measured in measurements]
            for name in map(plain, job.cell.measures)
        }
        counts = [int(count[-1]) for count in own.num_active.values()]
        known = identity.num_weights
        yield (
            shared
            | means
            | identity.columns
            | ({"density": sum(counts) / known} if known else {})
            | {
                "num_active": sum(counts),
                "layers": list(own.num_active),
                "layer_num_active": counts,
                "isolated_units": 0 if arm == "dense" else int(own.isolated_units[-1]),
                "test_accuracy": last["test_accuracy"],
                "test_loss": last["test_loss"],
                "train_loss": last["train_loss"],
                "diverged": last["diverged"],
                "measurements": measurements,
            }
            | ({results.OWN: json.dumps(own_measures)} if own_measures else {})
        )


def newest(
    dataset: Dataset,
    identities: Iterable[Identity],
    epoch: int,
    point: int,
    history: ensemble.Measurement,
) -> Iterator[tuple[Identity, dict[str, float]]]:
    """What was just measured of each network of a group, as flat numbers.

    ``point`` is the epoch's place in the history, whose arrays are [points, networks].
    """
    for identity in identities:
        if point not in identity.points:
            continue
        own = jax.tree.map(lambda x, i=identity: x[[point], i.number], history)
        (measured,) = _measurements(dataset, identity.columns["arm"], [epoch], own)
        layers = list(own.num_active)
        scalars = {
            name: float(value)
            for name, value in measured.items()
            if name not in ("epoch", "layer_norms1", "layer_norms2")
        }
        norms = zip(layers, measured["layer_norms2"], strict=True)
        scalars |= {f"layer_norms2/{layer}": norm for layer, norm in norms}
        total = sum(int(count[0]) for count in own.num_active.values())
        if identity.num_weights:
            scalars["density"] = total / identity.num_weights
        yield identity, scalars


def _measurements(
    dataset: Dataset, arm: str, epochs: Sequence[int], own: ensemble.Measurement
) -> list[dict[str, Any]]:
    """One dict per measured epoch of one network, axes [points] taken apart.

    A measure that counts all entries is that of the active ones for a dense network:
    where it was trained padded, the gradients at padding are not part of it.
    """
    flow = own.flow
    sources = {
        name: (arm == "dense" and measure.of_dense) or name
        for name, measure in gradient_flow.MEASURES.items()
    }
    sources |= {name: name for name in flow.measures if name not in sources}
    layers1 = list(flow.layer_norms1.values())
    layers2 = list(flow.layer_norms2.values())
    return [
        {
            "epoch": epoch,
            **{
                name: float(flow.measures[source][i])
                for name, source in sources.items()
            },
            "layer_norms1": [float(norm[i]) for norm in layers1],
            "layer_norms2": [float(norm[i]) for norm in layers2],
            "train_loss": float(flow.loss[i]),
            "test_loss": float(own.test.loss[i]),
            "test_accuracy": int(own.test.num_correct[i]) / len(dataset.test_labels),
            "diverged": bool(own.diverged[i]),
        }
        for i, epoch in enumerate(epochs)
    ]


def _shared_columns(job: Job, dataset: Dataset) -> dict[str, Any]:
    """The columns that all networks of a cell have in common."""
    cell = job.cell
    return job.columns | {
        "kind": cell.kind,
        "dataset": cell.info.name,
        "optimizer": plain(cell.optimizer.name),
        "activation": plain(cell.activation),
        "learning_rate": cell.optimizer.learning_rate,
        "epochs": cell.epochs,
        "batch_size": cell.batch_size,
        "initializer": cell.initializer,
        "initializer_reference": cell.initializer_reference,
        "optimizer_preset": cell.optimizer.preset,
        "l2": cell.l2,
        "l1": cell.l1,
        "weight_decay": cell.optimizer.decay,
        "tost": cell.tost,
        "train_examples": len(dataset.train_labels),
        "test_examples": len(dataset.test_labels),
        "probe_examples": cell.probe_size or len(dataset.train_labels),
        "dataset_title": dataset.title,
        "dataset_source": dataset.source,
        "dataset_fingerprint": dataset.fingerprint,
        "config_hash": cell.hash,
        "config": json.dumps(specs.to_config(cell, job.options)),
        "versions": json.dumps(_versions()),
        "device": _device(),
    }


def _versions() -> dict[str, str]:
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | versions


def _device() -> str:
    """Kind of the devices, their number if there are several, and the machine."""
    kind = jax.local_devices()[0].device_kind
    if jax.local_device_count() > 1:
        kind = f"{jax.local_device_count()} x {kind}"
    return f"{kind} ({platform.machine()}, {os.cpu_count()} CPU cores)"
