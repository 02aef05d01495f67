"""Where results are, and who may write there."""

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator

from absl import logging

from sparse_gf.core import files, words
from sparse_gf.core.errors import UserError

_HASH = re.compile(r"[0-9a-f]{12}")
_DATASET = re.compile(r"\w[\w.-]*")


def cell_path(workdir: str | os.PathLike[str], config_hash: str) -> pathlib.Path:
    """Where a finished cell is; the file exists only when it is whole.

    Raises:
        UserError: If there can be no cell of that name.
    """
    return _path(workdir) / "cells" / f"{checked_hash(config_hash)}.parquet"


def cell_folder(
    workdir: str | os.PathLike[str], dataset: str, config_hash: str
) -> pathlib.Path:
    """Where a cell's table, figures, config and masks are.

    Raises:
        UserError: If there can be no data set or cell of that name.
    """
    if not _DATASET.fullmatch(dataset):
        raise UserError(
            f"a data set is called {dataset!r}; a name has letters, digits, '_', '-' "
            "and '.' alone."
        )
    return _path(workdir) / f"{dataset}-{checked_hash(config_hash)}"


def checked_hash(config_hash: str) -> str:
    """The name of a cell, which makes part of paths.

    Raises:
        UserError: If it is no hash.
    """
    if not _HASH.fullmatch(config_hash):
        raise UserError(
            f"a cell is called {config_hash!r}; a name has 12 digits of 0..9 and a..f."
        )
    return config_hash


def _path(path: str | os.PathLike[str]) -> pathlib.Path:
    return files.user_path("the work directory", path)


def cell_files(workdir: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The files of all finished cells."""
    return files.visible(_path(workdir) / "cells", ".parquet")


def sweep_files(workdir: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The files of all sweeps."""
    return files.visible(_path(workdir) / "sweeps", ".json")


def prepare(
    workdir: str | os.PathLike[str], note: Callable[[str], None] = logging.warning
) -> pathlib.Path:
    """Makes sure that a work directory can be written; leaves nothing behind.

    What killed processes left there is removed, and ``note`` is told of it.

    Returns:
        Its path.

    Raises:
        UserError: If it cannot, or if a file is in its place.
    """
    path = files.user_path("--workdir", workdir)
    for folder in (path, path / "cells", path / "checkpoints"):
        check_writable(folder)
    if removed := files.remove_leftovers(_folders(path)):
        found = words.counted(len(removed), "file")
        note(f"Removed {found} that a killed process left unfinished in {path}.")
    return path


def check_writable(folder: pathlib.Path) -> None:
    """Makes sure that files can be written below a folder, there or not.

    Raises:
        UserError: If they cannot.
    """
    above = folder.absolute()
    try:
        nearest = next(p for p in (above, *above.parents) if p.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UserError(
            f"--workdir is {str(folder)!r}, which cannot be written "
            f"({error.strerror}); name a folder that can."
        ) from error


def _folders(workdir: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where files are written one by one: in the folders that are ours alone."""
    yield from (workdir, workdir / "cells", workdir / "sweeps")
    report = workdir / "report"
    yield from (report, *(report / name for name in ("tables", "figures", "analyses")))
    for folder in workdir.glob("*-*"):
        if _HASH.fullmatch(folder.name.rpartition("-")[2]):
            yield from (folder, folder / "masks", folder / "networks")


class Busy(UserError):
    """Another process is training a cell."""


@contextlib.contextmanager
def lock(workdir: pathlib.Path, config_hash: str, wait: bool = False) -> Iterator[None]:
    """Keeps other processes away from a cell; the system frees it if we are killed.

    Raises:
        Busy: If another process is training the cell and we do not wait for it.
    """
    try:
        with files.flock(
            workdir / "cells" / f".{checked_hash(config_hash)}.lock", wait
        ):
            yield
    except BlockingIOError as error:
        raise Busy(
            f"another process is training cell {config_hash} in --workdir "
            f"{str(workdir)!r}; wait for it, or use another work directory."
        ) from error
