"""BERT without a head: embeddings, encoder and pooler (Devlin et al. 2019, section 3).

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

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

    Other encoders (`bertsmith.model.encoders`) are kinds of it: they have `embeddings.wordpiece`,
    the layers in `encoder.layers`, and give a `BertOutput` of a batch.

    Args:
        config: sizes.
        with_pooler: whether any head reads `pooled_output`; heads on tokens do not.
        attention: one of `bertsmith.ops.attention`.
    """

    context: ClassVar[Literal["both", "left", "apart"]] = "both"
    """What a token's vector is made of: of all the sequence; of what stands before it and itself;
    or of both in halves of their own, the first of what is on the left and the second of what is on
    the right, which know nothing of each other."""
    has_fixed_shapes: ClassVar[bool] = True
    """Whether the shapes of all tensors follow from those of the batch, as compilers and CUDA
    graphs need it."""
    pooler: nn.Module | None

    def __init__(
        self, config: BertConfig, *, with_pooler: bool = True, attention: Attention = auto
    ) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config, attention, is_causal=self.context == "left")
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
        check_length(batch, self.config)
        padded = self._rounded_up(batch)
        static_tokens = padded.num_tokens if padded.is_static else None
        layout = RaggedLayout(padded.cu_seqlens, padded.max_seqlen, static_tokens)
        collected: list[Tensor] | None = [] if all_hidden_states else None
        hidden_states = self.encoder(self._embedded(padded), layout, collected)
        hidden_states = hidden_states[: batch.num_tokens]
        pooled_output = self._pooled(hidden_states, batch)
        kept = None if collected is None else tuple(x[: batch.num_tokens] for x in collected)
        return BertOutput(hidden_states, pooled_output, kept)

    def _pooled(self, hidden_states: Tensor, batch: Batch) -> Tensor | None:
        """(T, H) → (B, H); None without a pooler."""
        if self.pooler is None:
            return None
        output: Tensor = self.pooler(hidden_states, batch.cls_positions)
        return output

    def _embedded(self, batch: Batch) -> Tensor:
        output: Tensor
        if torch.compiler.is_compiling():
            output = self.embeddings(batch)
            return output
        try:
            output = self.embeddings(batch)
        except IndexError:  # on a CPU; to look first would make every step wait for a GPU
            check_ids(batch, self.config)
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


def check_length(batch: Batch, config: BertConfig) -> None:
    """Hold a batch's longest sequence to the model's positions.

    Raises:
        DataError: it may be longer.
    """
    if batch.max_seqlen > config.max_position_embeddings:
        raise DataError(
            f"a sequence of {batch.max_seqlen} wordpieces is longer than the model's "
            f"{config.max_position_embeddings} positions; truncate it or cut it into windows"
        )


def check_ids(batch: Batch, config: BertConfig) -> None:
    """Hold a batch's ids to the model's embeddings; waits for the device to look at them.

    Raises:
        DataError: there is none for one of them.
    """
    for ids, name, size in (
        (batch.input_ids, "wordpiece", config.vocab_size),
        (batch.segment_ids, "segment", config.type_vocab_size),
        (batch.position_ids, "position", config.max_position_embeddings),
    ):
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= size:
            raise DataError(
                f"the batch has {name} ids from {low} to {high}, and the model's go from 0 to "
                f"{size - 1}; is this the model's own tokenizer?"
            ) from None
