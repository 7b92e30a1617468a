"""Learns a vocabulary of wordpieces from text.

The paper takes its vocabulary as given (section 3; 30,522 wordpieces uncased, 28,996 cased). The
engine can learn one too, but takes no counts, orders its pieces differently in each run and goes
beyond the asked size where there are many characters; here the same text gives the same bytes,
whatever the order of its lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bertsmith.errors import ConfigError, DataError
from bertsmith.text.merges import Merger
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import CONTINUATION, SPECIAL_TOKENS, Vocabulary
from bertsmith.text.word_counts import WordCounts, bert_words

# Characters that together make up this share of the text have pieces of their own: some hundreds
# for English, some thousands for Chinese. A word with a rarer one is [UNK].
_CHARACTER_COVERAGE = 0.9999
# Pieces are learnt from so many of the most frequent words (about 400 MB while learning).
_MAX_WORDS = 2**20
# The engine takes longer words for [UNK].
_MAX_CHARACTERS = 100
_MIN_COUNT = 2


@dataclass(frozen=True)
class VocabularyReport:
    """How well a new vocabulary fits the text that it was learnt from."""

    asked_size: int
    size: int
    num_words: int
    """Words and punctuation marks of the text."""
    pieces_per_word: float
    """The fertility: 1 when every word is one piece."""
    unknown_share: float
    """The share of words that are [UNK]."""
    split_words: list[tuple[str, list[str], int]]
    """The ten most frequent words that are not one piece: word, its pieces, count."""
    dropped_up_to: int
    """Words counted so often or less were dropped to bound the memory; 0 if none were."""

    def lines(self) -> list[str]:
        """The report for people."""
        lines = []
        if self.size < self.asked_size:
            lines.append(
                f"the text gave {self.size:,} wordpieces of the {self.asked_size:,} asked for; "
                "more text gives more"
            )
        if self.dropped_up_to:
            lines.append(f"words seen at most {self.dropped_up_to} times were dropped on the way")
        lines += [
            f"{self.num_words:,} words, {self.pieces_per_word:.3f} pieces a word, "
            f"{self.unknown_share:.4%} [UNK]",
            "the most frequent words that are not one piece:",
        ]
        lines += [
            f"  {word[:40]}  {' '.join(pieces)[:80]}  ({count:,} times)"
            for word, pieces, count in self.split_words
        ]
        return lines if self.split_words else [*lines[:-1], "every word is one piece"]


def train_vocabulary(
    texts: Iterable[str], *, size: int, cased: bool = False, unused: int = 0
) -> tuple[Tokenizer, VocabularyReport]:
    """Learn a vocabulary and make its tokenizer.

    Ids 0 to 4 are [PAD] [UNK] [CLS] [SEP] [MASK]; then come [unused0] and so on, the characters
    in the order of Unicode, and pieces in the order they were learnt. A piece occurs at least
    twice. Texts are read once, one at a time; memory is bounded as `WordCounts` says.

    Args:
        texts: any number of texts, of any length each.
        size: the most wordpieces, all of the above counted; there are never more.
        cased: keep upper case and accents.
        unused: how many [unusedN] to reserve for words of one's own.

    Raises:
        ConfigError: `size` has no room for a piece, or `unused` is negative.
        DataError: the texts hold no word.
    """
    reserved = [*SPECIAL_TOKENS, *(f"[unused{i}]" for i in range(unused))]
    if unused < 0 or size <= len(reserved):
        raise ConfigError(
            f"size ({size}) must be above the {len(SPECIAL_TOKENS)} special tokens and the "
            f"unused slots ({unused}) together, and these at least 0"
        )
    counter = WordCounts(bert_words(lowercase=not cased))
    for text in texts:
        counter.add(text)
    words = counter.words()
    if not words:
        raise DataError(
            f"{counter.num_texts:,} texts hold no word to learn from; is this the right file?"
        )
    pieces = [*reserved, *_learn(words, size - len(reserved))]
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(pieces), lowercase=not cased)
    return tokenizer, _report(tokenizer, words, size, counter.dropped_up_to)


def _learn(words: Mapping[str, int], size: int) -> list[str]:
    """The characters and the pieces made of them, at most `size`."""
    alphabet = _alphabet(words, size)
    known = {piece for piece in alphabet if not piece.startswith(CONTINUATION)}
    usable = {
        word: count
        for word, count in words.items()
        if len(word) <= _MAX_CHARACTERS and known.issuperset(word)
    }
    if len(usable) > _MAX_WORDS:
        most = sorted(usable, key=lambda word: (-usable[word], word))[:_MAX_WORDS]
        usable = {word: usable[word] for word in most}
    merger = Merger(usable, alphabet)
    merger.merge_until(size, min_count=_MIN_COUNT)
    _check(merger, usable)
    return merger.pieces


def _alphabet(words: Mapping[str, int], size: int) -> list[str]:
    """The most frequent characters, each also with ## if it occurs in words of several.

    They take at most half of the room, so that some is left for pieces.
    """
    counts: Counter[str] = Counter()
    joined: set[str] = set()
    for word, count in words.items():
        for character in word:
            counts[character] += count
        if len(word) > 1:
            joined.update(word)
    alphabet: list[str] = []
    seen, total = 0, counts.total()
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        forms = [character, CONTINUATION + character] if character in joined else [character]
        if seen >= _CHARACTER_COVERAGE * total or len(alphabet) + len(forms) > max(1, size // 2):
            break
        alphabet += forms
        seen += count
    return sorted(alphabet)


def _check(merger: Merger, words: Mapping[str, int]) -> None:
    """A word more frequent than the last pair to merge must have become one piece.

    Counts that overflow would show here first: frequent words in single letters.
    """
    pieces = set(merger.pieces)
    for word, count in words.items():
        if count > merger.last_count > 0 and word not in pieces:
            raise DataError(
                f"{word!r} occurs {count:,} times and did not become a piece, while a pair with "
                f"{merger.last_count:,} did; the counts are wrong, which is a bug to report"
            )


def _report(
    tokenizer: Tokenizer, words: Mapping[str, int], asked_size: int, dropped_up_to: int
) -> VocabularyReport:
    ids, lengths = tokenizer.flat_ids(list(words))
    counts = np.fromiter(words.values(), np.int64, len(words))
    total = int(counts.sum())
    firsts = np.cumsum(lengths) - lengths
    unknown = ids[firsts] == tokenizer.unk_id
    split = [
        (word, count)
        for word, count, length in zip(words, counts.tolist(), lengths.tolist(), strict=True)
        if length > 1
    ]
    split.sort(key=lambda item: (-item[1], item[0]))
    return VocabularyReport(
        asked_size=asked_size,
        size=tokenizer.vocab_size,
        num_words=total,
        pieces_per_word=int((counts * lengths).sum()) / total,
        unknown_share=int(counts[unknown].sum()) / total,
        split_words=[(w, tokenizer.wordpieces(w), count) for w, count in split[:10]],
        dropped_up_to=dropped_up_to,
    )
