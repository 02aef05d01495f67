"""Files that are whole or absent, and locks between processes."""

import contextlib
import fcntl
import os
import pathlib
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def atomic(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary path that takes the place of ``path`` when all went well.

    Nobody ever sees a half-written file. Folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The number keeps two writers apart; the dot keeps globs off.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file in one piece."""
    with atomic(path) as temporary:
        temporary.write_text(text)


def write_bytes(path: pathlib.Path, data: bytes) -> None:
    """Writes a file in one piece."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def flock(path: pathlib.Path, wait: bool = True) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is left behind, empty.

    The system frees the lock of a process that is killed.

    Raises:
        BlockingIOError: If another process holds it and we do not wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
