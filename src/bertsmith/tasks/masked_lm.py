"""Masked language modelling: name the wordpieces that were hidden (paper, section 3.1, task 1).

Dimension key: `T` tokens of the batch, `M` masked positions, `H` hidden size, `V` vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.activation import build_activation
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.model.initialization import initialize
from bertsmith.model.layer_norm import LayerNorm
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Head, Targets, Task


class MaskedLMHead(Head):
    """Transform the masked positions' vectors and compare them with every wordpiece's embedding.

    Only the masked 15 % are scored: the product with the vocabulary is the model's widest. Its
    matrix is the wordpiece embedding itself (one parameter, two uses) plus a bias of its own.
    """

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        config = bert.config
        self.transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = build_activation(config.hidden_act)
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder_weight = bert.embeddings.wordpiece.weight
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))
        initialize(self, config.initializer_range)

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:
        """(T, H) hidden states, `masked_positions` (M,) → (M, V)."""
        masked = output.hidden_states.index_select(0, targets["masked_positions"])  # (M, H)
        transformed = self.layer_norm(self.activation(self.transform(masked)))
        return F.linear(transformed, self.decoder_weight, self.decoder_bias)


class MaskedLM(Task):
    """Targets: `masked_positions` (M,) and `masked_labels` (M,), -100 in slots that are unused."""

    name = "masked_lm"
    needs_pooler = False
    target = "masked_labels"

    def build_head(self, bert: Bert) -> MaskedLMHead:
        """The transform, and a decoder tied to the wordpiece embedding."""
        return MaskedLMHead(bert)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the masked positions.

        Google's code divides by the count plus 1e-5, which keeps an empty batch from dividing by
        zero; here the count is at least 1.
        """
        return mean_cross_entropy(logits, targets["masked_labels"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`masked_lm_loss` (nats) and `masked_lm_accuracy`."""
        return CrossEntropyAndAccuracy("masked_lm")


TASK = MaskedLM
