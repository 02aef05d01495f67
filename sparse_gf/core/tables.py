"""Tables in Parquet files that are whole, and known to be what was written.

Every page has a checksum, and the file's metadata a hash of the rows and of the other
metadata. Files from before that have none; they are read all the same.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sparse_gf.core import errors, files

_PREFIX = "sparse_gf."
_ROWS = "rows"

# What pandas adds to the tables that it writes.
_FOREIGN = ("pandas",)


def write(
    path: pathlib.Path, table: pa.Table, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a table in one piece.

    Args:
        path: The file's.
        table: Of numbers, bools, strings, and lists and structs of them; metadata of
            its own are left out.
        metadata: Short texts about it, which ``read`` gives back.
    """
    own = dict(metadata or {})
    kept = {_PREFIX + key: text for key, text in own.items()}
    kept[_PREFIX + _ROWS] = digest(table, own)
    with files.atomic(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata(kept), temporary, write_page_checksum=True
        )


def read(path: pathlib.Path, *known: str) -> tuple[pa.Table, dict[str, str]]:
    """Reads a table that ``write`` has written.

    ``known`` are the keys of metadata that it may have.

    Returns:
        The table without metadata, and the metadata that are known.

    Raises:
        UserError: If it cannot be read, which damages nothing.
        ValueError: If it is damaged or no such file.
    """
    data = files.content(path)
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        # Offsets and texts too: what is wrong in them would end the process.
        table.validate(full=True)
        return table.replace_schema_metadata(), _metadata(table, known)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise ValueError(errors.first_line(error)) from error


def _metadata(table: pa.Table, known: tuple[str, ...]) -> dict[str, str]:
    """The metadata of a table, whose rows are those that were written."""
    given = {
        key.decode(): text.decode()
        for key, text in (table.schema.metadata or {}).items()
    }
    allowed = {*(_PREFIX + key for key in (*known, _ROWS)), *_FOREIGN}
    if not given or given.keys() - allowed:
        # A hash under another name would be none.
        raise ValueError("its metadata are not ours")
    own = {
        key.removeprefix(_PREFIX): text
        for key, text in given.items()
        if key not in _FOREIGN
    }
    expected = own.pop(_ROWS, None)
    if expected is not None and digest(table, own) != expected:
        raise ValueError("its rows are not those that were written")
    return own


def digest(table: pa.Table, metadata: Mapping[str, str]) -> str:
    """Names rows and metadata: 16 hex digits, whatever the layout in memory or file."""
    found = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        found.update(f"\n{name} ".encode())
        for part in _content(column.combine_chunks()):
            found.update(part)
    return found.hexdigest()[:16]


def _content(array: pa.Array) -> Iterator[bytes]:
    """What is in a column: which are null, how long lists are, and the values."""
    kind = array.type
    yield array.is_null().to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_list(kind):
        yield array.value_lengths().fill_null(0).to_numpy().tobytes()
        yield from _content(array.flatten())
    elif pa.types.is_struct(kind):
        for field, child in zip(kind, array.flatten(), strict=True):
            yield f"\n{field.name} ".encode()
            yield from _content(child)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield json.dumps(array.to_pylist()).encode()
    elif pa.types.is_floating(kind):
        values = array.fill_null(0).to_numpy(zero_copy_only=False) + 0.0
        # Parquet keeps one NaN and one zero.
        yield np.where(np.isnan(values), np.nan, values).tobytes()
    elif not pa.types.is_null(kind):
        yield f"{kind} ".encode()
        numbers = array.cast(pa.int64()).fill_null(0)
        yield numbers.to_numpy(zero_copy_only=False).tobytes()


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with the columns of a schema, nulls in those that it lacks.

    Raises:
        ValueError: If a column has values of another type.
    """
    if table.schema.equals(schema):
        return table
    try:
        return pa.Table.from_pylist(table.to_pylist(), schema=schema)
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(errors.first_line(error)) from error


def check_ranges(table: pa.Table, shares: tuple[str, ...]) -> None:
    """Refuses numbers below 0, and shares above 1, wherever they are nested.

    NaN and infinity are of networks that diverged.

    Raises:
        ValueError: If there is one; it says the column and the value.
    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        for inner, numbers in _numbers(name, column.combine_chunks()):
            most = 1 if inner in shares else np.inf
            for value in numbers[(numbers < 0) | (numbers > most)].tolist()[:1]:
                wanted = "in 0..1" if inner in shares else "at least 0"
                raise ValueError(f"it has {inner} {value!r}, which must be {wanted}")


def _numbers(name: str, array: pa.Array) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers of a column by the name of the innermost field, without nulls."""
    if pa.types.is_list(array.type):
        yield from _numbers(name, array.flatten())
    elif pa.types.is_struct(array.type):
        for field, child in zip(array.type, array.flatten(), strict=True):
            yield from _numbers(field.name, child)
    elif pa.types.is_floating(array.type) or pa.types.is_integer(array.type):
        yield name, array.drop_null().to_numpy(zero_copy_only=False)
