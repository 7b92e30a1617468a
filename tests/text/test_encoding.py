from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import ConfigError, DataError
from bertsmith.text.encoding import Pieces, assemble, truncate


def pieces(length: int) -> Pieces:
    return Pieces(
        list(range(length)), list(map(str, range(length))), [(0, 0)] * length, [None] * length
    )


def google_lengths(first: int, second: int, budget: int) -> list[int]:
    """The loop of the published code: pop from the longer, from the second when equal."""
    while first + second > budget:
        if first > second:
            first -= 1
        else:
            second -= 1
    return [first, second]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(5, 60))
def test_longest_first_is_googles_rule(first, second, max_length):
    cut = truncate([pieces(first), pieces(second)], max_length, "longest_first")
    assert [len(part) for part in cut] == google_lengths(first, second, max_length - 3)
    assert all(part.ids == list(range(len(part))) for part in cut)


def test_an_odd_piece_stays_with_the_first():
    cut = truncate([pieces(9), pieces(9)], 10, "longest_first")
    assert [len(part) for part in cut] == [4, 3]


@pytest.mark.parametrize(
    ("truncation", "lengths"), [("only_first", [3, 5]), ("only_second", [6, 2])]
)
def test_only_one_is_cut(truncation, lengths):
    cut = truncate([pieces(6), pieces(5)], 11, truncation)
    assert [len(part) for part in cut] == lengths


def test_head_tail_keeps_a_quarter_from_the_start():
    [cut] = truncate([pieces(1000)], 514, "head_tail")
    assert cut.ids == [*range(128), *range(616, 1000)]


def test_head_tail_cuts_the_middle_of_each_text_of_a_pair():
    cut = truncate([pieces(20), pieces(2)], 13, "head_tail")
    assert cut[0].ids == [0, 1, *range(14, 20)]
    assert cut[1].ids == [0, 1]


@pytest.mark.parametrize("truncation", ["longest_first", "only_first", "only_second", "head_tail"])
def test_what_fits_is_left_alone(truncation):
    assert truncate([pieces(3), pieces(4)], 10, truncation) == [pieces(3), pieces(4)]


def test_the_segments_change_after_the_first_separator():
    encoding = assemble([pieces(2), pieces(1)], (101, "[CLS]"), (102, "[SEP]"))
    assert encoding.ids == [101, 0, 1, 102, 0, 102]
    assert encoding.segment_ids == [0, 0, 0, 0, 1, 1]
    assert encoding.tokens == ["[CLS]", "0", "1", "[SEP]", "0", "[SEP]"]
    assert len(encoding) == len(encoding.offsets) == len(encoding.word_ids) == 6


def test_impossible_lengths_are_refused():
    with pytest.raises(ConfigError, match=r"max_length \(4\) must be at least 5"):
        truncate([pieces(1), pieces(1)], 4, "longest_first")
    with pytest.raises(ConfigError, match=r"'shortest'.* must be one of longest_first"):
        truncate([pieces(9)], 8, "shortest")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a pair"):
        truncate([pieces(9)], 8, "only_second")
    with pytest.raises(DataError, match="'only_first' cannot help: the other text alone has 7"):
        truncate([pieces(9), pieces(7)], 10, "only_first")
