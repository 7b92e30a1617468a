"""`Encoding`, a text as the model reads it, and the rules that cut a text to a length.

Section 3 of the paper: `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, segment 0 up to the first
[SEP] and 1 after it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import ConfigError, DataError

Text = str | Sequence[str]
"""A text, or its words where it has been split already."""

Truncation = Literal["longest_first", "only_first", "only_second", "head_tail", "tail"]
"""How a text, or a pair, that is too long is cut.

longest_first: the longer of the two loses its last piece until both fit; of two that are equally
    long, the second. This is Google's rule. Hugging Face's gives an odd piece to the second.
only_first, only_second: that one loses its end; the other stays whole.
head_tail: the lengths of longest_first, but of each text the first quarter and the end are kept
    and the middle is cut (Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?":
    128 of 512 from the head).
tail: the lengths of longest_first, but of each text the end is kept.
"""


@dataclass(frozen=True)
class Encoding:
    """One sequence of wordpieces; all lists are equally long."""

    ids: list[int]
    tokens: list[str]
    """The wordpieces themselves."""
    segment_ids: list[int]
    """0 for `[CLS] A [SEP]`, 1 for `B [SEP]`."""
    offsets: list[tuple[int, int]]
    """Start and end of each piece, in characters of its text (of its word, where the text came
    as a list of words); (0, 0) for the special tokens around the texts."""
    word_ids: list[int | None]
    """The word that each piece belongs to, counted from 0 in each text: the given words where the
    text came as a list of words, else the words and punctuation marks that the tokenizer sees.
    None for the special tokens around the texts. A word of control characters has no piece."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Pieces:
    """The wordpieces of one text, before [CLS] and [SEP]; fields as in `Encoding`."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]

    @classmethod
    def from_engine(cls, encoding: Any) -> Pieces:
        """Take over what the engine found."""
        return cls(encoding.ids, encoding.tokens, encoding.offsets, encoding.word_ids)

    def extend(
        self,
        ids: Sequence[int],
        tokens: Sequence[str],
        offsets: Sequence[tuple[int, int]],
        word_ids: Sequence[int | None],
    ) -> None:
        """Append more pieces."""
        self.ids.extend(ids)
        self.tokens.extend(tokens)
        self.offsets.extend(offsets)
        self.word_ids.extend(word_ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice) -> Pieces:
        return Pieces(self.ids[part], self.tokens[part], self.offsets[part], self.word_ids[part])

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces(
            self.ids + other.ids,
            self.tokens + other.tokens,
            self.offsets + other.offsets,
            self.word_ids + other.word_ids,
        )


Cut = TypeVar("Cut", Pieces, list[int])
"""A text that is cut to wordpieces: all about them, or their ids alone."""


def assemble(texts: Sequence[Pieces], cls: tuple[int, str], sep: tuple[int, str]) -> Encoding:
    """Put [CLS] and [SEP], given as (id, token), around one text or two."""
    encoding = Encoding([cls[0]], [cls[1]], [0], [(0, 0)], [None])
    for segment, text in enumerate(texts):
        encoding.ids.extend([*text.ids, sep[0]])
        encoding.tokens.extend([*text.tokens, sep[1]])
        encoding.segment_ids.extend([segment] * (len(text) + 1))
        encoding.offsets.extend([*text.offsets, (0, 0)])
        encoding.word_ids.extend([*text.word_ids, None])
    return encoding


def assemble_many(
    ids: NDArray[Any], lengths: NDArray[np.int64], max_length: int, cls_id: int, sep_id: int
) -> list[array[int]]:
    """`[CLS] text [SEP]` of texts without pairs, the end of a long one cut; their ids alone.

    Args:
        ids: of all texts, end to end.
        lengths: (N,) how many ids each text has.
        max_length: the most ids of a sequence.
        cls_id: of [CLS].
        sep_id: of [SEP].

    Raises:
        ConfigError: `max_length` has no room for a piece.
    """
    kept = np.minimum(lengths, room(max_length, 1))
    places = np.arange(len(ids)) - (lengths.cumsum() - lengths).repeat(lengths)
    ends = (kept + 2).cumsum()
    flat = np.empty(kept.sum() + 2 * len(kept), np.int32)
    is_piece = np.ones(len(flat), np.bool_)
    for bounds, special in ((ends - kept - 2, cls_id), (ends - 1, sep_id)):
        flat[bounds], is_piece[bounds] = special, False
    flat[is_piece] = ids[places < kept.repeat(lengths)]
    parts = zip([0, *ends[:-1].tolist()], ends.tolist(), strict=False)
    return [array("i", flat[start:end].tobytes()) for start, end in parts]


def truncate(texts: Sequence[Cut], max_length: int, truncation: Truncation) -> list[Cut]:
    """Cut one text or two so that the assembled sequence has at most `max_length` pieces.

    Raises:
        ConfigError: `truncation` is not a rule, or `max_length` has no room for a piece.
        DataError: the text that must stay whole does not fit.
    """
    if truncation not in get_args(Truncation):
        raise ConfigError(
            f"truncation ({truncation!r}) must be one of {', '.join(get_args(Truncation))}"
        )
    budget = room(max_length, len(texts))
    if sum(map(len, texts)) <= budget:
        return list(texts)
    kept = _kept_lengths([len(text) for text in texts], budget, truncation)
    if truncation == "head_tail":
        return [_head_tail(text, length) for text, length in zip(texts, kept, strict=True)]
    if truncation == "tail":
        return [text[len(text) - length :] for text, length in zip(texts, kept, strict=True)]
    return [text[:length] for text, length in zip(texts, kept, strict=True)]


def windows(
    texts: Sequence[Cut],
    *,
    max_length: int,
    step: int,
    over: Literal["first", "last"],
    max_other: int | None = None,
) -> list[list[Cut]]:
    """Overlapping windows over a long text; the other of a pair is whole in each.

    Args:
        texts: the pieces of one text, or of two.
        max_length: the most wordpieces of a window, special tokens included.
        step: how many wordpieces each window starts after the one before it. This is Google's
            doc_stride; Hugging Face's stride is the overlap, which is the room for the long text
            less the step. A step beyond that room is shortened to it.
        over: which text of a pair is the long one.
        max_other: the most wordpieces of the other one, which loses its end; None: no limit.

    Returns:
        The texts of each window, in the order in which they were given.

    Raises:
        ConfigError: `step` is below 1, or `max_length` too small.
        DataError: the other text leaves no room.
    """
    if step < 1:
        raise ConfigError(f"step ({step}) must be at least 1 wordpiece")
    others: list[Cut] = list(texts)
    document = others.pop(0 if over == "first" else -1)
    others = [other[:max_other] for other in others]
    width = room(max_length, len(texts)) - sum(map(len, others))
    if width < 1:
        which = "second" if over == "first" else "first"
        raise DataError(
            f"the {which} text has {len(others[0])} wordpieces, which leaves no room for the "
            f"other in max_length ({max_length}); shorten it"
        )
    step = min(step, width)
    starts = range(0, max(1, len(document) - width + step), step)
    parts = [document[at : at + width] for at in starts]
    if over == "first":
        return [list(chain([part], others)) for part in parts]
    return [list(chain(others, [part])) for part in parts]


def room(max_length: int, num_texts: int) -> int:
    """How many pieces of text fit beside [CLS] and a [SEP] for each text."""
    least = 2 * num_texts + 1
    if max_length < least:
        raise ConfigError(
            f"max_length ({max_length}) must be at least {least}: [CLS], "
            f"{num_texts} [SEP] and a piece of each text"
        )
    return max_length - num_texts - 1


def _kept_lengths(lengths: Sequence[int], budget: int, truncation: Truncation) -> list[int]:
    if len(lengths) == 1:
        if truncation == "only_second":
            raise ConfigError("truncation 'only_second' needs a pair; use longest_first for one")
        return [budget]
    first, second = lengths
    if truncation in ("only_first", "only_second"):
        whole = second if truncation == "only_first" else first
        if whole >= budget:
            raise DataError(
                f"truncation {truncation!r} cannot help: the other text alone has {whole} pieces "
                f"of the {budget} that fit; use longest_first or a greater max_length"
            )
        return [budget - whole, second] if truncation == "only_first" else [first, budget - whole]
    # The closed form of Google's loop: the odd piece stays with the first.
    first = min(first, max(budget - second, (budget + 1) // 2))
    return [first, min(second, budget - first)]


def _head_tail(text: Cut, length: int) -> Cut:
    if len(text) <= length:
        return text
    head = length // 4
    return text[:head] + text[len(text) - (length - head) :]
