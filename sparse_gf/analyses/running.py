"""Analyses of all networks of a work directory, and the files they are written to.

Everything is computed from saved networks and a data set, long after training if need
be.
"""

import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import rich.progress
from absl import logging

from sparse_gf import data as data_lib
from sparse_gf import experiment, specs
from sparse_gf.analyses import figures, subject
from sparse_gf.analyses.kinds import ANALYSES
from sparse_gf.analyses.subject import Settings
from sparse_gf.core import errors, files, tables
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import saved
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting import render
from sparse_gf.specs import Cell

FILE = "analyses.parquet"
"""The file of all rows, below the work directory."""

COLUMNS = (
    "config_hash",
    "model",
    "dataset",
    "mask_method",
    "density",
    "tost",
    "activation",
    "arm",
    "dense_width",
    "seed",
    "epoch",
    "examples",
    "batch_norm",
    "kind",
    "layer",
    "x",
    "y",
    "value",
)
"""Columns of the table of analyses; the last five are those of one number."""


def run(
    workdir: str,
    names: Sequence[str],
    settings: Settings,
    data_dir: str,
    refused: Callable[[str], None] = logging.warning,
) -> pd.DataFrame:
    """Looks at all networks of a work directory, and writes what is found.

    Args:
        workdir: Where networks were saved.
        names: Of ``ANALYSES``.
        settings: How networks are looked at.
        data_dir: The data set's folder; see ``data.load``.
        refused: Is told of each network that cannot be looked at; others are.

    Returns:
        The rows; those of the same analyses that were there before are replaced.

    Raises:
        UserError: If there are no networks, or none can be looked at, or if a name is
            unknown.
    """
    if not names:
        raise UserError(f"--of is empty; it must be some of {', '.join(ANALYSES)}.")
    for name in names:
        errors.one_of("--of", name, ANALYSES)
    folder = files.user_path("--workdir", workdir)
    found = [
        file
        for inside in sorted(folder.glob("*/networks"))
        for file in files.visible(inside, ".npz")
    ]
    if not found:
        raise UserError(
            f"--workdir {workdir!r} holds no networks; train with "
            "--config.save_networks=last, or measured for figures along training."
        )

    @functools.cache
    def load(cell: Cell) -> Dataset:
        own = data_dir if data_lib.reads_files(cell.files) else ""
        return experiment.part(cell, data_lib.load(cell.files, own))

    experiment.use_cache()
    kept, parts, lost = list(_kept(folder / FILE, names)), [], []
    for file in rich.progress.track(found, "Networks"):
        try:
            parts.append(of_network(file, names, settings, load))
        except UserError as error:
            lost.append(str(error))
    if not parts:
        raise UserError(lost[0])
    for line in lost:
        refused(line)
    rows = pd.concat([*kept, *parts], ignore_index=True)
    tables.write(folder / FILE, pa.Table.from_pandas(rows, preserve_index=False))
    for name in names:
        _write(folder / "report" / "analyses", name, rows.loc[rows["kind"] == name])
    return rows


def of_network(
    path: pathlib.Path,
    names: Sequence[str],
    settings: Settings,
    load: Callable[[Cell], Dataset],
) -> pd.DataFrame:
    """Looks at the network in a file; see ``run``.

    ``load`` gives the part of the data set that a cell is trained on.

    Returns:
        One row per number, with ``COLUMNS``.

    Raises:
        UserError: If the file is none of a network.
    """
    network = saved.load(path)
    try:
        cell, _ = specs.from_config(network.about["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} has no config of a cell ({error}).") from error
    looked_at = subject.make(cell, network, load(cell), settings)
    found = [(name, *row) for name in names for row in ANALYSES[name].of(looked_at)]
    rows = pd.DataFrame(found, columns=list(COLUMNS[-5:]))
    about = network.about | {
        "examples": len(looked_at.train[1]),
        "batch_norm": settings.batch_norm,
    }
    rows = rows.assign(**{name: about[name] for name in COLUMNS[:-5]})
    return rows.reindex(columns=list(COLUMNS))


def _kept(file: pathlib.Path, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Rows of other analyses, from an earlier call."""
    if not file.exists():
        return
    try:
        before: Any = tables.read(file)[0].to_pandas()
    except UserError:
        raise
    except ValueError as error:
        raise UserError(
            f"{file} is damaged ({error}); remove it, and look at the networks again."
        ) from error
    yield before[~before["kind"].isin(names)]


def _write(folder: pathlib.Path, name: str, rows: pd.DataFrame) -> None:
    if name == "activity":
        text = render.markdown(figures.activity_layout(rows))
        files.write_text(folder / "activity.md", text)
    else:
        plots.write(folder, name, figures.draw(rows, name))
