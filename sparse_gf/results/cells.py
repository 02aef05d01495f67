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
from sparse_gf.results.columns import MEASUREMENTS, NETWORKS, OWN
from sparse_gf.results.places import cell_path

_SECONDS = "seconds"


def write_cell(
    workdir: pathlib.Path, config_hash: str, rows: Sequence[Any], seconds: float
) -> None:
    """Writes a finished cell; ``compact`` then adds it to the tables.

    Args:
        workdir: See ``results``.
        config_hash: Of the cell.
        rows: One dict per network with the columns of ``NETWORKS`` and, under
            ``measurements``, one dict per measured epoch.
        seconds: That all of its training takes; NaN if unknown. Kept beside the
            rows, which are the same whenever the cell is trained again.
    """
    schema = _schema(OWN in rows[0])
    table = pa.Table.from_pylist(list(rows), schema=schema)
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


def read_rows(
    workdir: str | os.PathLike[str], config_hash: str
) -> list[dict[str, Any]]:
    """Reads a finished cell as ``write_cell`` takes it, columns of ``NETWORKS`` all."""
    return read_file(cell_path(workdir, config_hash))[0].to_pylist()


def compact(workdir: pathlib.Path) -> None:
    """Writes ``networks.parquet`` and ``measurements.parquet`` from all cells."""
    # One at a time: a slower process must not put back the tables it began with.
    with files.flock(workdir / "cells" / ".tables.lock"):
        cells = _read_cells(workdir)
        tables.write(workdir / "networks.parquet", _networks(cells))
        tables.write(workdir / "measurements.parquet", _measurements(cells))


def check(workdir: str | os.PathLike[str]) -> None:
    """Makes sure that every finished cell can be read.

    Raises:
        UserError: If one is damaged, or cannot be read now.
    """
    for file in places.cell_files(workdir):
        read_file(file)


def read(path: str | os.PathLike[str], config_hash: str | None = None) -> pd.DataFrame:
    """Reads one row per trained network of a work directory, or of one of its cells.

    Raises:
        UserError: If there are no results.
    """
    return _networks(_read_cells(path, config_hash)).to_pandas()


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
    return _networks(_joined(parts)).to_pandas(), refused


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
    return _joined([read_file(file)[0] for file in found])


def _schema(has_own: bool) -> pa.Schema:
    own = pa.field(OWN, pa.string())
    return columns.CELL.append(own) if has_own else columns.CELL


def _joined(parts: Sequence[pa.Table]) -> pa.Table:
    """Cells below each other, with nulls where one has no measures of its own."""
    return pa.concat_tables(parts, promote_options="default")


def _networks(cells: pa.Table) -> pa.Table:
    """One row per network; measures of users' own are columns, their means."""
    table = cells.select(NETWORKS.names)
    for name, values in _own(cells).items():
        means = [sum(own) / len(own) if own else None for own in values]
        table = table.append_column(name, pa.array(means, pa.float64()))
    return table


def _own(cells: pa.Table) -> dict[str, list[list[float]]]:
    """Measures of users' own: for each network its values, empty without any."""
    texts = cells[OWN].to_pylist() if OWN in cells.column_names else []
    found = [files.from_json(text) if text else {} for text in texts]
    names = dict.fromkeys(name for own in found for name in own)
    return {name: [own.get(name, []) for own in found] for name in names}


def read_file(file: pathlib.Path) -> tuple[pa.Table, float]:
    """A cell's rows, and how many seconds its training took.

    Raises:
        UserError: If the file is damaged, or not the cell's, or cannot be read now.
    """
    remedy = "remove it to train that cell again"
    try:
        table, about = tables.read(file, _SECONDS)
        table = tables.conformed(table, _schema(OWN in table.column_names))
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
    own = _own(cells)
    rows = cells.select([*columns.KEYS, "measurements"]).to_pylist()
    long = [
        {key: row[key] for key in columns.KEYS}
        | measurement
        | {name: values[at][point] for name, values in own.items() if values[at]}
        for at, row in enumerate(rows)
        for point, measurement in enumerate(row["measurements"] or ())
    ]
    added = (pa.field(name, pa.float64()) for name in own)
    return pa.Table.from_pylist(long, schema=pa.schema([*MEASUREMENTS, *added]))
