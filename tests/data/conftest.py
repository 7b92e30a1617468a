"""Tiny corpora whose every wordpiece tells its own place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from bertsmith.data.shards import ShardWriter, TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds

FIRST_ID = 10
NumberedCorpus = Callable[..., TokenizedCorpus]


@pytest.fixture
def numbered_corpus(tmp_path: Path) -> NumberedCorpus:
    """Make a corpus of documents given by their sentences' lengths; wordpiece i has id 10 + i."""
    folders = itertools.count()

    def make(
        documents: Sequence[Sequence[int]], shard_wordpieces: int = 10_000_000, vocab_size: int = 0
    ) -> TokenizedCorpus:
        folder = tmp_path / f"corpus-{next(folders)}"
        folder.mkdir()
        needed = FIRST_ID + sum(map(sum, documents))
        writer = ShardWriter(
            folder,
            vocab_size=vocab_size or needed,
            vocabulary_sha256="0" * 64,
            lowercase=True,
            shard_wordpieces=shard_wordpieces,
        )
        ids = itertools.count(FIRST_ID)
        with writer:
            for lengths in documents:
                writer.append([list(itertools.islice(ids, length)) for length in lengths])
        return TokenizedCorpus.open(folder)

    return make


@pytest.fixture
def make_ids() -> Callable[[int], WordpieceIds]:
    """Ids of a vocabulary of a given size, in which every third wordpiece continues a word."""

    def make(vocab_size: int) -> WordpieceIds:
        is_continuation = np.arange(vocab_size) % 3 == 0
        is_continuation[:FIRST_ID] = False
        return WordpieceIds(
            pad_id=0, cls_id=1, sep_id=2, mask_id=3, is_continuation=is_continuation
        )

    return make
