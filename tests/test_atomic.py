"""What is written is there whole or not at all, when the program is killed and when it fails."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertsmith.atomic import atomic_folder, write_atomically
from bertsmith.errors import DataError

posix = pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")

# Runs a write that is killed at a call of the named function, before or after it.
KILLED = """
import os, pathlib, signal, sys
from bertsmith.atomic import atomic_folder, write_atomically
path, what, where, when, count = pathlib.Path(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
home = os if where == "fsync" else pathlib.Path
original = getattr(home, where)
calls = 0

def deadly(*arguments, **settings):
    global calls
    calls += 1
    if calls == count and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*arguments, **settings)
    if calls == count and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(home, where, deadly)
if what == "file":
    write_atomically(path, [b"new" * 1000, b"end"])
else:
    keyed = {"key_file": "a", "outdated": ["old"]} if what == "keyed" else {}
    with atomic_folder(path, **keyed) as partial:
        (partial / "a").write_bytes(b"new a")
        (partial / "b").write_bytes(b"new b")
"""


def killed(path: Path, what: str, where: str, when: str, count: int = 1) -> None:
    arguments = [path, what, where, when, str(count)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL


@posix
@pytest.mark.parametrize(
    ("where", "when", "is_new"),
    [("fsync", "before", False), ("replace", "before", False), ("replace", "after", True)],
)
def test_a_file_whose_writer_is_killed_is_the_old_or_the_new(
    tmp_path: Path, where: str, when: str, is_new: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    killed(path, "file", where, when)
    assert path.read_bytes() == (b"new" * 1000 + b"end" if is_new else b"old")
    write_atomically(path, [b"next"])
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"next"


@posix
@pytest.mark.parametrize(
    ("where", "when", "is_new"),
    [("fsync", "after", False), ("replace", "before", False), ("replace", "after", True)],
)
def test_a_folder_whose_writer_is_killed_is_whole_or_absent(
    tmp_path: Path, where: str, when: str, is_new: bool
) -> None:
    path = tmp_path / "folder"
    killed(path, "folder", where, when)
    assert path.exists() == is_new
    if is_new:
        assert contents(path) == {"a": b"new a", "b": b"new b"}


@posix
def test_in_a_folder_that_exists_each_file_is_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    for name in "abc":
        (path / name).write_bytes(f"old {name}".encode())
    killed(path, "folder", "replace", "before", 2)
    assert contents(path) == {"a": b"new a", "b": b"old b", "c": b"old c"}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(params=["write", "flush", "rename"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A disk that is full, which shows in one of three places."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if request.param == "flush":
        monkeypatch.setattr(os, "fsync", full)
    if request.param == "rename":
        monkeypatch.setattr(Path, "replace", full)
    return str(request.param)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_full_disk_changes_no_file_and_leaves_nothing(
    tmp_path: Path, full_disk: str, is_there: bool
) -> None:
    path = tmp_path / "file"
    if is_there:
        path.write_bytes(b"old")

    def parts() -> Iterator[bytes]:
        yield b"new"
        if full_disk == "write":
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"file cannot be written: No space left on device; make"):
        write_atomically(path, parts())
    assert contents(tmp_path) == ({"file": b"old"} if is_there else {})


@pytest.mark.parametrize("is_there", [False, True])
def test_a_full_disk_changes_no_folder_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    path = tmp_path / "folder"
    if is_there:
        path.mkdir()
        (path / "a").write_bytes(b"old")
    with (
        pytest.raises(DataError, match=r"folder cannot be written: No space left on device; make"),
        atomic_folder(path) as partial,
    ):
        (partial / "a").write_bytes(b"new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [entry.name for entry in tmp_path.iterdir()] == (["folder"] if is_there else [])
    if is_there:
        assert contents(path) == {"a": b"old"}


def test_other_errors_pass_through_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_folder(tmp_path / "folder") as partial:
        (partial / "a").write_bytes(b"new")
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_folder_keeps_the_files_that_have_no_successor(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path) as partial:
        (partial / "a").write_bytes(b"1")
    with atomic_folder(path) as partial:
        (partial / "b").write_bytes(b"2")
    assert contents(path) == {"a": b"1", "b": b"2"}
    assert [entry.name for entry in path.parent.iterdir()] == ["folder"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/x cannot be written: Not a directory"):
        write_atomically(tmp_path / "file" / "x", [b""])
    with (
        pytest.raises(DataError, match=r"file/x cannot be written: "),
        atomic_folder(tmp_path / "file" / "x"),
    ):
        pass


@posix
@pytest.mark.parametrize(("where", "when"), [("unlink", "after"), ("replace", "before")])
def test_a_folder_half_replaced_has_no_key_file(tmp_path: Path, where: str, when: str) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    for name in ("a", "b", "old"):
        (path / name).write_bytes(b"old")
    killed(path, "keyed", where, when, 2 if where == "replace" else 1)
    assert "a" not in contents(path)
    with atomic_folder(path, key_file="a", outdated=["old", "b", "none"]) as partial:
        for name in "ab":
            (partial / name).write_bytes(b"new")
    assert contents(path) == {"a": b"new", "b": b"new"}
