"""Documents come out of every kind of file, and every kind of bad file is named with its line."""

from __future__ import annotations

import functools
import gzip
import json
import lzma
import os
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from bertsmith.data import corpus
from bertsmith.data.corpus import Document, DocumentReader, Position, read_documents
from bertsmith.data.sources import find_sources
from bertsmith.errors import DataError

COMPRESS = {
    "": bytes,
    ".gz": functools.partial(gzip.compress, compresslevel=1),
    ".xz": functools.partial(lzma.compress, preset=0),
    ".zst": zstandard.ZstdCompressor().compress,
}
LINES = st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(str.strip)
DOCUMENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=4)


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def lines_of(source, **options) -> list[list[str]]:
    return [document.lines for document in read_documents(source, **options)]


def read_skipping(path: Path, **options) -> tuple[list[list[str]], list[str]]:
    messages: list[str] = []
    reader = DocumentReader(find_sources(path), skip_bad=True, on_bad=messages.append, **options)
    return [document.lines for document in reader], messages


def as_file(folder: Path, documents: list[list[str]], kind: str, suffix: str) -> Path:
    path = folder / f"text{kind}{suffix}"
    if kind == ".txt":
        data = "\n\n".join("\n".join(lines) for lines in documents).encode()
    elif kind == ".jsonl":
        data = "".join(json.dumps({"text": "\n".join(d)}) + "\n" for d in documents).encode()
    else:
        table = pyarrow.table({"text": pyarrow.array(["\n".join(d) for d in documents], "string")})
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(table, sink)
        data = sink.getvalue().to_pybytes()
    path.write_bytes(COMPRESS[suffix](data))
    return path


@settings(deadline=None)
@given(
    documents=DOCUMENTS,
    kind=st.sampled_from([".txt", ".jsonl", ".parquet"]),
    suffix=st.sampled_from([*COMPRESS]),
)
def test_documents_come_back_from_every_kind_of_file(tmp_path_factory, documents, kind, suffix):
    path = as_file(tmp_path_factory.mktemp("corpus"), documents, kind, suffix)
    expected = [[line.strip() for line in lines] for lines in documents]
    if kind == ".txt" and expected:
        expected[0][0] = expected[0][0].removeprefix("\ufeff").strip()  # a byte order mark
        expected[0] = [line for line in expected[0] if line]
        expected = [lines for lines in expected if lines]
    assert lines_of(path) == expected


def test_a_document_knows_its_file_and_its_first_line(tmp_path):
    path = write(tmp_path, "a.txt", "\n\none\ntwo\n \t\r\n\nthree\r\n")
    assert list(read_documents(path)) == [
        Document(str(path), 3, ["one", "two"]),
        Document(str(path), 7, ["three"]),
    ]


def test_a_byte_order_mark_is_dropped(tmp_path):
    path = write(tmp_path, "a.txt", "one\n".encode("utf-8-sig"))
    assert lines_of(path) == [["one"]]


def test_the_end_of_a_file_ends_a_document(tmp_path):
    write(tmp_path, "a.txt", "one")
    write(tmp_path, "b.txt", "two")
    assert lines_of(tmp_path) == [["one"], ["two"]]


def test_a_file_may_be_one_document(tmp_path):
    write(tmp_path, "a.txt", "one\n\ntwo\n")
    write(tmp_path, "b.txt", "three\n")
    assert lines_of(tmp_path, document_per_file=True) == [["one", "two"], ["three"]]


def test_lines_end_at_newlines_only(tmp_path):
    path = write(tmp_path, "a.txt", "a\u2028b\x0bc\x85d\n")
    assert lines_of(path) == [["a\u2028b\x0bc\x85d"]]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst", "a.jsonl"])
@pytest.mark.parametrize("text", ["", "\n \n\n"])
def test_a_file_without_text_has_no_documents(tmp_path, name, text):
    path = write(
        tmp_path, name, COMPRESS[Path(name).suffix if name.count(".") > 1 else ""](text.encode())
    )
    assert lines_of(path) == []


def test_another_column_may_hold_the_text(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"id": 1, "body": "x\\n\\ny"}\n\n{"body": " "}\n')
    assert lines_of(path, text_column="body") == [["x", "y"]]


def test_a_long_document_is_cut_between_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_DOCUMENT_CHARACTERS", 10)
    path = write(tmp_path, "a.txt", "aaaaaa\nbbbbbb\ncccccc\n\ndddddd\n")
    assert [(d.line, d.lines, d.is_continuation) for d in read_documents(path)] == [
        (1, ["aaaaaa", "bbbbbb"], False),
        (3, ["cccccc"], True),
        (5, ["dddddd"], False),
    ]


