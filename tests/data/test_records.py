"""Records from the files that users have, and sentences about those that are broken."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertsmith.data.columns import label_of, labelled, texts_of
from bertsmith.data.layout import FORMATS, Layout
from bertsmith.data.records import MAX_LINE_BYTES, Record, read_records, with_errors
from bertsmith.errors import DataError

# Without the time, since names of tests have it and both of their processes must agree on them.
GZIPPED_UTF_16 = gzip.compress("text\na".encode("utf-16"), mtime=0)


def write(folder: Path, name: str, contents: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return path


def read(path: Path, **layout: Any) -> list[Record]:
    return list(read_records(path, layout=Layout(**layout)))


def line_of(record: Record) -> int:
    return int(record.location.rpartition(":")[2])


@pytest.mark.parametrize(
    ("name", "layout", "counts", "is_pair", "labels"),
    [
        ("sst2", {}, (67349, 872), False, {"0", "1"}),
        ("cola", {"text": "4", "label": "2"}, (8551, 1043), False, {"0", "1"}),
        ("mrpc", {}, (3668, 408), True, {"0", "1"}),
        ("rte", {}, (2490, 277), True, {"entailment", "not_entailment"}),
        (
            "snli",
            {"text": "1", "pair": "2", "label": "3"},
            (9842, 9824),
            True,
            {"0", "1", "2"},
        ),
        ("stsb", {}, (5749, 1500), True, None),
    ],
)
def test_published_files_are_read_whole(
    shared_data: Path,
    name: str,
    layout: dict[str, str],
    counts: tuple[int, int],
    is_pair: bool,
    labels: set[str] | None,
) -> None:
    for split, count in zip(("train", "dev"), counts, strict=True):
        path = shared_data / "tasks" / name / f"{split}.tsv"
        records = list(labelled(read(path, **layout)))
        assert len(records) == count
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
        assert line_of(records[-1]) == len(lines)
        for record in records[:: max(1, count // 200)]:
            text, pair = texts_of(record)
            raw = lines[line_of(record) - 1].decode("utf-8-sig")
            assert text and f"{text}" in raw
            assert (pair is not None) is is_pair
            assert pair is None or pair in raw
        if labels is not None:
            assert {label_of(record) for record in records} == labels


def test_a_byte_order_mark_is_no_part_of_the_first_column(shared_data: Path) -> None:
    path = shared_data / "tasks" / "mrpc" / "dev.tsv"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert next(iter(next(read_records(path)).fields)) == "Quality"


def test_a_lone_quote_in_tsv_is_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", 'sentence\tlabel\n" so he said\t1\r\nan end "\t0')
    records = read(path)
    assert [texts_of(record)[0] for record in records] == ['" so he said', 'an end "']
    assert [record.fields["label"] for record in records] == ["1", "0"]


def test_csv_cells_may_hold_commas_quotes_and_lines_and_keep_their_line_numbers(
    tmp_path: Path,
) -> None:
    contents = 'text,label\r\n"one, ""two""\nand three",a\r\n\r\nfour,b\r\n"x\n\n",c\nfive,d'
    records = read(write(tmp_path, "a.csv", contents))
    assert [record.fields["text"] for record in records] == [
        'one, "two"\nand three',
        "four",
        "x\n\n",
        "five",
    ]
    assert list(map(line_of, records)) == [2, 5, 6, 9]


def test_other_line_separators_do_not_end_a_record(tmp_path: Path) -> None:
    text = "a\u2028b\x0bc\x85d\u2029e\x1cf"
    records = read(write(tmp_path, "a.tsv", f"sentence\tlabel\n{text}\t1\n"))
    assert [texts_of(record)[0] for record in records] == [text]
    lines = json.dumps({"text": text}, ensure_ascii=False)
    assert read(write(tmp_path, "a.jsonl", lines))[0].fields["text"] == text


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_compressed_files_are_read_as_if_they_were_not(tmp_path: Path, suffix: str) -> None:
    compress = {".gz": gzip.compress, ".xz": lzma.compress}.get(suffix, zstandard.compress)
    data = compress(b"text,label\ngood,1\nbad,0\n")
    path = write(tmp_path, f"a.csv{suffix}", data)
    assert [record.fields["text"] for record in read(path)] == ["good", "bad"]
    with pytest.raises(DataError, match=r"b\.csv\.[a-z]+ cannot be read \(Comp.* ended"):
        read(write(tmp_path, f"b.csv{suffix}", data[:-6]))


def test_json_lines_keep_their_types_and_skip_blank_lines(tmp_path: Path) -> None:
    contents = '{"text": "a", "label": 1}\n\n  \n{"label": null, "text": "b", "more": [1, {}]}\r\n'
    records = read(write(tmp_path, "a.jsonl", contents))
    assert [record.fields for record in records] == [
        {"text": "a", "label": 1},
        {"label": None, "text": "b", "more": [1, {}]},
    ]
    assert list(map(line_of, records)) == [1, 4]


def test_each_line_of_plain_text_is_a_record_and_a_tab_makes_a_pair(tmp_path: Path) -> None:
    records = read(write(tmp_path, "a.txt", "one\n\nthree\tfour\r\n"))
    assert list(map(texts_of, records)) == [("one", None), ("", None), ("three", "four")]


@pytest.mark.parametrize(
    ("data", "layout", "expected"),
    [
        (b"good\nbad\tvery\n", Layout(), [("good", None), ("bad", "very")]),
        (b'{"sentence": "good"}\n', Layout(), [("good", None)]),
        (b'{"braces": "are text"', Layout(format="txt"), [('{"braces": "are text"', None)]),
        (b"sentence\tlabel\ngood\t1\n", Layout(format="tsv"), [("good", None)]),
    ],
)
def test_standard_input_is_json_lines_or_plain_text(
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    layout: Layout,
    expected: list[tuple[str, str | None]],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [texts_of(record) for record in read_records("-", layout=layout)] == expected


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "text\tlabel\ngood\t1\nbad\t0\t!\n")
    records = read_records(path)
    assert next(records).fields["text"] == "good"
    with pytest.raises(DataError, match=r"a\.tsv:3: "):
        next(records)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.tsv", "text\tlabel\na\t1\nb\n", r"a.tsv:3: the row has 1 column and the first row 2"),
        ("a.csv", "text,label\na,1,2\n", r"a.csv:2: the row has 3 columns and the first row 2"),
        ("a.csv", 'text,label\n"a",1\n"b,2\n', r"a.csv:3: the row is not CSV \(unexpected end"),
        ("a.csv", 'text,label\n"a"b,1\n', r"a.csv:2: the row is not CSV \("),
        ("a.csv", "text,label,text\n", r"a.csv:1: two columns are named 'text'; rename one"),
        ("a.csv", "text;label\na;1\n", r"a.csv:1: the columns seem to be separated by semicolons"),
        ("a.tsv", '"text","label"\na,1\n', r"a.tsv:1: the columns seem to be separated by commas"),
        ("a.tsv", b"text\na\nb \xff\n", r"a.tsv:3: byte 0xff is not valid UTF-8; save the file"),
        ("a.tsv", "text\na\0b\n", r"a.tsv:2: the line holds a NUL byte"),
        ("a.tsv", "text\na".encode("utf-16"), r"a.tsv is in UTF-16; save the file as UTF-8"),
        ("a.csv.gz", GZIPPED_UTF_16, r"a.csv.gz is in UTF-16; save the"),
        ("a.jsonl", '{"text": "a"}\n["b"]\n', r"a.jsonl:2: the line is not a JSON object"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', r"a.jsonl:2: the line is not JSON \(Expecting"),
        ("a.jsonl", '{"label": NaN}\n', r"a.jsonl:1: the line is not JSON \(NaN is not a JSON"),
        ("a.jsonl", "[" * 100_000, r"a.jsonl:1: the line is not JSON \(too deeply nested\)"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}", r"a.jsonl:1: the line is not JSON \(Exceeds"),
        ("a.txt", "a\tb\tc\n", r"a.txt:1: the line holds 2 tabs; plain text has one text a line"),
        ("a.csv", "", r"a.csv holds no records; give a file with at least one"),
        ("a.csv", "text,label\n", r"a.csv holds no records"),
        ("a.pdf", "x", r"a.pdf is not a kind of file that holds records; give a .csv, .tsv"),
        ("a.csv.gz", "text\na\n", r"a.csv.gz cannot be read \(Not a gzipped file"),
    ],
)
def test_broken_files_are_refused_with_file_and_line(
    tmp_path: Path, name: str, contents: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        read(write(tmp_path, name, contents))
    assert "\n" not in str(raised.value)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b"{}\n" + b" " * (MAX_LINE_BYTES + 1))
    with pytest.raises(DataError, match=r"a\.jsonl:2: the line is longer than 16 MiB"):
        read(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist; give a file of records"):
        read(tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv cannot be read \(Is a directory\)"):
        read(tmp_path / "folder.csv")


PIECES = [b"text", b"label", b",", b"\t", b"\n", b"\r", b'"', b"{", b"}", b":", b"[", b"1", b"\0"]
PIECES += [b"\xff", b"\xef\xbb\xbf", b"\\ud800", b"null", b'{"text":"a","label":', "é".encode()]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(st.sampled_from(PIECES)).map(b"".join) | st.binary(),
    file_format=st.sampled_from(FORMATS),
    layout=st.sampled_from([{}, {"text": "text"}, {"text": "1", "pair": "2", "label": "3"}]),
    header=st.sampled_from([None, True, False]),
)
@example(b'{"text":"\\ud800"}', "jsonl", {}, None)
def test_whatever_a_file_holds_only_a_data_error_is_raised(
    tmp_path: Path,
    contents: bytes,
    file_format: str,
    layout: dict[str, str],
    header: bool | None,
) -> None:
    path = write(tmp_path, "fuzz", contents)
    for is_required in (True, False):
        try:
            for record in read(
                path, **layout, header=header, format=file_format, is_required=is_required
            ):
                assert record.location.startswith(f"{path}:")
                label_of(record)
                text, _ = texts_of(record)
                text.encode()
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)
    layout_given = Layout(**layout, header=header, format=file_format)
    for item in with_errors(read_records(path, layout=layout_given)):
        place = item.location if isinstance(item, Record) else str(item)
        assert place.startswith(str(path))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0")),
            st.sampled_from(["yes", "no"]),
        ),
        min_size=1,
    )
)
def test_what_a_table_was_written_with_is_what_is_read(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    lines = "".join(f"{text}\t{label}\n" for text, label in rows)
    records = read(write(tmp_path, "a.tsv", f"text\tlabel\n{lines}"))
    assert [(record.fields["text"], record.fields["label"]) for record in records] == rows
    assert list(map(line_of, records)) == list(range(2, len(rows) + 2))


@pytest.mark.parametrize(
    ("name", "contents", "good", "bad"),
    [
        ("a.tsv", b"text\tlabel\na\t1\nb\nc \xff\t1\nd\t1\ne\0\t1\n", [2, 5], [3, 4, 6]),
        ("a.csv", b'text,label\n"a\na",1\nb\nc \xff,1\n"d"d,1\ne,1\n', [2, 7], [4, 5, 6]),
        ("a.csv", b'text,label\na,1\n"b,1\nc,1\n', [2], [3]),
        ("a.jsonl", b'{"text": "a"}\n{"text"\n\n[]\n\xff\n{"text": "b"}\n', [1, 6], [2, 4, 5]),
        ("a.json", b'\xff\n\n{"text": "b"}\n\xff\n{"text": "c"}\n', [3, 5], [1, 4]),
        ("a.json", b"\xff", [], [1]),
        ("a.conll", b"\xff O\n\na O\nb \xff\n\nc O\nd O\n\n\xff\n", [6], [1, 4, 9]),
        (
            "a.conllu",
            b"\n\n".join(b"1\t%s" % word + b"\t_" * 8 for word in (b"a", b"\xff", b"b")),
            [1, 5],
            [3],
        ),
        ("a.txt", b"a\nb\tb\tb\n\xff\nc\td\n", [1, 4], [2, 3]),
        ("a.txt", b"a\n" + b"b" * (2 * MAX_LINE_BYTES + 9) + b"\nc\n", [1, 3], [2]),
        # Nothing can be made of the rows below such a header.
        ("a.csv", b"text,label,text\na,1,b\n", [], [1]),
    ],
)
def test_what_can_be_read_is_read_after_an_error(
    tmp_path: Path, name: str, contents: bytes, good: list[int], bad: list[int]
) -> None:
    items = list(with_errors(read_records(write(tmp_path, name, contents))))
    assert [line_of(item) for item in items if isinstance(item, Record)] == good
    errors = [str(item) for item in items if isinstance(item, DataError)]
    assert [int(error.split(": ")[0].rpartition(":")[2]) for error in errors] == bad


@pytest.mark.parametrize(
    ("layout", "data", "good", "bad"),
    [
        (Layout(), b'\xff\n{"text": "a"}\n\xff\n{"text": "b"}\n', [2, 4], [1, 3]),
        (Layout(), b"\xff\na\nb\n", [2, 3], [1]),
        (Layout(format="csv"), b"\xff\ntext,label\na,1\n", [3], [1]),
    ],
)
def test_standard_input_is_read_after_a_first_line_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, data: bytes, good: list[int], bad: list[int]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    items = list(with_errors(read_records("-", layout=layout)))
    assert [line_of(item) for item in items if isinstance(item, Record)] == good
    errors = [str(item) for item in items if isinstance(item, DataError)]
    assert [int(error.split(":")[1]) for error in errors] == bad


def test_after_an_error_of_the_file_there_is_nothing(tmp_path: Path) -> None:
    data = gzip.compress(b"text,label\ngood,1\n")[:-6]
    items = list(with_errors(read_records(write(tmp_path, "a.csv.gz", data))))
    (error,) = [item for item in items if isinstance(item, DataError)]
    assert items[-1] is error
    assert "cannot be read" in str(error)


def test_a_cell_may_be_as_long_as_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    text = "word " * 40_000
    path.write_text(f"text,label\n{text},x\n")
    (record,) = read_records(path)
    assert record.fields["text"] == text
