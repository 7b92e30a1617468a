"""Questions from every form of record that people have, and answers found where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.data.question import Answer, has_answers, question_of, without_answers
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import DataError

CONTEXT = "Ada met Ada in Rome."
ASKED = {"question": "Where?", "context": CONTEXT}


def ask(**fields: Any) -> Record:
    return Record(ASKED | fields, "a.jsonl:1")


@pytest.mark.parametrize(
    "fields",
    [
        {"answers": [{"text": "Rome", "answer_start": 15}]},
        {"answers": [{"text": "Rome"}]},
        {"answers": {"text": ["Rome"], "answer_start": [15]}},
        {"answers": {"text": ["Rome"]}},
        {"answers": {"text": "Rome", "answer_start": 15}},
        {"answers": ["Rome"]},
        {"answers": "Rome"},
        {"answer": "Rome"},
        {"answer": "Rome", "answer_start": 15},
        {"Answer": "Rome", "Answer_Start": "15"},
        {"answer": "Rome", "answer_start": ""},
        {"label": "Rome"},
        {"answer_text": "Rome", "answer_start": 15},
        {"answers": [{"text": "Rome", "answer_start": 15}], "is_impossible": False},
        {"answers": ["Rome"], "label": "geography"},
    ],
)
def test_answers_come_in_many_forms(fields: dict[str, Any]) -> None:
    question = question_of(ask(**fields))
    assert question.answers == (Answer("Rome", 15),)
    assert (question.question, question.context, question.id) == ("Where?", CONTEXT, None)
    assert has_answers(ask(**fields))
    unanswered = without_answers(ask(**fields))
    assert unanswered.fields == ASKED


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({}, None),
        ({"answers": None}, None),
        ({"answer": " ".strip()}, None),
        ({"answers": []}, ()),
        ({"answers": {"text": [], "answer_start": []}}, ()),
        ({"is_impossible": True}, ()),
        ({"answer": "", "is_impossible": "True"}, ()),
        ({"answers": [], "is_impossible": False}, ()),
    ],
)
def test_no_answer_is_not_the_same_as_none_given(fields: dict[str, Any], answers: Any) -> None:
    assert question_of(ask(**fields)).answers == answers
    assert has_answers(ask(**fields)) is (answers is not None)


def test_a_pair_is_a_question_and_its_passage() -> None:
    record = Record({"text": "Where?", "pair": CONTEXT, "label": "Rome", "id": 3}, "b.tsv:2")
    question = question_of(record)
    assert (question.question, question.context, question.id) == ("Where?", CONTEXT, "3")


def test_a_table_holds_questions_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,question,context,answer,answer_start,is_impossible\n"
        '1,Where?,"Ada met Ada, in Rome.",Ada,8,false\n'
        "2,When?,Ada met Ada.,,,true\n"
    )
    met, impossible = map(question_of, read_records(path))
    assert met.answers == (Answer("Ada", 8),)
    assert impossible.answers == ()
    assert [met.id, impossible.id] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("Rome", 14, Answer("Rome", 15, is_moved=True)),
        ("Rome", -1, Answer("Rome", 15, is_moved=True)),
        (".", -1, Answer(".", 19, is_moved=True)),
        ("Rome", 10**9, Answer("Rome", 15, is_moved=True)),
        ("Ada", 8, Answer("Ada", 8)),
        ("Ada", None, Answer("Ada", 0)),
    ],
)
def test_an_answer_is_found_where_it_can_only_be(text: str, start: Any, expected: Answer) -> None:
    record = ask(answers=[{"text": text, "answer_start": start}])
    assert question_of(record).answers == (expected,)


@pytest.mark.parametrize(
    ("text", "start", "problem"),
    [
        ("Paris", 15, "the answer 'Paris' is not in the passage; copy it from there"),
        ("rome", None, "the answer 'rome' is not in the passage; copy it from there"),
        (
            "Ada",
            1,
            "the answer 'Ada' is not at answer_start 1 and 2 times elsewhere in the passage; "
            "correct the number, or leave it out to take the first",
        ),
    ],
)
def test_an_answer_that_is_nowhere_has_a_problem(text: str, start: Any, problem: str) -> None:
    record = ask(answers=[{"text": text, "answer_start": start}])
    assert question_of(record).answers == (Answer(text, None, problem),)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question": " "}, r"^a\.jsonl:1: the question is empty; write one or drop the record$"),
        ({"context": "\n"}, r"^a\.jsonl:1: the context is empty; write one or drop the record$"),
        ({"question": 3}, r"a\.jsonl:1: question is 3; it must be a text"),
        ({"context": None}, r"a\.jsonl:1: context is missing; it must be a text"),
        ({"context": "\udc00"}, r"context holds half of a surrogate pair"),
        ({"id": 1.5}, r"a\.jsonl:1: the id \(1\.5\) must be a text or a whole number"),
        ({"answers": 3}, r"a\.jsonl:1: answers \(3\) must be a text, or a list of objects with"),
        ({"answer": True}, r"answer \(True\) must be a text"),
        ({"answers": [7]}, r"an answer's text \(7\) must be words of the passage; for a question"),
        ({"answers": [{"answer_start": 7}]}, r"an answer's text \(None\) must be words"),
        ({"answers": [{"text": " "}]}, r"an answer's text \(' '\) must be words"),
        ({"answers": {"text": ["Ada"], "answer_start": []}}, r"as many answer_start as text"),
        ({"answers": {"text": ["Ada"], "answer_start": 3}}, r"as many answer_start as text"),
        ({"answer": "Ada", "answer_start": "x"}, r"answer_start \('x'\) must be a whole number"),
        ({"answer": "Ada", "answer_start": "--1"}, r"answer_start \('--1'\) must be a whole"),
        ({"answer": "Ada", "answer_start": "9" * 5000}, r"answer_start \('9+'\) must be a whole"),
        ({"answer": "Ada", "answer_start": 1.5}, r"answer_start \(1\.5\) must be a whole number"),
        ({"answer": "Ada", "answer_start": True}, r"answer_start \(True\) must be a whole number"),
        (
            {"answers": ["Ada"], "is_impossible": True},
            r"a\.jsonl:1: is_impossible is true and there is an answer \('Ada'\); remove one",
        ),
        ({"is_impossible": "maybe"}, r"is_impossible \('maybe'\) must be true or false"),
    ],
)
def test_records_that_ask_nothing_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        question_of(ask(**fields))


def test_a_text_alone_is_no_question_about_a_passage() -> None:
    with pytest.raises(DataError, match=r"a:1 has no passage beside the question; name its column"):
        question_of(Record({"question": "Who?"}, "a:1"))