BAD = {
    "broken UTF-8": (
        "a.txt",
        b"good\n\nb\xe9d\n\nlast\n",
        r"a\.txt:3: byte 0xe9 in column 2 is not UTF-8; convert",
        [["good"], ["last"]],
    ),
    "UTF-16": ("a.txt", "good\n".encode("utf-16"), r"a\.txt:1: byte 0xff in column 1", None),
    "not JSON": (
        "a.jsonl",
        b'{"text": "good"}\n{"text": \n{"text": "last"}',
        r"a\.jsonl:2: the line is not JSON",
        [["good"], ["last"]],
    ),
    "deep JSON": ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: the line is not JSON", []),
    "no object": ("a.jsonl", b'["text"]\n', r"a\.jsonl:1: the line must be a JSON object", []),
    "no column": (
        "a.jsonl",
        b'{"text": "good"}\n{"body": "x", "id": 1}\n',
        r"a\.jsonl:2: there is no text; the fields are body, id; name .*--text-column",
        [["good"]],
    ),
    "a number": ("a.jsonl", b'{"text": 5}\n', r"a\.jsonl:1: text is int; it must be text", []),
    "null": ("a.jsonl", b'{"text": null}\n', r"a\.jsonl:1: text is null; it must be text", []),
    "half a surrogate pair": (
        "a.jsonl",
        rb'{"text": "\ud83d\ude00"}' + b"\n" + rb'{"text": "\ud83d"}',
        r"a\.jsonl:2: text holds half of a surrogate pair",
        [["\U0001f600"]],
    ),
    "no parquet": (
        "a.parquet",
        b"PAR1 and then something else PAR1",
        r"a\.parquet:1: the file cannot be read on",
        [],
    ),
    "no parquet, compressed": (
        "a.parquet.gz",
        gzip.compress(b"", mtime=0),
        r"a\.parquet\.gz:1: the file cannot be read on",
        [],
    ),
    "no gzip": ("a.txt.gz", b"plain", r"a\.txt\.gz: the file cannot be read on: Not a gzipped", []),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_named_with_file_and_line(tmp_path, case):
    name, data, message, _ = BAD[case]
    with pytest.raises(DataError, match=message + ".*--skip-bad"):
        lines_of(write(tmp_path, name, data))


@pytest.mark.parametrize("case", [case for case in BAD if BAD[case][3] is not None])
def test_what_cannot_be_read_may_be_skipped(tmp_path, case):
    name, data, _, documents = BAD[case]
    found, messages = read_skipping(write(tmp_path, name, data))
    assert found == documents
    assert len(messages) == 1


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_compressed_file_that_ends_early_gives_what_came_before(tmp_path, suffix):
    text = "".join(f"line {i * i}\n\n" for i in range(50_000))
    data = COMPRESS[suffix](text.encode())
    path = write(tmp_path, f"a.txt{suffix}", data[: len(data) // 2])
    with pytest.raises(DataError, match=r"a\.txt\.\w+:\d+: the file cannot be read on: Compressed"):
        lines_of(path)
    write(tmp_path, "b.txt", "next file")
    documents, messages = read_skipping(tmp_path)
    assert documents[0] == ["line 0"]
    assert 1000 < len(documents) < 50_000
    assert documents[-1] == ["next file"]
    assert len(messages) == 1


@pytest.mark.parametrize("document_per_file", [True, False])
@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_the_document_in_which_a_file_breaks_off_keeps_its_lines(
    tmp_path, suffix, document_per_file
):
    lines = [f"line {i * i}" for i in range(50_000)]
    data = COMPRESS[suffix]("\n".join(["first", "", *lines]).encode())
    path = write(tmp_path, f"a.txt{suffix}", data[: len(data) // 2])
    documents, messages = read_skipping(path, document_per_file=document_per_file)
    before = [["first"]] if not document_per_file else []
    assert documents[:-1] == before
    found = documents[-1][1:] if document_per_file else documents[-1]
    assert 1000 < len(found) < 50_000
    assert found == lines[: len(found)]
    (message,) = messages
    assert "the file cannot be read on" in message
    # What is told of comes after the document, wherever reading goes on.
    messages = []
    rest = DocumentReader(
        find_sources(path),
        skip_bad=True,
        document_per_file=document_per_file,
        start=Position(0, len(documents)),
        on_bad=messages.append,
    )
    assert list(rest) == []
    assert messages == [message]


def test_a_damaged_parquet_file_gives_what_came_before(tmp_path):
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [f"document {i}" for i in range(2000)]})
    parquet.write_table(table, path, row_group_size=500, use_dictionary=False, compression="none")
    data = bytearray(path.read_bytes())
    start = data.index(b"document 1200") - 300
    data[start : start + 400] = b"\xff" * 400
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.parquet:\d+: "):
        lines_of(path)
    documents, messages = read_skipping(path)
    assert documents[:2] == [["document 0"], ["document 1"]]
    assert messages


@pytest.mark.parametrize(
    ("values", "message"),
    [([1, 2], "text is int"), (["a", None], "text is null"), ([["a"]], "text is list")],
)
def test_a_parquet_column_must_hold_text(tmp_path, values, message):
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": values}), path)
    with pytest.raises(DataError, match=rf"a\.parquet:\d: {message}; it must be text"):
        lines_of(path)


def test_a_parquet_file_without_the_column_names_those_it_has(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"id": [1], "body": ["x"]}), path)
    with pytest.raises(DataError, match=r"a\.parquet: there is no text; the fields are id, body"):
        lines_of(path)


def test_dictionaries_and_large_strings_of_parquet_are_text(tmp_path):
    array = pyarrow.array(["a", "b", "a"])
    for kind in (array.dictionary_encode(), array.cast(pyarrow.large_string())):
        parquet.write_table(pyarrow.table({"text": kind}), tmp_path / "a.parquet")
        assert lines_of(tmp_path / "a.parquet") == [["a"], ["b"], ["a"]]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl"])
def test_a_line_of_100_megabytes_is_refused_in_little_memory(tmp_path, name):
    data = b"one\n\n" + b"x" * 100_000_000 + b"\n\ntwo\n"
    if name == "a.jsonl":
        data = b'{"text": "one"}\n{"text": "' + b"x" * 100_000_000 + b'"}\n{"text": "two"}\n'
    if name.endswith(".gz"):
        data = gzip.compress(data, compresslevel=1)
    path = write(tmp_path, name, data)
    del data
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r":[23]: the line is longer than 16 MiB; break it"):
            lines_of(path)
        assert read_skipping(path)[0] == [["one"], ["two"]]
        assert tracemalloc.get_traced_memory()[1] < 70_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = write(tmp_path, "a.txt", "secret")
    path.chmod(0)
    with pytest.raises(DataError, match=r"a\.txt: the file cannot be read on: Permission denied"):
        lines_of(path)


