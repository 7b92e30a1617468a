"""Putting a model's wide products into 8-bit floating point while it trains.

Those are the projections to queries, keys and values and both products of the feed-forward
networks, four fifths of the encoder's arithmetic. Weights stay in float32, all other products
in bfloat16, and so does everything in evaluation.

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.model.attention import SelfAttention
from bertsmith.model.bert import Bert
from bertsmith.model.encoder import EncoderLayer
from bertsmith.model.feed_forward import FeedForward
from bertsmith.ops.projected_attention import has_kernels, projected_attention
from bertsmith.ops.ragged import RaggedLayout

# Both factors of an 8-bit product have to be multiples of this along every dimension.
MULTIPLE = 16
# The first of NVIDIA's GPUs that have such products: Ada and Hopper.
CAPABILITY = (8, 9)


class FP8SelfAttention(SelfAttention):
    """Self-attention whose projection multiplies 8-bit numbers in training.

    Where there is no kernel of ours for its heads it stays as it is.
    """

    def attend(self, hidden_states: Tensor, layout: RaggedLayout, dropout_prob: float) -> Tensor:
        """(T, H) → (T, H)."""
        can_be = self.training and not self.is_causal
        if not can_be or not has_kernels(self.attention, hidden_states, self.head_size):
            return super().attend(hidden_states, layout, dropout_prob)
        x, weight, bias = hidden_states.bfloat16(), self.qkv.weight, self.qkv.bias
        heads = self.num_heads
        return projected_attention(x, weight, bias, layout, heads, dropout_prob, in_8_bits=True)


class FP8FeedForward(FeedForward):
    """A feed-forward network that multiplies 8-bit numbers in training."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(T, H) → (T, H)."""
        if not self.training:
            return super().forward(hidden_states)
        from bertsmith.ops.fp8 import fp8_feed_forward

        wide, narrow = self.intermediate, self.output
        return fp8_feed_forward(
            hidden_states.bfloat16(), wide.weight, wide.bias, narrow.weight, narrow.bias
        )


def use_fp8(bert: Bert, device: torch.device) -> None:
    """Make the encoder's wide products 8-bit ones; its parameters and their names stay.

    Raises:
        ConfigError: the device has no such products, or the model's sizes do not fit them.
    """
    config = bert.config
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < CAPABILITY:
        raise ConfigError(
            "train.precision = 'fp8' needs an NVIDIA GPU of the generations Ada, Hopper or later "
            f"and the device is {device.type}; set it to 'bf16'"
        )
    for name in ("hidden_size", "intermediate_size"):
        if getattr(config, name) % MULTIPLE:
            raise ConfigError(
                f"train.precision = 'fp8' needs a {name} that {MULTIPLE} divides and this model's "
                f"is {getattr(config, name)}; set it to 'bf16'"
            )
    if config.hidden_act != "gelu":
        raise ConfigError(
            "train.precision = 'fp8' needs hidden_act = 'gelu' and this model's is "
            f"{config.hidden_act!r}; set it to 'bf16'"
        )
    layers = [layer for layer in bert.encoder.layers if isinstance(layer, EncoderLayer)]
    if len(layers) < config.num_hidden_layers:
        raise ConfigError(
            "train.precision = 'fp8' is for the layers of a Transformer, which the encoder "
            f"{config.encoder!r} has none of; set it to 'bf16'"
        )
    for layer in layers:
        # Another class around the same parameters, so that whoever holds them notices nothing.
        layer.attention.__class__ = FP8SelfAttention
        layer.feed_forward.__class__ = FP8FeedForward
