"""The vector of a whole sequence (Devlin et al. 2019, section 3: the vector C).

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertsmith.config import BertConfig


class Pooler(nn.Module):
    """A dense layer with tanh on the hidden state of [CLS]; next-sentence prediction trains it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, cls_positions: Tensor) -> Tensor:
        """(T, H) hidden states and (B,) positions → (B, H) in (-1, 1)."""
        output: Tensor = self.dense(hidden_states.index_select(0, cls_positions)).tanh()
        return output
