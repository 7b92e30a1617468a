"""A few megabytes of documents, and what becomes of them in a worker process.

Dimension key: `W` wordpieces, `S` sentences, `D` documents, `N` distinct lines of the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith.data.corpus import DocumentReader, Position
from bertsmith.data.corpus_report import Counts, count_suspicious
from bertsmith.data.repeated_lines import hash_lines
from bertsmith.data.sentences import sentence_splitter
from bertsmith.text.tokenizer import Tokenizer

# Half a second of work: little lost waiting for the last one, and little sent for each of them.
BLOCK_CHARACTERS = 4 * 2**20
MAX_EXAMPLES = 10


@dataclass
class Skipped:
    """Counts what could not be read, and keeps the first few messages."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, message: str) -> None:
        """Count one thing that could not be read."""
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(message)


@dataclass(frozen=True)
class Block:
    """Whole documents that follow each other in the source."""

    documents: list[list[str]]
    """The lines of each."""
    source: str
    """File and line of the first."""
    num_cuts: int
    """How many of them continue the document before."""
    skipped: Skipped
    """What could not be read since the block before."""
    end: Position
    """The place after the last."""
    bytes_read: int
    """Of the source's files, up to there."""


def cut_blocks(reader: DocumentReader, skipped: Skipped, characters: int) -> Iterator[Block]:
    """Gather documents until they have some number of characters.

    Where a block ends depends on the text alone; the last may have no documents.

    Args:
        reader: where the documents come from.
        skipped: what the reader's `on_bad` adds to; emptied with each block.
        characters: the size of a block.
    """
    documents: list[list[str]] = []
    source, size, num_cuts = "", 0, 0

    def block() -> Block:
        taken = Skipped(skipped.count, skipped.examples)
        skipped.count, skipped.examples = 0, []
        return Block(documents, source, num_cuts, taken, reader.position, reader.bytes_read)

    for document in reader:
        source = source or f"{document.source}:{document.line}"
        documents.append(document.lines)
        size += sum(map(len, document.lines))
        num_cuts += document.is_continuation
        if size >= characters:
            yield block()
            documents, source, size, num_cuts = [], "", 0, 0
    yield block()


@dataclass(frozen=True)
class TokenizedBlock:
    """A block as `ShardWriter.append_block` takes it, and what is counted of it."""

    wordpieces: npt.NDArray[Any]  # (W,)
    sentence_lengths: npt.NDArray[np.int64]  # (S,)
    document_lengths: npt.NDArray[np.int64]  # (D,)
    counts: Counts
    line_hashes: npt.NDArray[np.uint64]  # (N,)
    line_counts: npt.NDArray[np.int64]  # (N,)


class BlockTokenizer:
    """Splits and tokenizes blocks; made once in each worker.

    Args:
        tokenizer: makes the wordpieces.
        language: of the text, for splitting sentences; None: each line is one.
    """

    def __init__(self, tokenizer: Tokenizer, language: str | None):
        self._tokenizer = tokenizer
        self._split = sentence_splitter(language)

    def __call__(self, block: Block) -> TokenizedBlock:
        """Tokenize; sentences without wordpieces and documents without sentences are dropped."""
        sentences: list[str] = []
        ends = []
        for lines in block.documents:
            sentences += self._split(lines)
            ends.append(len(sentences))
        wordpieces, lengths = self._tokenizer.flat_ids(sentences)
        kept_before = np.concatenate([[0], np.cumsum(lengths > 0)])
        document_lengths = np.diff(kept_before[np.array([0, *ends])])
        lines = [line for document in block.documents for line in document]
        replaced, mojibake = count_suspicious(lines)
        counts = Counts(
            documents=int(np.count_nonzero(document_lengths)),
            sentences=int(document_lengths.sum()),
            wordpieces=len(wordpieces),
            lines=len(lines),
            characters=sum(map(len, lines)),
            unknown_wordpieces=int(np.count_nonzero(wordpieces == self._tokenizer.unk_id)),
            one_sentence_documents=int(np.count_nonzero(document_lengths == 1)),
            empty_documents=int(np.count_nonzero(document_lengths == 0)),
            cut_documents=block.num_cuts,
            replacement_character_lines=replaced,
            mojibake_lines=mojibake,
            skipped=block.skipped.count,
        )
        return TokenizedBlock(
            wordpieces,
            lengths[lengths > 0],
            document_lengths[document_lengths > 0],
            counts,
            *hash_lines(lines),
        )
