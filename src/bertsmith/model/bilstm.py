"""A bidirectional LSTM over packed sequences (Hochreiter and Schmidhuber 1997).

The paper has one over the features of a frozen BERT (section 5.3). PyTorch wants tokens ordered by
their place in the sequence, the longest sequence first: so each step is one product for all
sequences that are as long, and none is spent on padding.

Dimension key: `T` tokens of the batch, `B` sequences, `S` the longest, `L` size of one direction.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


class BiLSTMOutput(NamedTuple):
    """What both directions say, forward then backward."""

    tokens: Tensor
    """(T, 2 L): each token's two states."""
    sequences: Tensor
    """(B, 2 L): the forward state after the last token, the backward state after the first."""


class BiLSTM(nn.Module):
    """Layers of two LSTMs each, one from left to right and one from right to left.

    Args:
        input_size: of a token's vector.
        hidden_size: L, of each direction.
        num_layers: one above the other.
        dropout_prob: between the layers.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, dropout_prob: float
    ) -> None:
        super().__init__()
        between = dropout_prob if num_layers > 1 else 0.0
        self.lstm = nn.LSTM(
            input_size, hidden_size, num_layers, bidirectional=True, dropout=between
        )

    def forward(self, vectors: Tensor, cu_seqlens: Tensor) -> BiLSTMOutput:
        """(T, input size) vectors of sequences that `cu_seqlens` (B + 1,) bounds.

        Sequences of length 0 may stand at the end; what is said of them means nothing.
        """
        order, batch_sizes = step_order(cu_seqlens, len(vectors))
        packed, _ = self.lstm(PackedSequence(vectors.index_select(0, order), batch_sizes))
        tokens = packed.data.index_select(0, order.argsort())
        bounds = cu_seqlens.long()
        last = (bounds[1:] - 1).clamp(min=0)
        first = bounds[:-1].clamp(max=len(tokens) - 1)
        size = self.lstm.hidden_size
        forward, backward = tokens[:, :size], tokens[:, size:]
        ends = [forward.index_select(0, last), backward.index_select(0, first)]
        return BiLSTMOutput(tokens, torch.cat(ends, -1))


def step_order(cu_seqlens: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """(T,) tokens in the order of an LSTM's steps, and how many each of the S steps has.

    The numbers of each step are on the CPU, where PyTorch wants them: one wait for a GPU.
    """
    lengths = cu_seqlens.diff().long()
    num_sequences, device = len(lengths), lengths.device
    ranks = lengths.argsort(descending=True, stable=True).argsort()
    sequences = torch.arange(num_sequences, device=device).repeat_interleave(
        lengths, output_size=num_tokens
    )
    places = torch.arange(num_tokens, device=device) - cu_seqlens[:-1].long()[sequences]
    order = (places * num_sequences + ranks[sequences]).argsort()
    return order, places.bincount().cpu()
