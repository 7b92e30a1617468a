"""Which wordpiece a vector stands for, as the published head of masked language modelling says it.

Dimension key: `N` vectors, `S` size of one, `H` hidden size, `V` vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.model.activation import build_activation
from bertsmith.model.bert import Bert
from bertsmith.model.initialization import initialize
from bertsmith.model.layer_norm import LayerNorm
from bertsmith.tasks.task import Head


class VocabularyHead(Head):
    """Transform vectors and compare them with every wordpiece's embedding.

    The matrix of the comparison is the wordpiece embedding itself (one parameter, two uses) plus a
    bias of its own.

    Args:
        bert: whose embedding it is.
        size: S; None: the hidden size.
    """

    def __init__(self, bert: Bert, size: int | None = None) -> None:
        super().__init__()
        config = bert.config
        self.transform = nn.Linear(size or config.hidden_size, config.hidden_size)
        self.activation = build_activation(config.hidden_act)
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder_weight = bert.embeddings.wordpiece.weight
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))
        initialize(self, config.initializer_range)

    def compare(self, vectors: Tensor) -> Tensor:
        """(N, S), or with more dimensions before the last → (N, V) logits."""
        transformed = self.layer_norm(self.activation(self.transform(vectors)))
        return F.linear(transformed, self.decoder_weight, self.decoder_bias)
