"""Padding and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.ops.ragged import RaggedLayout, row_indices, take_rows


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 3))
def test_unpad_undoes_pad(lengths: list[int], num_empty: int) -> None:
    bounds = torch.tensor([0, *lengths, *[0] * num_empty]).cumsum(0).int()
    layout = RaggedLayout(bounds, max(lengths))
    packed = torch.randn(sum(lengths), 2, 3)
    padded = layout.pad(packed)
    assert padded.shape == (len(lengths), max(lengths), 2, 3)
    assert torch.equal(layout.unpad(padded), packed)
    for row, start, length in zip(padded, bounds, lengths, strict=False):
        assert torch.equal(row[:length], packed[start : start + length])
        assert not row[length:].any()


@given(st.lists(st.integers(0, 600), min_size=1, max_size=40), st.booleans())
def test_runs_are_neighbours_of_about_equal_length(lengths: list[int], is_sorted: bool) -> None:
    lengths = [*(sorted(lengths) if is_sorted else lengths), 7]
    lengths = [length for length in lengths if length] + [0] * lengths.count(0)
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    runs = RaggedLayout(bounds, max(lengths)).runs
    found = [run.lengths.tolist() for run in runs]
    assert [length for run in found for length in run] == [length for length in lengths if length]
    for run, layout in zip(found, runs, strict=True):
        assert layout.max_seqlen == max(run)
        assert len(run) * max(run) ** 2 <= 1.1 * sum(n**2 for n in run) + 4 * 64**2
    assert len(runs) == 1 or is_sorted is False or len(runs) <= 25


@pytest.mark.parametrize("lengths", [[2, 5, 1], [3, 3]])
def test_gradients_pass_through_unchanged(lengths: list[int]) -> None:
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    layout = RaggedLayout(bounds, max(lengths))
    packed = torch.randn(sum(lengths), 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layout.unpad(layout.pad(x) ** 2), packed)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_rows_hold_their_part_and_the_filling(lengths: list[int]) -> None:
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    packed = torch.randn(sum(lengths), 2, requires_grad=True)
    rows = take_rows(packed, row_indices(lengths), -torch.inf)
    assert rows.shape == (len(lengths), max(lengths), 2)
    for row, start, length in zip(rows, bounds, lengths, strict=False):
        assert torch.equal(row[:length], packed[start : start + length])
        assert (row[length:] == -torch.inf).all()
    rows.clamp(min=-9).sum().backward()
    assert packed.grad is not None
    assert (packed.grad == 1).all()
