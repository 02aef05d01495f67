"""Result files: one atomic Parquet file per cell, and tables made of all of them.

A work directory holds

    cells/<hash>.parquet          one row per network, its measurements nested
    sweeps/<name>.json            what each sweep was asked to train
    networks.parquet              one row per network, of all cells
    measurements.parquet          one row per network and measured epoch
    <dataset>-<hash>/             config.py, table.md and figures of one cell; masks
                                  and networks, where they are saved
    analyses.parquet              what ``analyse`` found of saved networks
    report/                       index.html and what it shows; see ``report``
    checkpoints/                  of unfinished cells; see ``checkpoints``

``kind`` is ``"capacity"`` for the networks of a comparison of capacities and
``"masks"`` for networks under masks, whose ``dense_width`` and ``hidden_layers`` are 0;
``density``, active over all weights of the kernels, is theirs alone. ``train_loss`` is
the mean loss over the probe, in training mode. Scores are those after the last epoch,
and those of gradient flow are means over the measured epochs.
"""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sparse_gf import gradient_flow
from sparse_gf.core import files
from sparse_gf.core.errors import UserError

_FLOATS = pa.list_(pa.float64())

# The order here is the order of the columns. A fixed schema: readers silently drop
# columns that only some of the files have.
NETWORKS = pa.schema(
    [
        ("kind", pa.string()),
        ("dataset", pa.string()),
        ("arm", pa.string()),
        ("dense_width", pa.int64()),
        ("seed", pa.int64()),
        ("hidden_layers", pa.int64()),
        ("optimizer", pa.string()),
        ("variant", pa.string()),
        ("activation", pa.string()),
        ("learning_rate", pa.float64()),
        ("epochs", pa.int64()),
        ("batch_size", pa.int64()),
        ("initializer", pa.string()),
        ("initializer_reference", pa.string()),
        ("optimizer_preset", pa.string()),
        ("l2", pa.float64()),
        ("l1", pa.float64()),
        ("weight_decay", pa.float64()),
        ("dropout_rate", pa.float64()),
        ("num_active", pa.int64()),
        ("layers", pa.list_(pa.string())),
        ("layer_num_active", pa.list_(pa.int64())),
        ("isolated_units", pa.int64()),
        ("test_accuracy", pa.float64()),
        ("test_loss", pa.float64()),
        ("train_loss", pa.float64()),
        ("diverged", pa.bool_()),
        *((measure, pa.float64()) for measure in gradient_flow.MEASURES),
        ("train_examples", pa.int64()),
        ("test_examples", pa.int64()),
        ("probe_examples", pa.int64()),
        ("dataset_title", pa.string()),
        ("dataset_source", pa.string()),
        ("dataset_fingerprint", pa.string()),
        ("config_hash", pa.string()),
        ("config", pa.string()),
        ("versions", pa.string()),
        ("device", pa.string()),
        ("model", pa.string()),
        ("density", pa.float64()),
        ("mask_method", pa.string()),
        ("mask_schedule", pa.string()),
        ("mask_distribution", pa.string()),
        ("tost", pa.string()),
        ("ghost_params", pa.int64()),
    ]
)

