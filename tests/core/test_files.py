"""Files that are whole or absent, locks, and paths of users."""

import ast
import errno
import fcntl
import os
import pathlib
import threading

import pytest

import sparse_gf
from sparse_gf.core import files
from sparse_gf.core.errors import UserError


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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/x", "/home/somebody/x"),
        (pathlib.Path("~/x"), "/home/somebody/x"),
        ("~", "/home/somebody"),
        ("a/~/b", "a/~/b"),
        ("/a~", "/a~"),
    ],
)
def test_a_home_is_the_one_of_the_user(monkeypatch, given, expected):
    monkeypatch.setenv("HOME", "/home/somebody")
    found = str(files.user_path("name", given))
    assert found == expected
    assert str(files.user_path("name", found)) == expected


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "name is empty; name a file or a folder"),
        ("a\0b", "null character"),
        ("~nobody-of-this-name/x", "the home folder is not known; set HOME"),
    ],
)
def test_what_is_no_path_is_refused(given, problem):
    with pytest.raises(UserError, match=problem):
        files.user_path("name", given)


def test_a_folder_called_like_a_home_is_itself_however_often(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("./~", "./~/x"):
        found = files.user_path("name", given)
        assert found == tmp_path / given
        assert files.user_path("name", found) == found


def test_dot_files_are_not_seen(tmp_path):
    for name in ("b.npz", "a.npz", "._a.npz", ".b.npz.0123abcd.tmp", "other"):
        (tmp_path / name).touch()
    found = [path.name for path in files.visible(tmp_path, ".npz")]
    assert found == ["a.npz", "b.npz"]
    assert files.visible(tmp_path / "nowhere", ".npz") == []
    with pytest.raises(UserError, match=r"a\.npz cannot be used \(Not a directory\)"):
        files.visible(tmp_path / "a.npz", ".npz")


def test_left_overs_are_removed_and_what_is_being_written_is_not(tmp_path):
    left = tmp_path / ".cell.parquet.0123abcd.tmp"
    others = [tmp_path / name for name in (".cell.tmp", "cell.0123abcd.tmp", ".x")]
    for path in (left, *others):
        path.touch()
    with files.atomic(tmp_path / "file") as temporary:
        assert files.remove_leftovers([tmp_path, tmp_path / "nowhere"]) == [left]
        temporary.write_text("text")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "file"])
    assert (tmp_path / "file").read_text() == "text"


def test_a_file_taken_for_a_left_over_before_it_is_locked_is_made_again(
    tmp_path, monkeypatch
):
    lock, taken = fcntl.flock, []

    def late(held, how):
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        lock(held, how)

    monkeypatch.setattr(fcntl, "flock", late)
    files.write_text(tmp_path / "file", "text")
    assert len(taken) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_where_there_are_no_locks_files_are_written_all_the_same(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with files.flock(tmp_path / "lock", wait=False):
        files.write_text(tmp_path / "file", "text")
    left = tmp_path / ".file.0123abcd.tmp"
    left.touch()
    # Nobody can say that no process writes it.
    assert files.remove_leftovers([tmp_path]) == []
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EEXIST, errno.ENOTDIR])
def test_errors_of_the_system_are_one_line_with_path_and_remedy(number):
    line = files.explained(OSError(number, os.strerror(number), "/some/where"))
    assert line.startswith(f"/some/where cannot be used ({os.strerror(number)}); ")
    assert "name another place" in line


def in_the_locales_encoding(source):
    """Lines where text goes through the locale, not UTF-8."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = {keyword.arg for keyword in node.keywords}
        if name in ("read_text", "write_text") and "files" not in ast.unparse(
            node.func
        ):
            if "encoding" not in given and "utf-8" not in ast.unparse(node):
                yield node.lineno
        elif name == "open" and ast.unparse(node.func) in ("open", "path.open"):
            mode = ast.unparse(node)
            if "b'" not in mode and "encoding" not in given:
                yield node.lineno


def test_text_is_in_utf_8_whatever_the_locale():
    package = pathlib.Path(sparse_gf.__file__).parent
    found = {
        f"{path.relative_to(package)}:{line}"
        for path in package.rglob("*.py")
        for line in in_the_locales_encoding(path.read_text("utf-8"))
    }
    assert found == set()
    assert list(in_the_locales_encoding("path.read_text()\nopen(x)\npath.open('w')"))
