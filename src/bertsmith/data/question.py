"""`Question`: a record as a question about a passage, with the answers that are right.

SQuAD's fields are `question`, `context` and `answers`, a list of `{"text", "answer_start"}`;
`answers` may also be the two lists `{"text": [...], "answer_start": [...]}`, or texts alone, or one
`answer` with or without `answer_start` beside it, as in a table. Question and passage may be a
record's `text` and `pair` too, its answer the `label`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bertsmith.data.columns import TEXT_NAMES, texts_of
from bertsmith.data.record import Record
from bertsmith.errors import DataError

_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True)
class Answer:
    """A right answer, and where it stands in the passage."""

    text: str
    start: int | None
    """Place of its first character; None where the record does not tell: see `problem`."""
    problem: str | None = None
    """Why the place is not known, for an error."""
    is_moved: bool = False
    """Whether `answer_start` was wrong, and the answer found at the only place it could mean."""


@dataclass(frozen=True)
class Question:
    """A question, its passage and its answers."""

    question: str
    context: str
    answers: tuple[Answer, ...] | None
    """All that are right; none where the passage has no answer; None where it is not known."""
    id: str | None = None


def question_of(record: Record) -> Question:
    """What the record asks, about what, and what is right.

    Raises:
        DataError: question or passage is missing or empty, or the answers are of no known form.
    """
    question, context = texts_of(record, "question", "its passage")
    if context is None:
        raise DataError(
            f"{record.location} has no passage beside the question; name its column with "
            "data.pair=COLUMN, or call it context"
        )
    for name, text in (("question", question), ("context", context)):
        if not text.strip():
            raise DataError(f"{record.location}: the {name} is empty; write one or drop the record")
    fields = {name.lower(): value for name, value in record.fields.items()}
    return Question(
        question,
        context,
        _answers_of(fields, context, record.location),
        id_of(fields.get("id"), record.location),
    )


def id_of(value: Any, location: str) -> str | None:
    """A question's id as text; None where it has none.

    Raises:
        DataError: it is neither text nor a whole number.
    """
    if value is None:
        return None
    is_known = isinstance(value, str | int) and not isinstance(value, bool)
    text = str(value).strip()
    # "replace" is what half of a surrogate pair, which is no character, comes out as.
    if not is_known or not text or text.encode("utf-8", "replace").decode() != text:
        raise DataError(f"{location}: the id ({value!r}) must be a text or a whole number")
    return text


def has_answers(record: Record) -> bool:
    """Whether the record says what is right, be it that there is no answer."""
    fields = {name.lower(): value for name, value in record.fields.items()}
    return _given_answers(fields, record.location) is not None


def without_answers(record: Record) -> Record:
    """The same record with nothing said about its answers, as for a prediction."""
    kept = {
        name: value for name, value in record.fields.items() if name.lower() not in _ABOUT_ANSWERS
    }
    return Record(kept, record.location)


_ANSWER_NAMES = ("answers", "answer", "answer_text", "label")
_ABOUT_ANSWERS = {*_ANSWER_NAMES, "answer_start", "is_impossible"}


def is_question_column(name: str) -> bool:
    """Whether a column of this name may be looked at; SQuAD's title goes with its questions."""
    return name.lower() in {*TEXT_NAMES, *_ABOUT_ANSWERS, "id", "title"}


def _answers_of(
    fields: Mapping[str, Any], context: str, location: str
) -> tuple[Answer, ...] | None:
    given = _given_answers(fields, location)
    if given is None:
        return None
    return tuple(_located(text, start, context, location) for text, start in given)


def _given_answers(fields: Mapping[str, Any], location: str) -> list[tuple[Any, Any]] | None:
    """Text and `answer_start` of each answer as they stand in the record, in whatever form."""
    name = next((name for name in _ANSWER_NAMES if fields.get(name) not in (None, "")), None)
    is_impossible = _truth(fields.get("is_impossible"), location)
    pairs = [] if name is None else list(_pairs(fields[name], fields, f"{location}: {name}"))
    if is_impossible and pairs:
        raise DataError(
            f"{location}: is_impossible is true and there is an answer ({pairs[0][0]!r}); remove "
            "one of them"
        )
    return None if name is None and not is_impossible else pairs


def _pairs(value: Any, fields: Mapping[str, Any], place: str) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, str):
        yield value, fields.get("answer_start")
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, Mapping):
                yield each.get("text"), each.get("answer_start")
            else:
                yield each, None
    elif isinstance(value, Mapping) and isinstance(value.get("text"), list):
        texts = value["text"]
        starts = value.get("answer_start", [None] * len(texts))
        if not isinstance(starts, list) or len(starts) != len(texts):
            raise DataError(
                f"{place} does not have as many answer_start as text; give one for each"
            )
        yield from zip(texts, starts, strict=True)
    elif isinstance(value, Mapping):
        yield value.get("text"), value.get("answer_start")
    else:
        raise DataError(
            f"{place} ({value!r}) must be a text, or a list of objects with text and answer_start"
        )


def _located(text: Any, start: Any, context: str, location: str) -> Answer:
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"{location}: an answer's text ({text!r}) must be words of the passage; for a question "
            "without an answer give an empty list of answers, or is_impossible"
        )
    place = _start(start, location)
    # Python counts a negative place from the end; here it is a wrong one.
    if place is not None and place >= 0 and context.startswith(text, place):
        return Answer(text, place)
    count = context.count(text)
    if count == 0:
        return Answer(text, None, f"the answer {text!r} is not in the passage; copy it from there")
    if place is None or count == 1:
        return Answer(text, context.index(text), is_moved=place is not None)
    return Answer(
        text,
        None,
        f"the answer {text!r} is not at answer_start {place} and {count} times elsewhere in the "
        "passage; correct the number, or leave it out to take the first",
    )


def _start(value: Any, location: str) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(
            f"{location}: answer_start ({value!r}) must be a whole number, counted from 0 in "
            "characters of the passage"
        )
    return value


def _truth(value: Any, location: str) -> bool:
    text = str(value).lower()
    if value in (None, "") or text in ("false", "0"):
        return False
    if text in ("true", "1"):
        return True
    raise DataError(f"{location}: is_impossible ({value!r}) must be true or false")
