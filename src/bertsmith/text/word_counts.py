"""Counts the words of a corpus of any length, in bounded memory, for learning a vocabulary.

Chunks between white space are counted first, which is quick; each distinct chunk is then cleaned
and split into words once for all its occurrences.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bertsmith.text.chunks import delete_controls

# Chunks of so many characters of text are gathered before they are split into words.
_GATHERED_CHARACTERS = 2**26
# About 250 MB. English Wikipedia and books have a million distinct words in 500 MB of text.
_MAX_WORDS = 2**21


def bert_words(*, lowercase: bool) -> Callable[[str], Iterable[str]]:
    """What gives the words of a text where there is no tokenizer yet."""
    clean = BertNormalizer(lowercase=lowercase).normalize_str
    split = BertPreTokenizer().pre_tokenize_str
    return lambda text: (word for word, _ in split(clean(text)))


class WordCounts:
    """How often each word, as BERT splits them, occurs in the texts added so far.

    While no more than `max_words` distinct words have come, the counts are exact and their order
    is of no matter. Beyond it the rarest words are dropped, those counted `dropped_up_to` times
    at most; such a word may come again, and then lacks what it had before.

    Args:
        words_of: the words of a text; no rule of it may look across white space.
        max_words: how many distinct words are remembered.
    """

    def __init__(
        self, words_of: Callable[[str], Iterable[str]], *, max_words: int = _MAX_WORDS
    ) -> None:
        self.num_texts = 0
        self.dropped_up_to = 0
        self._max_words = max_words
        self._chunks: Counter[str] = Counter()
        self._gathered = 0
        self._words: Counter[str] = Counter()
        self._words_of = words_of

    def add(self, text: str) -> None:
        """Count the words of one more text."""
        self.num_texts += 1
        self._chunks.update(delete_controls(text).split())
        self._gathered += len(text)
        if self._gathered > _GATHERED_CHARACTERS:
            self._split_chunks()

    def words(self) -> Counter[str]:
        """Word to count, of everything added."""
        self._split_chunks()
        return self._words

    def _split_chunks(self) -> None:
        by_count: dict[int, list[str]] = defaultdict(list)
        for chunk, count in self._chunks.items():
            by_count[count].append(chunk)
        for count, chunks in by_count.items():
            for word in self._words_of(" ".join(chunks)):
                self._words[word] += count
        self._chunks.clear()
        self._gathered = 0
        while len(self._words) > self._max_words:
            self.dropped_up_to += 1
            kept = {w: count for w, count in self._words.items() if count > self.dropped_up_to}
            self._words = Counter(kept)
