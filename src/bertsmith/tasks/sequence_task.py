"""What tasks about a text, or a pair of texts, as a whole have in common.

A model that has learned from pairs answers single texts too, and the other way round; its answers
mean nothing. So a task remembers which it was.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from bertsmith.data.chunked import chunked
from bertsmith.data.columns import label_of, texts_of
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError
from bertsmith.tasks.linear_head import check_dropout
from bertsmith.tasks.long_text import LongText, LongTextRule, WindowJoin
from bertsmith.tasks.task import TOKENIZED_AT_ONCE, RecordTask, ScoredRecord
from bertsmith.text.tokenizer import Tokenizer


class SequenceTask(RecordTask):
    """A head on the pooled output, learned from records of one text or two.

    Args:
        classifier_dropout: before the last layer, from 0 to below 1; where not set, the model's
            `hidden_dropout_prob`.
        columns: of the training file, as the user named them (`text`, `pair`, `label`); a model
            remembers them for files like it.
        pairs: whether records are pairs of texts; where not set, learned from the training
            records, which may be of both kinds.
        figure: which of `deciding_figures` says that a model is better; where not set the first.
        long_text: what becomes of a text longer than `data.max_seqlen`: its `head` or `tail` is
            kept, or a quarter of the room for the head and the rest for the tail (`head_tail`), or
            all of it is read in `windows`; of a pair the longer text, and the other up to half of
            the room.
        window_step: how many wordpieces each window starts after the one before it; where not set
            half of `data.max_seqlen`, and never more than a window holds.
        window_join: the `mean` or the `max` of the windows' logits is the record's.

    Raises:
        ConfigError: a setting that cannot work.
    """

    needs_pooler = True
    deciding_figures: tuple[str, ...]
    """The figures that may say which model is better, the first where `figure` is not given."""

    def __init__(
        self,
        *,
        classifier_dropout: float | None,
        columns: Mapping[str, str] | None,
        pairs: bool | None,
        figure: str | None,
        long_text: LongTextRule,
        window_step: int | None,
        window_join: WindowJoin,
    ) -> None:
        check_dropout(classifier_dropout)
        if figure is not None and figure not in self.deciding_figures:
            raise ConfigError(
                f"task.figure ({figure!r}) must be one of {', '.join(self.deciding_figures)}"
            )
        self.figure = figure or self.deciding_figures[0]
        self.classifier_dropout = classifier_dropout
        self.columns = Layout.from_settings(columns or {}).named
        self.pairs = pairs
        self.long_text = LongText(long_text, window_step, window_join)

    @abstractmethod
    def target_of(self, record: Record) -> Any:
        """What the record's label is to this task; asked of records that have one.

        Raises:
            DataError: it is nothing to this task.
        """

    @property
    def item_kinds(self) -> str:  # type: ignore[override]
        """What `fields_of` takes, in words, of one text or two as the task has learned."""
        texts = {None: "a text, a pair of texts", True: "a pair of texts", False: "a text"}
        return f"{texts[self.pairs]} or a mapping of fields by name"

    @property
    def field_names(self) -> Sequence[str]:  # type: ignore[override]
        """The fields of a record that are read."""
        return ("text",) if self.pairs is False else ("text", "pair")

    def is_labelled(self, record: Record) -> bool:
        """Whether the record has a label."""
        return label_of(record) is not None

    def encode(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[EncodedRecord]:
        """Encode text or pair; every window of a long one has the record's target.

        Raises:
            DataError: a record has no text, or one to learn from an empty one, or a label that is
                nothing to the task, or is a pair where the task is about single texts, or the
                other way round.
        """
        for chunk in chunked(map(self._read, records), TOKENIZED_AT_ONCE):
            texts = [text for _, texts, _ in chunk for text in texts]
            ids = iter(tokenizer.ids_batch(texts, split_special_tokens=False))
            for record, texts, target in chunk:
                pieces = list(islice(ids, len(texts)))
                parts, is_cut = self.long_text.fitted(pieces, max_length)
                self.num_truncated += is_cut
                examples = tuple(_example(tokenizer, each, target) for each in parts)
                length = sum(map(len, pieces)) + len(pieces) + 1
                yield EncodedRecord(record, examples, length=length)

    def join(self, record: EncodedRecord, logits: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """(1, ...) logits of each window → (...)."""
        return self.long_text.join([rows[0] for rows in logits])

    def scores_and_targets(self, scored: Sequence[ScoredRecord]) -> tuple[Tensor, Tensor]:
        """(B, ...) scores and their (B, ...) targets, of records."""
        targets = self.collate([each.record.examples[0] for each in scored])[self.target]
        return torch.stack([each.scores for each in scored]), targets

    def named_texts(self, record: Record) -> dict[str, str]:
        """The text, or both, by what a report calls them."""
        text, pair = texts_of(record)
        return {"text": text} if pair is None else {"first text": text, "second text": pair}

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
            "figure": None if self.figure == self.deciding_figures[0] else self.figure,
        }
        given |= self.long_text.settings()
        return {key: value for key, value in given.items() if value is not None}

    def _read(self, record: Record) -> tuple[Record, list[str], Any]:
        """The record, its texts, and what is to be learned from it."""
        text, pair = texts_of(record)
        self._check_pair(record, pair)
        target = None
        if self.is_labelled(record):
            target = self.target_of(record)
            _check_filled(record, text, pair)
        return record, [text] if pair is None else [text, pair], target

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


def _example(tokenizer: Tokenizer, texts: Sequence[list[int]], target: Any) -> Example:
    ids, segment_ids = tokenizer.with_special_tokens(texts)
    # Arrays, since lists of numbers take eight times the memory.
    return Example(array("i", ids), array("b", segment_ids), target)


def _check_filled(record: Record, text: str, pair: str | None) -> None:
    """An answer to an empty text may be asked for; there is nothing to learn from it."""
    for name, value in (("text", text), ("second text", pair)):
        if value is not None and not value.strip():
            raise DataError(f"{record.location}: the {name} is empty; write one or drop the record")
