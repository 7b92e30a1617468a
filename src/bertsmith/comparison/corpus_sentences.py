"""A few hundred sentences of a prepared corpus: those that have a word, and any others.

Dimension key: `W` wordpieces of a shard, `S` sentences of a shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith.data.shards import Shard, TokenizedCorpus
from bertsmith.errors import DataError
from bertsmith.text.tokenizer import Tokenizer

MAX_WITH_WORD = 100
MAX_OTHERS = 500
# Shorter ones are headings and the like; of longer ones many a model reads the beginning alone.
SHORTEST, LONGEST = 5, 80

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CorpusSentences:
    """Sentences of a corpus as text, each once."""

    with_word: list[str]
    others: list[str]

    @property
    def all(self) -> list[str]:
        """Those with the word first."""
        return [*self.with_word, *self.others]


def corpus_sentences(
    folder: str | Path,
    word: str,
    *,
    max_with_word: int = MAX_WITH_WORD,
    max_others: int = MAX_OTHERS,
) -> CorpusSentences:
    """Choose sentences that are spread evenly over a corpus.

    Args:
        folder: of shards, as `bertsmith prepare` writes them, whatever their vocabulary.
        word: a word, or several that stand together.
        max_with_word: how many sentences with the word, at most.
        max_others: and how many without.

    Raises:
        DataError: the folder holds no finished corpus, or is a file.
        CheckpointError: its vocabulary cannot be read.
    """
    if Path(folder).is_file():
        raise DataError(
            f"{folder} is a file, and a corpus is a folder of shards; make one of it with "
            f"`bertsmith prepare {folder} --vocab MODEL --output SHARDS` and give that"
        )
    corpus = TokenizedCorpus.open(folder)
    tokenizer = Tokenizer.load(folder)
    wanted = tokenizer.ids(word)
    is_continuation = tokenizer.vocabulary.is_continuation
    having, rest = [], []
    for number, shard in enumerate(corpus.shards):
        starts = np.asarray(shard.sentence_starts).astype(np.int64)
        places = _find(np.asarray(shard.wordpieces), wanted, is_continuation)
        has_word = np.zeros(len(starts) - 1, np.bool_)
        has_word[np.searchsorted(starts, places, side="right") - 1] = True
        lengths = np.diff(starts)
        fits = (lengths >= SHORTEST) & (lengths <= LONGEST)
        having += [(number, each) for each in np.flatnonzero(fits & has_word).tolist()]
        rest += [(number, each) for each in np.flatnonzero(fits & ~has_word).tolist()]
    return CorpusSentences(
        _texts(corpus.shards, tokenizer, _evenly(having, max_with_word)),
        _texts(corpus.shards, tokenizer, _evenly(rest, max_others)),
    )


def _find(
    pieces: npt.NDArray[Any], wanted: list[int], is_continuation: npt.NDArray[np.bool_]
) -> Places:
    """(W,) pieces → where `wanted` begins as whole words."""
    if not wanted or len(pieces) < len(wanted):
        return np.empty(0, np.int64)
    last = len(pieces) - len(wanted)
    places = np.flatnonzero(pieces[: last + 1] == wanted[0])
    for offset, piece in enumerate(wanted[1:], 1):
        places = places[pieces[places + offset] == piece]
    following = np.minimum(places + len(wanted), len(pieces) - 1)
    goes_on = (places + len(wanted) < len(pieces)) & is_continuation[pieces[following]]
    found: Places = places[~goes_on]
    return found


def _evenly(found: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most so many, at equal distances."""
    if len(found) <= most:
        return found
    return [found[number * len(found) // most] for number in range(most)]


def _texts(
    shards: Sequence[Shard], tokenizer: Tokenizer, chosen: Sequence[tuple[int, int]]
) -> list[str]:
    texts = []
    for number, sentence in chosen:
        start, end = shards[number].sentence_starts[sentence : sentence + 2].tolist()
        texts.append(tokenizer.decode(shards[number].wordpieces[start:end].tolist()))
    return list(dict.fromkeys(texts))
