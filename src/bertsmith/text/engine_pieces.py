"""Wordpieces exactly as Hugging Face's fast tokenizer cuts them: its engine does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Engine

from bertsmith.errors import DataError
from bertsmith.text.chunks import NOT_TEXT, ChunkCache
from bertsmith.text.encoding import Pieces, Text


class EnginePieces:
    """Cuts texts with the engine; many texts on several threads.

    Args:
        engine: the tokenizer of the `tokenizers` package.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cutting_engine: tuple[int, Engine] = 0, engine
        self._lowercase: bool = engine.normalizer.lowercase
        self.max_word_characters: int = engine.model.max_input_chars_per_word

    @cached_property
    def _plain_engine(self) -> Engine:
        """An engine that sees no special tokens in text: its own option, not a call's."""
        engine = Engine.from_str(self._engine.to_str())
        engine.encode_special_tokens = True
        return engine

    @cached_property
    def _special(self) -> re.Pattern[str]:
        """Matches where a special token may be; one that is normalised first may be anywhere."""
        added = self._engine.get_added_tokens_decoder().values()
        special = [token for token in added if token.special]
        if any(token.normalized for token in special):
            return re.compile("")
        return re.compile("|".join(re.escape(token.content) for token in special) or "(?!)")

    @cached_property
    def _model(self) -> Any:
        return self._plain_engine.model

    def words(self, text: str) -> list[str]:
        """The words before they are cut."""
        cleaned = self._engine.normalizer.normalize_str(text)
        return [word for word, _ in self._engine.pre_tokenizer.pre_tokenize_str(cleaned)]

    def corpus(self, dtype: np.dtype[Any]) -> ChunkCache:
        """The quick way to the ids of many texts, in which no special token is recognised."""
        # Words that someone added beside WordPiece may hold blanks, which chunks would cut.
        added = self._engine.get_added_tokens_decoder().values()
        if any(not token.special for token in added):
            return ChunkCache(self._ids, dtype=dtype, is_by_chunk=False)
        return ChunkCache(self._ids_of_part, dtype=dtype)

    def _ids_of_part(self, part: str) -> list[int]:
        if part.isascii() and part.isalnum():
            # It is one word, and lower-casing is all that happens to it: the model alone needs a
            # third of the time of a whole encode().
            word = part.lower() if self._lowercase else part
            return [token.id for token in self._model.tokenize(word)]
        return self._ids(part)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._plain_engine.encode(text, add_special_tokens=False).ids
        return ids

    def may_hold_special_tokens(self, texts: Iterable[str]) -> bool:
        """Whether one may be recognised in one of the texts."""
        return any(map(self._special.search, texts))

    def first_ids(self, texts: Sequence[str], num_pieces: int) -> Iterator[list[int]]:
        """The first ids of each text, special tokens recognised, by a thread for each core.

        A core needs three times as long for a text as `corpus` does, but little of Python's time.

        Args:
            texts: any number of them.
            num_pieces: the most ids of each.

        Raises:
            DataError: something is not text.
        """
        engine = self._engine_up_to(num_pieces)
        try:
            found = engine.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError:
            raise DataError(NOT_TEXT) from None
        return (each.ids for each in found)

    def _engine_up_to(self, num_pieces: int) -> Engine:
        """An engine whose threads cut texts, so that Python need not make numbers of the rest."""
        num_pieces = min(num_pieces, 2**31 - 1)  # of what the engine can count
        last, engine = self._cutting_engine
        if last != num_pieces:
            engine = Engine.from_str(self._engine.to_str())
            engine.enable_truncation(num_pieces)
            self._cutting_engine = num_pieces, engine  # at once: other threads may ask
        return engine

    def pieces(self, texts: Sequence[Text], split_special_tokens: bool) -> list[Pieces]:
        """The pieces of each text, or of each text's words where it came as a list of them.

        Raises:
            DataError: something is not text.
        """
        engine = self._plain_engine if split_special_tokens else self._engine
        pieces: dict[int, Pieces] = {}
        for is_split in (False, True):
            places = [i for i, text in enumerate(texts) if isinstance(text, str) != is_split]
            found = _run(engine, [texts[i] for i in places], is_split)
            pieces |= zip(places, map(Pieces.from_engine, found), strict=True)
        return [pieces[i] for i in range(len(texts))]


def _run(engine: Engine, texts: Sequence[Text], is_split: bool) -> list[Any]:
    options = {"is_pretokenized": is_split, "add_special_tokens": False}
    try:
        rows = [list(text) for text in texts] if is_split else texts
        if len(rows) == 1:
            return [engine.encode(rows[0], **options)]  # starts no threads
        found: list[Any] = engine.encode_batch(rows, **options) if rows else []
    except TypeError:
        raise DataError(f"{NOT_TEXT}, or a list of such words") from None
    return found
