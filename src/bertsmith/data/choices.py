"""What a question says before its choices, the choices, and which of them is right.

The names are those of well-known data sets (SWAG, CODAH, HellaSwag, RACE, CosmosQA and plain files
of users); where they say nothing, the user says it (`bertsmith.data.layout`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bertsmith.data.columns import listed, text_in
from bertsmith.data.record import Record
from bertsmith.errors import DataError

# The order decides where a record has several; "text", "pair", "choices" and "label" are what
# its columns are called once the user has named them.
CONTEXTS = ("text", "context", "sent1", "ctx", "premise", "passage", "article", "prompt")
STEMS = ("pair", "question", "sent2")
LISTS = ("choices", "endings", "options", "candidates")
ANSWERS = ("label", "answer", "answerkey", "answer_key", "gold", "correct")
# A table without header: category, prompt, four endings, the right one's place.
_CODAH = ("1", "2", "3", "4", "5", "6", "7")
# SWAG's ending0, COPA's choice1, CosmosQA's answer0, SocialIQA's answerA.
_NUMBERED = re.compile(r"(ending|choice|option|answer)[ _-]?(\d+|[a-z])")


@dataclass(frozen=True)
class ChoiceQuestion:
    """What is asked, and what may be answered."""

    context: str
    """The first text of each sequence."""
    choices: tuple[str, ...]
    """Two or more, none of them empty."""
    stem: str = ""
    """How each second text begins: a question on the context, or the sentence to complete."""

    @property
    def continuations(self) -> list[str]:
        """The second text of each sequence."""
        return [f"{self.stem} {choice}" if self.stem else choice for choice in self.choices]


def choice_question_of(record: Record) -> ChoiceQuestion:
    """The record's context, question and choices.

    Raises:
        DataError: when no columns are known to hold them, or they are no texts, or the choices
            are fewer than two.
    """
    columns = _columns(tuple(record.fields))
    stem = "" if columns.stem is None else text_in(record, columns.stem)
    if columns.context is not None:
        context = text_in(record, columns.context)
    elif stem:
        context, stem = stem, ""
    else:
        raise DataError(
            f"{record.location}: none of the columns ({listed(record)}) is known to hold what "
            "comes before the choices; name it with data.text=COLUMN"
        )
    return ChoiceQuestion(context, _choices(record, columns), stem)


def answer_of(record: Record, choices: Sequence[str]) -> int | None:
    """The place of the right choice, counted from 0; None where the record does not say it.

    It may be given as that place, as the choice itself, or as a letter, A for the first. A text
    such as "2" that is a place and another choice is refused, but in CODAH's table; a number, as
    JSON has them, is always a place.

    Raises:
        DataError: what is given is none of the choices, or may be two of them.
    """
    columns = _columns(tuple(record.fields))
    name = columns.answer
    answer = None if name is None else record.fields[name]
    if columns.answer_is_place and isinstance(answer, str) and answer.strip().isdecimal():
        answer = int(answer)
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return None
    places = _places(answer, choices)
    if len(places) == 1:
        return places[0]
    last = len(choices) - 1
    where = "which may be two of them" if places else "which is none of them"
    raise DataError(
        f"{record.location}: {name} is {answer!r}, {where}; it must say one of the "
        f"{len(choices)} choices, by a number from 0 to {last}, a letter from A to "
        f"{chr(ord('A') + last)} or its text"
    )


def answered(records: Iterable[Record]) -> Iterator[Record]:
    """Questions that must say which choice is right.

    Raises:
        DataError: at the first that does not.
    """
    for record in records:
        name = _columns(tuple(record.fields)).answer
        if name is None:
            raise DataError(
                f"{record.location}: none of the columns ({listed(record)}) is known to hold "
                "the place of the right choice; name it with data.label=COLUMN"
            )
        if answer_of(record, choice_question_of(record).choices) is None:
            raise DataError(
                f"{record.location}: {name} is empty; say which choice is right or drop the record"
            )
        yield record


def is_choice_column(name: str) -> bool:
    """Whether a column of this name may be looked at, or is an id."""
    known = {*CONTEXTS, *STEMS, *LISTS, *ANSWERS, *_CODAH, "id", "idx"}
    return name.lower() in known or _NUMBERED.fullmatch(name.lower()) is not None


def without_answer(record: Record) -> Record:
    """The same question, not saying which choice is right."""
    answer = _columns(tuple(record.fields)).answer
    fields = {name: value for name, value in record.fields.items() if name != answer}
    return Record(fields, record.location)


@dataclass(frozen=True)
class _Columns:
    context: str | None
    stem: str | None
    choices: tuple[str, ...]
    """Several columns of one choice each, or one column of a list."""
    answer: str | None
    answer_is_place: bool = False
    """Whether a number there is never the text of a choice."""


@lru_cache(maxsize=64)
def _columns(names: tuple[str, ...]) -> _Columns:
    if names == _CODAH:
        return _Columns("2", None, ("3", "4", "5", "6"), "7", answer_is_place=True)
    actual = {name.lower(): name for name in reversed(names)}

    def first(known: Sequence[str]) -> str | None:
        return next((actual[name] for name in known if name in actual), None)

    together = first(LISTS)
    numbered = {found[2]: actual[name] for name in actual if (found := _NUMBERED.fullmatch(name))}
    one_each = tuple(numbered[number] for number in sorted(numbered, key=lambda x: (len(x), x)))
    choices = one_each if together is None else (together,)
    return _Columns(first(CONTEXTS), first(STEMS), choices, first(ANSWERS))


def _choices(record: Record, columns: _Columns) -> tuple[str, ...]:
    if not columns.choices:
        raise DataError(
            f"{record.location}: none of the columns ({listed(record)}) is known to hold the "
            "choices; name it, or one for each choice, with data.choices=COLUMN,COLUMN,..."
        )
    if len(columns.choices) > 1:
        choices = [text_in(record, name) for name in columns.choices]
        places = list(columns.choices)
    else:
        (name,) = columns.choices
        listed_choices = record.fields[name]
        if not isinstance(listed_choices, list):
            raise DataError(
                f"{record.location}: {name} is not a list; it must hold the choices, each a text"
            )
        places = [f"{name}[{place}]" for place in range(len(listed_choices))]
        each = Record(dict(zip(places, listed_choices, strict=True)), record.location)
        choices = [text_in(each, place) for place in places]
    if len(choices) < 2:
        raise DataError(
            f"{record.location}: there are fewer than two choices ({len(choices)}); give at least "
            "two or drop the record"
        )
    empty = next(
        (place for place, text in zip(places, choices, strict=True) if not text.strip()), None
    )
    if empty is not None:
        raise DataError(
            f"{record.location}: {empty} is empty; a choice must be a text, so write it or leave "
            "it out of a list of choices"
        )
    return tuple(choices)


def _places(answer: Any, choices: Sequence[str]) -> list[int]:
    """The choices that may be meant; a text may be a place and what another choice says."""
    places = range(len(choices))
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    if isinstance(answer, int) and not isinstance(answer, bool):
        return [answer] if answer in places else []
    if not isinstance(answer, str):
        return []
    text = answer.strip()
    named = [place for place in places if choices[place].strip() == text]
    if text.isdecimal() and int(text) in places:
        return sorted({int(text), *named})
    if not named and re.fullmatch("[A-Za-z]", text):
        named = [place for place in [ord(text.upper()) - ord("A")] if place in places]
    return named
