"""Parts depend on the records alone, and fingerprints on all of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertsmith.data.record import Record
from bertsmith.data.record_parts import RECORD_CHARACTERS, BytesRead, RecordParts
from bertsmith.data.records import read_records
from bertsmith.errors import DataError


def records(count: int, *, changed: int = -1) -> Iterator[Record]:
    for number in range(count):
        text = "other" if number == changed else f"text {number}"
        yield Record({"text": text}, f"a.jsonl:{number + 1}")


def cut(stream: Iterator[Record], characters: int, skip: int = 0) -> list[tuple[int, int, str]]:
    parts = RecordParts(stream, lambda: 0)
    parts.skip(skip)
    return [(len(part.records), part.end, part.fingerprint) for part in parts.cut(characters)]


def test_a_part_has_as_many_records_as_reach_its_size() -> None:
    size = RECORD_CHARACTERS + len('{"text": "text 0"}')
    assert [part[:2] for part in cut(records(7), 3 * size)] == [(3, 3), (3, 6), (1, 7)]
    assert [part[:2] for part in cut(records(2), 3 * size - 1)] == [(2, 2)]
    assert [part[0] for part in cut(records(5), 1)] == [1] * 5


def test_parts_behind_a_part_are_those_of_the_whole_stream() -> None:
    whole = cut(records(50), 100)
    for _, end, _ in whole:
        assert cut(records(50), 100, skip=end) == [part for part in whole if part[1] > end]


def test_a_fingerprint_is_of_all_records_so_far() -> None:
    whole = cut(records(50), 100)
    for place in (0, 20, 49):
        other = cut(records(50, changed=place), 100)
        same = [mine == its for mine, its in zip(whole, other, strict=True)]
        assert same == [end <= place for _, end, _ in whole]
    assert RecordParts(records(9), lambda: 0).skip(9) != RecordParts(records(8), lambda: 0).skip(9)


def test_a_fingerprint_does_not_depend_on_where_the_file_lies() -> None:
    moved = (Record(record.fields, "b") for record in records(5))
    assert cut(moved, 10) == cut(records(5), 10)


def test_an_error_follows_whole_parts_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 5 + "{\n")
    parts = RecordParts(read_records(path), lambda: 0).cut(2 * (RECORD_CHARACTERS + 13))
    assert [len(next(parts).records), len(next(parts).records)] == [2, 2]
    with pytest.raises(DataError, match=r"a\.jsonl:6: the line is not JSON"):
        next(parts)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_bytes_read_grow_to_the_size_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    lines = "".join(
        json.dumps({"text": f"{i * 7919 % 100_003} film"}) + "\n" for i in range(90_000)
    )
    path.write_bytes(gzip.compress(lines.encode()) if suffix else lines.encode())
    bytes_read = BytesRead()
    parts = RecordParts(read_records(path, on_open=bytes_read.on_open), bytes_read)
    found = [part.bytes_read for part in parts.cut(500_000)]
    assert found == sorted(found)
    assert len(set(found)) > 4
    assert found[-1] == path.stat().st_size
    assert 0.1 < found[0] / found[-1] < 0.4


def test_nothing_is_known_of_what_is_no_file() -> None:
    assert BytesRead()() == 0
