"""Packed sequences as padded rows of about equal length, for programs that read nothing else.

Dimension key: `T` tokens of the batch, `B` rows, `S` the longest of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.batch import Batch

Ids = NDArray[np.int64]

# What is added to a group of rows may not pad it by more than a tenth, unless that is very little:
# to compute apart what fills a few rows costs more than the padding.
MAX_WASTE, SMALL_WASTE = 0.1, 64
# Hidden states of so many tokens stay in a processor's cache from layer to layer.
MAX_TOKENS = 1024


@dataclass(frozen=True)
class PaddedRows:
    """Some of a batch's sequences, one a row."""

    inputs: dict[str, Ids]
    """(B, S) `input_ids`, `attention_mask` and `token_type_ids`, as Hugging Face calls them."""
    sequences: Ids
    """(B,): which sequences of the batch they are."""
    tokens: Ids
    """Where their tokens lie in the batch, row after row."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(B, S): where a token is."""
        return self.inputs["attention_mask"].astype(bool)


def padded_rows(batch: Batch, pad_id: int, max_tokens: int = MAX_TOKENS) -> Iterator[PaddedRows]:
    """Cut a batch into groups of sequences of about equal length, the shortest first.

    Args:
        batch: packed sequences, on the CPU; those of length 0 are left out.
        pad_id: stands after a row's last token.
        max_tokens: the most tokens of a group, padding among them, unless one sequence has more.
    """
    bounds = batch.cu_seqlens.numpy().astype(np.int64)
    lengths = np.diff(bounds)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    ids, segment_ids = batch.input_ids.numpy(), batch.segment_ids.numpy()
    for group in _groups(order, lengths, max_tokens):
        own = lengths[group]
        mask = np.arange(own.max()) < own[:, None]  # (B, S)
        tokens = (bounds[group][:, None] + np.arange(own.max()))[mask]
        input_ids = np.full(mask.shape, pad_id, np.int64)
        input_ids[mask] = ids[tokens]
        token_type_ids = np.zeros(mask.shape, np.int64)
        token_type_ids[mask] = segment_ids[tokens]
        inputs = {
            "input_ids": input_ids,
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": token_type_ids,
        }
        yield PaddedRows(inputs, group, tokens)


def _groups(order: Ids, lengths: Ids, max_tokens: int) -> Iterator[Ids]:
    """Neighbours in an order of rising lengths that are padded to the same length."""
    first = filled = 0
    for place, length in enumerate(lengths[order].tolist()):
        padded = (place + 1 - first) * length
        limit = (1 + MAX_WASTE) * (filled + length) + SMALL_WASTE
        if place > first and padded > min(limit, max_tokens):
            yield order[first:place]
            first, filled = place, 0
        filled += length
    if first < len(order):
        yield order[first:]
