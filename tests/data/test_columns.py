"""Texts, pairs and labels are found by the names of well-known data sets."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.data.columns import label_of, labelled, texts_of, without_label
from bertsmith.data.record import Record
from bertsmith.errors import DataError


def record(**fields: Any) -> Record:
    return Record(fields, "a.jsonl:3")


@pytest.mark.parametrize(
    ("names", "text", "pair"),
    [
        ("sentence label", "sentence", None),
        ("Sentence Label", "Sentence", None),
        ("index sentence1 sentence2 label", "sentence1", "sentence2"),
        ("premise hypothesis label", "premise", "hypothesis"),
        ("Quality|#1 ID|#2 ID|#1 String|#2 String", "#1 String", "#2 String"),
        ("id qid1 qid2 question1 question2 is_duplicate", "question1", "question2"),
        ("index question sentence label", "question", "sentence"),
        ("question label", "question", None),
        ("pair_ID sentence_A sentence_B entailment_label", "sentence_A", "sentence_B"),
        ("text sentence1 sentence2", "sentence1", "sentence2"),
        ("text pair sentence1 sentence2", "text", "pair"),
        ("1", "1", None),
    ],
)
def test_text_columns_are_found_by_name(names: str, text: str, pair: str | None) -> None:
    columns = names.split("|") if "|" in names else names.split()
    found = texts_of(Record({name: name for name in columns}, "a.tsv:1"))
    assert found == (text, pair)


def test_unknown_columns_are_listed_with_what_they_hold() -> None:
    with pytest.raises(DataError) as raised:
        texts_of(Record({"1": "gj04", "2": "1", "3": "x" * 99, "4": [1], "5": {}}, "a.tsv:1"))
    assert str(raised.value) == (
        f"a.tsv:1: none of the columns (1: 'gj04', 2: '1', 3: '{'x' * 23}…', 4: a list, "
        "5: an object) is known to hold the text; name it with data.text=COLUMN, and the second "
        "text of a pair with data.pair=COLUMN"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "a.jsonl:3: text is missing; it must be a text, so put it in quotes or drop"),
        (5, "a.jsonl:3: text is 5; it must be a text"),
        (["a"], "a.jsonl:3: text is a list; it must be a text"),
        ({"a": "b"}, "a.jsonl:3: text is an object; it must be a text"),
        ("a\ud800", r"a.jsonl:3: text holds half of a surrogate pair \(\\ud800\)"),
    ],
)
def test_what_is_no_text_is_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        texts_of(record(text=value))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"label": "1"}, "1"),
        ({"Quality": " 1 "}, "1"),
        ({"label": 0}, 0),
        ({"label": False}, False),
        ({"label": ""}, None),
        ({"label": None}, None),
        ({"gold_label": "-"}, None),
        ({"label": "-"}, "-"),
        ({"score": "4.2", "label": "x"}, "x"),
        ({"text": "a"}, None),
    ],
)
def test_labels_are_found_by_name(fields: dict[str, Any], expected: object) -> None:
    assert label_of(record(**fields)) == expected


def test_records_that_must_have_a_label_have_one() -> None:
    records = [record(gold_label="a"), record(gold_label="-"), record(gold_label="b")]
    assert [label_of(r) for r in labelled(records)] == ["a", "b"]
    with pytest.raises(DataError, match=r"^a\.jsonl:3: label is empty; label the record or drop"):
        list(labelled([record(text="a", label=" ")]))
    with pytest.raises(DataError, match=r"^a\.jsonl:3: label is empty"):
        list(labelled([record(text="a", label=None)]))
    with pytest.raises(DataError, match=r"none of the columns \(text: 'a'\) is known to hold the"):
        list(labelled([record(text="a")]))


def test_a_label_can_be_left_out() -> None:
    assert without_label(record(text="a", gold_label="x", id=1)).fields == {"text": "a", "id": 1}
