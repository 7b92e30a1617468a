"""Records from CSV, TSV, JSON and plain text, one at a time, each knowing its place.

CSV is RFC 4180's: a comma between cells, quotes around a cell that holds commas, quotes or line
ends. TSV is GLUE's: a tab between cells and no quote character at all, so that a lone `"` is text.
JSON is a record a line, or one document (`bertsmith.data.json_document`).
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from bertsmith.data.columns import KNOWN_NAMES
from bertsmith.data.compression import READ_ERRORS, file_kind, open_decompressed
from bertsmith.data.json_document import document_records, is_document, refuse_constant
from bertsmith.data.layout import FORMATS, Layout
from bertsmith.data.record import Record
from bertsmith.errors import DataError

__all__ = ["Record", "read_records"]

# No record is this long, and a file that is not made of lines must not be read as one of them.
MAX_LINE_BYTES = 16 * 2**20
# SQuAD's files are a line each, of some 40 MB.
MAX_DOCUMENT_BYTES = 2**30

Lines = Iterator[tuple[int, str]]
Rows = Iterator[tuple[int, list[str]]]


def read_records(source: str | Path, *, layout: Layout | None = None) -> Iterator[Record]:
    """Stream the records of a file, or of standard input where `source` is "-".

    Blank lines of CSV, TSV and JSON lines are no records; in plain text each line is one, and a
    tab in it makes a pair. Standard input is JSON if it starts with "{", else plain text.

    Args:
        source: a file, which may be compressed (.gz, .xz, .zst).
        layout: what the user says about it; columns that are named there come under the names
            `text`, `pair` and `label`.

    Raises:
        DataError: with file and line, for what cannot be read.
    """
    layout = layout or Layout()
    is_stdin = str(source) == "-"
    name = "stdin" if is_stdin else str(source)
    records = _read_stdin(name, layout) if is_stdin else _read_file(Path(source), name, layout)
    is_empty = True
    for record in records:
        is_empty = False
        yield record
    if is_empty:
        raise DataError(f"{name} holds no records; give a file with at least one")


def _read_stdin(name: str, layout: Layout) -> Iterator[Record]:
    if sys.stdin is None:
        raise DataError("standard input is closed; give records there, or name a file")
    lines = _lines(sys.stdin.buffer, name)
    for first in lines:
        file_format = layout.format or ("json" if first[1].startswith("{") else "txt")
        yield from _READERS[file_format](itertools.chain([first], lines), name, layout)


def _read_file(path: Path, name: str, layout: Layout) -> Iterator[Record]:
    suffix = file_kind(path)[0].removeprefix(".")
    file_format = layout.format or _SUFFIXES.get(suffix, suffix)
    if file_format not in FORMATS:
        raise DataError(
            f"{name} is not a kind of file that holds records; give a .csv, .tsv, .jsonl or .txt "
            f"file, or say which it is with data.format={'|'.join(FORMATS)}"
        )
    try:
        with open_decompressed(path) as (file, _):
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
    number = 0
    while raw := file.readline(max_bytes + 1):
        number += 1
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
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def _csv(lines: Lines, name: str, layout: Layout) -> Iterator[Record]:
    return _table(_csv_rows(lines, name), name, layout)


def _tsv(lines: Lines, name: str, layout: Layout) -> Iterator[Record]:
    rows = ((number, _without_end(line).split("\t")) for number, line in lines)
    return _table(rows, name, layout)


def _csv_rows(lines: Lines, name: str) -> Rows:
    """Rows with the number of the line that they start on."""
    reader = csv.reader((line for _, line in lines), strict=True)
    while True:
        start = reader.line_num + 1
        try:
            yield start, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{name}:{start}: the row is not CSV ({error}); double the quotes inside quotes "
                "and close them, or save the file as .tsv or .jsonl"
            ) from None


def _table(rows: Rows, name: str, layout: Layout) -> Iterator[Record]:
    names: list[str] | None = None
    for number, cells in rows:
        if cells in ([], [""]):
            continue
        if names is None:
            is_header = layout.are_header(cells)
            _check_separator(cells, f"{name}:{number}")
            names = [str(place) for place in range(1, len(cells) + 1)]
            if is_header:
                names = _header(cells, f"{name}:{number}")
                continue
        if len(cells) != len(names):
            if layout.skips_broken_rows:
                continue
            raise DataError(
                f"{name}:{number}: the row has {_counted(len(cells))} and the first row "
                f"{_counted(len(names))}; each must have as many"
            )
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


def _json(lines: Lines, name: str, layout: Layout) -> Iterator[Record]:
    """One document or a record a line, whichever the first line that is not blank begins."""
    for number, line in lines:
        if not line.strip():
            continue
        rest = itertools.chain([(number, line)], lines)
        if not is_document(line):
            yield from _jsonl(rest, name, layout)
            return
        for record in document_records(rest, name):
            yield layout.rename(record, is_table=False)


def _jsonl(lines: Lines, name: str, layout: Layout) -> Iterator[Record]:
    for number, line in lines:
        if not line.strip():
            continue
        location = f"{name}:{number}"
        try:
            fields = json.loads(line, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            reason = "too deeply nested" if isinstance(error, RecursionError) else error
            raise DataError(
                f"{location}: the line is not JSON ({reason}); each line must hold one object"
            ) from None
        if not isinstance(fields, dict):
            raise DataError(
                f"{location}: the line is not a JSON object with the record's fields by name; "
                'write it as {"text": "...", "label": "..."}'
            )
        yield layout.rename(Record(fields, location), is_table=False)


def _txt(lines: Lines, name: str, layout: Layout) -> Iterator[Record]:
    for number, line in lines:
        texts = _without_end(line).split("\t")
        if len(texts) > 2:
            raise DataError(
                f"{name}:{number}: the line holds {len(texts) - 1} tabs; plain text has one text a "
                "line, or two with one tab between them; say data.format=tsv for a table"
            )
        record = Record(dict(zip(("text", "pair"), texts, strict=False)), f"{name}:{number}")
        yield layout.rename(record, is_table=True)


_READERS: Mapping[str, Callable[[Lines, str, Layout], Iterator[Record]]] = {
    "csv": _csv,
    "tsv": _tsv,
    "json": _json,
    "jsonl": _jsonl,
    "txt": _txt,
}
_SUFFIXES = {"ndjson": "jsonl"}


def _without_end(line: str) -> str:
    return re.sub(r"\r?\n\Z", "", line)


def _counted(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"
