"""A question's answer as a span of its passage (paper, section 4.2 and 4.3, figure 4 c).

Every token gets a score as the start of the answer and one as its end; the tokens of one sequence
compete. A question without an answer has its span at [CLS].

Dimension key: `T` tokens of the batch, `B` sequences, `S` the longest, `H` hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.model.initialization import initialize
from bertsmith.ops.ragged import pad_rows
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Head, Targets, Task


class QuestionAnsweringHead(Head):
    """A linear layer on every token, without dropout as published."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.classifier = nn.Linear(bert.config.hidden_size, 2)
        initialize(self, bert.config.initializer_range)

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(T, H) hidden states → (T, 2): column 0 scores starts, column 1 ends."""
        logits: Tensor = self.classifier(output.hidden_states)
        return logits


class QuestionAnswering(Task):
    """Targets: `answer_places` (2 B,) and `sequence_bounds` (B + 1,).

    The places are start and end of each sequence in turn, counted from its [CLS]; -100 where there
    is none. The bounds are the batch's `cu_seqlens`. Google's loss lets padding compete too; here
    there is no padding.
    """

    name = "question_answering"
    needs_pooler = False
    target = "answer_places"

    def build_head(self, bert: Bert) -> QuestionAnsweringHead:
        """A linear layer to two scores."""
        return QuestionAnsweringHead(bert)

    def rows(self, logits: Tensor, targets: Targets) -> Tensor:
        """(T, 2) → (2 B, S): the starts and the ends of each sequence in turn."""
        padded = pad_rows(logits.float(), targets["sequence_bounds"], -torch.inf)  # (B, S, 2)
        return padded.transpose(1, 2).flatten(0, 1)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy of the starts and the ends."""
        return mean_cross_entropy(self.rows(logits, targets), targets["answer_places"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`answer_place_loss` (nats) and `answer_place_accuracy`, of starts and ends alike."""
        return CrossEntropyAndAccuracy("answer_place")


TASK = QuestionAnswering
