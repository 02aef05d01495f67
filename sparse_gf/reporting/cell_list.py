"""The block of the page that lists the cells of comparisons, each with its details."""

import json
from collections.abc import Iterable
from typing import Any

from sparse_gf.reporting import cell_folder, columns, p_values, render
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting.blocks import Block, Picture, embed_small
from sparse_gf.reporting.findings import Finished

AXES = {
    "dataset": "Data set",
    "optimizer": "Optimizer",
    "variant": "Variant",
    "activation": "Activation",
}
"""What the list of cells can be narrowed by, beside free text, and headings."""

_HEADINGS = (
    "Cell",
    "Data set",
    "Layers",
    "Opti\u00admizer",
    "Rate",
    "Variant",
    "Activa\u00adtion",
    "Epochs",
    "Sparse %",
    "Dense %",
    "Sparse \u2212 dense",
    "p",
    "Diver\u00adged",
    *(
        f"{measure.text} {arm}"
        for measure in columns.SHOWN.values()
        for arm in columns.ARMS
    ),
)
"""What the columns of the list of cells are called."""


def block(cells: Iterable[Finished]) -> Block:
    """Makes the block."""
    details = [_details(cell) for cell in sorted(cells, key=_order)]
    content = {
        "headings": _HEADINGS,
        "cells": details,
        "choices": {
            axis: (heading, sorted({str(cell[axis]) for cell in details}))
            for axis, heading in AXES.items()
        },
    }
    return Block("cells", "Cells", "Cells", part="cells", content=content)


def environment(row: Any) -> str:
    """The device and the versions that a network was trained with."""
    versions = json.loads(row["versions"])
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{row['device']}; {named}"


def _order(cell: Finished) -> tuple:
    """Where a cell stands among others."""
    spec = cell.spec
    return (
        *(cell.rows["dataset_title"].iloc[0], spec.hidden_layers),
        *(spec.optimizer.learning_rate, spec.optimizer.name),
        *(len(spec.variant.split("_")), spec.variant, spec.activation, spec.hash),
    )


def _details(cell: Finished) -> dict[str, Any]:
    """What the list and the details of one cell show."""
    spec, row, compared = cell.spec, cell.rows.iloc[0], cell.comparison
    table = compared.layout()._replace(title="", notes=())
    return {
        "hash": spec.hash,
        "dataset": row["dataset_title"],
        **_dataset(row),
        "hidden_layers": spec.hidden_layers,
        "optimizer": row["optimizer"],
        "learning_rate": f"{spec.optimizer.learning_rate:g}",
        "variant": spec.variant,
        "activation": row["activation"],
        "epochs": spec.epochs,
        **_numbers(cell),
        "title": compared.title,
        "table": render.html(table),
        "lines": compared.lines(),
        "figures": _figures(cell),
        "config": cell_folder.config_file(row["config"]),
        "environment": environment(row),
    }


def _dataset(row: Any) -> dict[str, str]:
    name, _, is_part = row["dataset_title"].partition(", ")
    part = f"{row['train_examples']:,} train, {row['test_examples']:,} test"
    return {"dataset_name": name, "dataset_part": part if is_part else ""}


def _numbers(cell: Finished) -> dict[str, Any]:
    compared, by_arm = cell.comparison, cell.rows.groupby("arm")
    accuracy: Any = 100 * by_arm["test_accuracy"].mean()
    # A diverged network's NaN shows: it must not be left out of a mean.
    flow = by_arm[list(columns.SHOWN)].agg(lambda values: values.mean(skipna=False))
    mean, low, high = compared.difference
    return {
        "sparse": f"{accuracy['sparse']:.2f}",
        "dense": f"{accuracy['dense']:.2f}",
        "difference": f"{mean:+.2f}",
        "interval": f"{low:+.2f} to {high:+.2f}",
        "p_value": f"{compared.wilcoxon.p_value:.3g}",
        "colour": p_values.colour(compared.wilcoxon.p_value),
        "diverged": sum(compared.num_diverged.values()),
        "measures": [
            f"{flow.loc[arm, name]:.3g}"
            for name in columns.SHOWN
            for arm in columns.ARMS
        ],
    }


def _figures(cell: Finished) -> list[Picture]:
    title = cell.comparison.title
    return [
        embed_small(
            plots.against(plots.WIDTH, cell.rows, column, ""),
            f"{title}: {columns.spoken(column)} by dense width",
        )
        for column in columns.DRAWN
    ]
