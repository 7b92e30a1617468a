"""Paths, globs and folders mean the files that one would think."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.data.sources import find_sources
from bertsmith.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt.xz", "deep/c.jsonl.gz", "notes.md", ".hidden/d.txt", ".e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    return tmp_path


def names(folder: Path, sources) -> list[str]:
    return [str(Path(file.path).relative_to(folder)) for file in find_sources(sources)]


def test_a_folder_means_its_readable_files_in_order(folder):
    assert names(folder, [folder]) == ["a.txt.xz", "b.txt", "deep/c.jsonl.gz"]


def test_a_glob_means_its_readable_files_in_order(folder):
    assert names(folder, [f"{folder}/*"]) == ["a.txt.xz", "b.txt"]
    assert names(folder, [f"{folder}/**/*.gz"]) == ["deep/c.jsonl.gz"]


def test_sources_keep_the_order_given_and_come_once(folder):
    assert names(folder, [folder / "b.txt", f"{folder}/*.txt*", folder / "deep/../b.txt"]) == [
        "b.txt",
        "a.txt.xz",
    ]


def test_one_path_needs_no_list(folder):
    assert names(folder, folder / "b.txt") == ["b.txt"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path):
    (tmp_path / "[1].txt").write_text("x")
    assert names(tmp_path, [tmp_path / "[1].txt"]) == ["[1].txt"]


def test_size_and_time_tell_that_a_file_has_changed(folder):
    (before,) = find_sources(folder / "b.txt")
    assert before.size_bytes == 5
    (folder / "b.txt").write_bytes(b"123456")
    assert find_sources(folder / "b.txt") != [before]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.txt", r"absent\.txt does not exist; give a \.txt, \.jsonl or \.parquet"),
        ("absent*.txt", r"the glob .*absent\*\.txt matches nothing that can be read"),
        ("notes.md", r"notes\.md is not a kind of file that can be read; give"),
        ("long" * 1000, r"long cannot be read: File name too long"),
        ("empty", r"the folder .*empty holds nothing that can be read"),
    ],
)
def test_what_means_no_file_is_refused(folder, name, message):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        find_sources([folder / "b.txt", folder / name])
