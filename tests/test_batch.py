"""The packed batch."""

from __future__ import annotations

import dataclasses
from array import array

import pytest
import torch

from bertsmith.batch import Batch


def test_sequences_lie_end_to_end() -> None:
    batch = Batch.from_sequences([[1, 2, 3], [4, 5]], [[0, 0, 1], [0, 0]])
    assert batch.input_ids.tolist() == [1, 2, 3, 4, 5]
    assert batch.segment_ids.tolist() == [0, 0, 1, 0, 0]
    assert batch.position_ids.tolist() == [0, 1, 2, 0, 1]
    assert batch.cu_seqlens.tolist() == [0, 3, 5]
    assert (batch.max_seqlen, batch.num_tokens, batch.num_sequences) == (3, 5, 2)
    assert batch.cls_positions.tolist() == [0, 3]


def test_arrays_of_numbers_lie_end_to_end_like_lists() -> None:
    rows, segments = [[1, -2, 70_000], [], [4]], [[0, 1, 1], [], [0]]
    expected = Batch.from_sequences(rows, segments)
    arrays = [array("i", row) for row in rows]
    bytes_of = [array("b", row) for row in segments]
    for ids in (arrays, [array("q", rows[0]), *arrays[1:]], [rows[0], *arrays[1:]]):
        batch = Batch.from_sequences(ids, bytes_of)
        assert batch.input_ids.dtype == batch.segment_ids.dtype == torch.int64
        assert batch.input_ids.tolist() == expected.input_ids.tolist()
        assert batch.segment_ids.tolist() == expected.segment_ids.tolist()


def test_the_first_token_of_an_empty_sequence_can_be_read() -> None:
    batch = Batch.from_sequences([[1, 2]])
    padded = Batch(
        batch.input_ids,
        batch.segment_ids,
        batch.position_ids,
        torch.tensor([0, 2, 2], dtype=torch.int32),
        2,
    )
    assert padded.cls_positions.tolist() == [0, 1]


def test_segments_must_fit_the_sequences() -> None:
    with pytest.raises(ValueError, match="as many segment ids"):
        Batch.from_sequences([[1, 2]], [[0]])


def test_a_batch_is_never_empty() -> None:
    with pytest.raises(ValueError, match="at least one sequence"):
        Batch.from_sequences([])


def test_filling_up_adds_sequences_of_padding() -> None:
    rows = Batch.from_sequences([[7, 8, 9], [7, 8]])
    with_empty = torch.tensor([0, 3, 5, 5, 5], dtype=torch.int32)
    batch = dataclasses.replace(rows, cu_seqlens=with_empty).filled_up(12, pad_id=1)
    assert batch.input_ids.tolist() == [7, 8, 9, 7, 8, 1, 1, 1, 1, 1, 1, 1]
    assert batch.position_ids.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2, 0]
    assert batch.segment_ids.tolist() == [0] * 12
    assert batch.cu_seqlens.tolist() == [0, 3, 5, 8, 11, 12]
    assert (batch.max_seqlen, batch.num_tokens) == (3, 12)
