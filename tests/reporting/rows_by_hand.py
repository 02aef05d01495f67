"""Rows as result files have them, made without training anything."""

import json

from sparse_gf import results, specs
from sparse_gf.reporting.columns import ARMS
from sparse_gf.specs import RunSpec

EMPTY = {
    field.name: {"string": "", "bool": False}.get(str(field.type), 0)
    for field in results.NETWORKS
} | {"layers": ["a/kernel", "b/kernel"], "layer_num_active": [1, 1]}
"""Every column of a network, with nothing in it."""


AS_IT_COMES = RunSpec()


def of_cell(cell, run=AS_IT_COMES):
    """The columns that all networks of a cell share."""
    return EMPTY | {
        "kind": cell.kind,
        "dataset": cell.dataset,
        "dataset_title": cell.info.title,
        "optimizer": cell.optimizer.name,
        "learning_rate": cell.optimizer.learning_rate,
        "variant": cell.variant,
        "activation": cell.activation,
        "epochs": cell.epochs,
        "train_examples": cell.train_examples or cell.info.train_size,
        "test_examples": cell.test_examples or cell.info.test_size,
        "probe_examples": cell.probe_size or cell.info.train_size,
        "tost": cell.tost,
        "config": json.dumps(specs.to_config(cell, run)),
        "config_hash": cell.hash,
        "versions": '{"jax": "1.0"}',
        "device": "a device",
        "measurements": [],
    }


def comparison(cell, run=AS_IT_COMES, **columns):
    """Rows of both arms at all widths and seeds; no two networks are as accurate.

    Columns are values, or functions of arm, width and seed.
    """
    places = [
        (arm, width, seed)
        for width in cell.dense_widths
        for seed in cell.seeds
        for arm in ARMS
    ]
    known = {
        "hidden_layers": cell.hidden_layers,
        "num_active": lambda arm, width, seed: 10 * width,
        "test_accuracy": lambda *place: (50 + places.index(place)) / 100,
    }
    return [
        of_cell(cell, run)
        | {"arm": arm, "dense_width": width, "seed": seed}
        | {
            name: value(arm, width, seed) if callable(value) else value
            for name, value in (known | columns).items()
        }
        for arm, width, seed in places
    ]


def under_mask(cell, density, seed, accuracy, **columns):
    """The row of a network under a mask."""
    return (
        of_cell(cell)
        | {
            "arm": "sparse",
            "model": cell.model,
            "density": density,
            "seed": seed,
            "num_active": round(1000 * density),
            "layer_num_active": [round(1000 * density), 0],
            "mask_method": cell.mask.method,
            "mask_schedule": cell.mask.schedule,
            "mask_distribution": cell.mask.distribution,
            "test_accuracy": accuracy,
        }
        | columns
    )
