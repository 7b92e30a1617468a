"""Gives a vocabulary the words of a field of its own, before a model is trained on.

Section 3 of the paper keeps the vocabulary fixed; the published ones have some hundred `[unusedN]`
entries for this. `choose_words` finds the words in a corpus, `extend_vocabulary` makes the
vocabulary and says which rows of a model's embeddings are new and what they were cut into before.

WordPiece takes the longest piece that fits at each place. So a new word is one piece from then on,
and longer words that begin with it may be cut in another way too, mostly into fewer pieces and now
and then into more: once "covid" is there, "covids" is `covid ##s` where it was `co ##vid ##s`.
Words that hold it elsewhere are cut as before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bertsmith.errors import ConfigError, DataError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary
from bertsmith.text.word_counts import WordCounts

_UNUSED = re.compile(r"\[unused\d+\]")


class WordChoice(NamedTuple):
    """A word that is worth a piece of its own."""

    word: str
    frequency: int
    pieces: list[str]
    """What it is cut into now."""


class NewPiece(NamedTuple):
    """A word that has become a wordpiece."""

    piece: str
    id: int
    old_ids: list[int]
    """The ids of the pieces that it was cut into before; a good first embedding is their mean."""


@dataclass(frozen=True)
class Extension:
    """A vocabulary with more words."""

    tokenizer: Tokenizer
    new: list[NewPiece]
    """In the order the words were given in."""


def choose_words(
    texts: Iterable[str], tokenizer: Tokenizer, *, count: int, min_frequency: int = 10
) -> list[WordChoice]:
    """The words of a corpus whose own pieces would shorten it most.

    Words are ranked by the pieces that each saves: its frequency times one less than its pieces.
    An unknown word, of which the model sees nothing, counts as many as it has characters. Each is
    judged alone, although a word that is chosen may shorten others too. Words without a letter
    (numbers, punctuation, emoji) are left out, as are those longer than the tokenizer reads.

    Args:
        texts: any number of texts, read once, one at a time; memory is bounded as `WordCounts`
            says.
        tokenizer: the tokenizer to extend; its rules make the words.
        count: the most words.
        min_frequency: how often a word must occur.

    Returns:
        The words, the best first; equals in the order of Unicode.

    Raises:
        ConfigError: `count` or `min_frequency` is below 1.
        DataError: the texts hold no word.
    """
    for name, value in (("count", count), ("min_frequency", min_frequency)):
        if value < 1:
            raise ConfigError(f"{name} ({value}) must be at least 1")
    counter = WordCounts(tokenizer.words)
    for text in texts:
        counter.add(text)
    counts = counter.words()
    if not counts:
        raise DataError(
            f"{counter.num_texts:,} texts hold no word to choose from; is this the right file?"
        )
    words = [
        word
        for word, frequency in counts.items()
        if frequency >= min_frequency
        and word not in tokenizer.vocabulary
        and len(word) <= tokenizer.max_word_characters
        and any(map(str.isalpha, word))
    ]
    pieces_of = dict(zip(words, tokenizer.ids_batch(words), strict=True))

    def saved(word: str) -> int:
        ids = pieces_of[word]
        return counts[word] * (len(word) if tokenizer.unk_id in ids else len(ids) - 1)

    best = sorted(words, key=lambda word: (-saved(word), word))[:count]
    pieces = tokenizer.vocabulary.pieces
    return [WordChoice(w, counts[w], [pieces[index] for index in pieces_of[w]]) for w in best]


def extend_vocabulary(tokenizer: Tokenizer, words: Sequence[str]) -> Extension:
    """Make each word a wordpiece of its own; every other wordpiece keeps its id.

    The entries `[unusedN]` are filled first, in the order of their ids; what is left comes at the
    end. A model of the old vocabulary needs a row for each entry beyond its size, and a new value
    in each row that was unused.

    Args:
        tokenizer: the tokenizer to extend; it stays as it is.
        words: in the tokenizer's own form: lower case without accents for an uncased one, and no
            blanks or punctuation.

    Raises:
        DataError: there is no word, or one is not text, occurs twice, is in the vocabulary, or
            would never be met as a word of a text.
    """
    if not words:
        raise DataError("there are no words to add; give at least one")
    seen: set[str] = set()
    for word in words:
        _check(word, tokenizer)
        if word in seen:
            raise DataError(f"{word!r} is among the words twice; give each once")
        seen.add(word)
    pieces = list(tokenizer.vocabulary.pieces)
    slots = [index for index, piece in enumerate(pieces) if _UNUSED.fullmatch(piece)]
    new = []
    for number, word in enumerate(words):
        if number < len(slots):
            index = slots[number]
            pieces[index] = word
        else:
            index = len(pieces)
            pieces.append(word)
        new.append(NewPiece(word, index, tokenizer.ids(word)))
    return Extension(tokenizer.with_vocabulary(Vocabulary(pieces)), new)


def _check(word: str, tokenizer: Tokenizer) -> None:
    if not isinstance(word, str) or not word:
        raise DataError(f"{word!r} is no word; a word is a string of at least one character")
    if word in tokenizer.vocabulary:
        raise DataError(
            f"{word!r} is already wordpiece {tokenizer.vocabulary.id_of(word)}; leave it out"
        )
    if any(map(str.isspace, word)):
        raise DataError(f"{word!r} holds a blank; a wordpiece is part of one word, so give two")
    found = tokenizer.words(word)
    if found != [word]:
        if len(found) == 1:
            raise DataError(f"{word!r} is read as {found[0]!r} by this tokenizer; give that form")
        parts = " ".join(found) if found else "nothing"
        raise DataError(
            f"{word!r} is read as {parts!r} by this tokenizer, never as one word; leave it out"
        )
    if len(word) > tokenizer.max_word_characters:
        raise DataError(
            f"{word[:20]!r}... has {len(word)} characters and words of more than "
            f"{tokenizer.max_word_characters} are [UNK] to this tokenizer; leave it out"
        )
