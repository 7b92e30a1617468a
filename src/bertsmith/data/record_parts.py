"""A stream of records in parts, at whose ends a job can be taken up again.

Where a part ends depends on the records alone. A fingerprint of all records up to there says, when
they are read again, whether they are still the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from bertsmith.data.record import Record

# What a record counts for beside its text: [CLS], [SEP] and some room, as characters.
RECORD_CHARACTERS = 16


@dataclass(frozen=True)
class RecordPart:
    """Records that follow each other."""

    records: list[Record]
    end: int
    """How many records of the stream come before the next part."""
    bytes_read: int
    """Of the input, as it is on disk, up to there."""
    fingerprint: str
    """SHA-256 of all records of the stream up to there."""


class BytesRead:
    """How much has been read of the file that is being read, as it is on disk."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._size = 0

    def on_open(self, file: BinaryIO) -> None:
        """For `read_records`."""
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def __call__(self) -> int:
        """Bytes by now; where nothing tells them, as of standard input, 0."""
        if self._file is None:
            return 0
        return self._size if self._file.closed else self._file.tell()

    def close(self) -> None:
        """Close the file, which who stops before its end leaves open."""
        if self._file is not None:
            self._file.close()


class RecordParts:
    """Cuts a stream into parts.

    Args:
        records: the stream; read no further than the part that is asked for.
        bytes_read: how much of the input has been read by now.
    """

    def __init__(self, records: Iterator[Record], bytes_read: Callable[[], int]):
        self._records = records
        self._bytes_read = bytes_read
        self._end = 0
        self._hash = hashlib.sha256()

    def skip(self, count: int) -> str:
        """Pass over records, and return the fingerprint of all up to there.

        Where there are fewer, it is that of another stream than any that is longer.
        """
        for record in islice(self._records, count):
            self._add(record)
        return self._hash.hexdigest()

    def cut(self, characters: int) -> Iterator[RecordPart]:
        """The parts of what has not been passed over.

        Args:
            characters: a part has at least these, the last one perhaps fewer.

        Raises:
            DataError: a record cannot be read; the part that it would be in is not given.
        """
        records: list[Record] = []
        size = 0
        for record in self._records:
            size += RECORD_CHARACTERS + self._add(record)
            records.append(record)
            if size >= characters:
                yield self._part(records)
                records, size = [], 0
        if records:
            yield self._part(records)

    def _add(self, record: Record) -> int:
        """Count a record and return its size in characters."""
        line = json.dumps(record.fields, ensure_ascii=False, default=str)
        self._hash.update(line.encode("utf-8", "surrogatepass") + b"\n")
        self._end += 1
        return len(line)

    def _part(self, records: list[Record]) -> RecordPart:
        return RecordPart(records, self._end, self._bytes_read(), self._hash.hexdigest())