_MEASURED = pa.schema(
    [
        ("epoch", pa.int64()),
        *((measure, pa.float64()) for measure in gradient_flow.MEASURES),
        ("layer_norms1", _FLOATS),
        ("layer_norms2", _FLOATS),
        ("train_loss", pa.float64()),
        ("test_loss", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("diverged", pa.bool_()),
    ]
)

_SECONDS = b"sparse_gf.seconds"

_KEYS = ("config_hash", "dataset", "arm", "dense_width", "seed")

MEASUREMENTS = pa.schema([*(NETWORKS.field(key) for key in _KEYS), *_MEASURED])

_CELL = NETWORKS.append(pa.field("measurements", pa.list_(pa.struct(list(_MEASURED)))))


def prepare(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Makes sure that a work directory can be written; leaves nothing behind.

    Raises:
        UserError: If it cannot, if a file is in its place, or if a result file in it
            is damaged.
    """
    if not str(workdir):
        raise UserError("--workdir is empty; name a folder.")
    path = pathlib.Path(workdir)
    above = path.absolute()
    try:
        nearest = next(p for p in (above, *above.parents) if p.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UserError(
            f"--workdir is {str(workdir)!r}, which cannot be written "
            f"({error.strerror}); name a folder that can."
        ) from error
    for file in (path / "cells").glob("*.parquet"):
        _read_cell(file)
    return path


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
    table = pa.Table.from_pylist(list(rows), schema=_CELL)
    table = table.replace_schema_metadata({_SECONDS: repr(seconds)})
    _write_parquet(cell_path(workdir, config_hash), table)


def read_costs(workdir: str | os.PathLike[str]) -> dict[str, tuple[str, float]]:
    """What is known about the speed of a work directory's finished cells.

    Returns:
        By hash: the cell's config in JSON and the seconds that its training takes, for
        the cells of which that is known. Files that cannot be read are left out.
    """
    found = {}
    for file in sorted((pathlib.Path(workdir) / "cells").glob("*.parquet")):
        with contextlib.suppress(UserError):
            config = _read_cell(file)["config"][0].as_py()
            seconds = read_seconds(workdir, file.stem)
            if seconds == seconds:
                found[file.stem] = config, seconds
    return found


def read_seconds(workdir: str | os.PathLike[str], config_hash: str) -> float:
    """Reads how long a finished cell took to train; NaN if that is unknown."""
    metadata = _schema(cell_path(workdir, config_hash)).metadata or {}
    return float(metadata.get(_SECONDS, b"nan"))


def compact(workdir: pathlib.Path) -> None:
    """Writes ``networks.parquet`` and ``measurements.parquet`` from all cells."""
    # One at a time: a slower process must not put back the tables it began with.
    with files.flock(workdir / "cells" / ".tables.lock"):
        cells = _read_cells(workdir)
        _write_parquet(workdir / "networks.parquet", cells.select(NETWORKS.names))
        _write_parquet(workdir / "measurements.parquet", _measurements(cells))


class Busy(UserError):
    """Another process is training a cell."""


@contextlib.contextmanager
def lock(workdir: pathlib.Path, config_hash: str, wait: bool = False) -> Iterator[None]:
    """Keeps other processes away from a cell; the system frees it if we are killed.

    Raises:
        Busy: If another process is training the cell and we do not wait for it.
    """
    try:
        with files.flock(workdir / "cells" / f".{config_hash}.lock", wait):
            yield
    except BlockingIOError as error:
        raise Busy(
            f"another process is training cell {config_hash} in --workdir "
            f"{str(workdir)!r}; wait for it, or use another work directory."
        ) from error


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
    tables, refused = [_CELL.empty_table()], []
    for file in sorted((pathlib.Path(path) / "cells").glob("*.parquet")):
        try:
            tables.append(_read_cell(file))
        except UserError as error:
            refused.append(str(error))
    return pa.concat_tables(tables).select(NETWORKS.names).to_pandas(), refused


def read_measurements(
    path: str | os.PathLike[str], config_hash: str | None = None
) -> pd.DataFrame:
    """Reads one row per network and measured epoch; see ``read``."""
    return _measurements(_read_cells(path, config_hash)).to_pandas()


def under_masks(rows: pd.DataFrame) -> pd.Series:
    """Says of each row whether its network is one under masks, and of no comparison."""
    kind: Any = rows["kind"]
    return kind == "masks"


def cell_path(workdir: str | os.PathLike[str], config_hash: str) -> pathlib.Path:
    """Where a finished cell is; the file exists only when it is whole."""
    return pathlib.Path(workdir) / "cells" / f"{config_hash}.parquet"


def cell_folder(
    workdir: str | os.PathLike[str], dataset: str, config_hash: str
) -> pathlib.Path:
    """Where a cell's table, figures, config and masks are."""
    return pathlib.Path(workdir) / f"{dataset}-{config_hash}"


def write_sweep(workdir: pathlib.Path, name: str, config: dict[str, Any]) -> None:
    """Records what a sweep was asked to train, for reports of it.

    Args:
        workdir: The work directory.
        name: Of the sweep.
        config: Plain values.
    """
    text = json.dumps(config, indent=2) + "\n"
    files.write_text(workdir / "sweeps" / f"{name}.json", text)


def read_sweeps(workdir: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Reads the configs of all sweeps of a work directory, by name.

    Raises:
        UserError: If one of the files is damaged.
    """
    return {file.stem: _read_sweep(file) for file in _sweep_files(workdir)}


def survey_sweeps(
    workdir: str | os.PathLike[str],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Reads the configs of all sweeps that can be read; see ``read_sweeps``.

    Returns:
        The configs by name, and a line about each file that was refused.
    """
    found, refused = {}, []
    for file in _sweep_files(workdir):
        try:
            found[file.stem] = _read_sweep(file)
        except UserError as error:
            refused.append(str(error))
    return found, refused


def _sweep_files(workdir: str | os.PathLike[str]) -> list[pathlib.Path]:
    return sorted((pathlib.Path(workdir) / "sweeps").glob("*.json"))


def _read_sweep(file: pathlib.Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{file} is damaged ({error}); remove it, and give the sweep's command "
            "again to have it back."
        ) from error


def _read_cells(
    path: str | os.PathLike[str], config_hash: str | None = None
) -> pa.Table:
    files = sorted((pathlib.Path(path) / "cells").glob(f"{config_hash or '*'}.parquet"))
    if not files:
        wanted = f"cell {config_hash}" if config_hash else "finished cells"
        raise UserError(f"{str(path)!r} holds no {wanted}; train first.")
    return pa.concat_tables([_read_cell(file) for file in files])


def _read_cell(file: pathlib.Path) -> pa.Table:
    with _readable(file):
        table = pq.read_table(file, schema=_CELL).replace_schema_metadata()
    cells = table["config_hash"].unique().to_pylist()
    if cells != [file.stem]:
        raise UserError(
            f"{file} holds {' and '.join(map(str, cells)) or 'nothing'} in place of "
            f"cell {file.stem}; remove it to train that cell again."
        )
    return table


def _schema(file: pathlib.Path) -> pa.Schema:
    with _readable(file):
        return pq.read_schema(file)


@contextlib.contextmanager
def _readable(file: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{file} is damaged or no result file of this version; remove it to train "
            "that cell again."
        ) from error


def _measurements(cells: pa.Table) -> pa.Table:
    """Unnests the measurements of networks into rows of their own."""
    long = [
        {key: row[key] for key in _KEYS} | measurement
        for row in cells.select([*_KEYS, "measurements"]).to_pylist()
        for measurement in row["measurements"]
    ]
    return pa.Table.from_pylist(long, schema=MEASUREMENTS)


def _write_parquet(path: pathlib.Path, table: pa.Table) -> None:
    with files.atomic(path) as temporary:
        pq.write_table(table, temporary)
