"""The contract of a task, the one thing that knows both data and model.

Pre-training objectives and fine-tuning tasks are the same: a head, a loss, metrics. They differ
in where their targets come from: an objective's come with the batches of a corpus
(`bertsmith.data.loader`), a fine-tuning task makes its own out of records (`RecordTask`).

Dimension key: `B` sequences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.data.example import Example
from bertsmith.data.records import Record
from bertsmith.metrics.accumulator import Accumulator
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.text.tokenizer import Tokenizer

Targets = Mapping[str, Tensor]


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

    @abstractmethod
    def build_head(self, bert: Bert) -> Head:
        """A new head, initialised as published."""

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


class RecordTask(Task):
    """A task that is learned from labelled records."""

    figure: str
    """Which of its metrics says that a model is better than another; higher is better."""

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:  # noqa: ARG002
        """Look through the training records first, and count them by label where there are any."""
        return {}

    @abstractmethod
    def examples(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[Example]:
        """Turn records into what the encoder reads, in order; a record without label has none."""

    @abstractmethod
    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """Targets of a packed batch of these examples."""

    @abstractmethod
    def predict(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:
        """Turn logits into one JSON-ready answer for each sequence."""
