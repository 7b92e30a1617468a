from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import DataError
from bertsmith.training.metrics_file import drop_after, metrics_line, read_metrics

RECORDS = [
    {"split": split, "step": step, "tokens": 100 * step, "elapsed_seconds": 0.5 * step, "loss": 7.0}
    for step in range(10, 60, 10)
    for split in ("train", "eval")
]
CONTENT = "".join(metrics_line(record) for record in RECORDS).encode()


@given(st.dictionaries(st.text(), st.floats() | st.integers()))
def test_a_line_is_json_whatever_the_figures(values: dict[str, float]) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    line = metrics_line(values)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    read = json.loads(line, parse_constant=refuse)
    for key, value in values.items():
        assert read[key] == (value if math.isfinite(value) else None)


@given(st.integers(0, len(CONTENT)))
def test_a_file_cut_off_at_any_byte_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    path.write_bytes(CONTENT[:length])
    # A line that lacks nothing but its end is whole.
    whole = (CONTENT[:length] + b"\n").count(b"}\n")
    assert read_metrics(path) == RECORDS[:whole]
    assert drop_after(path, 1000) == RECORDS[:whole]
    assert path.read_bytes() == b"".join(CONTENT.splitlines(keepends=True)[:whole])
    assert [file.name for file in path.parent.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (5, 0), (10, 2), (35, 6), (1000, 10)])
def test_lines_after_the_resumed_step_are_dropped(step: int, kept: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(CONTENT)
    assert drop_after(path, step) == RECORDS[:kept]
    assert read_metrics(path) == RECORDS[:kept]


def test_a_log_of_step_0_is_not_carried_into_a_new_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(metrics_line({"split": "eval", "step": 0, "loss": 7.0}))
    assert drop_after(path, 0) == []
    assert path.read_text() == ""


def test_no_file_is_an_empty_log(tmp_path: Path) -> None:
    assert drop_after(tmp_path / "metrics.jsonl", 10) == []


@pytest.mark.parametrize(
    "line", ["{", "[1]", "3", '{"step": 3}', '{"split": "test", "step": 3}', "\x00", "é"]
)
def test_a_damaged_line_before_the_last_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(metrics_line(RECORDS[0]) + line + "\n" + metrics_line(RECORDS[1]))
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: not a JSON object .*; delete the line"):
        read_metrics(path)


@given(st.binary())
def test_any_bytes_are_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    path.write_bytes(content)
    try:
        read_metrics(path)
    except DataError as error:
        assert str(path) in str(error)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is the metrics"):
        read_metrics(tmp_path / "none.jsonl")
