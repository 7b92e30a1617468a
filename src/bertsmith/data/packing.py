"""Examples end to end in a row of tokens of fixed length.

The published code pads every example to `max_seqlen`; here a batch is filled to a budget of tokens,
and only the gap that no example fits is padded.

Dimension key: `T` tokens (the budget), `B` sequences, `N` examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertsmith.data.corpus_reader import CorpusReader
from bertsmith.data.example_plan import ExamplePlan, Ints
from bertsmith.data.wordpiece_ids import WordpieceIds

# How many examples further on to look for the one that best fills what is left of a batch.
LOOKAHEAD = 64


@dataclass(frozen=True)
class PackedExamples:
    """A batch's arrays; sequences after the N examples are padding, the last of them empty."""

    input_ids: Ints
    """(T,)"""
    segment_ids: Ints
    """(T,)"""
    position_ids: Ints
    """(T,)"""
    cu_seqlens: npt.NDArray[np.int32]
    """(B + 1,)"""
    is_text: npt.NDArray[np.bool_]
    """(T,) false for [CLS], [SEP] and [PAD]."""
    lengths: Ints
    """(N,) tokens of each example."""


def pack(
    lengths: Ints, budget_tokens: int, max_sequences: int, max_seqlen: int
) -> tuple[Ints, Ints]:
    """Deal examples into batches in their order, moving up one that fits a batch's last gap.

    Args:
        lengths: (N,) tokens of each example, none longer than `max_seqlen`.
        budget_tokens: T.
        max_sequences: B; room is kept among them for the gap as sequences of padding.
        max_seqlen: the longest that a sequence of padding may be.

    Returns:
        (N,) the examples in the order of the batches, and where in it each batch starts and the
        last one ends.
    """
    size = lengths.tolist()
    order = list(range(len(size)))
    edges = [0]
    left, sequences = budget_tokens, 0
    for place in range(len(size)):
        limit = left if sequences - (-left // max_seqlen) < max_sequences else 0
        if size[place] > limit:
            ahead = size[place + 1 : place + 1 + LOOKAHEAD]
            best = max((length for length in ahead if length <= limit), default=0)
            if best:
                other = place + 1 + ahead.index(best)
                size[place], size[other] = best, size[place]
                order[place], order[other] = order[other], order[place]
            else:
                edges.append(place)
                left, sequences = budget_tokens, 0
        left -= size[place]
        sequences += 1
    return np.array(order), np.array([*edges, len(size)])


def assemble(
    plan: ExamplePlan,
    reader: CorpusReader,
    ids: WordpieceIds,
    *,
    budget_tokens: int,
    max_sequences: int,
    max_seqlen: int,
) -> PackedExamples:
    """Read one batch's texts and lay them out as `[CLS] A [SEP] B [SEP]`, segments 0 and 1.

    Args:
        plan: the N examples of the batch.
        reader: the corpus of the plan.
        ids: of the vocabulary.
        budget_tokens: T.
        max_sequences: B.
        max_seqlen: the longest that a sequence of padding may be.
    """
    lengths = plan.lengths
    ends = lengths.cumsum()
    starts = ends - lengths
    used = int(ends[-1])
    middle = starts + plan.first_length + 1  # the [SEP] after A

    input_ids = np.full(budget_tokens, ids.pad_id)
    input_ids[starts] = ids.cls_id
    input_ids[middle] = input_ids[ends - 1] = ids.sep_id
    reader.gather(
        np.concatenate([plan.first_start, plan.second_start]),
        np.concatenate([plan.first_length, plan.second_length]),
        np.concatenate([starts, middle]) + 1,
        input_ids,
    )
    is_text = np.ones(budget_tokens, np.bool_)
    is_text[starts] = is_text[middle] = is_text[ends - 1] = False
    is_text[used:] = False

    segment_ids = np.zeros(budget_tokens, np.int64)
    halves = np.stack([middle + 1 - starts, ends - middle - 1], axis=1).ravel()
    segment_ids[:used] = np.repeat(np.arange(len(halves)) % 2, halves)

    cu_seqlens = np.full(max_sequences + 1, budget_tokens, np.int32)
    cu_seqlens[0] = 0
    cu_seqlens[1 : len(ends) + 1] = ends
    padding = np.arange(used, budget_tokens, max_seqlen)
    cu_seqlens[len(ends) : len(ends) + len(padding)] = padding
    position_ids = np.arange(budget_tokens)
    position_ids -= np.repeat(cu_seqlens[:-1], np.diff(cu_seqlens))
    return PackedExamples(input_ids, segment_ids, position_ids, cu_seqlens, is_text, lengths)
