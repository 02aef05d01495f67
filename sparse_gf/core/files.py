"""Files that are whole or absent, locks between processes, and paths of users."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from absl import logging

from sparse_gf.core.errors import UserError, first_line

# What a file system without locks says.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def user_path(place: str, path: str | os.PathLike[str]) -> pathlib.Path:
    """The path that a user gave, with ``~`` as the home folder that it stands for.

    Doing it twice changes nothing.

    Args:
        place: Where the path came from, for example ``"--workdir"``.
        path: What was given.

    Raises:
        UserError: If it is empty, no path, or begins with a home that is not known.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"{place} is {path!r:.200}; it must be a path.")
    text = os.fspath(path)
    if not text:
        raise UserError(f"{place} is empty; name a file or a folder.")
    if "\0" in text:
        raise UserError(f"{place} is {text!r}; a path has no null character in it.")
    found = pathlib.Path(os.path.expanduser(text))
    if not str(found).startswith("~"):
        return found
    if text.startswith("~"):
        raise UserError(
            f"{place} is {text!r}, and the home folder is not known; set HOME, give "
            f"the whole path, or ./{text} for what is called so."
        )
    # "./~" is a folder's name, and pathlib would lose what says so.
    return found.absolute()


def visible(folder: pathlib.Path, suffix: str) -> list[pathlib.Path]:
    """The files in a folder that end in a suffix, sorted, without dot files.

    Other systems leave files like ``._name`` beside those that they copy.

    Raises:
        UserError: If the folder is there and cannot be listed.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(explained(error, folder)) from error
    return sorted(
        folder / name
        for name in names
        if name.endswith(suffix) and not name.startswith(".")
    )


_REMEDIES = {
    errno.EACCES: "give yourself the right to it, or name another place",
    errno.EPERM: "give yourself the right to it, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.EEXIST: "move it out of the way, or name another place",
    errno.ENOTDIR: "a file is where a folder must be: move it, or name another place",
    errno.EISDIR: "a folder is where a file must be: move it, or name another place",
    errno.ENOENT: "check the path",
    errno.ENOSPC: "make room, and give the command again",
    errno.EDQUOT: "make room, and give the command again",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def explained(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """One line about an error of the system: the path, the reason, what helps.

    ``path`` is what was to be used, where the error does not say it.
    """
    named = error.filename2 or error.filename or path
    if error.errno is None or named is None:
        return f"{error}"
    remedy = _REMEDIES.get(error.errno, "give the command again when it can be used")
    return f"{os.fspath(named)} cannot be used ({error.strerror}); {remedy}."


def content(path: pathlib.Path) -> bytes:
    """Everything in a file.

    Raises:
        UserError: If it cannot be read now, which does not mean that it is damaged.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(explained(error, path)) from error


def from_json(text: str | bytes) -> Any:
    """The values of a JSON text that may be anybody's.

    Raises:
        UserError: If it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"no JSON: {first_line(error)}") from error


@contextlib.contextmanager
def atomic(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary path that takes the place of ``path`` when all went well.

    Nobody ever sees a half-written file. Folders are made. The temporary file is there,
    empty, and locked as long as it is written; see ``remove_leftovers``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, held = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(held)


def _temporary(path: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A new, locked file beside ``path``."""
    while True:
        # The number keeps two writers apart; the dot keeps globs off.
        found = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        held = os.open(found, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        # Somebody may have taken it for a left-over before it was locked.
        if os.fstat(held).st_nlink:
            return found, held
        os.close(held)


def remove_leftovers(folders: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Removes temporary files in folders that no process is writing any more.

    Returns:
        Those that were removed: what killed processes left behind.
    """
    return [
        found
        for folder in folders
        for found in _listed(folder)
        if _TEMPORARY.fullmatch(found.name) and _removed(found)
    ]


def _listed(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _removed(path: pathlib.Path) -> bool:
    """Removes a file that nobody has locked; says whether it did."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:  # It is held, gone, or not ours: it stays.
        return False
    return True


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file in one piece, in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: pathlib.Path, data: bytes) -> None:
    """Writes a file in one piece."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def flock(path: pathlib.Path, wait: bool = True) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is left behind, empty.

    The system frees the lock of a process that is killed. Where the file system has no
    locks there is a warning, and nothing is held.

    Raises:
        BlockingIOError: If another process holds it and we do not wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            logging.warning(
                "The file system of %s has no locks: let no other process train in "
                "this work directory.",
                path.parent,
            )
        yield
