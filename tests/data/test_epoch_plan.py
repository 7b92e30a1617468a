from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bertsmith.data.corpus_reader import CorpusReader
from bertsmith.data.epoch_plan import OBJECTIVES, EpochPlanner
from bertsmith.data.example_plan import ExamplePlan
from bertsmith.data.shards import TokenizedCorpus


@pytest.fixture
def reader(
    numbered_corpus: Callable[..., TokenizedCorpus], monkeypatch: pytest.MonkeyPatch
) -> CorpusReader:
    """Some 70 blocks of 1,000 wordpieces in several shards."""
    monkeypatch.setattr("bertsmith.data.corpus_reader.BLOCK_WORDPIECES", 1000)
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 40, rng.geometric(0.1)).tolist() for _ in range(350)]
    return CorpusReader(numbered_corpus(documents, shard_wordpieces=20_000))


def plan_epoch(planner: EpochPlanner, epoch: int) -> ExamplePlan:
    return ExamplePlan.concatenate(
        [planner.plan_pool(epoch, pool) for pool in range(planner.num_pools)]
    )


def texts(plan: ExamplePlan) -> set[tuple[int, int, int, int]]:
    columns = (plan.first_start, plan.first_length, plan.second_start, plan.second_length)
    return set(zip(*(column.tolist() for column in columns), strict=True))


def test_the_pools_of_an_epoch_have_every_wordpiece_once(reader: CorpusReader) -> None:
    planner = EpochPlanner(reader, "full_segments", 64, seed=0)
    assert planner.num_pools == -(-len(reader.blocks) // 32) > 1
    plan = plan_epoch(planner, 0)
    order = plan.first_start.argsort()
    ends = (plan.first_start + plan.first_length)[order]
    assert (plan.first_start[order][1:] == ends[:-1]).all()
    assert ends[-1] == reader.wordpiece_base[-1]


def test_examples_are_shuffled_over_their_pool(reader: CorpusReader) -> None:
    plan = EpochPlanner(reader, "sentence_pairs", 64, seed=0).plan_pool(0, 0)
    rank = plan.first_start.argsort().argsort()
    # n > 400 in random order: the standard deviation of a correlation is below 0.05.
    assert len(rank) > 400
    assert abs(np.corrcoef(rank[1:], rank[:-1])[0, 1]) < 0.2
    assert abs(np.corrcoef(rank, np.arange(len(rank)))[0, 1]) < 0.2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_epoch_and_each_seed_draw_texts_and_masks_anew(
    reader: CorpusReader, objective: str
) -> None:
    plans = [
        plan_epoch(EpochPlanner(reader, objective, 64, seed), epoch)
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))
    ]
    assert np.array_equal(plans[0].keys, plans[3].keys)
    assert texts(plans[0]) == texts(plans[3])
    for plan in plans[:3]:
        assert len(set(plan.keys.tolist())) == len(plan)
    for other in plans[1:3]:
        assert not set(plans[0].keys.tolist()) & set(other.keys.tolist())
        # Documents that are shorter than a sequence can give the same text again.
        assert len(texts(plans[0]) & texts(other)) < 0.35 * len(plans[0])


@pytest.mark.parametrize(
    ("objective", "single_segment_prob"),
    [*((objective, 0.0) for objective in OBJECTIVES), ("sentence_pairs", 1.0)],
)
def test_some_blocks_tell_the_mean_length_of_an_epoch(
    reader: CorpusReader, objective: str, single_segment_prob: float
) -> None:
    mean, other = (
        EpochPlanner(reader, objective, 64, seed, single_segment_prob).mean_length()
        for seed in (0, 5)
    )
    assert mean == other
    plan = plan_epoch(EpochPlanner(reader, objective, 64, 0, single_segment_prob), 0)
    # Eight blocks of a thousand wordpieces are a small sample of texts of up to 64.
    assert mean == pytest.approx(plan.lengths.mean(), rel=0.1)
