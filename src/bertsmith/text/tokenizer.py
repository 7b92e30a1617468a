"""`Tokenizer`: text to wordpieces and back.

Section 3 of the paper. Ids are those of Hugging Face's fast BERT tokenizer, or exactly those of
Google's script where `normalization` says so. Two ways lead from text to ids: `encode` for all that
is known of a sequence (offsets, words, pairs, truncation), and several times faster, for ids alone,
`sequences` and, without special tokens, `ids`, `ids_batch` and `flat_ids`.
"""

from __future__ import annotations

import dataclasses
import struct
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Engine

from bertsmith.cores import available_cores
from bertsmith.errors import DataError
from bertsmith.text.chunks import ChunkCache, check_are_texts
from bertsmith.text.encoding import (
    Encoding,
    Pieces,
    Text,
    Truncation,
    assemble,
    assemble_many,
    room,
    truncate,
)
from bertsmith.text.engine_pieces import EnginePieces
from bertsmith.text.google_pieces import GooglePieces
from bertsmith.text.text_starts import text_starts
from bertsmith.text.tokenizer_files import (
    Normalization,
    TokenizerFiles,
    build_engine,
    read_tokenizer_files,
    with_normalization,
    with_vocabulary,
    write_tokenizer_files,
)
from bertsmith.text.vocabulary import Vocabulary

# From here on the engine's threads are quicker than one that remembers words and is three times as
# quick as each of them.
MANY_TEXTS, MANY_CORES = 64, 8


