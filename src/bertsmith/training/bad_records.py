"""All the records that cannot be used, in place of the first: for those who are to repair them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from itertools import islice

from bertsmith.data.conll import SentenceRecord
from bertsmith.data.example import EncodedRecord
from bertsmith.data.record import Record
from bertsmith.data.records import with_errors
from bertsmith.errors import DataError
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer

MAX_SHOWN = 20


class BadRecords:
    """Reads what can be read, and keeps the errors of the rest."""

    def __init__(self) -> None:
        self._errors: dict[str, None] = {}  # training records are read twice, and err twice alike

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._errors)

    def lines(self) -> list[str]:
        """A sentence for each of the first `MAX_SHOWN`, with file and line."""
        shown = list(islice(sorted(self._errors, key=_place), MAX_SHOWN))
        more = self.count - len(shown)
        return [*shown, f"and {more:,} more like these"] if more else shown

    def readable(self, records: Iterator[Record]) -> Iterator[Record]:
        """Records without the lines that are none."""
        for item in with_errors(records):
            if isinstance(item, DataError):
                self._add(item)
            else:
                yield item

    def learn_labels(
        self, task: RecordTask, read: Callable[[], Iterator[Record]]
    ) -> dict[str, int]:
        """Let the task learn its labels from the records that are of use to it.

        Args:
            task: it must learn nothing from records among which it finds a bad one.
            read: begins to read the training records; called a second time where some are bad.

        Raises:
            DataError: the good ones do not do together, or nothing is left.
        """
        try:
            return task.learn_labels(self.readable(read()))
        except DataError:
            good = [record for record in self.readable(read()) if self._is_good(task, record)]
        if not good and self.count == 1:
            raise DataError(self._errors.popitem()[0])  # such as that there is no such file
        while good:
            try:
                return task.learn_labels(good)
            except DataError as error:
                # A tag may be right for itself, and wrong beside those of the other records.
                bad = next((each for each in good if _is_about(error, each)), None)
                if bad is None or self.count >= MAX_SHOWN:
                    raise
                self._add(error)
                good.remove(bad)
        raise DataError("no training record can be used; repair them")

    def encode(
        self, task: RecordTask, records: Iterator[Record], tokenizer: Tokenizer, max_length: int
    ) -> Iterator[EncodedRecord]:
        """Encode the records that can be, as `RecordTask.encode` does."""
        for record in self.readable(records):
            try:
                labelled = task.labelled([record])
                yield from list(task.encode(labelled, tokenizer, max_length=max_length))
            except DataError as error:
                self._add(error)

    def _is_good(self, task: RecordTask, record: Record) -> bool:
        """Whether the task can learn from the record; that one alone is too few is no matter."""
        is_over = False

        def alone() -> Iterator[Record]:
            nonlocal is_over
            yield record
            is_over = True

        try:
            copy.deepcopy(task).learn_labels(alone())
        except DataError as error:
            if not is_over:
                self._add(error)
                return False
        return True

    def _add(self, error: DataError) -> None:
        self._errors[str(error)] = None


def _is_about(error: DataError, record: Record) -> bool:
    """Whether the error is of one of the record's lines, and not of all records together."""
    file, line = _place(str(error))
    own_file, own_line = _place(record.location)
    lines = record.lines if isinstance(record, SentenceRecord) else [own_line]
    return bool(file) and file == own_file and line in lines


def _place(error: str) -> tuple[str, int]:
    """The file and line that a sentence begins with."""
    found = re.match(r"(.*?):(\d+)\b", error)
    return (found[1], int(found[2])) if found else ("", 0)
