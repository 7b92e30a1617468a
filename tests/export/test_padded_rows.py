"""Rows hold every token once, at its place, and are padded by little."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bertsmith.batch import Batch
from bertsmith.export.padded_rows import padded_rows

PAD = 0


@pytest.mark.parametrize("lengths", [[1], [5, 5, 5], [300, 1, 7, 7, 120, 2], [512] * 3])
def test_every_token_is_in_a_row_at_its_place(lengths: list[int]) -> None:
    draw = random.Random(0)
    ids = [draw.choices(range(1, 90), k=length) for length in lengths]
    segments = [draw.choices((0, 1), k=length) for length in lengths]
    batch = Batch.from_sequences(ids, segments)
    seen: dict[int, tuple[list[int], list[int]]] = {}
    for rows in padded_rows(batch, PAD):
        mask = rows.inputs["attention_mask"]
        assert (rows.inputs["input_ids"][mask == 0] == PAD).all()
        np.testing.assert_array_equal(
            rows.inputs["input_ids"][rows.mask], batch.input_ids.numpy()[rows.tokens]
        )
        for row, sequence in enumerate(rows.sequences.tolist()):
            count = int(mask[row].sum())
            assert mask[row, :count].all()
            seen[sequence] = (
                rows.inputs["input_ids"][row, :count].tolist(),
                rows.inputs["token_type_ids"][row, :count].tolist(),
            )
    assert [seen[i] for i in range(len(lengths))] == list(zip(ids, segments, strict=True))


def test_mixed_lengths_are_padded_by_little() -> None:
    draw = random.Random(0)
    lengths = [draw.randint(3, 512) for _ in range(400)]
    batch = Batch.from_sequences([[1] * length for length in lengths])
    groups = list(padded_rows(batch, PAD, max_tokens=1024))
    padded = [rows.inputs["input_ids"].size for rows in groups]
    assert sum(padded) <= 1.1 * sum(lengths) + 64 * len(groups)
    assert sum(padded) <= 1.15 * sum(lengths)
    assert max(padded) <= 1024
    assert len(groups) < len(lengths)


def test_empty_sequences_are_no_rows() -> None:
    batch = Batch.from_sequences([[5, 6], [7]]).filled_up(3, PAD)
    (rows,) = padded_rows(batch, PAD)
    assert sorted(rows.sequences.tolist()) == [0, 1]
