"""The share of repeated lines: exact while the lines fit, then a good estimate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data import repeated_lines
from bertsmith.data.repeated_lines import RepeatedLines, hash_lines


@given(st.lists(st.lists(st.sampled_from("abcdefgh")), max_size=5))
def test_the_share_is_exact_while_all_lines_fit(blocks):
    lines = [line for block in blocks for line in block]
    repeated = RepeatedLines()
    for block in blocks:
        repeated.add(*hash_lines(block))
    assert repeated.halvings == 0
    assert repeated.share == ((len(lines) - len(set(lines))) / len(lines) if lines else 0)


def test_more_lines_than_fit_are_sampled(monkeypatch):
    monkeypatch.setattr(repeated_lines, "MAX_LINES", 4096)
    numbers = np.random.default_rng(0).integers(0, 60_000, size=100_000)
    repeated = RepeatedLines()
    for block in np.array_split(numbers, 50):
        repeated.add(*hash_lines(map(str, block)))
    assert len(repeated.hashes) <= 4096
    assert repeated.halvings >= 3
    true_share = 1 - len(np.unique(numbers)) / len(numbers)
    # A sample of about 3,000 lines: a standard deviation of 0.01.
    assert repeated.share == pytest.approx(true_share, abs=0.04)


def test_the_sample_does_not_depend_on_order_or_blocks(monkeypatch):
    monkeypatch.setattr(repeated_lines, "MAX_LINES", 64)
    lines = [str(i % 700) for i in range(2000)]
    forward, backward = RepeatedLines(), RepeatedLines()
    for start in range(0, 2000, 100):
        forward.add(*hash_lines(lines[start : start + 100]))
    backward.add(*hash_lines(lines[::-1]))
    assert forward.halvings == backward.halvings > 0
    assert np.array_equal(forward.hashes, backward.hashes)
    assert np.array_equal(forward.counts, backward.counts)
