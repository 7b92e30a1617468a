"""From a tokenized corpus to masked, packed batches, forever and in an order that can be resumed.

Batch `b` of pool `p` of epoch `e` is a function of the seed and these three numbers: resuming
plans one pool and reads nothing twice, and the sequence of batches is the same for any number of
ranks, each of which takes its share of it.

Dimension key: `T` tokens of a batch (the budget), `B` sequences, `M` slots for masked tokens.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.data.corpus_reader import CorpusReader
from bertsmith.data.epoch_plan import OBJECTIVES, EpochPlanner
from bertsmith.data.example_plan import ExamplePlan, Ints
from bertsmith.data.masking import MAX_TOKENS, Masking, mask_tokens
from bertsmith.data.neighbours import NEXT, neighbour_labels
from bertsmith.data.packing import assemble, pack
from bertsmith.data.prefetch import prefetched
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.errors import CheckpointError, ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in the endless sequence of batches; `dataclasses.asdict` makes it JSON."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0
    """Counted from the start of the pool, over all ranks; it may reach into the pools after it."""
    stage: int = 0
    """Of a run that trains on several sources one after another, which; not read here."""


@dataclass(frozen=True)
class LoadedBatch:
    """A batch, what is to be predicted, and where to go on."""

    batch: Batch
    targets: dict[str, Tensor]
    """`masked_positions` (M,) and `masked_labels` (M,), -100 in slots that are unused; or where
    nothing is masked `neighbour_labels` (T, 2) and, of these, `next_labels` (T,); with sentence
    pairs `next_sentence_labels` (B,): 0 = B follows A, 1 = random, -100 = no pair."""
    position: Position
    """Resuming from here yields the batches after this one and its peers on the other ranks."""


@dataclass(frozen=True)
class _Pool:
    epoch: int
    index: int
    plan: ExamplePlan
    edges: Ints

    @property
    def num_batches(self) -> int:
        return len(self.edges) - 1


class PretrainingBatches:
    """The batches of a pre-training run, with shapes that never change.

    Of every `world_size` consecutive batches each rank gets one. The batches themselves do not
    depend on the number of ranks, and a run may resume with another.

    Args:
        corpus: what to read.
        ids: of the vocabulary that made the corpus.
        max_seqlen: the longest sequence, in tokens, that the shapes have room for.
        budget_tokens: T, at least `max_seqlen`.
        seed: decides all that is random.
        objective: `sentence_pairs`, or `full_segments` for masked LM alone.
        single_segment_prob: share of sentence pairs that become single segments; 0 as published.
        masking: which tokens are hidden, and how.
        is_masked: whether any are; otherwise each token's neighbours are what is to be predicted.
        example_seqlen: the longest sequence that is made; `max_seqlen` where not given.
        min_sequences: B is no less, so that batches of another source can have the same shapes.
        rank: of this process.
        world_size: number of processes.
        prefetch_batches: how many batches a background thread makes ahead; with 0 each is made
            when it is asked for.

    Raises:
        ConfigError: a setting is out of range or does not fit the others.
        DataError: corpus and vocabulary do not belong together.
    """

    def __init__(
        self,
        corpus: TokenizedCorpus,
        ids: WordpieceIds,
        *,
        max_seqlen: int,
        budget_tokens: int,
        seed: int,
        objective: str = "sentence_pairs",
        single_segment_prob: float = 0.0,
        masking: Masking | None = None,
        is_masked: bool = True,
        example_seqlen: int | None = None,
        min_sequences: int = 0,
        rank: int = 0,
        world_size: int = 1,
        prefetch_batches: int = 4,
    ):
        if objective not in OBJECTIVES:
            raise ConfigError(f"objective ({objective!r}) must be one of {', '.join(OBJECTIVES)}")
        _, shortest = OBJECTIVES[objective]
        _check_range("max_seqlen", max_seqlen, shortest, MAX_TOKENS)
        longest = max_seqlen if example_seqlen is None else example_seqlen
        _check_range("example_seqlen", longest, shortest, max_seqlen)
        _check_range("budget_tokens, of train.batch_tokens,", budget_tokens, 1, MAX_TOKENS)
        if budget_tokens < max_seqlen:
            raise ConfigError(
                f"a batch of {budget_tokens} tokens (train.batch_tokens) has no room for a "
                f"sequence of {max_seqlen} (data.max_seqlen); raise the one or lower the other"
            )
        _check_range("seed", seed, 0, 2**63 - 1)
        _check_range("world_size", world_size, 1, 1 << 20)
        _check_range("rank", rank, 0, world_size - 1)
        _check_range("prefetch_batches", prefetch_batches, 0, 1000)
        if corpus.vocab_size != ids.vocab_size:
            raise DataError(
                f"{corpus.path} was prepared with {corpus.vocab_size} wordpieces and the "
                f"vocabulary has {ids.vocab_size}; use the vocabulary saved in that folder"
            )
        self._ids, self._seed, self._objective = ids, seed, objective
        self._max_seqlen, self._budget_tokens = max_seqlen, budget_tokens
        self._longest = longest
        self._masking = (masking or Masking()) if is_masked else None
        self._rank, self._world_size = rank, world_size
        self._prefetch_batches = prefetch_batches
        self._reader = CorpusReader(corpus)
        self._planner = EpochPlanner(self._reader, objective, longest, seed, single_segment_prob)
        ample = _max_sequences(self._planner.mean_length(), budget_tokens, max_seqlen, shortest)
        self.max_sequences = max(ample, min_sequences)
        self.num_masked_slots = 0
        if self._masking is not None:
            self.num_masked_slots = self._masking.max_masked(budget_tokens, self.max_sequences)

    max_sequences: int
    """B."""
    num_masked_slots: int
    """M; 0 where nothing is masked."""

    def batches(self, position: Position | None = None) -> Generator[LoadedBatch, None, None]:
        """This rank's batches without end, from a position (the start, when there is none) on.

        Closing the generator ends its threads.

        Raises:
            CheckpointError: the position is not one of this corpus.
        """
        position = position or Position()
        numbers = (position.epoch, position.pool, position.batch)
        are_counts = all(isinstance(number, int) and number >= 0 for number in numbers)
        if not are_counts or position.pool >= self._planner.num_pools:
            raise CheckpointError(
                f"the checkpoint's data position ({position}) is not a place in this corpus of "
                f"{self._planner.num_pools} pools; resume with the corpus that the run began with"
            )
        batches = self._batches(position)
        return prefetched(batches, self._prefetch_batches) if self._prefetch_batches else batches

    def epoch_of(self, position: Position) -> int:
        """The epoch of the last batch before a position, whichever rank's it was.

        Where that batch lies in a pool after this rank's own, the position does not name it.
        """
        batch = position.batch
        with contextlib.closing(self._pools(position)) as pools:
            for pool in pools:
                if batch <= pool.num_batches:
                    return pool.epoch
                batch -= pool.num_batches
        raise AssertionError("there are pools without end")

    def evaluation_batches(self, num_batches: int) -> Generator[LoadedBatch, None, None]:
        """This rank's share of the first batches of epoch 0, or of all where those are fewer.

        With a seed of their own these are the same at every evaluation, masks included, so that
        losses compare.
        """
        with contextlib.closing(self.batches()) as batches:
            mine = range(self._rank, num_batches, self._world_size)
            for _, loaded in zip(mine, batches, strict=False):
                if loaded.position.epoch:
                    return
                yield loaded

    def _batches(self, position: Position) -> Generator[LoadedBatch, None, None]:
        pools = self._pools(position)
        if self._prefetch_batches:
            pools = prefetched(pools, 1)
        # The first batch of the group that the ranks share; it may lie in the pool before.
        first = position.batch
        with contextlib.closing(pools):
            for pool in pools:
                while first + self._rank < pool.num_batches:
                    yield self._load(pool, first + self._rank, first + self._world_size)
                    first += self._world_size
                first -= pool.num_batches

    def _pools(self, position: Position) -> Generator[_Pool, None, None]:
        epoch, index, num_pools = position.epoch, position.pool, self._planner.num_pools
        while True:
            yield self._pack_pool(epoch, index)
            epoch, index = divmod(epoch * num_pools + index + 1, num_pools)

    def _pack_pool(self, epoch: int, index: int) -> _Pool:
        plan = self._planner.plan_pool(epoch, index)
        order, edges = pack(plan.lengths, self._budget_tokens, self.max_sequences, self._max_seqlen)
        plan = plan.take(order)
        # The last batch is dropped if another example would fit, unless it is the pool's only one.
        last = int(plan.lengths[edges[-2] :].sum())
        if len(edges) > 2 and last + self._longest <= self._budget_tokens:
            edges = edges[:-1]
        return _Pool(epoch, index, plan, edges)

    def _load(self, pool: _Pool, index: int, following: int) -> LoadedBatch:
        """Read, mask and wrap one batch."""
        plan = pool.plan.take(slice(pool.edges[index], pool.edges[index + 1]))
        packed = assemble(
            plan,
            self._reader,
            self._ids,
            budget_tokens=self._budget_tokens,
            max_sequences=self.max_sequences,
            max_seqlen=self._max_seqlen,
        )
        highest = int(packed.input_ids.max())
        if highest >= self._ids.vocab_size:
            raise DataError(
                f"the corpus holds the id {highest} and the vocabulary {self._ids.vocab_size} "
                "wordpieces: a shard is damaged (`bertsmith info SHARDS --verify` says which); "
                "prepare the text again"
            )
        if self._masking is None:
            neighbours = torch.from_numpy(neighbour_labels(packed))
            targets = {
                "neighbour_labels": neighbours,
                "next_labels": neighbours[:, NEXT].contiguous(),
            }
        else:
            positions, labels = mask_tokens(packed, plan.keys, self._masking, self._ids)
            targets = {
                "masked_positions": _filled(positions, self.num_masked_slots, 0),
                "masked_labels": _filled(labels, self.num_masked_slots, -100),
            }
        if self._objective == "sentence_pairs":
            labels = np.where(plan.second_length > 0, plan.is_random, -100)
            targets["next_sentence_labels"] = _filled(labels, self.max_sequences, -100)
        batch = Batch(
            input_ids=torch.from_numpy(packed.input_ids),
            segment_ids=torch.from_numpy(packed.segment_ids),
            position_ids=torch.from_numpy(packed.position_ids),
            cu_seqlens=torch.from_numpy(packed.cu_seqlens),
            max_seqlen=self._max_seqlen,
        )
        return LoadedBatch(
            batch, targets, Position(epoch=pool.epoch, pool=pool.index, batch=following)
        )


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name} ({value!r}) must be a whole number from {least} to {most}")


def _max_sequences(mean_length: float, budget: int, max_seqlen: int, shortest: int) -> int:
    """B: more sequences than batches of this corpus have, so that tokens run out and not slots."""
    expected = budget / mean_length
    ample = math.ceil(1.25 * expected + 4 * math.sqrt(expected))
    # With one more than padding alone would need, an example always finds a slot.
    return max(min(ample, budget // shortest), -(-budget // max_seqlen) + 1)


def _filled(values: npt.NDArray[Any], size: int, rest: int) -> Tensor:
    """Values as an int64 tensor of a fixed size, with the same number in all unused places."""
    filled = np.full(size, rest)
    filled[: len(values)] = values
    return torch.from_numpy(filled)
