"""The input representation: wordpiece + position + segment (Devlin et al. 2019, figure 2).

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.model.layer_norm import LayerNorm
from bertsmith.ops.dropout import Dropout


class Embeddings(nn.Module):
    """The sum of three learned embeddings, normalised, then dropped out."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.wordpiece = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.segment = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, batch: Batch) -> Tensor:
        """(T, H)."""
        summed = (
            self.wordpiece(batch.input_ids)
            + self.position(batch.position_ids)
            + self.segment(batch.segment_ids)
        )
        output: Tensor = self.dropout(self.layer_norm(summed))
        return output
