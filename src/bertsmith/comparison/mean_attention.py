"""What the tokens of a Transformer attend to, averaged over held-out sentences.

The weights are measured at the trained model (`inference.features.attention_weights`), so that what
is never attended to is found, not assumed.

Dimension key: `S` tokens of a sequence.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from bertsmith.comparison.word_vectors import max_length_of
from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.features import attention_maps

NUM_TOKENS = 24
MAX_SEQUENCES = 64


@dataclass(frozen=True)
class Shares:
    """Where a token's attention goes, on average over tokens; together 1."""

    earlier: float
    own: float
    later: float

    def to_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class MeanAttention:
    """Attention weights, rows attending to columns."""

    layers: list[Tensor]
    """(S, S) each: the mean over heads and sequences."""
    is_used: Tensor
    """(S, S) bool: whether any head of any layer gave any weight, in any sequence."""
    num_sequences: int

    @property
    def shares(self) -> Shares:
        """Of all layers together."""
        mean = torch.stack(self.layers).double().mean(0)
        rows = mean / mean.sum(1, keepdim=True)
        size = len(rows)
        earlier, later = float(rows.tril(-1).sum()) / size, float(rows.triu(1).sum()) / size
        return Shares(earlier, float(rows.diagonal().sum()) / size, later)


def mean_attention(loaded: LoadedModel, sentences: Sequence[str]) -> MeanAttention | None:
    """Measure on sequences of one length, so that a place means the same in all of them.

    They are the beginnings of sentences of `NUM_TOKENS` wordpieces or more, with [CLS] and [SEP];
    where no sentence is as long, the longest.

    Args:
        loaded: any model.
        sentences: to be read.

    Returns:
        None for a model whose layers do not attend, such as an LSTM.
    """
    most = min(NUM_TOKENS, max_length_of(loaded))
    encodings = loaded.tokenizer.encode_batch(sentences, max_length=most)
    longest = max(map(len, encodings))
    examples = [
        Example(array("i", each.ids), array("b", each.segment_ids))
        for each in encodings
        if len(each) == longest
    ][:MAX_SEQUENCES]
    batch = pack_examples(examples, next(loaded.model.parameters()).device)
    maps = attention_maps(loaded.model, batch)
    if not maps:
        return None
    is_used = torch.stack([(each > 0).any(0).any(0).cpu() for each in maps]).any(0)
    return MeanAttention([each.mean((0, 1)).cpu() for each in maps], is_used, len(examples))
