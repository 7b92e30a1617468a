"""Wordpieces exactly as google-research/bert's `tokenization.py` cuts them.

A text is cut chunk by chunk, where a chunk is what stands between white space: no rule of Google's
looks across it. Chunks that come again are remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers.models import WordPiece

from bertsmith.errors import DataError
from bertsmith.text.chunks import NOT_TEXT, ChunkCache, remember
from bertsmith.text.encoding import Pieces, Text
from bertsmith.text.google_words import Word, google_words
from bertsmith.text.vocabulary import CONTINUATION, Vocabulary

# Controls at which str.split() splits are deleted by Google and join their neighbours.
_CHUNK = re.compile(r"[\S\x0b\x0c\x1c-\x1f\x85]+")
# About 50 MB.
_MAX_CHUNKS = 2**16

Chunk = tuple[tuple[int, ...], tuple[str, ...], tuple[tuple[int, int], ...], tuple[int, ...]]
"""The ids, tokens and offsets of a chunk's pieces, and the words in it that they belong to.

Tuples, since the garbage collector looks through remembered lists again and again, which took
nearly half of the time.
"""


class GooglePieces:
    """Cuts texts by Google's rules.

    Args:
        vocabulary: the wordpieces.
        lowercase: lower-case and strip accents.
        special_tokens: those that can be recognised in text, such as [MASK].
    """

    # A longer word is [UNK]. Hugging Face's tokenizer has 100.
    max_word_characters = 200

    def __init__(
        self, vocabulary: Vocabulary, *, lowercase: bool, special_tokens: Iterable[str]
    ) -> None:
        self._vocabulary, self._lowercase = vocabulary, lowercase
        self._model = WordPiece(
            vocabulary.to_dict(),
            unk_token="[UNK]",  # noqa: S106 (no password)
            max_input_chars_per_word=self.max_word_characters,
        )
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
        self._chunks = _Chunks(self)

    def words(self, text: str) -> list[str]:
        """The words before they are cut."""
        return [word for word, _ in google_words(text, lowercase=self._lowercase)]

    def corpus(self, dtype: np.dtype[Any]) -> ChunkCache:
        """The quick way to the ids of many texts, in which no special token is recognised."""
        return ChunkCache(self._ids, dtype=dtype)

    def _ids(self, text: str) -> list[int]:
        cut = self._model.tokenize
        return [token.id for word in self.words(text) for token in cut(word)]

    def may_hold_special_tokens(self, texts: Iterable[str]) -> bool:
        """Whether one is in one of the texts."""
        return any(map(self._special.search, texts))

    def pieces(self, texts: Sequence[Text], split_special_tokens: bool) -> list[Pieces]:
        """The pieces of each text, or of each text's words where it came as a list of them.

        Raises:
            DataError: something is not text.
        """
        try:
            return [
                self._of_text(text, split_special_tokens)
                if isinstance(text, str)
                else self._of_words(text, split_special_tokens)
                for text in texts
            ]
        except (TypeError, UnicodeEncodeError):
            raise DataError(f"{NOT_TEXT}, or a list of such words") from None

    def _of_words(self, words: Sequence[str], split_special_tokens: bool) -> Pieces:
        found = Pieces([], [], [], [])
        for index, word in enumerate(words):
            pieces = self._of_text(word, split_special_tokens)
            found.extend(pieces.ids, pieces.tokens, pieces.offsets, [index] * len(pieces))
        return found

    def _of_text(self, text: str, split_special_tokens: bool) -> Pieces:
        found = Pieces([], [], [], [])
        parts = [text] if split_special_tokens else self._special.split(text)
        place = num_words = 0
        for number, part in enumerate(parts):
            if number % 2:  # split() gives the special tokens between the texts
                span = (place, place + len(part))
                found.extend([self._vocabulary.id_of(part)], [part], [span], [num_words])
                num_words += 1
            else:
                num_words = self._add_text(found, part, place, num_words)
            place += len(part)
        return found

    def _add_text(self, found: Pieces, text: str, place: int, num_words: int) -> int:
        """Append the pieces of a text that starts at `place`; gives the number of words so far."""
        for match in _CHUNK.finditer(text):
            ids, tokens, spans, numbers = self._chunks[match.group()]
            at = place + match.start()
            offsets = [(at + start, at + end) for start, end in spans]
            found.extend(ids, tokens, offsets, [num_words + number for number in numbers])
            if numbers:
                num_words += numbers[-1] + 1
        return num_words

    def of_chunk(self, chunk: str) -> Chunk:
        """The pieces of what stands between white space."""
        ids: list[int] = []
        tokens: list[str] = []
        offsets: list[tuple[int, int]] = []
        numbers: list[int] = []
        for number, word in enumerate(google_words(chunk, lowercase=self._lowercase)):
            cut = self._model.tokenize(word[0])
            ids += [token.id for token in cut]
            tokens += [token.value for token in cut]
            offsets += _offsets([token.value for token in cut], word)
            numbers += [number] * len(cut)
        return tuple(ids), tuple(tokens), tuple(offsets), tuple(numbers)


def _offsets(tokens: Sequence[str], word: Word) -> list[tuple[int, int]]:
    places = word[1]
    if tokens == ["[UNK]"]:
        return [(places[0], places[-1] + 1)]
    ends = []
    end = 0
    for token in tokens:
        end += len(token) - (len(CONTINUATION) if end else 0)
        ends.append(end)
    return [(places[s], places[e - 1] + 1) for s, e in zip([0, *ends], ends, strict=False)]


class _Chunks(dict[str, Chunk]):
    """A chunk to its pieces, in bounded memory."""

    def __init__(self, maker: GooglePieces) -> None:
        super().__init__()
        self._make = maker.of_chunk

    def __missing__(self, chunk: str) -> Chunk:
        pieces = self._make(chunk)
        remember(self, chunk, pieces, _MAX_CHUNKS)
        return pieces
