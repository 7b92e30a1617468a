"""Multi-head self-attention (Vaswani et al. 2017, section 3.2.2).

Dimension key: `T` tokens of the batch, `H` hidden size, `N` heads, `D` head size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertsmith.config import BertConfig
from bertsmith.ops.attention import Attention
from bertsmith.ops.projected_attention import has_kernels, projected_attention
from bertsmith.ops.ragged import RaggedLayout


class SelfAttention(nn.Module):
    """Project to queries, keys and values, attend, project back.

    The three projections are one product, since one wide product is faster than three; the rows
    of `qkv` are the query's, then the key's, then the value's.

    Args:
        config: sizes.
        attention: one of `bertsmith.ops.attention`.
        is_causal: whether tokens attend to those before them and to themselves alone.
    """

    def __init__(
        self, config: BertConfig, attention: Attention, *, is_causal: bool = False
    ) -> None:
        super().__init__()
        self.is_causal = is_causal
        self.num_heads = config.num_attention_heads
        self.head_size = config.hidden_size // config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        self.attention = attention
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, layout: RaggedLayout) -> Tensor:
        """(T, H) → (T, H)."""
        dropout_prob = self.dropout_prob if self.training else 0.0
        output: Tensor = self.output(self.attend(hidden_states, layout, dropout_prob))
        return output

    def attend(self, hidden_states: Tensor, layout: RaggedLayout, dropout_prob: float) -> Tensor:
        """(T, H) → (T, H): the heads' outputs side by side.

        The definition, or in a compiled model on a GPU the fastest way there.
        """
        heads, size = self.num_heads, self.head_size
        is_compiled = torch.compiler.is_compiling() and not self.is_causal
        if is_compiled and has_kernels(self.attention, hidden_states, size):
            weight, bias = self.qkv.weight, self.qkv.bias
            return projected_attention(hidden_states, weight, bias, layout, heads, dropout_prob)
        qkv = self.qkv(hidden_states).view(-1, 3, heads, size)
        return self.attention(qkv, layout, dropout_prob, self.is_causal).flatten(1)
