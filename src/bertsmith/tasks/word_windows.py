"""Words as the encoder reads them: every word keeps its place, however it is cut to wordpieces.

A sentence longer than the model is read in windows of whole words, and each word's tag is voted by
the windows that it is in. A sentence that leaves room may have its neighbours of the same document
around it (paper, section 5.3: "the maximal document context provided by the data"), whose words
have no label there.

Dimension key: `W` words, `C` labels.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.text.encoding import room
from bertsmith.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class WordPieces:
    """The wordpieces of words, end to end."""

    ids: Sequence[int]
    starts: Sequence[int]
    """Where each word's first piece is; the last entry is the number of pieces."""


@dataclass(frozen=True)
class Window:
    """One sequence, and which of its tokens stand for which words."""

    input_ids: Sequence[int]
    first_word: int
    """The number in its sentence of the first word that is tagged here."""
    starts: Sequence[int]
    """The token that is the first piece of each tagged word; the last entry is the end of all."""


def cut_words(texts: Sequence[Sequence[str]], tokenizer: Tokenizer) -> list[WordPieces]:
    """The pieces of the words of sentences or documents.

    A word of control characters, which the tokenizer deletes, is [UNK].
    """
    words = list(chain.from_iterable(texts))
    ids, lengths = tokenizer.flat_ids(words, split_special_tokens=False)
    if not lengths.all():
        ends = lengths.cumsum()
        ids = np.insert(ids, ends[lengths == 0], tokenizer.unk_id)
        lengths = np.maximum(lengths, 1)
    starts = np.concatenate([[0], lengths.cumsum()])
    pieces, first = [], 0
    for text in texts:
        own = starts[first : first + len(text) + 1]
        first += len(text)
        pieces.append(WordPieces(_array(ids[own[0] : own[-1]]), _array(own - own[0])))
    return pieces


def _array(numbers: NDArray[Any]) -> array[int]:
    return array("i", numbers.astype(np.int32).tobytes())


@dataclass(frozen=True)
class WordWindows:
    """How sentences become sequences.

    Args:
        tokenizer: gives [CLS] and [SEP].
        max_length: the most wordpieces of a window, with these.
        step: how many wordpieces a window starts after the one before it, as near as words allow.
        only_first: leave out what does not fit into one window.
        has_context: fill windows with what stands around them in the document.
    """

    tokenizer: Tokenizer
    max_length: int
    step: int
    only_first: bool = False
    has_context: bool = False

    def of(self, document: WordPieces, first: int, end: int) -> list[Window]:
        """The windows of the document's words from `first` up to `end`."""
        ranges = self._ranges(document.starts, first, end)
        if self.only_first:
            ranges = ranges[:1]
        return [self._window(document, a, b, base=first) for a, b in ranges]

    def _ranges(self, starts: Sequence[int], first: int, end: int) -> list[tuple[int, int]]:
        """First word of each window and one past its last; a word too long for one is alone."""
        width = room(self.max_length, 1)
        ranges = []
        while True:
            fitting = bisect_right(starts, starts[first] + width, first, end + 1) - 1
            last = min(max(fitting, first + 1), end)
            ranges.append((first, last))
            if last == end:
                return ranges
            following = bisect_right(starts, starts[first] + self.step, first, end + 1) - 1
            first = min(max(following, first + 1), last)

    def _window(self, document: WordPieces, first: int, last: int, *, base: int) -> Window:
        starts, width = document.starts, room(self.max_length, 1)
        begin, end = starts[first], min(starts[last], starts[first] + width)
        left, right = begin, end
        free = width - (end - begin)
        if self.has_context and free:
            # Half on each side, and what one does not need the other gets; words stay whole.
            after = min(starts[-1] - end, free - min(begin, free // 2))
            before = min(begin, free - after)
            left = starts[bisect_left(starts, begin - before)]
            right = starts[bisect_right(starts, end + after) - 1]
        ids = array("i", [self.tokenizer.cls_id])
        ids.extend(document.ids[left:right])
        ids.append(self.tokenizer.sep_id)
        places = array("i", (1 + min(start, end) - left for start in starts[first : last + 1]))
        return Window(ids, first - base, places)


@dataclass(frozen=True)
class WordVotes:
    """What the windows of a sentence say of its words."""

    labels: list[int]
    """The label of each word; -1 for one that is in no window."""
    probabilities: list[float]
    """That of the label, the mean over the windows."""


def vote(windows: Sequence[Window], logits: Sequence[Tensor], num_words: int) -> WordVotes:
    """The label that most windows give each word; among equals the one of greatest probability.

    Args:
        windows: of a sentence.
        logits: (tokens, C) of each window.
        num_words: of the sentence, W.
    """
    if len(windows) == 1 and len(windows[0].starts) == num_words + 1:  # as nearly always
        means, labels = _probabilities(windows[0], logits[0]).max(-1)
        return WordVotes(labels.tolist(), means.tolist())
    votes = torch.zeros(num_words, logits[0].shape[-1])  # (W, C)
    sums = torch.zeros_like(votes)
    for window, rows in zip(windows, logits, strict=True):
        probabilities = _probabilities(window, rows)
        words = torch.arange(window.first_word, window.first_word + len(probabilities))
        sums[words] += probabilities
        votes[words, probabilities.argmax(-1)] += 1
    counts = votes.sum(-1, keepdim=True)
    # A word's probabilities sum to less than one vote.
    labels = (votes + sums / (counts + 1)).argmax(-1, keepdim=True)
    means = (sums / counts.clamp(min=1)).gather(-1, labels)
    return WordVotes(
        labels.masked_fill(counts == 0, -1).flatten().tolist(), means.flatten().tolist()
    )


def _probabilities(window: Window, logits: Tensor) -> Tensor:
    """(W, C), of the window's words."""
    return logits[torch.tensor(window.starts[:-1], dtype=torch.long)].softmax(-1)
