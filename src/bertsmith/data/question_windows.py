"""A question and its passage as the sequences that BERT reads: windows over a long passage.

Section 4.2 of the paper, with the numbers of the published code: `[CLS] question [SEP] window
[SEP]`, each window starting a step of wordpieces after the one before it.

Dimension key: `D` wordpieces of the passage, `W` windows.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.question import Question
from bertsmith.text.encoding import room
from bertsmith.text.tokenizer import Tokenizer

# Arrays, since lists of numbers take eight times the memory.
WindowInputs = tuple["array[int]", "array[int]"]
"""Wordpiece ids and segment ids."""


@dataclass(frozen=True)
class QuestionWindows:
    """Where the windows of one question lie, and where in the passage their wordpieces are from."""

    question: Question
    offsets: NDArray[np.int32]
    """(D, 2) first character of each wordpiece of the passage, and the one after its last."""
    windows: tuple[range, ...]
    """The wordpieces of the passage that each window holds."""
    passage_start: int
    """Place of the window's first wordpiece in its sequence, after `[CLS] question [SEP]`."""
    is_question_cut: bool

    def pieces_of(self, start: int, end: int) -> range:
        """The fewest wordpieces that cover characters `start` to `end` of the passage."""
        first = np.searchsorted(self.offsets[:, 1], start, side="right")
        return range(int(first), int(np.searchsorted(self.offsets[:, 0], end, side="left")))

    def places_in(self, window: range, pieces: range) -> tuple[int, int]:
        """First and last place of the wordpieces in the window's sequence.

        (0, 0), which is [CLS], where the window does not hold all of them.
        """
        if not (window.start <= pieces.start and pieces.stop <= window.stop):
            return 0, 0
        first = self.passage_start - window.start
        return first + pieces.start, first + pieces.stop - 1

    def best_windows(self) -> NDArray[np.int64]:
        """(D,) the window in which each wordpiece has the most context.

        That is the smaller one of what stands to its left and to its right, and a hundredth of the
        window's length, so that of two the longer window counts; of equals the first.
        """
        starts = np.array([[window.start] for window in self.windows])  # (W, 1)
        lengths = np.array([[len(window)] for window in self.windows])
        left = np.arange(len(self.offsets)) - starts  # (W, D)
        right = lengths - 1 - left
        context = np.minimum(left, right) + 0.01 * lengths
        best: NDArray[np.int64] = np.where((left < 0) | (right < 0), -np.inf, context).argmax(0)
        return best


class QuestionCutter:
    """Cuts questions and passages, many at once; neighbours about one passage cut it once.

    Special tokens in the texts ("[SEP]") are text like any other, as in the published code.

    Args:
        tokenizer: cuts the texts.
        max_length: the most wordpieces of a sequence.
        step: how many wordpieces each window starts after the one before it.
        max_question_length: the most wordpieces of a question, which may not take more than half
            of the room either; it loses its end.

    Raises:
        ConfigError: `max_length` leaves no room.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, max_length: int, step: int, max_question_length: int
    ) -> None:
        self.tokenizer = tokenizer
        self.room = room(max_length, 2)
        self.step = step
        self.max_question_length = min(max_question_length, self.room // 2)
        self._passages: dict[str, _Passage] = {}  # of the questions before

    def cut(
        self, questions: Sequence[Question]
    ) -> Iterator[tuple[QuestionWindows, list[WindowInputs]]]:
        """Give the windows of each question, and the ids and segments of the sequence of each."""
        contexts = dict.fromkeys(question.context for question in questions)
        new = [context for context in contexts if context not in self._passages]
        known = self._passages | _cut_passages(new, self.tokenizer)
        self._passages = {context: known[context] for context in contexts}
        ids = self.tokenizer.ids_batch([question.question for question in questions])
        for question, whole in zip(questions, ids, strict=True):
            yield self._windows(question, whole, known[question.context])

    def _windows(
        self, question: Question, whole: list[int], passage: _Passage
    ) -> tuple[QuestionWindows, list[WindowInputs]]:
        kept = whole[: self.max_question_length]
        windows = QuestionWindows(
            question,
            passage.offsets,
            tuple(_windows(len(passage.ids), self.room - len(kept), self.step)),
            passage_start=len(kept) + 2,
            is_question_cut=len(kept) < len(whole),
        )
        sep = self.tokenizer.sep_id
        head = [self.tokenizer.cls_id, *kept, sep]
        return windows, [
            (
                array("i", [*head, *passage.ids[window.start : window.stop], sep]),
                array("b", [0] * len(head) + [1] * (len(window) + 1)),
            )
            for window in windows.windows
        ]


def _windows(num_pieces: int, width: int, step: int) -> Iterator[range]:
    """Windows of at most `width` wordpieces, until one holds the last; one for an empty passage."""
    step = min(step, width)
    for start in range(0, max(1, num_pieces - width + step), step):
        yield range(start, min(start + width, num_pieces))


@dataclass(frozen=True)
class _Passage:
    ids: list[int]
    offsets: NDArray[np.int32]


def _cut_passages(texts: Sequence[str], tokenizer: Tokenizer) -> dict[str, _Passage]:
    passages = {}
    for text, encoding in zip(
        texts, tokenizer.encode_batch(texts, split_special_tokens=True), strict=True
    ):
        offsets: Any = encoding.offsets[1:-1]
        if not text.isascii():
            offsets = _with_marks(text, offsets)
        places = np.array(offsets, dtype=np.int32).reshape(-1, 2)
        passages[text] = _Passage(encoding.ids[1:-1], places)
    return passages


def _with_marks(text: str, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Let wordpieces end after the accents that follow them and belong to none of their own.

    Lower-casing takes accents off, so that an answer in Hindi, say, would lose its last vowel.
    """
    extended = []
    for place, (start, end) in enumerate(offsets):
        limit = offsets[place + 1][0] if place + 1 < len(offsets) else len(text)
        while end < limit and unicodedata.category(text[end]).startswith("M"):
            end += 1
        extended.append((start, end))
    return extended
