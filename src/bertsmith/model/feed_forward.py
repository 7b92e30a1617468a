"""The position-wise feed-forward network (Vaswani et al. 2017, section 3.3).

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertsmith.config import BertConfig
from bertsmith.model.activation import build_activation
from bertsmith.ops.activated import activated


class FeedForward(nn.Module):
    """Widen to `intermediate_size`, activate, narrow again; the same for every token."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = build_activation(config.hidden_act)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(T, H) → (T, H)."""
        output: Tensor = self.output(activated(hidden_states, self.intermediate, self.activation))
        return output
