"""Which examples an epoch has, and in which order: pools of shuffled blocks.

An epoch is planned in blocks, runs of whole documents. Blocks in random order make pools of some
32 million wordpieces, and a pool's examples are shuffled. A pool is a function of the seed, the
epoch and its number, so that any of them can be planned alone, in about a second.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bertsmith.data import full_segments, sentence_pairs
from bertsmith.data.corpus_reader import Block, CorpusReader
from bertsmith.data.counter_random import draw, generator, key_of
from bertsmith.data.example_plan import ExamplePlan

BLOCKS_PER_POOL = 32
# Blocks that are planned at the start to learn how long examples are.
SURVEYED_BLOCKS = 8
# name: (how a block is planned, the shortest max_seqlen that it can do with)
OBJECTIVES = {
    "sentence_pairs": (sentence_pairs.plan_sentence_pairs, sentence_pairs.MIN_SEQLEN),
    "full_segments": (full_segments.plan_full_segments, full_segments.MIN_SEQLEN),
}
# What a random stream is for: the third number of the chain that names it.
_BLOCK_ORDER, _EXAMPLES, _EXAMPLE_ORDER, _MASKS = range(4)


class EpochPlanner:
    """Plans the pools of every epoch.

    Args:
        reader: the corpus.
        objective: a name of `OBJECTIVES`.
        max_seqlen: the longest sequence, in tokens.
        seed: decides all that is random.
        single_segment_prob: share of sentence pairs that become single segments.
    """

    def __init__(
        self,
        reader: CorpusReader,
        objective: str,
        max_seqlen: int,
        seed: int,
        single_segment_prob: float = 0.0,
    ):
        self._reader = reader
        self._plan, _ = OBJECTIVES[objective]
        self._max_seqlen = max_seqlen
        self._seed = seed
        self._single_segment_prob = single_segment_prob
        self.num_pools = -(-len(reader.blocks) // BLOCKS_PER_POOL)

    def plan_pool(self, epoch: int, pool: int) -> ExamplePlan:
        """The examples of one pool, shuffled; `pool` is below `num_pools`."""
        order = generator(self._seed, epoch, _BLOCK_ORDER).permutation(len(self._reader.blocks))
        blocks = np.array_split(order, self.num_pools)[pool]
        plan = ExamplePlan.concatenate(
            [self._plan_block(self._reader.blocks[block], epoch) for block in blocks]
        )
        return plan.take(generator(self._seed, epoch, _EXAMPLE_ORDER, pool).permutation(len(plan)))

    def _plan_block(self, block: Block, epoch: int) -> ExamplePlan:
        plan = self._examples(block, generator(self._seed, epoch, _EXAMPLES, block.index))
        key = key_of(self._seed, epoch, _MASKS, block.index)
        return dataclasses.replace(plan, keys=draw(key, np.arange(len(plan))))

    def _examples(self, block: Block, rng: np.random.Generator) -> ExamplePlan:
        """One pass over a block's documents, with keys of 0."""
        plan = self._plan(self._reader, block, self._max_seqlen, rng)
        if self._single_segment_prob:
            plan = sentence_pairs.with_single_segments(plan, self._single_segment_prob, rng)
        return plan

    def mean_length(self) -> float:
        """The mean length of an example, in tokens, estimated from some blocks.

        A function of the corpus and the settings, and not of the seed.
        """
        blocks = self._reader.blocks
        places = np.unique(np.linspace(0, len(blocks) - 1, SURVEYED_BLOCKS).astype(np.int64))
        sample = [blocks[place] for place in places]
        plans = [self._examples(block, generator(block.index)) for block in sample]
        return float(ExamplePlan.concatenate(plans).lengths.mean())
