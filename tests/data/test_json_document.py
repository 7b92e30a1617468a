"""SQuAD's files and lists of records are read whole, and broken ones are refused by their place."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertsmith.data.question import question_of
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import DataError

QUESTION = {"id": "q1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
SQUAD = {
    "version": "1.1",
    "data": [{"title": "T", "paragraphs": [{"context": "Ada wrote.", "qas": [QUESTION]}]}],
}
FIELDS = {"title": "T", "context": "Ada wrote."} | QUESTION


def read(folder: Path, contents: str, name: str = "a.json") -> list[Record]:
    path = folder / name
    path.write_text(contents, encoding="utf-8")
    return list(read_records(path))


@pytest.mark.parametrize(
    ("name", "count", "num_unanswerable"),
    [("train-v1.1-part", 11753, 0), ("dev-v1.1", 10570, 0), ("dev-v2.0", 11873, 5945)],
)
def test_published_files_are_read_whole(
    shared_data: Path, name: str, count: int, num_unanswerable: int
) -> None:
    path = shared_data / "tasks" / "squad" / f"{name}.json"
    records = list(read_records(path))
    assert len(records) == count
    questions = [question_of(record) for record in records]
    assert sum(question.answers == () for question in questions) == num_unanswerable
    for record, question in zip(records, questions, strict=True):
        assert record.location == f"{path}: question {question.id}"
        for answer in question.answers or ():
            assert answer.start is not None and not answer.is_moved
            assert question.context.startswith(answer.text, answer.start)


@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_with_data_is_squads_form(tmp_path: Path, indent: int | None) -> None:
    for contents in (json.dumps(SQUAD, indent=indent), "\n \n" + json.dumps(SQUAD, indent=indent)):
        (record,) = read(tmp_path, contents)
        assert record.fields == FIELDS
        assert record.location.endswith("a.json: question q1")


def test_a_document_that_is_cut_off_is_no_record(tmp_path: Path) -> None:
    whole = json.dumps({"version": "1.1", **SQUAD})
    for contents in (whole[: len(whole) // 2], json.dumps(SQUAD)[:-1]):
        with pytest.raises(DataError, match=r"a\.json"):
            read(tmp_path, contents)


def test_compressed_and_from_standard_input_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(json.dumps(SQUAD).encode())
    (tmp_path / "a.json.gz").write_bytes(packed)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(SQUAD).encode())))
    for source in (tmp_path / "a.json.gz", "-"):
        (record,) = read_records(source)
        assert record.fields == FIELDS


def test_a_list_of_objects_is_records(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    for contents in (json.dumps(rows), json.dumps(rows, indent=1), json.dumps({"data": rows})):
        assert [record.fields for record in read(tmp_path, contents)] == rows
    assert read(tmp_path, json.dumps(rows))[1].location.endswith("a.json: record 2")
    assert read(tmp_path, json.dumps({"data": rows}))[1].location.endswith("a.json: data[1]")


def test_other_json_files_are_a_record_a_line(tmp_path: Path) -> None:
    rows = [{"text": "a", "data": "not a list"}, {"text": "b"}]
    records = read(tmp_path, "\n".join(map(json.dumps, rows)))
    assert [record.fields for record in records] == rows
    assert records[1].location.endswith("a.json:2")


def test_a_question_without_an_id_is_known_by_its_place(tmp_path: Path) -> None:
    paragraph = {"context": "Ada wrote.", "qas": [{"question": "Who?"}, QUESTION | {"id": 7}]}
    first, second = read(tmp_path, json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    assert first.fields == {"context": "Ada wrote.", "question": "Who?"}
    assert first.location.endswith("a.json: data[0].paragraphs[0].qas[0]")
    assert second.fields["id"] == "7"


def squad(**changes: Any) -> dict[str, Any]:
    paragraph = {"context": "Ada wrote.", "qas": [QUESTION]} | changes
    paragraph = {key: value for key, value in paragraph.items() if value != "gone"}
    return {"data": [{"title": "T", "paragraphs": [paragraph]}]}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (
            '{"data": [\n{"paragraphs": [}\n]}',
            r"a\.json:2: the file is not JSON \(Expecting value at column 17\); it must be one "
            r"document in SQuAD's form, a list of records, or one record a line$",
        ),
        ('{"data": [', r"a\.json:1: the file is not JSON \(Expecting value"),
        ("[1, NaN]", r"a\.json is not JSON \(NaN is not a JSON number\); repair the file"),
        ("[" * 100_000, r"a\.json is not JSON \(too deeply nested\)"),
        ('{"data": [' * 50_000, r"not JSON \(too deeply nested\)"),
        ('{"id": ' + "9" * 5000 + "}", r"a\.json:1: the line is not JSON \(Exceeds the limit"),
        ("[]", r"a\.json holds no records"),
        ('{"data": []}', r"a\.json holds no questions; give a file with at least one"),
        (json.dumps(squad(qas=[])), r"a\.json holds no questions"),
        ("[1]", r"a\.json: record 1 is not an object with the record's fields by name"),
        ('{"data": [2]}', r"a\.json: data\[0\] is not an object with the record's fields"),
        (
            '{\n"version": 1}',
            r"a\.json is one JSON document without a list of articles named data",
        ),
        (
            json.dumps({"data": [*SQUAD["data"], {"title": "U"}]}),
            r"data\[1\] has no list named paragraphs; in SQuAD's form articles have paragraphs",
        ),
        (json.dumps({"data": [*SQUAD["data"], 3]}), r"data\[1\] is not an object, as SQuAD's"),
        (json.dumps(squad(context="gone")), r"data\[0\]\.paragraphs\[0\] has no context; give"),
        (
            json.dumps(squad(qas=[{"id": "q7", "answers": []}])),
            r"a\.json: question q7 has no question; write it or drop the entry",
        ),
        (
            '[{"text": "a',
            r"a\.json:1: the file is not JSON \(Unterminated string starting at col",
        ),
        (json.dumps(squad(qas={"id": 1})), r"paragraphs\[0\] has no list named qas"),
        (json.dumps(squad(qas=["Who?"])), r"paragraphs\[0\]\.qas\[0\] is not an object"),
        (
            json.dumps(squad(qas=[QUESTION, QUESTION])),
            r"a\.json: question q1 is there twice; give each question an id of its own",
        ),
        (json.dumps(squad(qas=[QUESTION | {"id": [1]}])), r"qas\[0\]: the id \(\[1\]\) must be"),
        (json.dumps(squad(qas=[QUESTION | {"id": "\ud800"}])), r"the id \('\\ud800'\) must be"),
    ],
)
def test_files_of_no_known_form_are_refused(tmp_path: Path, contents: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, contents)


KEYS = (
    "data",
    "paragraphs",
    "context",
    "qas",
    "id",
    "question",
    "answers",
    "text",
    "is_impossible",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 99) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(JSON.map(json.dumps) | st.text(max_size=40), st.integers(0, 200))
@example(json.dumps(SQUAD), 60)
@example(json.dumps(SQUAD, indent=1), 100)
def test_anything_else_is_records_or_one_error(tmp_path: Path, contents: str, cut: int) -> None:
    for text in (contents, contents[:cut]):
        (tmp_path / "fuzz.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            for record in read_records(tmp_path / "fuzz.json"):
                question_of(record)
        except DataError as error:
            assert "\n" not in str(error)
