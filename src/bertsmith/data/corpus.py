"""Documents from files of text, one at a time, whatever the size of the files.

Section 3.1 of the paper asks for a corpus of documents, not of shuffled sentences: the second
segment of a next-sentence pair is what really followed in the same document.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bertsmith.data.compression import READ_ERRORS, file_kind, open_decompressed
from bertsmith.data.sources import SourceFile, find_sources
from bertsmith.errors import ConfigError, DataError

# A paragraph of this size is not one, and holding it would cost memory that nobody reckoned with.
MAX_LINE_BYTES = 16 * 2**20
# A file without blank lines is one document; it is cut here so that memory does not grow with it.
MAX_DOCUMENT_CHARACTERS = 16 * 2**20
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """Lines of text that belong together: paragraphs or sentences, stripped, none empty."""

    source: str
    """The file."""
    line: int
    """Where it starts in the file: line, record or row, from 1."""
    lines: list[str]
    is_continuation: bool = False
    """Cut from the document before, which was longer than `MAX_DOCUMENT_CHARACTERS`."""


@dataclass(frozen=True)
class Position:
    """A place between two documents of a list of files."""

    file: int = 0
    """Index of the file."""
    documents: int = 0
    """Documents already taken from it."""


def read_documents(
    sources: Sequence[str | Path],
    *,
    text_column: str = "text",
    document_per_file: bool = False,
    skip_bad: bool = False,
) -> Iterator[Document]:
    """Stream the documents of text files.

    Args:
        sources: `.txt`, `.jsonl` or `.parquet` files (also .gz, .xz, .zst), globs or folders. In
            .txt a line is a paragraph or a sentence and a blank line ends a document; in the
            others each record is a document.
        text_column: the field of a record that holds its text.
        document_per_file: blank lines in .txt mean nothing; the whole file is one document.
        skip_bad: leave out what cannot be read: a line, a record, or the rest of a file, whose
            last document then ends where it breaks off.

    Raises:
        DataError: with file and line, at the first thing that cannot be read.
    """
    return iter(
        DocumentReader(
            find_sources(sources),
            text_column=text_column,
            document_per_file=document_per_file,
            skip_bad=skip_bad,
        )
    )


class DocumentReader:
    """Iterates over the documents of files, and says where it is.

    Args:
        files: from `find_sources`.
        text_column: as for `read_documents`.
        document_per_file: as for `read_documents`.
        skip_bad: as for `read_documents`.
        start: begin after the documents that this position counts.
        on_bad: called with a sentence for each thing that `skip_bad` leaves out.
    """

    def __init__(
        self,
        files: Sequence[SourceFile],
        *,
        text_column: str = "text",
        document_per_file: bool = False,
        skip_bad: bool = False,
        start: Position | None = None,
        on_bad: Callable[[str], None] | None = None,
    ):
        self.position = start or Position()
        """The place after the last document that was yielded."""
        self._files = files
        self._text_column = text_column
        self._document_per_file = document_per_file
        self._skip_bad = skip_bad
        self._on_bad = on_bad
        self._raw: BinaryIO | None = None
        self._line = 0
        self._skipping = False

    @property
    def bytes_read(self) -> int:
        """Bytes read from all files, as they are on disk."""
        done = sum(file.size_bytes for file in self._files[: self.position.file])
        return done + (0 if self._raw is None else self._raw.tell())

    def __iter__(self) -> Iterator[Document]:
        for index in range(self.position.file, len(self._files)):
            taken = self.position.documents if index == self.position.file else 0
            self.position = Position(index, taken)
            self._skipping = taken > 0
            for count, document in enumerate(self._documents(self._files[index].path), start=1):
                if count > taken:
                    self.position = Position(index, count)
                    yield document
                self._skipping = count < taken
        self.position = Position(len(self._files), 0)

    def _documents(self, source: str) -> Iterator[Document]:
        """The documents of one file; a file that cannot be read on ends there when skipping."""
        self._line = 0
        try:
            with open_decompressed(Path(source)) as (stream, self._raw):
                kind = file_kind(Path(source))[0]
                if kind == ".parquet":
                    records: Iterable[tuple[int, str]] = self._parquet_texts(source, stream)
                else:
                    lines = self._lines(source, stream)
                    records = lines if kind == ".txt" else self._json_texts(source, lines)
                make = self._paragraphs if kind == ".txt" else self._records
                yield from make(source, records)
        except READ_ERRORS as error:
            reason = getattr(error, "strerror", None) or error
            place = f"{source}:{self._line + 1}" if self._line else source
            self._bad(f"{place}: the file cannot be read on: {reason}")
        finally:
            self._raw = None

    def _paragraphs(self, source: str, lines: Iterable[tuple[int, str]]) -> Iterator[Document]:
        """Gather lines up to a blank one; where the file breaks off, those that came before."""
        gathered: list[str] = []
        first, size, is_continuation = 0, 0, False
        broken: Exception | None = None
        try:
            for number, line in lines:
                if line:
                    first = first or number
                    gathered.append(line)
                    size += len(line)
                ends = not line and not self._document_per_file
                if gathered and (ends or size > MAX_DOCUMENT_CHARACTERS):
                    yield Document(source, first, gathered, is_continuation)
                    gathered, first, size = [], 0, 0
                    is_continuation = not ends
                elif ends:
                    is_continuation = False
        except READ_ERRORS as error:
            broken = error
        if gathered:
            yield Document(source, first, gathered, is_continuation)
        if broken is not None:
            raise broken

    def _records(self, source: str, texts: Iterable[tuple[int, str]]) -> Iterator[Document]:
        for number, text in texts:
            lines = [line for line in map(str.strip, text.split("\n")) if line]
            if lines:
                yield Document(source, number, lines)

    def _lines(self, source: str, stream: BinaryIO) -> Iterator[tuple[int, str]]:
        """Number and text of each line that is UTF-8 and of a sane length."""
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            self._line = number = self._line + 1
            if len(raw) > MAX_LINE_BYTES:
                while not raw.endswith(b"\n") and (raw := stream.readline(MAX_LINE_BYTES)):
                    pass
                self._bad(
                    f"{source}:{number}: the line is longer than {MAX_LINE_BYTES >> 20} MiB; "
                    "break it into paragraphs"
                )
                continue
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                self._bad(
                    f"{source}:{number}: byte {raw[error.start]:#04x} in column {error.start + 1} "
                    "is not UTF-8; convert the file to UTF-8"
                )
                continue
            yield number, (text.removeprefix("\ufeff") if number == 1 else text).strip()

    def _json_texts(
        self, source: str, lines: Iterable[tuple[int, str]]
    ) -> Iterator[tuple[int, str]]:
        for number, line in lines:
            if not line:
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                self._bad(f"{source}:{number}: the line is not JSON: {error}")
                continue
            if not isinstance(record, dict):
                self._bad(f"{source}:{number}: the line must be a JSON object with text in a field")
            elif self._text_column not in record:
                self._bad(f"{source}:{number}: {self._no_column(record)}")
            elif self._is_text(source, number, record[self._text_column]):
                yield number, record[self._text_column]

    def _parquet_texts(self, source: str, stream: BinaryIO) -> Iterator[tuple[int, str]]:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise ConfigError(
                "reading .parquet files needs the package pyarrow; `pip install bertsmith[parquet]`"
            ) from None
        with tempfile.TemporaryFile() as unpacked:
            if file_kind(Path(source))[1]:  # Parquet is read from its end
                shutil.copyfileobj(stream, unpacked)
                stream = unpacked
            try:
                table = parquet.ParquetFile(stream)
                if self._text_column not in table.schema_arrow.names:
                    self._bad(f"{source}: {self._no_column(table.schema_arrow.names)}")
                    return
                for batch in table.iter_batches(batch_size=256, columns=[self._text_column]):
                    for value in batch.column(0):
                        self._line += 1
                        text = value.as_py()
                        if self._is_text(source, self._line, text):
                            yield self._line, text
            except (pyarrow.ArrowException, UnicodeDecodeError) as error:
                self._bad(f"{source}:{self._line + 1}: the file cannot be read on: {error}")

    def _is_text(self, source: str, number: int, value: Any) -> bool:
        """Whether a record's value is text that can be encoded and is of a sane length."""
        if not isinstance(value, str):
            kind = "null" if value is None else type(value).__name__
            self._bad(f"{source}:{number}: {self._text_column} is {kind}; it must be text")
        elif len(value) > MAX_LINE_BYTES:
            self._bad(
                f"{source}:{number}: {self._text_column} is longer than "
                f"{MAX_LINE_BYTES >> 20} MiB; break it into documents"
            )
        elif not value.isascii() and _LONE_SURROGATE.search(value):
            self._bad(
                f"{source}:{number}: {self._text_column} holds half of a surrogate pair; "
                "write the file again with whole characters"
            )
        else:
            return True
        return False

    def _no_column(self, names: Iterable[str]) -> str:
        return (
            f"there is no {self._text_column}; the fields are {', '.join(names) or 'none'}; "
            "name the one that holds the text with --text-column"
        )

    def _bad(self, message: str) -> None:
        if not self._skip_bad:
            raise DataError(f"{message}; or leave such things out with --skip-bad")
        if self._on_bad and not self._skipping:
            self._on_bad(message)
