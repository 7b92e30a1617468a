"""`Batch`, the one thing that data and model share: all tokens end to end, without padding.

A padded matrix of B sequences spends its arithmetic on [PAD]; here the sequences follow each
other in one row of T tokens and `cu_seqlens` says where each starts and ends.

Dimension key: `T` tokens of the batch, `B` sequences.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Packed sequences, as the encoder reads them.

    Sequence `b` is `input_ids[cu_seqlens[b]:cu_seqlens[b + 1]]` and its first token is [CLS].
    Where shapes must not change from batch to batch, trailing entries of `cu_seqlens` repeat T:
    sequences of length 0, whose results mean nothing and whose labels are -100.
    """

    input_ids: Tensor
    """(T,) int64: wordpiece ids."""
    segment_ids: Tensor
    """(T,) int64: 0 for `[CLS] A [SEP]`, 1 for `B [SEP]`."""
    position_ids: Tensor
    """(T,) int64: place in its own sequence, from 0."""
    cu_seqlens: Tensor
    """(B + 1,) int32: cumulative lengths; starts with 0, ends with T, never falls."""
    max_seqlen: int
    """An upper bound on the lengths of the sequences."""
    is_static: bool = False
    """Whether the shapes are fixed, sequences of length 0 among them, and no program may wait to
    look at the values: so in CUDA graphs."""

    @classmethod
    def from_sequences(
        cls, sequences: Sequence[Sequence[int]], segments: Sequence[Sequence[int]] | None = None
    ) -> Batch:
        """Pack lists of wordpiece ids, and of segment ids (0 where not given), end to end."""
        if not sequences:
            raise ValueError("a batch holds at least one sequence")
        lengths = [len(sequence) for sequence in sequences]
        if segments is None:
            segments = [[0] * length for length in lengths]
        if [len(segment) for segment in segments] != lengths:
            raise ValueError("each sequence needs as many segment ids as wordpiece ids")
        bounds = np.cumsum([0, *lengths])
        return cls(
            input_ids=torch.from_numpy(_joined(sequences)),
            segment_ids=torch.from_numpy(_joined(segments)),
            position_ids=torch.from_numpy(np.arange(bounds[-1]) - bounds[:-1].repeat(lengths)),
            cu_seqlens=torch.from_numpy(bounds.astype(np.int32)),
            max_seqlen=max(lengths),
        )

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.input_ids.shape[0]

    @property
    def num_sequences(self) -> int:
        """B, sequences of length 0 counted."""
        return self.cu_seqlens.shape[0] - 1

    @property
    def cls_positions(self) -> Tensor:
        """(B,) int64: where each sequence starts; the last token for a sequence of length 0."""
        return self.cu_seqlens[:-1].long().clamp(max=self.num_tokens - 1)

    @property
    def last_positions(self) -> Tensor:
        """(B,) int64: where each sequence ends; any token for a sequence of length 0."""
        return (self.cu_seqlens[1:].long() - 1).clamp(min=0)

    def filled_up(self, num_tokens: int, pad_id: int) -> Batch:
        """The same sequences, and after them sequences of padding up to `num_tokens` tokens.

        Sequences of length 0 are left out.
        """
        extra = torch.arange(num_tokens - self.num_tokens, device=self.input_ids.device)
        starts = self.cu_seqlens[self.cu_seqlens < self.num_tokens]
        bounds = [*range(self.num_tokens, num_tokens, self.max_seqlen), num_tokens]
        return Batch(
            input_ids=torch.cat([self.input_ids, torch.full_like(extra, pad_id)]),
            segment_ids=torch.cat([self.segment_ids, torch.zeros_like(extra)]),
            position_ids=torch.cat([self.position_ids, extra % self.max_seqlen]),
            cu_seqlens=torch.cat([starts, starts.new_tensor(bounds)]),
            max_seqlen=self.max_seqlen,
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in memory from which a GPU copies by itself."""
        return self._map(_pinned)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return dataclasses.replace(
            self,
            input_ids=function(self.input_ids),
            segment_ids=function(self.segment_ids),
            position_ids=function(self.position_ids),
            cu_seqlens=function(self.cu_seqlens),
        )


def _pinned(tensor: Tensor) -> Tensor:
    """A copy in pinned memory, made by this thread alone.

    PyTorch would have a thread of each core help, which then spin for a while in the way of those
    that read what comes next.
    """
    place = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    place.numpy()[...] = tensor.numpy()
    return place


def _joined(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Rows of numbers end to end; arrays are not looked at number by number."""
    kinds = {row.typecode if isinstance(row, array) else None for row in rows}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is not None:
        # All bytes at once: a fifth of the time of making each row an array of NumPy's first.
        return np.frombuffer(b"".join(rows), kind).astype(np.int64)  # type: ignore[arg-type]
    return np.concatenate([np.asarray(row, np.int64) for row in rows])
