"""The fast way from text to ids: a memory of chunks in front of the engine.

A chunk is what stands between white space; most chunks of a corpus have been seen before. Ids are
exactly those of the engine, because nothing that it does to a character looks across white space
or ASCII punctuation: it deletes control characters, splits at white space, CJK and punctuation,
strips accents character by character, and then cuts each word alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import DataError

# str.split() splits at these, while BERT deletes them, which joins their neighbours. All other
# white space of Python is white space to BERT too.
_CONTROLS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"
_DELETED = dict.fromkeys(map(ord, _CONTROLS))
_PARTS = re.compile(r"[!-/:-@\[-`{-~]|[^!-/:-@\[-`{-~]+")

# About 100 MB of chunks and half as much of parts. Longer ones (a line of Chinese, say) rarely
# come twice.
_MAX_CHUNKS = 2**19
_MAX_PARTS = 2**18
_MAX_CHARACTERS = 64

NOT_TEXT = "a text must be a string of characters that UTF-8 can write (no lone surrogates)"


class ChunkCache:
    """Text to ids, without special tokens; remembers chunks, in bounded memory.

    Args:
        engine: the tokenizer of the `tokenizers` package, which must recognise no special tokens.
        lowercase: whether the engine lower-cases.
        dtype: the type of the ids, wide enough for the vocabulary.
    """

    def __init__(self, engine: Any, *, lowercase: bool, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._encode = engine.encode
        # Words that someone added beside WordPiece may hold blanks, which chunks would cut.
        added = engine.get_added_tokens_decoder().values()
        self._has_added_words = any(not token.special for token in added)
        self._chunks = _Chunks(_Parts(engine, lowercase, dtype))

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
        except (TypeError, AttributeError):
            raise DataError(NOT_TEXT) from None

    def _joined_chunks(self, texts: Sequence[str]) -> list[bytes]:
        if self._has_added_words:
            encodings = [self._encode(text, add_special_tokens=False) for text in texts]
            return [np.array(encoding.ids, self.dtype).tobytes() for encoding in encodings]
        if _has_controls("".join(texts)):
            texts = [text.translate(_DELETED) for text in texts]
        join, ids_of = b"".join, self._chunks.__getitem__
        return [join(map(ids_of, text.split())) for text in texts]


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
        ids = b"".join(map(self._ids_of_part, _PARTS.findall(chunk)))
        _remember(self, chunk, ids, _MAX_CHUNKS)
        return ids


class _Parts(dict[str, bytes]):
    """What stands between ASCII punctuation to the bytes of its ids; an unseen one is encoded."""

    def __init__(self, engine: Any, lowercase: bool, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self._encode, self._cut = engine.encode, engine.model.tokenize
        self._lowercase, self._dtype = lowercase, dtype

    def __missing__(self, part: str) -> bytes:
        if part.isascii() and part.isalnum():
            # Such a part is one word, and lower-casing is all that happens to it: the model alone
            # needs a third of the time of a whole encode().
            word = part.lower() if self._lowercase else part
            found = [token.id for token in self._cut(word)]
        else:
            found = self._encode(part, add_special_tokens=False).ids
        ids = np.array(found, self._dtype).tobytes()
        _remember(self, part, ids, _MAX_PARTS)
        return ids


def _remember(memory: dict[str, bytes], key: str, ids: bytes, most: int) -> None:
    if len(key) > _MAX_CHARACTERS:
        return
    if len(memory) >= most:
        # The older half goes; what is frequent comes back at once.
        for old in list(islice(memory, most // 2)):
            del memory[old]
    memory[key] = ids
