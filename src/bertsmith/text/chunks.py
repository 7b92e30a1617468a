"""The fast way from text to ids: a memory of chunks in front of what cuts them.

A chunk is what stands between white space; most chunks of a corpus have been seen before. Ids are
exactly those of the whole text, because nothing that happens to a character looks across white
space or ASCII punctuation: control characters are deleted, white space, CJK and punctuation split,
accents are stripped character by character, and then each word is cut alone. The one exception is
Google's lower-casing of Σ, which looks across an apostrophe or a full stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import DataError

# str.split() splits at these, while BERT deletes them, which joins their neighbours. All other
# white space of Python is white space to BERT too.
_CONTROLS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"
_DELETED = dict.fromkeys(map(ord, _CONTROLS))
_PARTS = re.compile(r"[!-/:-@\[-`{-~]|[^!-/:-@\[-`{-~]+")
_LOOKS_AROUND = "Σ"

# About 100 MB of chunks and half as much of parts. Longer ones (a line of Chinese, say) rarely
# come twice.
_MAX_CHUNKS = 2**19
_MAX_PARTS = 2**18
_MAX_CHARACTERS = 64

Found = TypeVar("Found")

NOT_TEXT = "a text must be a string of characters that UTF-8 can write (no lone surrogates)"


class ChunkCache:
    """Text to ids, without special tokens; remembers chunks, in bounded memory.

    Args:
        ids_of: the ids of any text; it must recognise no special tokens.
        dtype: the type of the ids, wide enough for the vocabulary.
        is_by_chunk: whether chunks may be given to `ids_of` alone; otherwise it gets whole texts
            and nothing is remembered.
    """

    def __init__(
        self, ids_of: Callable[[str], list[int]], *, dtype: np.dtype[Any], is_by_chunk: bool = True
    ) -> None:
        self.dtype = dtype
        self._ids_of = ids_of
        self._is_by_chunk = is_by_chunk
        self._chunks = _Chunks(_Parts(ids_of, dtype))

    def ids(self, text: str) -> list[int]:
        """The ids of one text."""
        [row] = self._rows([text])
        ids: list[int] = np.frombuffer(row, self.dtype).tolist()
        return ids

    def flat_ids(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The ids of all texts end to end, and how many each text has."""
        rows = self._rows(texts)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows)) // self.dtype.itemsize
        return np.frombuffer(b"".join(rows), self.dtype), lengths

    def _rows(self, texts: Sequence[str]) -> list[bytes]:
        try:
            return self._joined_chunks(texts)
        except (TypeError, AttributeError, UnicodeEncodeError):
            raise DataError(NOT_TEXT) from None

    def _joined_chunks(self, texts: Sequence[str]) -> list[bytes]:
        if not self._is_by_chunk:
            return [np.array(self._ids_of(text), self.dtype).tobytes() for text in texts]
        if _has_controls("".join(texts)):
            texts = [text.translate(_DELETED) for text in texts]
        join, ids_of = b"".join, self._chunks.__getitem__
        return [join(map(ids_of, text.split())) for text in texts]


def check_are_texts(texts: Iterable[object]) -> None:
    """See that each is a string.

    Raises:
        DataError: one is not.
    """
    if not all(isinstance(text, str) for text in texts):
        raise DataError(NOT_TEXT)


def delete_controls(text: str) -> str:
    """The text without the characters that BERT deletes and str.split() splits at."""
    return text.translate(_DELETED) if _has_controls(text) else text


def _has_controls(text: str) -> bool:
    return any(control in text for control in _CONTROLS)


class _Chunks(dict[str, bytes]):
    """A chunk to the bytes of its ids; an unseen one is put together from its parts."""

    def __init__(self, parts: _Parts) -> None:
        super().__init__()
        self._ids_of_part = parts.__getitem__

    def __missing__(self, chunk: str) -> bytes:
        parts = [chunk] if _LOOKS_AROUND in chunk else _PARTS.findall(chunk)
        ids = b"".join(map(self._ids_of_part, parts))
        remember(self, chunk, ids, _MAX_CHUNKS)
        return ids


class _Parts(dict[str, bytes]):
    """What stands between ASCII punctuation to the bytes of its ids; an unseen one is encoded."""

    def __init__(self, ids_of: Callable[[str], list[int]], dtype: np.dtype[Any]) -> None:
        super().__init__()
        self._ids_of, self._dtype = ids_of, dtype

    def __missing__(self, part: str) -> bytes:
        ids = np.array(self._ids_of(part), self._dtype).tobytes()
        remember(self, part, ids, _MAX_PARTS)
        return ids


def remember(memory: dict[str, Found], key: str, found: Found, most: int) -> None:
    """Put in what was found for a chunk, unless it is long; the older half goes when it is full."""
    if len(key) > _MAX_CHARACTERS:
        return
    if len(memory) >= most:
        # What is frequent comes back at once.
        for old in list(islice(memory, most // 2)):
            del memory[old]
    memory[key] = found
