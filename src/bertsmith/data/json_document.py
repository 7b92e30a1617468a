"""Records from a file that is one JSON document: SQuAD's form, or a list of records.

SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018) are one object: `data` is a list of articles, an
article has `paragraphs`, a paragraph has a `context` and `qas`, questions about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from bertsmith.data.question import id_of
from bertsmith.data.record import Record
from bertsmith.errors import DataError

# What a record of a question takes over from its file.
_QUESTION_FIELDS = ("id", "question", "answers", "is_impossible")


def is_document(first_line: str) -> bool:
    """Whether a JSON file that begins with this line is one document, and not lines of records.

    It is where the line holds a list, or an object with a list `data`, or ends within a value, or
    begins as SQuAD's files do.
    """
    if re.match(r"\s*(\[|\{\s*\"(version|data)\"\s*:)", first_line):
        return True
    try:
        value = json.loads(first_line)
    except json.JSONDecodeError as error:
        return error.pos >= len(first_line.rstrip())
    except (ValueError, RecursionError):  # a number of thousands of digits
        return False
    return isinstance(value, dict) and isinstance(value.get("data"), list)


def document_records(lines: Iterable[tuple[int, str]], name: str) -> Iterator[Record]:
    """The records of a document; a question's location is `file: question ID`.

    The document is parsed as a whole; its texts are in memory once, however many questions share
    them.

    Args:
        lines: the file's, each with its number.
        name: the file's, for errors.

    Raises:
        DataError: the file is not JSON or of another form, holds no questions, or an id twice.
    """
    document = _parse(lines, name)
    if isinstance(document, list):
        yield from _listed_records(document, name, "record {}")
        return
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise DataError(
            f"{name} is one JSON document without a list of articles named data, so it is not in "
            "SQuAD's form; give that, a list of records, or one record a line"
        )
    if data and not any(isinstance(each, dict) and "paragraphs" in each for each in data):
        yield from _listed_records(data, name, "data[{}]", first=0)
        return
    found = False
    for record in _questions(data, name):
        found = True
        yield record
    if not found:
        raise DataError(f"{name} holds no questions; give a file with at least one")


def _parse(lines: Iterable[tuple[int, str]], name: str) -> Any:
    numbered = list(lines)
    try:
        return json.loads("".join(line for _, line in numbered), parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        line = numbered[min(error.lineno, len(numbered)) - 1][0]
        raise DataError(
            f"{name}:{line}: the file is not JSON ({error.msg.removesuffix(' at')} at column "
            f"{error.colno}); it must "
            "be one document in SQuAD's form, a list of records, or one record a line"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else error
        raise DataError(f"{name} is not JSON ({reason}); repair the file") from None


def _listed_records(
    records: list[Any], name: str, place: str, *, first: int = 1
) -> Iterator[Record]:
    for number, fields in enumerate(records, first):
        location = f"{name}: {place.format(number)}"
        if not isinstance(fields, dict):
            raise DataError(
                f"{location} is not an object with the record's fields by name; write it as "
                '{"text": "...", "label": "..."}'
            )
        yield Record(fields, location)


def _questions(articles: list[Any], name: str) -> Iterator[Record]:
    seen: set[str] = set()
    for place, article in _objects(articles, f"{name}: data"):
        title = {"title": article["title"]} if "title" in article else {}
        for inner, paragraph in _members(article, "paragraphs", place):
            if "context" not in paragraph:
                raise DataError(f"{inner} has no context; give the passage that its qas are about")
            context = {"context": paragraph["context"]}
            for innermost, question in _members(paragraph, "qas", inner):
                fields = {key: question[key] for key in _QUESTION_FIELDS if key in question}
                location = innermost
                if (given := id_of(fields.get("id"), innermost)) is not None:
                    fields["id"] = given
                    location = f"{name}: question {given}"
                    if given in seen:
                        raise DataError(
                            f"{location} is there twice; give each question an id of its own"
                        )
                    seen.add(given)
                if "question" not in fields:
                    raise DataError(f"{location} has no question; write it or drop the entry")
                yield Record(title | context | fields, location)


def _members(
    parent: Mapping[str, Any], key: str, place: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of the parent's list `key`, each with its place."""
    members = parent.get(key)
    if not isinstance(members, list):
        raise DataError(
            f"{place} has no list named {key}; in SQuAD's form articles have paragraphs, and "
            "paragraphs a context and qas"
        )
    yield from _objects(members, f"{place}.{key}")


def _objects(values: list[Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise DataError(
                f"{place}[{number}] is not an object, as SQuAD's form has it there; repair the file"
            )
        yield f"{place}[{number}]", value


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser takes and JSON does not have."""
    raise ValueError(f"{name} is not a JSON number")
