"""One label for each token: named entities, parts of speech (paper, section 5.3, figure 4 d).

Dimension key: `T` tokens of the batch, `H` hidden size, `C` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.labels import checked_labels
from bertsmith.tasks.linear_head import LinearHead, check_dropout
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Targets, Task


class TokenClassificationHead(LinearHead):
    """Dropout and a linear layer on the hidden state of every token."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(T, H) hidden states → (T, C)."""
        logits: Tensor = self.classifier(self.dropout(output.hidden_states))
        return logits


class TokenClassification(Task):
    """Targets: `token_labels` (T,), the label's place among the task's labels; -100 = no label.

    Args:
        labels: the names, in the order of the logits.
        classifier_dropout: before the last layer; None takes the model's `hidden_dropout_prob`.

    Raises:
        ConfigError: a setting that cannot work.
    """

    name = "token_classification"
    needs_pooler = False
    target = "token_labels"

    def __init__(
        self, *, labels: Sequence[str | int], classifier_dropout: float | None = None
    ) -> None:
        self.labels = checked_labels(labels)
        check_dropout(classifier_dropout)
        self.classifier_dropout = classifier_dropout

    def build_head(self, bert: Bert) -> TokenClassificationHead:
        """Dropout and a linear layer to C labels."""
        return TokenClassificationHead(bert, len(self.labels), self.classifier_dropout)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the labelled tokens."""
        return mean_cross_entropy(logits, targets["token_labels"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`token_loss` (nats) and `token_accuracy`."""
        return CrossEntropyAndAccuracy("token")

    def settings(self) -> dict[str, Any]:
        """`labels`, and `classifier_dropout` where it was given."""
        given = {"labels": self.labels, "classifier_dropout": self.classifier_dropout}
        return {key: value for key, value in given.items() if value is not None}


TASK = TokenClassification
