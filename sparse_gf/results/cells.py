"""Files of finished cells, and the tables made of all of them."""

import contextlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from sparse_gf.core import files, tables
from sparse_gf.core.errors import UserError
from sparse_gf.results import columns, places
from sparse_gf.results.columns import MEASUREMENTS, NETWORKS
from sparse_gf.results.places import cell_path

_SECONDS = "seconds"


def write_cell(
    workdir: pathlib.Path, config_hash: str, rows: Sequence[Any], seconds: float
) -> None:
    """Writes a finished cell; ``compact`` then adds it to the tables.

    Args:
        workdir: The work directory.
        config_hash: Names the file.
        rows: One dict per network with the columns of ``NETWORKS`` and, under
            ``measurements``, one dict per measured epoch.
        seconds: That all of its training takes; NaN if unknown. Kept beside the
            rows, which are the same whenever the cell is trained again.
    """
    table = pa.Table.from_pylist(list(rows), schema=columns.CELL)
    about = {_SECONDS: repr(seconds)}
    tables.write(cell_path(workdir, config_hash), table, about)


def read_costs(workdir: str | os.PathLike[str]) -> dict[str, tuple[str, float]]:
    """What is known about the speed of a work directory's finished cells.

    Returns:
        By hash: the cell's config in JSON and the seconds that its training takes, for
        the cells of which that is known. Files that cannot be read are left out.
    """
    found = {}
    for file in places.cell_files(workdir):
        with contextlib.suppress(UserError):
            table, seconds = read_file(file)
            if seconds == seconds:
                found[file.stem] = table["config"][0].as_py(), seconds
    return found


def read_seconds(workdir: str | os.PathLike[str], config_hash: str) -> float:
    """Reads how long a finished cell took to train; NaN if that is unknown."""
    return read_file(cell_path(workdir, config_hash))[1]


def compact(workdir: pathlib.Path) -> None:
    """Writes ``networks.parquet`` and ``measurements.parquet`` from all cells."""
    # One at a time: a slower process must not put back the tables it began with.
    with files.flock(workdir / "cells" / ".tables.lock"):
        cells = _read_cells(workdir)
        tables.write(workdir / "networks.parquet", cells.select(NETWORKS.names))
        tables.write(workdir / "measurements.parquet", _measurements(cells))


def check(workdir: str | os.PathLike[str]) -> None:
    """Makes sure that every finished cell can be read.

    Raises:
        UserError: If one is damaged, or cannot be read now.
    """
    for file in places.cell_files(workdir):
        read_file(file)


def read(path: str | os.PathLike[str], config_hash: str | None = None) -> pd.DataFrame:
    """Reads one row per trained network from a work directory.

    Args:
        path: The work directory.
        config_hash: Of one cell, or None for all.

    Raises:
        UserError: If there are no results.
    """
    return _read_cells(path, config_hash).select(NETWORKS.names).to_pandas()


def survey(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, list[str]]:
    """Reads all that can be read of a work directory; see ``read``.

    Returns:
        One row per network, in no cell if there is none, and a line about each file
        that was refused.
    """
    parts, refused = [columns.CELL.empty_table()], []
    for file in places.cell_files(path):
        try:
            parts.append(read_file(file)[0])
        except UserError as error:
            refused.append(str(error))
    return pa.concat_tables(parts).select(NETWORKS.names).to_pandas(), refused


def read_measurements(
    path: str | os.PathLike[str], config_hash: str | None = None
) -> pd.DataFrame:
    """Reads one row per network and measured epoch; see ``read``."""
    return _measurements(_read_cells(path, config_hash)).to_pandas()


def under_masks(rows: pd.DataFrame) -> pd.Series:
    """Says of each row whether its network is one under masks, and of no comparison."""
    kind: Any = rows["kind"]
    return kind == "masks"


def _read_cells(
    path: str | os.PathLike[str], config_hash: str | None = None
) -> pa.Table:
    found = places.cell_files(path)
    if config_hash is not None:
        wanted = cell_path(path, config_hash)
        found = [file for file in found if file == wanted]
    if not found:
        wanted = f"cell {config_hash}" if config_hash else "finished cells"
        raise UserError(f"{str(path)!r} holds no {wanted}; train first.")
    return pa.concat_tables([read_file(file)[0] for file in found])


def read_file(file: pathlib.Path) -> tuple[pa.Table, float]:
    """A cell's rows, and how many seconds its training took.

    Raises:
        UserError: If the file is damaged, or not the cell's, or cannot be read now.
    """
    remedy = "remove it to train that cell again"
    try:
        table, about = tables.read(file, _SECONDS)
        table = tables.conformed(table, columns.CELL)
        tables.check_ranges(table, columns.SHARES)
        seconds = float(about.get(_SECONDS, "nan"))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(
            f"{file} is damaged or no result file of this version ({error}); {remedy}."
        ) from error
    cells = table["config_hash"].unique().to_pylist()
    if cells != [file.stem]:
        raise UserError(
            f"{file} holds {' and '.join(map(str, cells)) or 'nothing'} in place of "
            f"cell {file.stem}; {remedy}."
        )
    return table, seconds


def _measurements(cells: pa.Table) -> pa.Table:
    """Unnests the measurements of networks into rows of their own."""
    long = [
        {key: row[key] for key in columns.KEYS} | measurement
        for row in cells.select([*columns.KEYS, "measurements"]).to_pylist()
        for measurement in row["measurements"] or ()
    ]
    return pa.Table.from_pylist(long, schema=MEASUREMENTS)
