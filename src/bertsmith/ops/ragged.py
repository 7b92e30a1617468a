"""Sequences of different lengths in one tensor: where each token lies, packed and padded.

Dimension key: `T` tokens of the batch, `B` sequences, `S` the longest length, `...` any features.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

# Neighbours are padded together while the squares of their lengths grow by no more than a tenth,
# and by so little that to take them apart would cost more.
MAX_WASTE, SMALL_WASTE = 0.1, 4 * 64**2


class RaggedLayout:
    """The boundaries of packed sequences, and what follows from them, computed once a batch.

    Args:
        cu_seqlens: (B + 1,) int32, cumulative lengths from 0 to T.
        max_seqlen: an upper bound on the lengths.
        static_tokens: T, where nothing may wait for the device to look at the lengths; then empty
            sequences take part as rows of padding.
    """

    def __init__(
        self, cu_seqlens: Tensor, max_seqlen: int, static_tokens: int | None = None
    ) -> None:
        self.cu_seqlens = cu_seqlens
        self.max_seqlen = max_seqlen
        self.static_tokens = static_tokens

    @cached_property
    def lengths(self) -> Tensor:
        """(B,) int64 lengths, the empty sequences at the end left out.

        Leaving them out costs one synchronisation with a GPU; only padded code needs it.
        """
        lengths = self.cu_seqlens.diff().long()
        if self.static_tokens is not None:
            return lengths
        return lengths[: int((lengths > 0).sum())]

    @cached_property
    def slots(self) -> Tensor:
        """(T,) int64: the row of each packed token in a padded (B * S, ...) tensor."""
        lengths = self.lengths
        starts = self.cu_seqlens[: len(lengths)].long()
        shift = torch.arange(len(lengths), device=starts.device) * self.max_seqlen - starts
        num_tokens = self.static_tokens or int(lengths.sum())
        return torch.arange(num_tokens, device=starts.device) + shift.repeat_interleave(
            lengths, output_size=num_tokens
        )

    @cached_property
    def mask(self) -> Tensor | None:
        """(B, S) bool: True where a padded tensor holds a token; None where it does everywhere."""
        if self.is_rectangular:
            return None
        places = torch.arange(self.max_seqlen, device=self.lengths.device)
        # A row without any place to attend to would be a softmax of nothing: NaN.
        lengths = self.lengths if self.static_tokens is None else self.lengths.clamp(min=1)
        return places < lengths[:, None]

    @cached_property
    def is_rectangular(self) -> bool:
        """Whether every sequence has length S, so that padding is a change of shape alone."""
        return self.static_tokens is None and bool((self.lengths == self.max_seqlen).all())

    @cached_property
    def runs(self) -> list[RaggedLayout]:
        """The layouts of neighbours of about equal length, which in all fill the same tokens.

        Padded apart they make little more than the squares of their lengths. It waits for the
        device, and the number of runs is different each time: for a CPU.
        """
        runs: list[list[int]] = []
        squares = longest = 0
        for length in self.lengths.tolist():
            squares += length**2
            longest = max(longest, length)
            padded = (len(runs[-1]) + 1 if runs else 1) * longest**2
            if not runs or padded > (1 + MAX_WASTE) * squares + SMALL_WASTE:
                runs.append([])
                squares, longest = length**2, length
            runs[-1].append(length)
        bounds = (torch.tensor([0, *run], dtype=torch.int32) for run in runs)
        return [
            RaggedLayout(each.cumsum(0, dtype=torch.int32), max(run))
            for each, run in zip(bounds, runs, strict=True)
        ]

    @cached_property
    def equal_runs(self) -> list[RaggedLayout]:
        """The layouts of neighbours of the same length, where nothing is padded; for a CPU.

        They are more than `runs`, which a backward pass would pay for.
        """
        groups = [list(group) for _, group in itertools.groupby(self.lengths.tolist())]
        bounds = (torch.tensor([0, *group], dtype=torch.int32) for group in groups)
        return [
            RaggedLayout(each.cumsum(0, dtype=torch.int32), group[0])
            for each, group in zip(bounds, groups, strict=True)
        ]

    def pad(self, packed: Tensor) -> Tensor:
        """Spread (T, ...) out to (B, S, ...), zeros where there is no token."""
        shape = (len(self.lengths), self.max_seqlen, *packed.shape[1:])
        if self.is_rectangular:
            return packed.reshape(shape)
        padded: Tensor = _Pad.apply(packed, self.slots, shape[0] * shape[1])  # type: ignore[no-untyped-call]
        return padded.view(shape)

    def unpad(self, padded: Tensor) -> Tensor:
        """Collect the tokens of (B, S, ...) back to (T, ...)."""
        flat = padded.reshape(-1, *padded.shape[2:])
        if self.is_rectangular:
            return flat
        packed: Tensor = _Unpad.apply(flat, self.slots)  # type: ignore[no-untyped-call]
        return packed


def row_indices(lengths: Sequence[int]) -> Tensor:
    """(B, S): where the values of each part lie, parts being end to end; -1 after their last."""
    sizes = torch.tensor(lengths)
    places = torch.arange(int(sizes.max()))
    indices = (sizes.cumsum(0) - sizes)[:, None] + places
    return indices.masked_fill(places >= sizes[:, None], -1)


def take_rows(packed: Tensor, indices: Tensor, fill: float) -> Tensor:
    """Spread values out to rows that are as long as the longest, the rest filled.

    Args:
        packed: (T, ...).
        indices: (B, S), as `row_indices` gives them; those below 0 are places without a value.
        fill: stands there; it has no gradient.
    """
    is_there = (indices >= 0).view(*indices.shape, *[1] * (packed.dim() - 1))
    return packed[indices.clamp(min=0)].masked_fill(~is_there, fill)


class _Pad(torch.autograd.Function):
    """Rows to their slots. Its gradient is `_Unpad`, a copy; autograd's own would add up."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, slots: Tensor, num_rows: int) -> Tensor:
        ctx.save_for_backward(slots)
        return packed.new_zeros(num_rows, *packed.shape[1:]).index_copy_(0, slots, packed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slots,) = ctx.saved_tensors
        return gradients[0].index_select(0, slots), None, None


class _Unpad(torch.autograd.Function):
    """Slots back to rows; the adjoint of `_Pad`."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.num_rows = padded.shape[0]
        return padded.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slots,) = ctx.saved_tensors
        gradient = gradients[0]
        padded = gradient.new_zeros(ctx.num_rows, *gradient.shape[1:])
        return padded.index_copy_(0, slots, gradient.contiguous()), None
