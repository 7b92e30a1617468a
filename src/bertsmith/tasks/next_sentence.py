"""Next-sentence prediction: does B follow A, or is it random? (paper, section 3.1, task 2).

Dimension key: `B` sequences, `H` hidden size.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.model.initialization import initialize
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Head, Targets, Task


class NextSentenceHead(Head):
    """A linear layer on the pooled output, without dropout as published."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.classifier = nn.Linear(bert.config.hidden_size, 2)
        initialize(self, bert.config.initializer_range)

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(B, H) pooled output → (B, 2); column 0 says that B follows A, column 1 that not."""
        logits: Tensor = self.classifier(output.pooled_output)
        return logits


class NextSentence(Task):
    """Targets: `next_sentence_labels` (B,): 0 = B follows A, 1 = random, -100 = no pair."""

    name = "next_sentence"
    needs_pooler = True
    target = "next_sentence_labels"

    def build_head(self, bert: Bert) -> NextSentenceHead:
        """A linear layer to two classes."""
        return NextSentenceHead(bert)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the pairs."""
        return mean_cross_entropy(logits, targets["next_sentence_labels"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`next_sentence_loss` (nats) and `next_sentence_accuracy`."""
        return CrossEntropyAndAccuracy("next_sentence")


TASK = NextSentence