class Tokenizer:
    """Turns text into wordpieces; made by `Tokenizer.load` or `Tokenizer.from_vocabulary`.

    It can be sent to other processes. The corpus methods start no threads, so that forking
    after them is safe.
    """

    def __init__(self, files: TokenizerFiles) -> None:
        self._files = files
        self.vocabulary = files.vocabulary
        self.max_length = files.max_length
        """Where the texts of the model beside it are cut; None: at the model's positions."""
        self.normalization = files.normalization
        """Whose rules turn a text into words: "huggingface" (the fast tokenizer) or "google"."""
        self.unicode_version = files.unicode_version
        """The version of Python's Unicode tables that Google's rules were first used with."""
        self.vocab_size = len(self.vocabulary)
        self.lowercase: bool = files.engine.normalizer.lowercase
        self.pad_id = self.vocabulary.id_of("[PAD]")
        self.unk_id = self.vocabulary.id_of("[UNK]")
        self.cls_id = self.vocabulary.id_of("[CLS]")
        self.sep_id = self.vocabulary.id_of("[SEP]")
        self.mask_id = self.vocabulary.id_of("[MASK]")

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        lowercase: bool | None = None,
        normalization: Normalization | None = None,
    ) -> Self:
        """Open a vocab.txt, a tokenizer.json or a model folder.

        Args:
            path: the file or folder.
            lowercase: in place of what is stored beside the vocabulary; without either, a
                vocabulary with upper-case entries is cased, any other uncased.
            normalization: "google" for the ids of Google's script, "huggingface" for those of
                Hugging Face's fast tokenizer; None: as stored, else "huggingface".

        Raises:
            CheckpointError: a file is missing, damaged or no BERT tokenizer, or a vocabulary with
                upper-case entries is to be opened as uncased, or the stored settings are none of
                Google's and its rules are asked for.
            ConfigError: `normalization` is neither.
        """
        return cls(read_tokenizer_files(Path(path), lowercase, normalization))

    @classmethod
    def from_vocabulary(
        cls,
        vocabulary: Vocabulary,
        *,
        lowercase: bool,
        normalization: Normalization = "huggingface",
    ) -> Self:
        """A tokenizer for a new vocabulary."""
        engine = build_engine(vocabulary, lowercase=lowercase)
        return cls(TokenizerFiles(engine, vocabulary, normalization=normalization))

    def with_max_length(self, max_length: int | None) -> Self:
        """The same tokenizer for a model that reads another length."""
        return type(self)(dataclasses.replace(self._files, max_length=max_length))

    def with_vocabulary(self, vocabulary: Vocabulary) -> Self:
        """The same rules over other wordpieces; `max_length` stays too."""
        return type(self)(with_vocabulary(self._files, vocabulary))

    def with_normalization(self, normalization: Normalization) -> Self:
        """The same vocabulary, settings and added tokens under Google's or Hugging Face's rules.

        Raises:
            CheckpointError: the settings are none of Google's and its rules are asked for.
            ConfigError: `normalization` is neither.
        """
        return type(self)(with_normalization(self._files, normalization))

    def limit(self, positions: int) -> int:
        """Where texts are cut for a model with this many positions."""
        return positions if self.max_length is None else min(positions, self.max_length)

    def save(self, folder: str | Path) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json; other files there stay.

        The folder is made where it does not exist; `max_length` is written too.
        """
        write_tokenizer_files(Path(folder), self._files)

    def encode(
        self,
        text: Text,
        pair: Text | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        split_special_tokens: bool = False,
    ) -> Encoding:
        """`[CLS] text [SEP]`, or `[CLS] text [SEP] pair [SEP]`.

        Args:
            text: a string, or a list of words (then offsets count within each word).
            pair: the second text.
            max_length: the most wordpieces, special tokens included; None: no limit.
            truncation: how longer ones are cut, see `encoding.Truncation`.
            split_special_tokens: treat "[MASK]" and its like in the text as any other text, as
                Google's script always does; otherwise they become the special token.
        """
        return self.encode_batch(
            [text],
            None if pair is None else [pair],
            max_length=max_length,
            truncation=truncation,
            split_special_tokens=split_special_tokens,
        )[0]

    def encode_batch(
        self,
        texts: Sequence[Text],
        pairs: Sequence[Text] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        split_special_tokens: bool = False,
    ) -> list[Encoding]:
        """`encode` for many texts; on several threads, except by Google's rules."""
        if pairs is not None and len(pairs) != len(texts):
            raise DataError(f"{len(texts)} texts came with {len(pairs)} pairs; give one for each")
        columns = [self._cutter.pieces(texts, split_special_tokens)]
        if pairs is not None:
            columns.append(self._cutter.pieces(pairs, split_special_tokens))
        rows: Iterable[Sequence[Pieces]] = zip(*columns, strict=True)
        if max_length is not None:
            rows = (truncate(row, max_length, truncation) for row in rows)
        return [self._assemble(row) for row in rows]

    def wordpieces(self, text: str) -> list[str]:
        """The wordpieces of a text, without [CLS] and [SEP]; special tokens are recognised."""
        return self._cutter.pieces([text], False)[0].tokens

    def words(self, text: str) -> list[str]:
        """The words and punctuation marks of a text, normalised, before they are cut to pieces."""
        return self._cutter.words(text)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text from ids: pieces joined to words, and no blank before punctuation.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        ids = list(ids)
        for index in ids:
            if not 0 <= index < self.vocab_size:
                raise DataError(
                    f"id {index} is outside the vocabulary of {self.vocab_size:,} wordpieces"
                )
        text: str = self._files.engine.decode(ids, skip_special_tokens=skip_special_tokens)
        return text

    @property
    def ids_dtype(self) -> np.dtype[Any]:
        """The type of ids on disk: uint16 while they fit, else uint32."""
        return np.dtype(np.uint16 if self.vocab_size <= 2**16 else np.uint32)

    def ids(self, text: str) -> list[int]:
        """The ids of a text without [CLS] and [SEP]; "[MASK]" in it is text like any other."""
        return self._corpus.ids(text)

    def ids_batch(
        self, texts: Sequence[str], *, split_special_tokens: bool = True
    ) -> list[list[int]]:
        """`ids` of many texts; arguments as for `flat_ids`."""
        ids, lengths = self.flat_ids(texts, split_special_tokens=split_special_tokens)
        flat, ends = ids.tolist(), np.cumsum(lengths).tolist()
        return [flat[end - n : end] for end, n in zip(ends, lengths.tolist(), strict=True)]

    def flat_ids(
        self, texts: Sequence[str], *, split_special_tokens: bool = True
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """`ids` of many texts end to end; the quickest form, best with thousands of sentences.

        Args:
            texts: any number of them.
            split_special_tokens: False recognises "[MASK]" and its like in a text, as `encode`
                does by itself.

        Returns:
            The ids of all texts, of `ids_dtype`, read-only; and (number of texts,) int64, how
            many ids each text has (0 for a text of white space).
        """
        check_are_texts(texts)
        if split_special_tokens or not self._cutter.may_hold_special_tokens(texts):
            return self._corpus.flat_ids(texts)
        pieces = self._cutter.pieces(texts, False)
        lengths = np.array([len(each) for each in pieces], np.int64)
        ids = np.fromiter(chain.from_iterable(each.ids for each in pieces), self.ids_dtype)
        ids.flags.writeable = False
        return ids, lengths

    def sequences(self, texts: Sequence[str], *, max_length: int) -> list[array[int]]:
        """The ids that `encode` has for each text alone, and no more: the quick way to a model.

        Many texts are cut to pieces on several threads, where there are many cores. Of a long text
        little more is looked at than is read of it.

        Args:
            texts: any number of them.
            max_length: the most wordpieces, special tokens included; the end of a text is cut.

        Returns:
            (L,) of each text, L at most `max_length`.

        Raises:
            ConfigError: `max_length` has no room for a piece.
            DataError: something is not text.
        """
        check_are_texts(texts)
        num_pieces = room(max_length, 1)
        starts = text_starts(texts, num_pieces) if self._ends_at_blanks else texts
        found = self._sequences(starts, max_length)
        short = [
            place
            for place, (ids, start) in enumerate(zip(found, starts, strict=True))
            if len(ids) < max_length and len(start) < len(texts[place])
        ]
        whole = self._sequences([texts[place] for place in short], max_length)
        for place, ids in zip(short, whole, strict=True):
            found[place] = ids
        return found

    def _sequences(self, texts: Sequence[str], max_length: int) -> list[array[int]]:
        """As `sequences`, of all that is in the texts."""
        are_worth_it = len(texts) >= MANY_TEXTS and available_cores() >= MANY_CORES
        if are_worth_it and isinstance(self._cutter, EnginePieces):
            cls_id, sep_id = self.cls_id, self.sep_id
            rows = self._cutter.first_ids(texts, room(max_length, 1))
            # By way of bytes, which is quicker than number by number.
            return [
                array("i", struct.pack(f"{len(row) + 2}i", cls_id, *row, sep_id)) for row in rows
            ]
        ids, lengths = self.flat_ids(texts, split_special_tokens=False)
        return assemble_many(ids, lengths, max_length, self.cls_id, self.sep_id)

    @cached_property
    def _ends_at_blanks(self) -> bool:
        """Whether all that is looked for in a text ends where a blank is.

        Added words may hold blanks; one that is normalised first may hold anything.
        """
        added = self._files.engine.get_added_tokens_decoder().values()
        return all(token.special and not token.normalized for token in added) and not any(
            map(str.isspace, "".join(token.content for token in added))
        )

    def with_special_tokens(self, texts: Sequence[list[int]]) -> tuple[list[int], list[int]]:
        """Ids and segment ids of `[CLS] text [SEP]`, or of a pair, from the ids of the texts."""
        ids, segment_ids = [self.cls_id], [0]
        for segment, text in enumerate(texts):
            ids += [*text, self.sep_id]
            segment_ids += [segment] * (len(text) + 1)
        return ids, segment_ids

    @property
    def max_word_characters(self) -> int:
        """The longest word that is cut to pieces; a longer one is [UNK]."""
        return self._cutter.max_word_characters

    @cached_property
    def _corpus(self) -> ChunkCache:
        return self._cutter.corpus(self.ids_dtype)

    @cached_property
    def _cutter(self) -> EnginePieces | GooglePieces:
        if self.normalization == "huggingface":
            return EnginePieces(self._files.engine)
        return GooglePieces(
            self.vocabulary, lowercase=self.lowercase, special_tokens=self._files.special_tokens
        )

    def _assemble(self, texts: Sequence[Pieces]) -> Encoding:
        return assemble(texts, (self.cls_id, "[CLS]"), (self.sep_id, "[SEP]"))

    def __reduce__(self) -> tuple[Any, ...]:
        files = self._files
        others = (files.vocabulary, files.max_length, files.normalization, files.unicode_version)
        return _restore, (type(self), files.engine.to_str(), *others)

    def __repr__(self) -> str:
        case = "uncased" if self.lowercase else "cased"
        rules = ", Google's rules" if self.normalization == "google" else ""
        return f"Tokenizer({self.vocab_size:,} wordpieces, {case}{rules})"


def _restore(kind: type[Tokenizer], engine: str, *others: Any) -> Tokenizer:
    return kind(TokenizerFiles(Engine.from_str(engine), *others))
