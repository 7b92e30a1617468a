"""The start of a long text, where a model reads no more."""

from __future__ import annotations

from collections.abc import Sequence

from bertsmith.errors import DataError
from bertsmith.text.chunks import NOT_TEXT

# A wordpiece of English has about 4.7 characters, the blank counted: of 2,000 texts of Wikipedia
# one has too few pieces in so many, and costs a second look.
_CHARACTERS_A_PIECE = 6


def text_starts(texts: Sequence[str], num_pieces: int) -> list[str]:
    """Each text up to a blank behind which its first pieces most likely do not go on.

    What stands before a blank is cut to the same pieces whatever follows. Only who counts them
    knows whether they are enough.

    Args:
        texts: any number of them.
        num_pieces: how many of each are wanted.

    Raises:
        DataError: the rest of one is not text.
    """
    end = _CHARACTERS_A_PIECE * num_pieces
    return [text if len(text) <= end else _start(text, end) for text in texts]


def _start(text: str, end: int) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(NOT_TEXT) from None
    blank = text.find(" ", end)
    return text if blank < 0 else text[:blank]
