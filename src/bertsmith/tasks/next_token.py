"""Language modelling from left to right: name the next token (Radford et al. 2018, equation 1).

Every position is asked, where masked language modelling asks 15 %: it learns from more of each text
and of each position's left side alone. BERT's paper compares the two in section 5.1 ("LTR").

Dimension key: `T` tokens of the batch, `H` hidden size, `V` vocabulary.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Head, Targets, Task


class NextTokenHead(Head):
    """Compare every token's vector with the embedding of each wordpiece that may follow it.

    There is nothing but the embedding itself, as published (equation 2).
    """

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.decoder_weight = bert.embeddings.wordpiece.weight

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(T, H) hidden states → (T, V)."""
        return F.linear(output.hidden_states, self.decoder_weight)


class NextToken(Task):
    """Targets: `next_labels` (T,), -100 after a sequence's last token and in padding."""

    name = "next_token"
    needs_pooler = False
    target = "next_labels"
    shown = "whole"

    def build_head(self, bert: Bert) -> NextTokenHead:
        """A decoder tied to the wordpiece embedding.

        Raises:
            ConfigError: the encoder sees what is to be predicted.
        """
        if bert.context != "left":
            raise ConfigError(
                f"next_token asks for what follows, and the encoder {bert.config.encoder!r} does "
                "not read from left to right alone; set model.encoder to one that does, or tasks "
                "to masked_lm"
            )
        return NextTokenHead(bert)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over all tokens that another follows."""
        return mean_cross_entropy(logits, targets["next_labels"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`next_token_loss` (nats) and `next_token_accuracy`."""
        return CrossEntropyAndAccuracy("next_token")


TASK = NextToken
