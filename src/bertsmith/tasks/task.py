"""The contract of a task, the one thing that knows both data and model.

Pre-training objectives and fine-tuning tasks are the same: a head, a loss, metrics. They differ
in where their targets come from: an objective's come with the batches of a corpus
(`bertsmith.data.loader`), a fine-tuning task makes its own out of records (`RecordTask`).

Dimension key: `B` sequences.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from bertsmith.data.columns import LABELS, TEXT_NAMES, label_of, labelled, without_label
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.record import Record
from bertsmith.metrics.accumulator import Accumulator
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.verdict import Table, Verdict
from bertsmith.text.tokenizer import Tokenizer

Targets = Mapping[str, Tensor]

TOKENIZED_AT_ONCE = 64
"""How many records a task reads ahead: enough that calling the tokenizer costs nothing."""


class Head(nn.Module, ABC):
    """The layers that a task puts on top of the encoder."""

    @abstractmethod
    def forward(self, output: BertOutput, targets: Targets) -> Tensor:
        """Give the task's logits; `targets` say which positions to score, where only some are."""


class Task(ABC):
    """A head, a loss and metrics."""

    name: ClassVar[str]
    """The name of the task's file."""
    needs_pooler: ClassVar[bool]
    """Whether the head reads the vector of the whole sequence."""
    target: ClassVar[str]
    """The key of the labels among a batch's targets; -100, or NaN, is one that does not count."""
    shown: ClassVar[Literal["masked", "whole"] | None] = None
    """What an objective's batches have to show: some wordpieces hidden, or all as they are; None:
    either."""

    @abstractmethod
    def build_head(self, bert: Bert) -> Head:
        """A new head, initialised as published.

        Raises:
            ConfigError: it cannot be above this encoder.
        """

    @abstractmethod
    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Compute the scalar that training lowers; 0 with a gradient when nothing counts."""

    @abstractmethod
    def metrics(self) -> Accumulator:
        """Fresh accumulators."""

    def rows(self, logits: Tensor, targets: Targets) -> Tensor:  # noqa: ARG002
        """The logits with a row for each label of `target`: what metrics are computed from."""
        return logits

    def settings(self) -> dict[str, Any]:
        """Keyword arguments that build this task again; they are saved with the model."""
        return {}


@dataclass(frozen=True)
class ScoredRecord:
    """A record and what the model says about it."""

    record: EncodedRecord
    scores: Any
    """The task's own: what its `join` made of the logits."""


_FIELDS = {*TEXT_NAMES, *LABELS, "id", "idx", "1"}


class RecordTask(Task):
    """A task that is learned from labelled records.

    Training sees examples: a record, or a window of a long one. Figures and answers are of
    records, whose windows are joined first.
    """

    figure: str
    """Which of `figures` says that a model is better than another; higher is better."""
    scores_tokens: ClassVar[bool] = False
    """Whether the head gives a row of logits for each token; else it does for each sequence."""
    default_max_seqlen: ClassVar[int] = 128
    """Where texts are cut, or windows end, when the recipe does not say."""
    item_kinds: str = "a text, a pair of texts or a mapping of fields by name"
    """What `fields_of` takes, in words."""
    field_names: Sequence[str] = ("text", "pair")
    """The fields of a record that are read, each by the first of its names."""
    conll_suffixes: ClassVar[tuple[str, ...]] = ()
    """Files of labelled records that are CoNLL's although their name does not say so."""
    num_truncated: int = 0
    """Records that lost part of their text so far."""
    remarks: Sequence[str] = ()
    """What the user should know about the training records, once `learn_labels` has read them."""

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:  # noqa: ARG002
        """Look through the training records first, and count them by label where there are any.

        Raises:
            DataError: a record is nothing to the task, which then has learned nothing; or they
                do not do together.
        """
        return {}

    def labelled(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records to train or to measure on, those without a gold label left out.

        Raises:
            DataError: one should have a label and has none.
        """
        return labelled(records)

    def label_names(self, record: EncodedRecord) -> Sequence[str]:  # noqa: ARG002
        """The labels of a labelled record, to count them; none where answers have no names."""
        return ()

    def without_label(self, record: Record) -> Record:
        """The record as one to be answered, where a wrong label is no matter."""
        return without_label(record)

    def knows_field(self, name: str) -> bool:
        """Whether a record's field of this name may be looked at, be it as a label or an id."""
        return name.lower() in _FIELDS

    def fields_of(self, item: Any) -> Mapping[str, Any] | None:
        """A record's fields, of what is handed to a `Predictor` as a record; None: it is none."""
        match item:
            case Mapping():
                return item
            case str():
                return {"text": item}
            case (str(text), str(pair)):
                return {"text": text, "pair": pair}
        return None

    @abstractmethod
    def encode(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[EncodedRecord]:
        """Turn records into what the encoder reads, in order.

        Raises:
            DataError: a record is nothing to the task.
        """

    @abstractmethod
    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """Targets of a packed batch of these examples."""

    @abstractmethod
    def join(self, record: EncodedRecord, logits: Sequence[Tensor]) -> Any:
        """What the windows of a record say together.

        Args:
            record: of one or more examples.
            logits: for each example its rows, float32 on the CPU: one for each of its tokens or,
                by `scores_tokens`, of its sequences.
        """

    @abstractmethod
    def answer(self, record: EncodedRecord, scores: Any) -> dict[str, Any]:
        """Turn what `join` gave into a JSON-ready answer."""

    @abstractmethod
    def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
        """Measure the scores of labelled records; `figure` is among the figures."""

    def has_collapsed(self, figures: Mapping[str, float]) -> bool:  # noqa: ARG002
        """Whether these `figures` are of a model that has one answer for everything."""
        return False

    def tune(self, scored: Sequence[ScoredRecord]) -> str:  # noqa: ARG002
        """Set what is to be chosen on records not trained on, such as thresholds, and say it."""
        return ""

    def verdict(self, scored: ScoredRecord) -> Verdict:
        """A labelled record beside its answer; a task that says more here gets more pictures."""
        record = scored.record.record
        fields = self.without_label(record).fields
        answer = self.answer(scored.record, scored.scores)
        return Verdict(
            {name: value for name, value in fields.items() if isinstance(value, str)},
            gold=str(label_of(record)),
            answer=json.dumps(answer, ensure_ascii=False),
        )

    def tables(self, scored: Sequence[ScoredRecord]) -> list[Table]:  # noqa: ARG002
        """Figures of parts of labelled records, beside those of each class."""
        return []
