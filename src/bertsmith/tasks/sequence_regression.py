"""A score for a text or for a pair of texts, such as their similarity (paper, section 4.1, STS-B).

Dimension key: `B` sequences, `H` hidden size.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bertsmith.metrics.regression import RegressionMetrics
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.linear_head import LinearHead, check_dropout
from bertsmith.tasks.losses import mean_squared_error
from bertsmith.tasks.task import Targets, Task


class SequenceRegressionHead(LinearHead):
    """Dropout and one score from the pooled output."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(B, H) pooled output → (B,)."""
        scores: Tensor = self.classifier(self.dropout(output.pooled_output)).squeeze(-1)
        return scores


class SequenceRegression(Task):
    """Targets: `scores` (B,), NaN = no score.

    Args:
        classifier_dropout: before the last layer; None takes the model's `hidden_dropout_prob`.
    """

    name = "sequence_regression"
    needs_pooler = True
    target = "scores"

    def __init__(self, *, classifier_dropout: float | None = None) -> None:
        check_dropout(classifier_dropout)
        self.classifier_dropout = classifier_dropout

    def build_head(self, bert: Bert) -> SequenceRegressionHead:
        """Dropout and a linear layer to one score."""
        return SequenceRegressionHead(bert, 1, self.classifier_dropout)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean squared error over the records."""
        return mean_squared_error(logits, targets["scores"])

    def metrics(self) -> RegressionMetrics:
        """Squared error and correlations; see `RegressionMetrics`."""
        return RegressionMetrics()

    def settings(self) -> dict[str, Any]:
        """`classifier_dropout`, where it was given."""
        given = self.classifier_dropout
        return {} if given is None else {"classifier_dropout": given}


TASK = SequenceRegression
