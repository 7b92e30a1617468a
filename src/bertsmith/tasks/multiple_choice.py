"""Which of several endings fits? (paper, section 4.4).

Each choice is a sequence of its own, `[CLS] context [SEP] choice [SEP]`; one score for each, and
the choices of one question compete. Questions may have different numbers of choices.

Dimension key: `B` sequences, `Q` questions, `K` the most choices, `H` hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.ops.ragged import pad_rows
from bertsmith.tasks.linear_head import LinearHead, check_dropout
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Targets, Task


class MultipleChoiceHead(LinearHead):
    """Dropout and one score from the pooled output: its product with a learned vector."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(B, H) pooled output → (B,)."""
        scores: Tensor = self.classifier(self.dropout(output.pooled_output)).squeeze(-1)
        return scores


class MultipleChoice(Task):
    """Targets: `answers` (Q,), the right choice's place, -100 = none; `choice_bounds` (Q + 1,).

    The sequences `choice_bounds[q]` up to `choice_bounds[q + 1]` are the choices of question q.

    Args:
        classifier_dropout: before the last layer; None takes the model's `hidden_dropout_prob`.
    """

    name = "multiple_choice"
    needs_pooler = True
    target = "answers"

    def __init__(self, *, classifier_dropout: float | None = None) -> None:
        check_dropout(classifier_dropout)
        self.classifier_dropout = classifier_dropout

    def build_head(self, bert: Bert) -> MultipleChoiceHead:
        """Dropout and a linear layer to one score."""
        return MultipleChoiceHead(bert, 1, self.classifier_dropout)

    def rows(self, logits: Tensor, targets: Targets) -> Tensor:
        """(B,) → (Q, K): the scores of each question's choices."""
        return pad_rows(logits.float(), targets["choice_bounds"], -torch.inf)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the questions."""
        return mean_cross_entropy(self.rows(logits, targets), targets["answers"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`choice_loss` (nats) and `choice_accuracy`."""
        return CrossEntropyAndAccuracy("choice")

    def settings(self) -> dict[str, Any]:
        """`classifier_dropout`, where it was given."""
        given = self.classifier_dropout
        return {} if given is None else {"classifier_dropout": given}


TASK = MultipleChoice
