"""The page about networks under masks, ``W/report/masks.html``; see ``report``.

A section for every model, data set and length of training: a table, and test accuracy
and effective gradient flow against density. Beside it, ``tables/masks-<n>.md`` and
``figures/masks-<n>-*.png`` and ``.svg``. Before them a table
for every study of Jaiswal et al. 2022 that was asked for, also ``tables/<study>.md``,
with the published accuracies where the package has them.
"""

import base64
import datetime
import importlib.resources
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import jinja2
import pandas as pd

from sparse_gf import results
from sparse_gf.core import files
from sparse_gf.reporting import accuracies, densities
from sparse_gf.reporting import figures as plots
from sparse_gf.studies.sweep import Sweep

_TOGETHER = ["dataset_title", "model", "epochs", "train_examples"]

FIGURES = {
    "test_accuracy": "Test accuracy %",
    "egf2": "EGF$_2$, mean over training",
}
"""Columns that are drawn against density, and how they are called."""


def write(
    workdir: str | os.PathLike[str], rows: pd.DataFrame, sweeps: Iterable[Sweep] = ()
) -> pathlib.Path:
    """Writes the page and the files beside it.

    Args:
        workdir: The work directory.
        rows: One row per network under masks, at least one.
        sweeps: What was asked for of networks under masks.

    Returns:
        The page.
    """
    folder = pathlib.Path(workdir) / "report"
    sections = [
        _section(folder, number, part)
        for number, (_, part) in enumerate(rows.groupby(_TOGETHER, sort=True), start=1)
    ]
    studies = accuracies.tables(sweeps, rows)
    for study in studies:
        text = accuracies.markdown(study)
        files.write_text(folder / "tables" / f"{study.name}.md", text)
    page = _template().render(
        workdir=str(workdir),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        sections=sections,
        studies=studies,
        networks=len(rows),
        diverged=int(rows["diverged"].sum()),
        devices=sorted(rows["device"].unique()),
    )
    files.write_text(folder / "masks.html", page)
    return folder / "masks.html"


def _section(folder: pathlib.Path, number: int, rows: pd.DataFrame) -> dict[str, Any]:
    summary = densities.summarise(rows)
    name = f"masks-{number}"
    text = densities.markdown(summary)
    files.write_text(folder / "tables" / f"{name}.md", text)
    lines = densities.with_lines(rows)
    lines = lines.assign(test_accuracy=100 * lines["test_accuracy"])
    figures = []
    for column, label in FIGURES.items():
        figure = plots.against_density(lines, column, label, summary.title)
        svg = results.write_figure(folder / "figures", f"{name}-{column}", figure)
        data = base64.b64encode(svg).decode()
        figures.append((f"data:image/svg+xml;base64,{data}", f"{label} by density"))
    return {
        "id": name,
        "title": summary.title,
        "headings": list(densities.COLUMNS.values()),
        "table": summary.table.to_numpy().tolist(),
        "notes": summary.notes,
        "figures": figures,
        "cells": [_cell(part) for _, part in rows.groupby("config_hash", sort=False)],
    }


def _cell(rows: pd.DataFrame) -> tuple[str, str]:
    """A cell's hash, and its config in JSON."""
    config = json.loads(rows["config"].iloc[0])
    return rows["config_hash"].iloc[0], json.dumps(config)


def _template() -> jinja2.Template:
    text = importlib.resources.files("sparse_gf.reporting").joinpath("masks.html.jinja")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.from_string(text.read_text())
