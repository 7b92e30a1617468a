"""Full-length texts for masked LM without next-sentence prediction.

Each example is contiguous text of one document, as long as a sequence may be; a document's first
and last are shorter. It serves the paper's "No NSP" ablation (section 5.1), and is close to the
DOC-SENTENCES input of Liu et al. 2019 (section 4.2), which ends at whole sentences.

Dimension key: `D` documents of a block, `N` examples.
"""

from __future__ import annotations

import numpy as np

from bertsmith.data.corpus_reader import Block, CorpusReader
from bertsmith.data.example_plan import ExamplePlan

MIN_SEQLEN = 3
"""[CLS] a [SEP]"""


def plan_full_segments(
    reader: CorpusReader, block: Block, max_seqlen: int, rng: np.random.Generator
) -> ExamplePlan:
    """Draw one pass over a block's documents, in the documents' order and with keys of 0.

    A document of more than one example is cut elsewhere each time: its first is of random length.
    """
    capacity = max_seqlen - 2
    starts, documents = reader.sentences(block)
    begin, end = starts[documents[:-1]], starts[documents[1:]]
    first_cut = begin + rng.integers(1, capacity, len(begin), endpoint=True)
    first_cut = np.where(end - begin > capacity, first_cut, end)
    counts = 1 + -(-(end - first_cut) // capacity)
    # Example k of a document ends at first_cut + k * capacity or at the document's end.
    order = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    cut = np.repeat(first_cut, counts) + order * capacity
    start = np.maximum(cut - capacity, np.repeat(begin, counts))
    length = np.minimum(cut, np.repeat(end, counts)) - start
    return ExamplePlan(
        first_start=start,
        first_length=length,
        second_start=start,
        second_length=np.zeros_like(length),
        is_random=np.zeros(len(length), np.bool_),
        keys=np.zeros(len(length), np.uint64),
    )
