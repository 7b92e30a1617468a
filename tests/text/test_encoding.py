from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import ConfigError, DataError
from bertsmith.text.encoding import Pieces, assemble, truncate, windows


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


def test_windows_start_a_step_apart_and_cover_everything():
    question, text = [7, 8], list(range(130))
    found = windows([question, text], max_length=30, step=10, over="last")
    width = 30 - 2 - 3
    assert all(first == question for first, _ in found)
    for index, (_, part) in enumerate(found):
        assert part == text[10 * index : 10 * index + width]
    assert 10 * (len(found) - 1) + width >= len(text) > 10 * (len(found) - 2) + width


def test_googles_number_of_windows():
    """Document of 500 pieces, question of 12, length 384, doc_stride 128: three windows."""
    found = windows([[0] * 12, list(range(500))], max_length=384, step=128, over="last")
    assert [part[0] for _, part in found] == [0, 128, 256]


def test_windows_never_leave_a_gap():
    found = windows([list(range(100))], max_length=12, step=100, over="last")
    assert [piece for (part,) in found for piece in part] == list(range(100))


def test_a_short_or_empty_text_is_one_window():
    assert windows([[1]], max_length=12, step=3, over="last") == [[[1]]]
    assert windows([[1], []], max_length=12, step=3, over="last") == [[[1], []]]


def test_windows_refuse_what_cannot_be():
    with pytest.raises(ConfigError, match=r"step \(0\) must be at least 1"):
        windows([[1]], max_length=12, step=0, over="last")
    with pytest.raises(DataError, match="first text has 9 wordpieces, which leaves no room"):
        windows([[1] * 9, [2]], max_length=12, step=3, over="last")
    with pytest.raises(DataError, match="second text has 9 wordpieces, which leaves no room"):
        windows([[2], [1] * 9], max_length=12, step=3, over="first")
