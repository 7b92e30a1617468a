"""Every word keeps its place among the wordpieces, in windows and within its document."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.word_windows import (
    Window,
    WordPieces,
    WordWindows,
    cut_words,
    vote,
)
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

PIECES = [*SPECIAL_TOKENS, *"abcdefghijkl", *(f"##{letter}" for letter in "abcdefghijkl"), "."]


@pytest.fixture(scope="module", params=["huggingface", "google"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.from_vocabulary(
        Vocabulary(PIECES), lowercase=True, normalization=request.param
    )


def texts(tokenizer: Tokenizer, windows: list[Window]) -> list[str]:
    """Pieces of each window, those of its own words in capitals."""
    found = []
    for window in windows:
        tokens = [tokenizer.vocabulary.pieces[index] for index in window.input_ids]
        assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
        own = range(window.starts[0], window.starts[-1])
        found.append(
            " ".join(
                token.upper() if place in own else token
                for place, token in enumerate(tokens)
                if 0 < place < len(tokens) - 1
            )
        )
    return found


def windows_of(
    tokenizer: Tokenizer, sentence: str, *, max_length: int = 6, step: int = 2, **options: Any
) -> list[Window]:
    words = sentence.split()
    maker = WordWindows(tokenizer, max_length, step, **options)
    [pieces] = cut_words([words], tokenizer)
    return maker.of(pieces, 0, len(words))


@pytest.mark.parametrize("swallowed", ["\x96", "\u200e", "\xad", "\u00a0", "\ufeff"])
def test_words_that_the_tokenizer_deletes_keep_their_place(
    tokenizer: Tokenizer, swallowed: str
) -> None:
    assert len(tokenizer.encode(["a", swallowed])) == 3
    words = [swallowed, "ab", swallowed, swallowed, "c", swallowed]
    before, pieces = cut_words([["b", swallowed], words], tokenizer)
    unknown = tokenizer.unk_id
    assert list(before.ids) == [PIECES.index("b"), unknown]
    a, b, c = (PIECES.index(piece) for piece in ("a", "##b", "c"))
    assert list(pieces.ids) == [unknown, a, b, unknown, unknown, c, unknown]
    assert list(pieces.starts) == [0, 1, 3, 4, 5, 6, 7]


def test_words_are_cut_as_the_tokenizer_cuts_them(tokenizer: Tokenizer) -> None:
    words = ["abc.d", "[MASK]", "x[SEP]", "é", "[mask]", "a" * 300]
    [pieces] = cut_words([words], tokenizer)
    assert list(pieces.ids) == tokenizer.encode(words).ids[1:-1]
    assert [end - start for start, end in pairwise(pieces.starts)] == [
        len(tokenizer.encode([word])) - 2 for word in words
    ]


def test_windows_are_of_whole_words_and_overlap(tokenizer: Tokenizer) -> None:
    windows = windows_of(tokenizer, "a bc d e fgh i j", step=2)
    assert texts(tokenizer, windows) == ["A B ##C D", "B ##C D E", "D E", "F ##G ##H I", "I J"]
    assert [window.first_word for window in windows] == [0, 1, 2, 4, 5]
    assert texts(tokenizer, windows_of(tokenizer, "a b c d")) == ["A B C D"]
    assert texts(tokenizer, windows_of(tokenizer, "a b c d e f g h", step=9)) == [
        "A B C D",
        "E F G H",
    ]
    assert texts(tokenizer, windows_of(tokenizer, "a b c d e", only_first=True)) == ["A B C D"]
    assert texts(tokenizer, windows_of(tokenizer, "")) == [""]


def test_a_word_longer_than_the_model_is_cut(tokenizer: Tokenizer) -> None:
    windows = windows_of(tokenizer, "a bcdefg h")
    assert texts(tokenizer, windows) == ["A", "B ##C ##D ##E", "H"]


def test_a_sentence_has_its_neighbours_around_it(tokenizer: Tokenizer) -> None:
    sentences = ("a b c d e", "fg h", "i j k l")
    [document] = cut_words([" ".join(sentences).split()], tokenizer)

    def around(first: int, end: int, max_length: int) -> list[str]:
        maker = WordWindows(tokenizer, max_length, 2, has_context=True)
        return texts(tokenizer, maker.of(document, first, end))

    assert around(5, 7, 9) == ["d e F ##G H i j"]
    assert around(5, 7, 8) == ["e F ##G H i j"]
    # What one side has no use for is the other's.
    assert around(0, 5, 10) == ["A B C D E f ##g h"]
    assert around(7, 11, 9) == ["f ##g h I J K L"]
    # Half a word is none.
    assert around(7, 11, 8) == ["h I J K L"]
    assert around(5, 7, 40) == ["a b c d e F ##G H i j k l"]
    # A long sentence has windows, of which those that leave room are filled.
    assert around(0, 5, 5) == ["A B C", "C D E"]


@given(st.data())
def test_every_word_is_in_a_window_at_its_place(data: st.DataObject) -> None:
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=30))
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    pieces = WordPieces([100 + place for place in range(starts[-1])], starts)
    max_length = data.draw(st.integers(3, 12))
    maker = WordWindows(
        tokenizer,
        max_length,
        data.draw(st.integers(1, 12)),
        has_context=data.draw(st.booleans()),
    )
    first = data.draw(st.integers(0, len(lengths) - 1))
    end = data.draw(st.integers(first, len(lengths)))
    seen = []
    windows = maker.of(pieces, first, end)
    for window in windows:
        assert len(window.input_ids) <= max_length
        for word, (start, stop) in enumerate(pairwise(window.starts), first + window.first_word):
            seen.append(word)
            own = [100 + place for place in range(starts[word], starts[word + 1])]
            assert list(window.input_ids[start:stop]) == own[: max_length - 2]
    assert sorted(set(seen)) == list(range(first, end))
    assert len(windows) <= max(1, end - first)


def test_windows_vote() -> None:
    def rows(*probabilities: tuple[float, float]) -> torch.Tensor:
        return torch.tensor([(0.5, 0.5), *probabilities, (0.5, 0.5)]).log()

    windows = [Window([], 0, [1, 2, 3]), Window([], 0, [1, 2, 3]), Window([], 1, [1, 2])]
    votes = vote(
        windows,
        [rows((0.9, 0.1), (0.1, 0.9)), rows((0.3, 0.7), (0.51, 0.49)), rows((0.6, 0.4))],
        num_words=3,
    )
    # One vote each, and the first is the surer; two to one, though the one is surer; no window.
    assert votes.labels == [0, 0, -1]
    assert votes.probabilities[:2] == pytest.approx([(0.9 + 0.3) / 2, (0.1 + 0.51 + 0.6) / 3])
