"""Places in a corpus of many shards: wordpieces and documents numbered from 0 over all of them.

Dimension key: `N` texts, `T` tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertsmith.data.example_plan import Ints
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.errors import DataError

# A block is planned in some 15 ms; a document is never cut, so that a book makes a larger one.
BLOCK_WORDPIECES = 1 << 20


@dataclass(frozen=True)
class Block:
    """A run of whole documents of one shard: the unit in which an epoch is planned."""

    index: int
    shard: int
    first_document: int
    last_document: int
    """One past the block's last; both count from the shard's first document."""


class CorpusReader:
    """Finds documents, sentences and wordpieces by number, through the memory-mapped shards.

    Args:
        corpus: the shards.
        block_wordpieces: about how many a block has; None: as many as an epoch is planned by.
    """

    def __init__(self, corpus: TokenizedCorpus, *, block_wordpieces: int | None = None):
        # Plain arrays over the same mapped pages: indexing a numpy.memmap is slower.
        self.wordpieces = [np.asarray(shard.wordpieces) for shard in corpus.shards]
        self.sentence_starts = [np.asarray(shard.sentence_starts) for shard in corpus.shards]
        self.document_starts = [np.asarray(shard.document_starts) for shard in corpus.shards]
        self.wordpiece_base = _bases([len(array) for array in self.wordpieces])
        self.document_base = _bases([len(array) - 1 for array in self.document_starts])
        self.num_documents = int(self.document_base[-1])
        self.blocks = list(self._blocks(block_wordpieces or BLOCK_WORDPIECES))

    def _blocks(self, block_wordpieces: int) -> Iterator[Block]:
        index = 0
        for shard, starts in enumerate(self.sentence_starts):
            marks = np.arange(0, len(self.wordpieces[shard]), block_wordpieces)
            # Needles of another dtype would make numpy convert, and so read, the whole shard.
            sentences = np.searchsorted(starts, marks.astype(starts.dtype))
            documents = self.document_starts[shard]
            firsts = np.unique(np.searchsorted(documents, sentences.astype(documents.dtype)))
            edges = [*firsts[firsts < len(documents) - 1].tolist(), len(documents) - 1]
            for first, last in itertools.pairwise(edges):
                yield Block(index, shard, first, last)
                index += 1

    def sentences(self, block: Block) -> tuple[Ints, Ints]:
        """A block's sentences and documents.

        Returns:
            Where each sentence starts, counted over all shards, and the end of the last one;
            where each document starts, counted in the block's sentences, and their number.

        Raises:
            DataError: they do not follow each other: the shard is damaged.
        """
        documents = self.document_starts[block.shard][
            block.first_document : block.last_document + 1
        ].astype(np.int64)
        starts = self.sentence_starts[block.shard][documents[0] : documents[-1] + 1]
        if len(starts) <= documents[-1] - documents[0] or (starts[1:] <= starts[:-1]).any():
            raise DataError(
                f"shard {block.shard} of the corpus is damaged: its sentences do not follow each "
                "other; prepare the text again"
            )
        return starts + self.wordpiece_base[block.shard], documents - documents[0]

    def gather(self, starts: Ints, lengths: Ints, destinations: Ints, out: Ints) -> None:
        """Copy N texts into a row of tokens.

        Args:
            starts: (N,) where each text starts in the corpus.
            lengths: (N,) wordpieces of each.
            destinations: (N,) where each goes in `out`.
            out: (T,) changed in place.
        """
        for shard, rows in self.by_shard(self.wordpiece_base, starts):
            length = lengths[rows]
            ends = length.cumsum()
            steps = np.arange(ends[-1])
            offsets = ends - length
            source = starts[rows] - self.wordpiece_base[shard] - offsets
            pieces = self.wordpieces[shard].take(np.repeat(source, length) + steps)
            steps += np.repeat(destinations[rows] - offsets, length)
            out[steps] = pieces

    @staticmethod
    def by_shard(bases: Ints, numbers: Ints) -> Iterator[tuple[int, Ints]]:
        """Group numbers that count over all shards: (shard, places in `numbers`) of each."""
        shards = np.searchsorted(bases, numbers, side="right") - 1
        for shard in np.unique(shards).tolist():
            yield shard, np.flatnonzero(shards == shard)


def _bases(sizes: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
