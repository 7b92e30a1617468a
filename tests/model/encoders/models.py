"""Small encoders of every kind, whose vectors are far from alike."""

from __future__ import annotations

import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.model.bert import Bert
from bertsmith.model.encoders.registry import encoder_class
from bertsmith.ops.attention import Attention, auto

CONFIG = BertConfig(
    vocab_size=30,
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=16,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.3,
)
SEQUENCES = [[2, 5, 6, 7, 8, 9, 3], [2, 10, 3], [2, 11, 12, 13, 14, 15, 16, 17, 3], [2, 18, 19, 3]]
BATCH = Batch.from_sequences(SEQUENCES)


def config_of(name: str) -> BertConfig:
    layers = 1 if name == "static_vectors" else CONFIG.num_hidden_layers
    return CONFIG.replace(encoder=name, num_hidden_layers=layers)


def build(name: str, attention: Attention = auto) -> Bert:
    torch.manual_seed(0)
    return encoder_class(name)(config_of(name), attention=attention).eval()


def sensitivity(bert: Bert, batch: Batch, token: int, columns: slice = slice(None)) -> list[bool]:
    """Of each token, whether its embedding has any gradient from a token's vector."""
    found: list[torch.Tensor] = []

    def keep(_: object, __: object, output: torch.Tensor) -> None:
        output.retain_grad()
        found.append(output)

    with bert.embeddings.register_forward_hook(keep):
        vector = bert(batch).hidden_states[token, columns]
        # The plain sum of a normalised vector is the same for all.
        (vector * torch.arange(1.0, len(vector) + 1)).sum().backward()
    (embedded,) = found
    assert embedded.grad is not None
    return [bool(row.any()) for row in embedded.grad[: batch.num_tokens]]
