"""Windows lie as in the published code, and answers are where their characters are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.data.question import Question, question_of
from bertsmith.data.question_windows import QuestionCutter, QuestionWindows
from bertsmith.data.records import read_records
from bertsmith.errors import ConfigError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

PIECES = [*SPECIAL_TOKENS, "who", "a", "b", "e", "##a", "##b", "##e", "cafe", ".", "$", "[", "]"]
PIECES += ["cls", "sep"]
TOKENIZER = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)


def cutter(max_length: int, step: int, max_question_length: int = 64) -> QuestionCutter:
    return QuestionCutter(
        TOKENIZER, max_length=max_length, step=step, max_question_length=max_question_length
    )


def cut_one(cutter: QuestionCutter, question: Question) -> tuple[QuestionWindows, list[Any]]:
    (found,) = cutter.cut([question])
    return found


def cut(context: str, question: str = "who", *, max_length: int = 384) -> QuestionWindows:
    return cut_one(cutter(max_length, 128), Question(question, context, None))[0]


@pytest.mark.parametrize(
    ("num_pieces", "num_question", "max_length", "expected"),
    [
        # What the published code makes of these lengths.
        (500, 12, 384, 3),
        (1500, 12, 384, 10),
        (369, 12, 384, 1),
        (370, 12, 384, 2),
        (369 + 128, 12, 384, 2),
        (369 + 129, 12, 384, 3),
        (1, 1, 384, 1),
        (300, 61, 128, 5),
        (64, 200, 131, 1),
        (65, 200, 131, 2),
    ],
)
def test_there_are_as_many_windows_as_in_the_published_code(
    num_pieces: int, num_question: int, max_length: int, expected: int
) -> None:
    windows, sequences = cut_one(
        cutter(max_length, 128), Question("who " * num_question, "a " * num_pieces, None)
    )
    assert len(windows.windows) == len(sequences) == expected
    assert windows.is_question_cut is (num_question > 64)
    for ids, segment_ids in sequences:
        assert len(ids) == len(segment_ids) <= max_length


@given(st.integers(0, 60), st.integers(1, 20), st.integers(5, 40), st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_windows_are_those_of_the_plain_loop(
    num_pieces: int, num_question: int, max_length: int, step: int
) -> None:
    question = Question("who " * num_question, "a " * num_pieces, None)
    windows, sequences = cut_one(cutter(max_length, step, 6), question)
    kept = min(num_question, 6, (max_length - 3) // 2)
    width = max_length - kept - 3
    expected: list[tuple[int, int]] = []
    start = 0
    while start < num_pieces:
        length = min(num_pieces - start, width)
        expected.append((start, length))
        if start + length == num_pieces:
            break
        start += min(length, step)
    expected = expected or [(0, 0)]
    assert [(each.start, len(each)) for each in windows.windows] == expected
    for (ids, segment_ids), (_, length) in zip(sequences, expected, strict=True):
        tokens = [PIECES[index] for index in ids]
        assert tokens == ["[CLS]", *["who"] * kept, "[SEP]", *["a"] * length, "[SEP]"]
        assert list(segment_ids) == [0] * (kept + 2) + [1] * (length + 1)
    # Each wordpiece counts in the window in which it has the most context.
    best = []
    for piece in range(num_pieces):
        scores = {}
        for number, (start, length) in enumerate(expected):
            if start <= piece < start + length:
                left, right = piece - start, start + length - 1 - piece
                scores[number] = min(left, right) + 0.01 * length
        best.append(max(scores, key=scores.__getitem__))
    assert windows.best_windows().tolist() == best


def test_the_windows_of_five_hundred_wordpieces() -> None:
    windows = cut("a " * 500, "who " * 12)
    assert windows.windows == (range(369), range(128, 497), range(256, 500))
    best = windows.best_windows()
    # The middle of what two windows share, or a little beyond it where the second is shorter.
    assert [int(np.flatnonzero(best == number)[0]) for number in range(3)] == [0, 249, 377]


@pytest.mark.parametrize(
    ("context", "answer", "tokens"),
    [
        ("a (b) e.", "b", ["b"]),
        ("a $b-e.", "b", ["b"]),
        ("abe ab", "be", ["##b", "##e"]),
        ("abe ab", "abe a", ["a", "##b", "##e", "a"]),
        ("a Café e", "Café", ["cafe"]),
        ("a Cafe\u0301 e", "Cafe\u0301", ["cafe"]),
        ("a b ", "b ", ["b"]),
    ],
)
def test_an_answer_is_the_fewest_wordpieces_that_cover_it(
    context: str, answer: str, tokens: list[str]
) -> None:
    windows, ((ids, _),) = cut_one(cutter(384, 128), Question("who", context, None))
    start = context.index(answer)
    pieces = windows.pieces_of(start, start + len(answer))
    first, last = windows.places_in(windows.windows[0], pieces)
    assert [PIECES[index] for index in ids[first : last + 1]] == tokens


def test_a_window_without_the_whole_answer_points_to_cls() -> None:
    windows, sequences = cut_one(cutter(10, 3), Question("who", "a " * 12, None))
    assert windows.windows == (range(6), range(3, 9), range(6, 12))
    places = [windows.places_in(window, range(4, 7)) for window in windows.windows]
    assert places == [(0, 0), (4, 6), (0, 0)]
    assert all(sequence[0][0] == TOKENIZER.cls_id for sequence in sequences)


def test_accents_that_lower_casing_takes_off_stay_with_their_letter() -> None:
    windows = cut("e\u0301\u0323 b\u0301. e")
    texts = ["e\u0301\u0323 b\u0301. e"[start:end] for start, end in windows.offsets]
    assert texts == ["e\u0301\u0323", "b\u0301", ".", "e"]


def test_special_tokens_in_a_passage_are_text() -> None:
    _, ((ids, _),) = cut_one(cutter(384, 128), Question("[CLS]", "a [SEP] b", None))
    tokens = [PIECES[index] for index in ids]
    assert tokens == ["[CLS]", "[", "cls", "]", "[SEP]", "a", "[", "sep", "]", "b", "[SEP]"]


def test_a_passage_without_wordpieces_is_one_empty_window() -> None:
    windows = cut("\u200b\u00ad")
    assert windows.windows == (range(0),)
    assert windows.offsets.shape == (0, 2)
    assert not windows.pieces_of(0, 1)
    assert windows.best_windows().shape == (0,)


def test_a_length_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_length \(4\) must be at least 5"):
        cutter(4, 128)


def test_answers_of_published_files_are_where_their_characters_are(shared_data: Path) -> None:
    tokenizer = Tokenizer.load(shared_data / "vocab" / "bert-base-uncased-vocab.txt")
    cut_real = QuestionCutter(tokenizer, max_length=384, step=128, max_question_length=64)
    path = shared_data / "tasks" / "squad" / "train-v1.1-part.json"
    questions = [question_of(record) for record in list(read_records(path))[::20]]
    for question, (windows, sequences) in zip(questions, cut_real.cut(questions), strict=True):
        answer = (question.answers or ())[0]
        assert answer.start is not None
        end = answer.start + len(answer.text)
        pieces = windows.pieces_of(answer.start, end)
        assert pieces
        covered = windows.offsets[pieces.start, 0], windows.offsets[pieces.stop - 1, 1]
        assert covered[0] <= answer.start < end <= covered[1]
        # One wordpiece fewer on either side would not cover it.
        assert windows.offsets[pieces.start, 1] > answer.start
        assert windows.offsets[pieces.stop - 1, 0] < end
        held = [windows.places_in(window, pieces) != (0, 0) for window in windows.windows]
        assert any(held)
        assert all(len(ids) <= 384 for ids, _ in sequences)


def test_passages_are_cut_once_and_questions_keep_their_own() -> None:
    contexts = ["a b", "b a b", "a b", "a b", "e"]
    asked = [Question("who " * (place + 1), text, None) for place, text in enumerate(contexts)]
    together = list(cutter(384, 128).cut(asked))
    one = cutter(384, 128)
    for question, (windows, sequences) in zip(asked, together, strict=True):
        alone, alone_sequences = cut_one(one, question)
        assert windows.question is question
        assert sequences == alone_sequences
        assert windows.windows == alone.windows
        assert windows.offsets.tolist() == alone.offsets.tolist()
    assert together[0][0].offsets is together[2][0].offsets is together[3][0].offsets
