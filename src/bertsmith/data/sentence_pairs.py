"""Pairs of texts for next-sentence prediction, cut from documents as published (section 3.1, A.2).

The published algorithm walks a document: it collects sentences until they reach a target length,
splits them at random into A and B, and half the time replaces B by text of another document and
goes back to where B began. What happens from a sentence on depends on that sentence and on random
numbers alone, and the walk begins no two examples of a pass at the same one. So all draws are made
for every sentence at once, and what is left of the walk is following a table of next sentences.

Deviations: none in how pairs are drawn, but that the random document is never the current one,
where the published code settles for it after ten tries. In a corpus of a single document there is
no other: B is then a random place of the same document, and is labelled random as published.
Each epoch draws anew, in place of a fixed number of copies written to disk. Where it is asked for,
some pairs become single segments.

Dimension key: `S` sentences and `D` documents of a block, `N` examples.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from bertsmith.data.corpus_reader import Block, CorpusReader
from bertsmith.data.example_plan import ExamplePlan, Ints

MIN_SEQLEN = 5
"""[CLS] a [SEP] b [SEP]"""
# "To minimize the mismatch between pre-training and fine-tuning" (the published code).
SHORT_PROB = 0.1
RANDOM_NEXT_PROB = 0.5


def plan_sentence_pairs(
    reader: CorpusReader, block: Block, max_seqlen: int, rng: np.random.Generator
) -> ExamplePlan:
    """Draw one pass over a block's documents, in the documents' order and with keys of 0."""
    starts, documents = reader.sentences(block)
    capacity = max_seqlen - 3
    begin, middle, end, is_random, targets = _walk(starts, documents, capacity, rng)
    first_start, second_start = starts[begin], starts[middle]
    first_length = second_start - first_start
    second_length = starts[end] - second_start
    rows = np.flatnonzero(is_random)
    current = np.searchsorted(documents, begin[rows], side="right") - 1
    current += reader.document_base[block.shard] + block.first_document
    second_start[rows], second_length[rows] = _random_texts(
        reader, current, targets[rows] - first_length[rows], rng
    )
    first_start, first_length, second_start, second_length = _truncate(
        first_start, first_length, second_start, second_length, capacity, rng
    )
    keys = np.zeros(len(begin), np.uint64)
    return ExamplePlan(first_start, first_length, second_start, second_length, is_random, keys)


def with_single_segments(
    plan: ExamplePlan, single_segment_prob: float, rng: np.random.Generator
) -> ExamplePlan:
    """Turn some pairs into single segments, `[CLS] A [SEP]`, which the published data has none of.

    A model that has seen pairs alone is lost on a single text, which is what users ask it about.
    A text and its continuation become one text; of a random pair A stays. So the pairs that are
    left are as balanced as before.
    """
    is_single = rng.random(len(plan)) < single_segment_prob
    is_joined = is_single & ~plan.is_random
    return dataclasses.replace(
        plan,
        first_length=plan.first_length + np.where(is_joined, plan.second_length, 0),
        second_length=np.where(is_single, 0, plan.second_length),
    )


def _walk(
    starts: Ints, documents: Ints, capacity: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, npt.NDArray[np.bool_], Ints]:
    """Chunks of sentences: for each its begin, where A ends, its end, whether B is random, target.

    The target length is drawn once for each pass over a document, and short one time in ten.
    """
    num_documents, num_sentences = len(documents) - 1, len(starts) - 1
    target = np.full(num_documents, capacity)
    short = rng.random(num_documents) < SHORT_PROB
    target[short] = rng.integers(2, capacity, short.sum(), endpoint=True)
    counts = np.diff(documents)
    targets = np.repeat(target, counts)

    begin = np.arange(num_sentences)
    end = np.searchsorted(starts, starts[:-1] + targets)
    np.minimum(end, np.repeat(documents[1:], counts), out=end)
    # A takes 1 to count - 1 sentences; where there is but one, B has to be random.
    splits = np.maximum(end - begin - 1, 1)
    middle = begin + 1 + (rng.random(num_sentences) * splits).astype(np.int64)
    is_random = (rng.random(num_sentences) < RANDOM_NEXT_PROB) | (end - begin == 1)
    following = np.where(is_random, middle, end).tolist()

    visited = []
    sentence = 0
    while sentence < num_sentences:
        visited.append(sentence)
        sentence = following[sentence]
    rows = np.array(visited)
    return rows, middle[rows], end[rows], is_random[rows], targets[rows]


def _random_texts(
    reader: CorpusReader, current: Ints, wanted: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Starts and lengths of texts of other documents, each from a random sentence on.

    A text is as many whole sentences as it takes to reach the wanted length, at least one.
    """
    others = max(reader.num_documents - 1, 1)
    documents = rng.integers(0, others, len(current))
    documents += (documents >= current) & (reader.num_documents > 1)
    place = rng.random(len(current))
    text_starts, text_lengths = np.empty_like(current), np.empty_like(current)
    for shard, rows in reader.by_shard(reader.document_base, documents):
        bounds = reader.document_starts[shard]
        starts = reader.sentence_starts[shard]
        document = documents[rows] - reader.document_base[shard]
        first = bounds[document].astype(np.int64)
        last = bounds[document + 1].astype(np.int64)
        sentence = first + (place[rows] * (last - first)).astype(np.int64)
        start = starts[sentence].astype(np.int64)
        # Needles of another dtype would make numpy convert, and so read, the whole shard.
        reached = np.minimum(start + np.maximum(wanted[rows], 1), starts[-1])
        end = np.minimum(np.searchsorted(starts, reached.astype(starts.dtype)), last)
        text_starts[rows] = start + reader.wordpiece_base[shard]
        text_lengths[rows] = starts[end] - start
    return text_starts, text_lengths


def _truncate(
    first_start: Ints,
    first_length: Ints,
    second_start: Ints,
    second_length: Ints,
    capacity: int,
    rng: np.random.Generator,
) -> tuple[Ints, Ints, Ints, Ints]:
    """Cut pairs down to `capacity` wordpieces.

    The published loop takes one wordpiece at a time from the longer text, B where they are
    equal, and from its front or its back at random. It ends with both at half the capacity
    (A has the odd one) or with the shorter text whole, and what it took from the front of a text
    is a binomial number.
    """
    longest_first = np.maximum(capacity - second_length, capacity - capacity // 2)
    kept_first = np.minimum(first_length, longest_first)
    kept_second = np.minimum(second_length, capacity - kept_first)
    first_start = first_start + rng.binomial(first_length - kept_first, 0.5)
    second_start = second_start + rng.binomial(second_length - kept_second, 0.5)
    return first_start, kept_first, second_start, kept_second
