"""Tasks that are made of the demo's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.comparison.demo_data import _capitals, demo_tasks, write_demo_data
from bertsmith.errors import ConfigError


def test_capitals_are_tags_of_words_in_small_letters() -> None:
    rows = ["The US may win, in May 1990.\tnews", "no letters: 1 2\tnews", "3 4\tnews"]
    assert _capitals(rows) == (
        "the capital\nus capital\nmay lower\nwin, lower\nin lower\nmay capital\n\n"
        "no lower\nletters: lower\n"
    )


def test_both_tasks_are_written_once(tmp_path: Path) -> None:
    pytest.importorskip("gensim")
    write_demo_data(tmp_path, lambda _: None, with_shards=False)
    tasks = demo_tasks(tmp_path, None)
    assert [task.name for task in tasks] == ["source", "capitals"]
    files = [Path(task.data[split]) for task in tasks for split in ("train", "eval")]
    assert all(path.stat().st_size > 1000 for path in files)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "text").iterdir()}
    write_demo_data(tmp_path, lambda _: None, with_shards=False)
    assert len(demo_tasks(tmp_path, ["capitals"])) == 1
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "text").iterdir()} == times


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'squad' is not a task here; those are source, capitals"):
        demo_tasks(tmp_path, ["squad"])
