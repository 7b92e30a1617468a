"""Sentences of tagged words from the columns of CoNLL's shared tasks, and from CoNLL-U.

A line is a word with its columns, tabs or blanks between them; a blank line ends a sentence and
`-DOCSTART-` begins a document. The word is the first column and its tag the last, unless the user
says otherwise. CoNLL-U (universaldependencies.org) has ten columns with tabs between them, comments
of which `# newdoc` begins a document, and lines for words that are written as one ("3-4") or not
written at all ("8.1"), which are no words here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any

from bertsmith.data.errors_in_place import with_errors
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.errors import DataError

# No sentence is this long; a file without blank lines must not be read as one of them.
MAX_WORDS = 100_000

_CONLLU = {"form": 2, "lemma": 3, "upos": 4, "xpos": 5, "deprel": 8}
_CONLLU_COLUMNS = 10
_NO_VALUE = "_"


@dataclass(frozen=True)
class SentenceRecord(Record):
    """`tokens`, `tags` unless the file has none, and `document`, its number in the file."""

    lines: Sequence[int]
    """The line of each word."""


class _Break(Enum):
    SENTENCE = 1
    DOCUMENT = 2


Lines = Iterator[tuple[int, str]]
Rows = Iterator[tuple[int, list[str] | _Break | DataError]]
"""Each with its line; an error names its own."""
# An error stands for a sentence that cannot be read where the next one can.
Sentences = Iterator["SentenceRecord | DataError"]
Columns = tuple[int, int | None]
"""Where the word and its tag are, from 0; None: the file has no tags."""


def read_conll(lines: Lines, name: str, layout: Layout) -> Sentences:
    """Stream the sentences of a file of columns.

    Args:
        lines: of the file, with their numbers.
        name: of the file, for errors.
        layout: `text` and `label` may be numbers of columns.

    Raises:
        DataError: with file and line, or where the layout says what such a file does not have.
    """
    _check_layout(layout, name)

    def columns(location: str, count: int) -> Columns:
        word = _place(layout, "text", {}, location, count) or 1
        tag = _place(layout, "label", {}, location, count)
        if tag is None and count not in (1, word):
            tag = count
        return word - 1, None if tag is None else tag - 1

    return _sentences(_conll_rows(lines, name), name, columns, may_hold_blanks=False)


def read_conllu(lines: Lines, name: str, layout: Layout) -> Sentences:
    """Stream the sentences of a CoNLL-U file; `_` in place of all tags of a sentence is none.

    Args:
        lines: of the file, with their numbers.
        name: of the file, for errors.
        layout: `text` and `label` may be numbers of columns, or form, lemma, upos, xpos, deprel.

    Raises:
        DataError: with file and line, or where the layout says what such a file does not have.
    """
    _check_layout(layout, name)

    def columns(location: str, count: int) -> Columns:
        word = _place(layout, "text", _CONLLU, location, count) or _CONLLU["form"]
        tag = _place(layout, "label", _CONLLU, location, count) or _CONLLU["upos"]
        return word - 1, tag - 1

    for record in _sentences(_conllu_rows(lines, name), name, columns, may_hold_blanks=True):
        if isinstance(record, DataError):
            yield record
            continue
        tags = record.fields["tags"]
        if set(tags) == {_NO_VALUE}:
            fields = {key: value for key, value in record.fields.items() if key != "tags"}
            record = SentenceRecord(fields, record.location, record.lines)
        elif _NO_VALUE in tags:
            yield DataError(
                f"{name}:{record.lines[tags.index(_NO_VALUE)]}: the word has no tag (_) and others "
                "of its sentence have; tag all words or none"
            )
            continue
        yield record


def _check_layout(layout: Layout, name: str) -> None:
    if layout.is_required and (layout.pair is not None or layout.header is not None):
        key = "pair" if layout.pair is not None else "header"
        raise DataError(
            f"{name}: data.{key} says nothing about CoNLL's columns; leave it out, and name those "
            "of the word and of its tag with data.text and data.label"
        )


def _conll_rows(lines: Lines, name: str) -> Rows:
    separator, count = None, 0
    for item in with_errors(lines):
        if isinstance(item, DataError):
            yield 0, item
            continue
        number, line = item[0], item[1].rstrip("\r\n")
        if not line.strip(" \t"):
            yield number, _Break.SENTENCE
        elif line.lstrip(" ").startswith("-DOCSTART-"):
            yield number, _Break.DOCUMENT
        else:
            # The first line with several columns decides: a blank beside tabs is part of a cell.
            between = separator or ("\t" if "\t" in line else " ")
            cells = line.split(between)
            if between == " ":
                cells = list(filter(None, cells))
            if len(cells) > 1:
                separator = between
            count = count or len(cells)
            if len(cells) != count:
                error = DataError(
                    f"{name}:{number}: the line has {_counted(len(cells))} and the first one "
                    f"{_counted(count)}; each must have as many, all with tabs or all with blanks "
                    "between them"
                )
                yield number, error
            else:
                yield number, [cell.strip(" ") for cell in cells]


def _conllu_rows(lines: Lines, name: str) -> Rows:
    for item in with_errors(lines):
        if isinstance(item, DataError):
            yield 0, item
            continue
        number, line = item[0], item[1].rstrip("\r\n")
        if not line.strip(" \t"):
            yield number, _Break.SENTENCE
        elif line.startswith("#"):
            if re.match(r"# *newdoc\b", line):
                yield number, _Break.DOCUMENT
        else:
            cells = [cell.strip(" ") for cell in line.split("\t")]
            if len(cells) != _CONLLU_COLUMNS:
                error = DataError(
                    f"{name}:{number}: the line has {_counted(len(cells))}; a word of CoNLL-U has "
                    f"{_CONLLU_COLUMNS}, with tabs between them (data.format=conll is for others)"
                )
                yield number, error
            elif not re.fullmatch(r"\d+([-.]\d+)?", cells[0]):
                error = DataError(
                    f"{name}:{number}: the first column ({cells[0]!r}) is not the number of a word "
                    "in its sentence, as CoNLL-U wants it"
                )
                yield number, error
            elif cells[0].isdecimal():
                yield number, cells


def _sentences(
    rows: Rows, name: str, columns_of: Callable[[str, int], Columns], *, may_hold_blanks: bool
) -> Sentences:
    columns: Columns | None = None
    gathered: list[tuple[int, str, str]] = []  # line, word, tag ("" without such a column)
    document, is_begun, is_bad = 0, False, False
    end: Iterable[tuple[int, _Break]] = [(0, _Break.SENTENCE)]
    for number, row in chain(rows, end):
        if isinstance(row, _Break):
            if gathered and not is_bad:
                yield _record(gathered, name, document)
            if gathered or is_bad:
                gathered, is_begun, is_bad = [], True, False
            if row is _Break.DOCUMENT and is_begun:
                document, is_begun = document + 1, False
            continue
        error = row if isinstance(row, DataError) else None
        if not isinstance(row, DataError):
            location = f"{name}:{number}"
            columns = columns or columns_of(location, len(row))
            word, tag = row[columns[0]], "" if columns[1] is None else row[columns[1]]
            error = _bad_cell(word, "word", location, may_hold_blanks=may_hold_blanks)
            if error is None and columns[1] is not None:
                error = _bad_cell(tag, "tag", location, may_hold_blanks=False)
            gathered.append((number, word, tag))
        if error is not None:
            is_bad = True
            yield error
        if len(gathered) > MAX_WORDS:
            raise DataError(
                f"{name}:{gathered[0][0]}: the sentence that starts here has more than "
                f"{MAX_WORDS:,} words; put a blank line between sentences"
            )


def _record(gathered: list[tuple[int, str, str]], name: str, document: int) -> SentenceRecord:
    fields: dict[str, Any] = {"tokens": [word for _, word, _ in gathered]}
    if gathered[0][2]:
        fields["tags"] = [tag for _, _, tag in gathered]
    lines = [line for line, _, _ in gathered]
    return SentenceRecord(fields | {"document": document}, f"{name}:{lines[0]}", lines)


def _bad_cell(cell: str, what: str, location: str, *, may_hold_blanks: bool) -> DataError | None:
    if not cell:
        return DataError(f"{location}: the {what} is empty; each line must hold one of each column")
    if " " in cell and not may_hold_blanks:
        return DataError(
            f"{location}: the {what} {cell!r} holds a blank; write each word on a line of its own, "
            "with tabs or blanks between the columns, not both"
        )
    return None


def _place(
    layout: Layout, role: str, names: dict[str, int], location: str, count: int
) -> int | None:
    """Which column the user has given a role, from 1; None where none was named."""
    column = layout.named.get(role)
    if column is None:
        return None
    place = int(column) if column.isdecimal() else names.get(column.lower(), 0)
    if 1 <= place <= count:
        return place
    if not layout.is_required:
        return None
    named = f", or one of {', '.join(names)}" if names else ""
    raise DataError(
        f"{location}: data.{role} ({column}) is not one of the columns; it must be a number from 1 "
        f"to {count}{named}"
    )


def _counted(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"
