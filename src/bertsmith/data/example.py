"""`Example`: what the encoder reads at once; `EncodedRecord`: all that it reads of one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertsmith.data.record import Record


@dataclass(frozen=True)
class Example:
    """One sequence, `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, and its target.

    Or several that are answered together, such as the choices of a question, end to end.
    """

    input_ids: Sequence[int]
    segment_ids: Sequence[int]
    target: Any = None
    """The task's own; None for a record without a label."""
    lengths: tuple[int, ...] = ()
    """How long each sequence is, where there are several."""

    @property
    def num_sequences(self) -> int:
        """How many sequences there are."""
        return len(self.lengths) or 1

    def sequences(self) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Wordpiece ids and segment ids of each sequence."""
        if not self.lengths:
            return [(self.input_ids, self.segment_ids)]
        parts, start = [], 0
        for length in self.lengths:
            part = slice(start, start + length)
            parts.append((self.input_ids[part], self.segment_ids[part]))
            start += length
        return parts


@dataclass(frozen=True)
class EncodedRecord:
    """A record as the encoder reads it: as a whole, or in windows where it is long."""

    record: Record
    examples: tuple[Example, ...]
    """One, or one for each window."""
    source: Any = None
    """What the task needs to make an answer of logits, such as where the wordpieces stand."""
    length: int | None = None
    """How many wordpieces the record has, special ones too, where its examples do not say it:
    before it was cut, or divided into windows."""

    @property
    def num_wordpieces(self) -> int:
        """`length`, or else that of all examples."""
        return self.length or sum(len(each.input_ids) for each in self.examples)
