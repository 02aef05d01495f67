"""Files that are whole or absent, and locks."""

import threading

import pytest

from sparse_gf.core import files


def interrupted(path):
    with files.atomic(path) as temporary:
        temporary.write_text("half")
        raise InterruptedError


def test_a_file_that_could_not_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    files.write_text(path, "old")
    with pytest.raises(InterruptedError):
        interrupted(path)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_writing_takes_the_place_of_what_was_there(tmp_path):
    files.write_text(tmp_path / "file", "some text")
    files.write_bytes(tmp_path / "file", b"\0\1")
    assert (tmp_path / "file").read_bytes() == b"\0\1"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_unfinished_files_are_kept_off_globs(tmp_path):
    with files.atomic(tmp_path / "file") as temporary:
        temporary.write_text("half")
        assert list(tmp_path.glob("[!.]*")) == []


def test_two_hold_a_lock_one_after_the_other(tmp_path):
    path, held = tmp_path / "folder" / "lock", []

    def wait():
        with files.flock(path):
            held.append("second")

    with files.flock(path):
        with pytest.raises(BlockingIOError), files.flock(path, wait=False):
            pass
        thread = threading.Thread(target=wait)
        thread.start()
        held.append("first")
    thread.join()
    assert held == ["first", "second"]
