"""A score for a text or for a pair of texts, such as their similarity (paper, section 4.1, STS-B).

Dimension key: `B` sequences, `H` hidden size.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.data.columns import label_of, texts_of
from bertsmith.data.example import Example
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.errors import DataError
from bertsmith.metrics.regression import RegressionMetrics
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.linear_head import LinearHead, check_dropout
from bertsmith.tasks.losses import mean_squared_error
from bertsmith.tasks.pairs import are_pairs, check_pair
from bertsmith.tasks.task import RecordTask, Targets
from bertsmith.text.tokenizer import Tokenizer


class SequenceRegressionHead(LinearHead):
    """Dropout and one score from the pooled output."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(B, H) pooled output → (B,)."""
        scores: Tensor = self.classifier(self.dropout(output.pooled_output)).squeeze(-1)
        return scores


class SequenceRegression(RecordTask):
    """Targets: `scores` (B,), NaN = no score.

    Args:
        classifier_dropout: before the last layer; None takes the model's `hidden_dropout_prob`.
        columns: of the training file, as the user named them (`text`, `pair`, `label`).
        pairs: whether records are pairs of texts; None: unknown, or some are. Learned from the
            training records.
    """

    name = "sequence_regression"
    needs_pooler = True
    target = "scores"
    figure = "pearson"

    def __init__(
        self,
        *,
        classifier_dropout: float | None = None,
        columns: Mapping[str, str] | None = None,
        pairs: bool | None = None,
    ) -> None:
        check_dropout(classifier_dropout)
        self.classifier_dropout = classifier_dropout
        self.columns = Layout.from_settings(columns or {}).named
        self.pairs = pairs
        self.num_truncated = 0
        """Texts or pairs cut to `max_length` so far."""

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:
        """Look through the training records for pairs; scores are not counted."""
        if self.pairs is None:
            self.pairs = are_pairs(records)
        return {}

    def examples(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[Example]:
        """Encode text or pair; the longer of a pair is cut first where both are too long.

        Raises:
            DataError: a record has no text, or a label that is no number.
        """
        for record in records:
            text, pair = texts_of(record)
            check_pair(record, pair, self.pairs)
            encoding = tokenizer.encode(text, pair, max_length=max_length)
            if len(encoding) == max_length and len(tokenizer.encode(text, pair)) > max_length:
                self.num_truncated += 1
            ids, segment_ids = array("i", encoding.ids), array("b", encoding.segment_ids)
            yield Example(ids, segment_ids, _score(record))

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """`scores` (B,)."""
        scores = [math.nan if example.target is None else example.target for example in examples]
        return {"scores": torch.tensor(scores)}

    def build_head(self, bert: Bert) -> SequenceRegressionHead:
        """Dropout and a linear layer to one score."""
        return SequenceRegressionHead(bert, 1, self.classifier_dropout)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean squared error over the records."""
        return mean_squared_error(logits, targets["scores"])

    def metrics(self) -> RegressionMetrics:
        """Squared error and correlations; see `RegressionMetrics`."""
        return RegressionMetrics()

    def predict(self, logits: Tensor, batch: Batch) -> list[dict[str, Any]]:  # noqa: ARG002
        """The `score` of each record."""
        return [{"score": score} for score in logits.float().tolist()]

    def settings(self) -> dict[str, Any]:
        """What was given."""
        given = {
            "classifier_dropout": self.classifier_dropout,
            "columns": self.columns or None,
            "pairs": self.pairs,
        }
        return {key: value for key, value in given.items() if value is not None}


TASK = SequenceRegression


def _score(record: Record) -> float | None:
    label = label_of(record)
    if label is None:
        return None
    try:
        score = float(label)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise DataError(
            f"{record.location}: the label {label!r} is no number; correct it or drop the record"
        )
    return score
