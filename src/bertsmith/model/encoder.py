"""The bidirectional Transformer encoder (Devlin et al. 2019, section 3).

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bertsmith.config import BertConfig
from bertsmith.model.attention import SelfAttention
from bertsmith.model.feed_forward import FeedForward
from bertsmith.model.layer_norm import LayerNorm
from bertsmith.ops.attention import Attention
from bertsmith.ops.dropout import Dropout
from bertsmith.ops.ragged import RaggedLayout


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network; each is added to its input, then normalised."""

    def __init__(
        self, config: BertConfig, attention: Attention, *, is_causal: bool = False
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(config, attention, is_causal=is_causal)
        self.attention_layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, layout: RaggedLayout) -> Tensor:
        """(T, H) → (T, H)."""
        attended = self.dropout(self.attention(hidden_states, layout))
        hidden_states = self.attention_layer_norm(attended, hidden_states)
        transformed = self.dropout(self.feed_forward(hidden_states))
        output: Tensor = self.feed_forward_layer_norm(transformed, hidden_states)
        return output


class Encoder(nn.Module):
    """The stack of layers.

    With `gradient_checkpointing` each layer's activations are computed again in the backward
    pass instead of kept: about a third more arithmetic for a fraction of the memory.
    """

    def __init__(
        self, config: BertConfig, attention: Attention, *, is_causal: bool = False
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(config, attention, is_causal=is_causal)
            for _ in range(config.num_hidden_layers)
        )
        self.gradient_checkpointing = False

    def forward(
        self, hidden_states: Tensor, layout: RaggedLayout, collected: list[Tensor] | None = None
    ) -> Tensor:
        """(T, H) embeddings → (T, H) of the last layer.

        Args:
            hidden_states: the embeddings.
            layout: of the batch.
            collected: a list that the embeddings and then each layer's output are added to.
        """
        if collected is not None:
            collected.append(hidden_states)
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                hidden_states = checkpoint(layer, hidden_states, layout, use_reentrant=False)
            else:
                hidden_states = layer(hidden_states, layout)
            if collected is not None:
                collected.append(hidden_states)
        return hidden_states
