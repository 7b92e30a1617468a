"""Records from CSV, TSV, JSON, plain text and CoNLL, one at a time, each knowing its place.

CSV is RFC 4180's: a comma between cells, quotes around a cell that holds commas, quotes or line
ends. TSV is GLUE's: a tab between cells and no quote character at all, so that a lone `"` is text.
JSON is a record a line, or one document (`bertsmith.data.json_document`).
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bertsmith.data.columns import KNOWN_NAMES
from bertsmith.data.compression import READ_ERRORS, file_kind, open_decompressed
from bertsmith.data.conll import read_conll, read_conllu
from bertsmith.data.errors_in_place import raised, with_errors
from bertsmith.data.json_document import document_records, is_document, refuse_constant
from bertsmith.data.layout import FORMATS, Layout
from bertsmith.data.record import Record
from bertsmith.errors import DataError

__all__ = ["Record", "read_records", "with_errors"]

# No record is this long, and a file that is not made of lines must not be read as one of them.
MAX_LINE_BYTES = 16 * 2**20
# SQuAD's files are a line each, of some 40 MB.
MAX_DOCUMENT_BYTES = 2**30

Lines = Iterator[tuple[int, str]]
Rows = Iterator[tuple[int, list[str]] | DataError]
# Readers yield the error of a line where the next one can be read all the same, and raise others
# (bertsmith.data.errors_in_place has an example).
Items = Iterator[Record | DataError]


def read_records(
    source: str | Path,
    *,
    layout: Layout | None = None,
    on_open: Callable[[BinaryIO], None] | None = None,
) -> Iterator[Record]:
    """Stream the records of a file, or of standard input where `source` is "-".

    Blank lines of CSV, TSV and JSON lines are no records; in plain text each line is one, and a
    tab in it makes a pair; in CoNLL each sentence is one. Standard input is JSON if it starts with
    "{", else plain text.

    After an error the iterator may be asked again (`with_errors`): it goes on after the line that
    could not be read, or has ended where nothing can be made of the rest.

    Args:
        source: a file, which may be compressed (.gz, .xz, .zst).
        layout: what the user says about it; columns that are named there come under the names
            `text`, `pair` and `label`.
        on_open: is given the file as it is on disk, whose `tell()` says how much has been read.

    Raises:
        DataError: with file and line, for what cannot be read.
    """
    layout = layout or Layout()
    is_stdin = str(source) == "-"
    name = "stdin" if is_stdin else str(source)
    items = (
        _read_stdin(name, layout) if is_stdin else _read_file(Path(source), name, layout, on_open)
    )
    return map(raised, _not_empty(items, name))


def _not_empty(items: Items, name: str) -> Items:
    is_empty = True
    for item in items:
        is_empty = False
        yield item
    if is_empty:
        raise DataError(f"{name} holds no records; give a file with at least one")


def _read_stdin(name: str, layout: Layout) -> Items:
    if sys.stdin is None:
        raise DataError("standard input is closed; give records there, or name a file")
    lines = _lines(sys.stdin.buffer, name)
    if layout.format is not None:
        yield from _READERS[layout.format](lines, name, layout)
        return
    for first in with_errors(lines):
        if isinstance(first, DataError):
            yield first
            continue
        file_format = "json" if first[1].startswith("{") else "txt"
        yield from _READERS[file_format](itertools.chain([first], lines), name, layout)


def _read_file(
    path: Path, name: str, layout: Layout, on_open: Callable[[BinaryIO], None] | None
) -> Items:
    suffix = file_kind(path)[0].removeprefix(".")
    named = _SUFFIXES.get(suffix, suffix)
    file_format = layout.format or ("conll" if named in layout.conll_suffixes else named)
    if file_format not in FORMATS:
        raise DataError(
            f"{name} is not a kind of file that holds records; give a .csv, .tsv, .jsonl, .txt, "
            f".conll or .conllu file, or say which it is with data.format={'|'.join(FORMATS)}"
        )
    try:
        with open_decompressed(path) as (file, raw):
            if on_open is not None:
                on_open(raw)
            limit = MAX_DOCUMENT_BYTES if file_format == "json" else MAX_LINE_BYTES
            yield from _READERS[file_format](_lines(file, name, limit), name, layout)
    except FileNotFoundError:
        raise DataError(f"{name} does not exist; give a file of records") from None
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{name} cannot be read ({reason}); check the file, or make it again"
        ) from None


def _lines(file: BinaryIO, name: str, max_bytes: int = MAX_LINE_BYTES) -> Lines:
    """Lines with their number and their end; only a line feed ends one."""
    return map(partial(_line, name, max_bytes), enumerate(_raw_lines(file, name, max_bytes), 1))


def _raw_lines(file: BinaryIO, name: str, max_bytes: int) -> Iterator[bytes]:
    """Lines, of one that is too long the beginning."""
    is_first = True
    while raw := file.readline(max_bytes + 1):
        if is_first and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{name} is in UTF-16; save the file as UTF-8")
        is_first = False
        yield raw
        while len(raw) > max_bytes and not raw.endswith(b"\n"):
            raw = file.readline(max_bytes + 1)


def _line(name: str, max_bytes: int, numbered: tuple[int, bytes]) -> tuple[int, str]:
    number, raw = numbered
    if len(raw) > max_bytes:
        raise DataError(
            f"{name}:{number}: the line is longer than {max_bytes >> 20} MiB; a record "
            "must be a line of its own"
        )
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}:{number}: byte 0x{raw[error.start]:02x} is not valid UTF-8; save the "
            "file as UTF-8"
        ) from None
    if "\0" in line:
        raise DataError(
            f"{name}:{number}: the line holds a NUL byte, so the file is damaged or not text; "
            "save it again as UTF-8"
        )
    return number, line.removeprefix("\ufeff") if number == 1 else line


def _csv(lines: Lines, name: str, layout: Layout) -> Items:
    return _table(_csv_rows(lines, name), name, layout)


def _tsv(lines: Lines, name: str, layout: Layout) -> Items:
    rows = (
        line if isinstance(line, DataError) else (line[0], _without_end(line[1]).split("\t"))
        for line in with_errors(lines)
    )
    return _table(rows, name, layout)


def _csv_rows(lines: Lines, name: str) -> Rows:
    """Rows with the number of the line that they start on."""
    read = 0

    def text(line: tuple[int, str]) -> str:
        nonlocal read
        read = line[0]
        return line[1]

    csv.field_size_limit(MAX_LINE_BYTES)  # the module's own limit is 128 KiB, less than a long text
    reader = csv.reader(map(text, lines), strict=True)
    while True:
        start = read + 1
        try:
            yield start, next(reader)
        except StopIteration:
            return
        except DataError as error:
            yield error
            read += 1
        except csv.Error as error:
            yield DataError(
                f"{name}:{start}: the row is not CSV ({error}); double the quotes inside quotes "
                "and close them, or save the file as .tsv or .jsonl"
            )


def _table(rows: Rows, name: str, layout: Layout) -> Items:
    names: list[str] | None = None
    for row in rows:
        if isinstance(row, DataError):
            yield row
            continue
        number, cells = row
        if cells in ([], [""]):
            continue
        if names is None:
            is_header = layout.are_header(cells)
            _check_separator(cells, f"{name}:{number}")
            names = [str(place) for place in range(1, len(cells) + 1)]
            if is_header:
                names = _header(cells, f"{name}:{number}")
                continue
        if layout.skips_broken_rows and (len(cells) != len(names) or "" in cells):
            continue
        if len(cells) != len(names):
            yield DataError(
                f"{name}:{number}: the row has {_counted(len(cells))} and the first row "
                f"{_counted(len(names))}; each must have as many"
            )
            continue
        record = Record(dict(zip(names, cells, strict=True)), f"{name}:{number}")
        yield layout.rename(record, is_table=True)


def _header(cells: list[str], location: str) -> list[str]:
    """Names of the columns; one without a name, such as that of row numbers, has its number."""
    names = [cell.strip() or str(place) for place, cell in enumerate(cells, 1)]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError(
                f"{location}: two columns are named {name!r}; rename one, or say "
                "data.header=false if the row is a record"
            )
    return names


def _check_separator(cells: list[str], location: str) -> None:
    """Refuse a table of another separator before all of it is taken for one column of text."""
    for separator, word in ((",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        names = [part.strip().strip('"').lower() for part in cells[0].split(separator)]
        if len(cells) == 1 and len(names) > 1 and KNOWN_NAMES & set(names):
            raise DataError(
                f"{location}: the columns seem to be separated by {word}; .csv files need commas "
                "and .tsv files tabs, so save the file as one of them"
            )


def _json(lines: Lines, name: str, layout: Layout) -> Items:
    """One document or a record a line, whichever the first line that is not blank begins."""
    for first in with_errors(lines):
        if isinstance(first, DataError):
            yield first
            continue
        if not first[1].strip():
            continue
        rest = itertools.chain([first], lines)
        if not is_document(first[1]):
            yield from _jsonl(rest, name, layout)
            return
        for record in document_records(rest, name):
            yield layout.rename(record, is_table=False)


def _jsonl(lines: Lines, name: str, layout: Layout) -> Items:
    filled = filter(lambda line: line[1].strip(), lines)
    return with_errors(map(partial(_json_record, name, layout), filled))


def _json_record(name: str, layout: Layout, line: tuple[int, str]) -> Record:
    location = f"{name}:{line[0]}"
    try:
        fields = json.loads(line[1], parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        reason = reason.partition(": line ")[0]  # which counts within this line
        raise DataError(
            f"{location}: the line is not JSON ({reason}); each line must hold one object"
        ) from None
    if not isinstance(fields, dict):
        raise DataError(
            f"{location}: the line is not a JSON object with the record's fields by name; "
            'write it as {"text": "...", "label": "..."}'
        )
    return layout.rename(Record(fields, location), is_table=False)


def _txt(lines: Lines, name: str, layout: Layout) -> Items:
    return with_errors(map(partial(_text_record, name, layout), lines))


def _text_record(name: str, layout: Layout, line: tuple[int, str]) -> Record:
    texts = _without_end(line[1]).split("\t")
    if len(texts) > 2:
        raise DataError(
            f"{name}:{line[0]}: the line holds {len(texts) - 1} tabs; plain text has one text a "
            "line, or two with one tab between them; say data.format=tsv for a table"
        )
    record = Record(dict(zip(("text", "pair"), texts, strict=False)), f"{name}:{line[0]}")
    return layout.rename(record, is_table=True)


_READERS: Mapping[str, Callable[[Lines, str, Layout], Items]] = {
    "csv": _csv,
    "tsv": _tsv,
    "json": _json,
    "jsonl": _jsonl,
    "txt": _txt,
    "conll": read_conll,
    "conllu": read_conllu,
}
_SUFFIXES = {"ndjson": "jsonl"} | dict.fromkeys(("bio", "iob", "iob2", "bioes"), "conll")


def _without_end(line: str) -> str:
    return re.sub(r"\r?\n\Z", "", line)


def _counted(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"
