"""Whether a task is about pairs of texts or about single ones.

A model that has learned one of them answers the other too, and its answers mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from bertsmith.data.columns import texts_of
from bertsmith.data.record import Record
from bertsmith.errors import DataError


def are_pairs(records: Iterable[Record]) -> bool | None:
    """Whether records are pairs; None where only some are, or there are none."""
    found = {texts_of(record)[1] is not None for record in records}
    return found.pop() if len(found) == 1 else None


def check_pair(record: Record, pair: str | None, pairs: bool | None) -> None:
    """Hold a record to what the task was learned from.

    Args:
        record: named in the error.
        pair: its second text, if it has one.
        pairs: what `are_pairs` said of the training records.

    Raises:
        DataError: one is a pair and the other is not.
    """
    if pairs and pair is None:
        raise DataError(
            f"{record.location} is a single text and the task was learned from pairs; give it a "
            "second text, in a column that data.pair=COLUMN may name"
        )
    if pairs is False and pair is not None:
        raise DataError(
            f"{record.location} is a pair of texts and the task was learned from single ones; "
            "name the column to read alone with data.text=COLUMN"
        )
