"""BERT without a head: embeddings, encoder and pooler (Devlin et al. 2019, section 3).

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import DataError
from bertsmith.model.embeddings import Embeddings
from bertsmith.model.encoder import Encoder
from bertsmith.model.initialization import initialize
from bertsmith.model.pooler import Pooler
from bertsmith.ops.attention import Attention, auto
from bertsmith.ops.ragged import RaggedLayout


class BertOutput(NamedTuple):
    """What the encoder says about a batch."""

    hidden_states: Tensor
    """(T, H): the last layer's vector of each token."""
    pooled_output: Tensor | None
    """(B, H): the vector of each sequence; None for a model without pooler."""
    all_hidden_states: tuple[Tensor, ...] | None = None
    """(T, H) each: the embeddings, then every layer's output; None where not asked for."""


class Bert(nn.Module):
    """The pre-trained part of every model; new ones start as published.

    Args:
        config: sizes.
        with_pooler: whether any head reads `pooled_output`; heads on tokens do not.
        attention: one of `bertsmith.ops.attention`.
    """

    def __init__(
        self, config: BertConfig, *, with_pooler: bool = True, attention: Attention = auto
    ) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config, attention)
        self.pooler = Pooler(config) if with_pooler else None
        self.output_size = config.hidden_size
        """Of the vectors that heads read; another where they read features made of this BERT's."""
        initialize(self, config.initializer_range)

    def forward(self, batch: Batch, *, all_hidden_states: bool = False) -> BertOutput:
        """Encode a batch.

        Args:
            batch: packed sequences.
            all_hidden_states: keep what every layer says, not only the last.

        Raises:
            DataError: when a sequence may be longer than the model has positions.
        """
        if batch.max_seqlen > self.config.max_position_embeddings:
            raise DataError(
                f"a sequence of {batch.max_seqlen} wordpieces is longer than the model's "
                f"{self.config.max_position_embeddings} positions; truncate it or cut it into "
                "windows"
            )
        padded = self._rounded_up(batch)
        static_tokens = padded.num_tokens if padded.is_static else None
        layout = RaggedLayout(padded.cu_seqlens, padded.max_seqlen, static_tokens)
        collected: list[Tensor] | None = [] if all_hidden_states else None
        hidden_states = self.encoder(self._embedded(padded), layout, collected)
        hidden_states = hidden_states[: batch.num_tokens]
        pooled_output = None
        if self.pooler is not None:
            pooled_output = self.pooler(hidden_states, batch.cls_positions)
        kept = None if collected is None else tuple(x[: batch.num_tokens] for x in collected)
        return BertOutput(hidden_states, pooled_output, kept)

    def _embedded(self, batch: Batch) -> Tensor:
        output: Tensor
        if torch.compiler.is_compiling():
            output = self.embeddings(batch)
            return output
        try:
            output = self.embeddings(batch)
        except IndexError:  # on a CPU; to look first would make every step wait for a GPU
            config = self.config
            for ids, name, size in (
                (batch.input_ids, "wordpiece", config.vocab_size),
                (batch.segment_ids, "segment", config.type_vocab_size),
                (batch.position_ids, "position", config.max_position_embeddings),
            ):
                low, high = int(ids.min()), int(ids.max())
                if low < 0 or high >= size:
                    raise DataError(
                        f"the batch has {name} ids from {low} to {high}, and the model's go from 0 "
                        f"to {size - 1}; is this the model's own tokenizer?"
                    ) from None
            raise
        return output

    def _rounded_up(self, batch: Batch) -> Batch:
        """On a CPU, a batch of one of few sizes, at most an eighth larger.

        Its library makes the kernel of a matrix product anew for each size: batches of any size
        cost a third of the speed, and memory for a thousand kernels.
        """
        if batch.input_ids.device.type != "cpu":
            return batch
        step = max(8, 2 ** (batch.num_tokens.bit_length() - 1) // 8)
        rounded = -(-batch.num_tokens // step) * step
        if rounded == batch.num_tokens:
            return batch
        return batch.filled_up(rounded, self.config.pad_token_id)
