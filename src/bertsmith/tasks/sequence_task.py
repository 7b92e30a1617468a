"""What tasks about a text, or a pair of texts, as a whole have in common.

A model that has learned from pairs answers single texts too, and the other way round; its answers
mean nothing. So a task remembers which it was.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bertsmith.data.columns import label_of, texts_of
from bertsmith.data.example import Example
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.errors import DataError
from bertsmith.tasks.linear_head import check_dropout
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer


class SequenceTask(RecordTask):
    """A head on the pooled output, learned from records of one text or two.

    Args:
        classifier_dropout: before the last layer; None takes the model's `hidden_dropout_prob`.
        columns: of the training file, as the user named them (`text`, `pair`, `label`); a model
            remembers them for files like it.
        pairs: whether records are pairs of texts; None: unknown, or some are. Learned from the
            training records.

    Raises:
        ConfigError: a setting that cannot work.
    """

    needs_pooler = True

    def __init__(
        self,
        *,
        classifier_dropout: float | None,
        columns: Mapping[str, str] | None,
        pairs: bool | None,
    ) -> None:
        check_dropout(classifier_dropout)
        self.classifier_dropout = classifier_dropout
        self.columns = Layout.from_settings(columns or {}).named
        self.pairs = pairs
        self.num_truncated = 0
        """Texts or pairs cut to `max_length` so far."""

    @abstractmethod
    def target_of(self, record: Record) -> Any:
        """What the record's label is to this task; asked of records that have one.

        Raises:
            DataError: it is nothing to this task.
        """

    def examples(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[Example]:
        """Encode text or pair; the longer of a pair is cut first where both are too long.

        Raises:
            DataError: a record has no text, or a label that is nothing to the task, or is a pair
                where the task is about single texts, or the other way round.
        """
        for record in records:
            text, pair = texts_of(record)
            self._check_pair(record, pair)
            encoding = tokenizer.encode(text, pair, max_length=max_length)
            if len(encoding) == max_length and len(tokenizer.encode(text, pair)) > max_length:
                self.num_truncated += 1
            target = None if label_of(record) is None else self.target_of(record)
            # Arrays, since lists of numbers take eight times the memory.
            ids, segment_ids = array("i", encoding.ids), array("b", encoding.segment_ids)
            yield Example(ids, segment_ids, target)

    def learning_pairs(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records; `pairs`, where it was not given, is known when all have been read."""
        found: set[bool] = set()
        for record in records:
            found.add(texts_of(record)[1] is not None)
            yield record
        if self.pairs is None and len(found) == 1:
            self.pairs = found.pop()

    def settings(self) -> dict[str, Any]:
        """What was given or learned."""
        given = {
            "classifier_dropout": self.classifier_dropout,
            "columns": self.columns or None,
            "pairs": self.pairs,
        }
        return {key: value for key, value in given.items() if value is not None}

    def _check_pair(self, record: Record, pair: str | None) -> None:
        if self.pairs and pair is None:
            raise DataError(
                f"{record.location} is a single text and the task was learned from pairs; give it "
                "a second text, in a column that data.pair=COLUMN may name"
            )
        if self.pairs is False and pair is not None:
            raise DataError(
                f"{record.location} is a pair of texts and the task was learned from single ones; "
                "name the column to read alone with data.text=COLUMN"
            )