def test_a_file_that_goes_away_is_named(tmp_path):
    files = find_sources(write(tmp_path, "a.txt", "x"))
    (tmp_path / "a.txt").unlink()
    with pytest.raises(DataError, match=r"a\.txt: the file cannot be read on: No such file"):
        list(DocumentReader(files))


@settings(deadline=None)
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=3), stop=st.integers(0, 12))
def test_reading_goes_on_from_any_position(tmp_path_factory, documents, stop):
    folder = tmp_path_factory.mktemp("corpus")
    for index, file in enumerate(documents):
        (folder / str(index)).mkdir()
        as_file(folder / str(index), file, (".txt", ".jsonl", ".parquet")[index], "")
    files = find_sources(folder)
    whole = list(DocumentReader(files))
    reader = DocumentReader(files)
    before = [document for document, _ in zip(reader, range(stop), strict=False)]
    # zip takes one document more than it gives, where there is one.
    taken = min(len(before) + 1, len(whole)) if len(before) == stop else len(before)
    rest = DocumentReader(files, start=reader.position)
    assert list(rest) == whole[taken:]


def test_a_bad_line_is_told_of_once_when_reading_goes_on(tmp_path):
    path = write(tmp_path, "a.txt", b"\xff\none\n\n\xff\ntwo\n\nthree\n\xff\n")
    for taken, expected in [(0, [1, 4, 8]), (1, [4, 8]), (2, [8]), (3, [])]:
        messages: list[str] = []
        reader = DocumentReader(
            find_sources(path), skip_bad=True, start=Position(0, taken), on_bad=messages.append
        )
        assert len(list(reader)) == 3 - taken
        assert [int(message.split(":")[1]) for message in messages] == expected


@pytest.mark.parametrize("suffix", COMPRESS)
def test_bytes_read_rise_to_the_size_of_all_files(tmp_path, suffix):
    for name in "abc":
        text = "".join(f"{name} {i * i}\n\n" for i in range(60_000))
        write(tmp_path, f"{name}.txt{suffix}", COMPRESS[suffix](text.encode()))
    files = find_sources(tmp_path)
    reader = DocumentReader(files)
    places = [reader.bytes_read for _ in reader]
    assert places == sorted(places)
    assert len(set(places)) > 3
    assert reader.bytes_read == sum(file.size_bytes for file in files)


def test_real_files_have_the_documents_that_they_are_known_to_have(shared_data):
    corpora = shared_data / "corpus"
    assert sum(1 for _ in read_documents(corpora / "wikipedia-dev.txt.xz")) == 600
    assert sum(1 for _ in read_documents(corpora / "books-dev.txt.xz")) == 10
