from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.data.counter_random import key_of
from bertsmith.data.loader import LoadedBatch, Position, PretrainingBatches
from bertsmith.data.masking import Masking
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.errors import CheckpointError, ConfigError, DataError

Make = Callable[..., PretrainingBatches]


@pytest.fixture
def make_batches(
    numbered_corpus: Callable[..., TokenizedCorpus],
    make_ids: Callable[[int], WordpieceIds],
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    """Batches of a corpus of several shards, blocks and pools, some ten batches to a pool."""
    monkeypatch.setattr("bertsmith.data.corpus_reader.BLOCK_WORDPIECES", 1000)
    monkeypatch.setattr("bertsmith.data.epoch_plan.BLOCKS_PER_POOL", 3)
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 30, rng.geometric(0.1)).tolist() for _ in range(80)]
    corpus = numbered_corpus(documents, shard_wordpieces=4000)

    def make(documents: Any = None, **settings: Any) -> PretrainingBatches:
        chosen = numbered_corpus(documents) if documents else corpus
        defaults = {"max_seqlen": 48, "budget_tokens": 480, "seed": 1, "prefetch_batches": 0}
        return PretrainingBatches(chosen, make_ids(chosen.vocab_size), **defaults | settings)

    return make


def first(batches: PretrainingBatches, count: int, position: Any = None) -> list[LoadedBatch]:
    with contextlib.closing(batches.batches(position)) as loaded:
        return list(itertools.islice(loaded, count))


def content(loaded: LoadedBatch) -> dict[str, list[int]]:
    tensors = {
        **{name: getattr(loaded.batch, name) for name in ("input_ids", "segment_ids")},
        **{name: getattr(loaded.batch, name) for name in ("position_ids", "cu_seqlens")},
        **loaded.targets,
    }
    return {name: tensor.tolist() for name, tensor in tensors.items()}


def test_shapes_and_dtypes_never_change(make_batches: Make) -> None:
    batches = make_batches()
    for loaded in first(batches, 80):
        batch, targets = loaded.batch, loaded.targets
        assert (
            batch.input_ids.shape == batch.segment_ids.shape == batch.position_ids.shape == (480,)
        )
        assert batch.cu_seqlens.shape == (batches.max_sequences + 1,)
        assert batch.max_seqlen == 48
        assert targets["masked_positions"].shape == (batches.num_masked_slots,)
        assert targets["masked_labels"].shape == (batches.num_masked_slots,)
        assert targets["next_sentence_labels"].shape == (batches.max_sequences,)
        assert batch.cu_seqlens.dtype == torch.int32
        assert {t.dtype for t in (batch.input_ids, *targets.values())} == {torch.int64}


def test_short_examples_can_have_the_shapes_of_long_ones(make_batches: Make) -> None:
    short = make_batches(example_seqlen=16)
    long = make_batches(min_sequences=short.max_sequences)
    assert short.max_sequences == long.max_sequences > make_batches().max_sequences
    for one, other in zip(first(short, 30), first(long, 30), strict=True):
        lengths = one.batch.cu_seqlens.diff()
        assert (lengths[:5] <= 16).all()
        assert one.batch.max_seqlen == other.batch.max_seqlen == 48
        assert [t.shape for t in one.targets.values()] == [t.shape for t in other.targets.values()]
        assert one.batch.cu_seqlens.shape == other.batch.cu_seqlens.shape
    assert max(int(one.batch.cu_seqlens.diff().max()) for one in first(long, 30)) > 16


def test_labels_say_what_the_masked_tokens_and_the_pairs_were(make_batches: Make) -> None:
    for loaded in first(make_batches(), 40):
        batch, targets = loaded.batch, loaded.targets
        used = targets["masked_labels"] != -100
        positions, labels = targets["masked_positions"][used], targets["masked_labels"][used]
        assert (targets["masked_positions"][~used] == 0).all()
        restored = batch.input_ids.clone()
        restored[positions] = labels
        starts = batch.cu_seqlens.tolist()
        pairs = targets["next_sentence_labels"].tolist()
        for label, (start, end) in zip(pairs, itertools.pairwise(starts), strict=True):
            tokens = restored[start:end].tolist()
            if label == -100:
                assert set(tokens) <= {0}
                continue
            assert label in (0, 1)
            assert tokens[0] == 1
            assert tokens[-1] == 2
            middle = tokens.index(2)
            for text in (tokens[1:middle], tokens[middle + 1 : -1]):
                assert text == list(range(text[0], text[0] + len(text)))  # a run of the corpus
            masked = ((positions >= start) & (positions < end)).sum()
            assert masked == min(max(1, round(len(tokens) * 0.15)), len(tokens) - 3)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("world_size", [1, 3])
def test_resuming_anywhere_gives_the_next_batches(
    make_batches: Make, prefetch: int, world_size: int
) -> None:
    batches = make_batches(world_size=world_size, rank=world_size - 1, prefetch_batches=prefetch)
    whole = first(batches, 60 // world_size)
    assert whole[-1].position.epoch >= 1
    for stop in range(0, len(whole) - 2, 3):
        saved = json.loads(json.dumps(dataclasses.asdict(whole[stop].position)))
        resumed = first(batches, 2, Position(**saved))
        assert [content(loaded) for loaded in resumed] == [
            content(loaded) for loaded in whole[stop + 1 : stop + 3]
        ]


def test_ranks_share_the_batches_that_one_would_see(make_batches: Make) -> None:
    alone = [content(loaded) for loaded in first(make_batches(), 64)]
    for world_size in (2, 8):
        for rank in range(world_size):
            mine = first(make_batches(rank=rank, world_size=world_size), 64 // world_size)
            assert [content(loaded) for loaded in mine] == alone[rank::world_size]


def test_a_run_may_resume_with_another_number_of_ranks(make_batches: Make) -> None:
    alone = [content(loaded) for loaded in first(make_batches(), 64)]
    for rank in range(8):
        position = first(make_batches(rank=rank, world_size=8), 3)[-1].position
        resumed = first(make_batches(rank=1, world_size=2), 10, position)
        assert [content(loaded) for loaded in resumed] == alone[25:45:2]


def test_background_threads_change_nothing_and_end(make_batches: Make) -> None:
    expected = [content(loaded) for loaded in first(make_batches(), 30)]
    found = [content(loaded) for loaded in first(make_batches(prefetch_batches=3), 30)]
    assert found == expected
    assert not [t for t in threading.enumerate() if t.name.startswith("bertsmith")]


def test_epochs_and_seeds_differ(make_batches: Make) -> None:
    batches = make_batches()
    runs = [
        content(first(other, 1, Position(epoch=epoch))[0])["input_ids"]
        for other, epoch in ((batches, 0), (batches, 1), (make_batches(seed=2), 0))
    ]
    assert len(set(map(tuple, runs))) == 3


def test_an_epoch_has_nearly_all_of_the_corpus(make_batches: Make) -> None:
    batches = make_batches(objective="full_segments")
    seen: set[int] = set()
    for loaded in first(batches, 1000):
        if loaded.position.epoch:
            break
        seen |= set(loaded.batch.input_ids.tolist()) | set(loaded.targets["masked_labels"].tolist())
    num_wordpieces = max(seen) - 9
    # What lacks is the last, partial batch of each pool.
    assert len(seen - {-100, 0, 1, 2, 3}) > 0.85 * num_wordpieces


def test_without_next_sentence_prediction_sequences_are_single_texts(make_batches: Make) -> None:
    for loaded in first(make_batches(objective="full_segments"), 20):
        assert set(loaded.targets) == {"masked_positions", "masked_labels"}
        assert not loaded.batch.segment_ids.any()
        ends = loaded.batch.cu_seqlens.unique()
        separators = torch.isin(loaded.batch.input_ids, torch.tensor([2])).sum()
        assert 0 < separators <= len(ends) + 1


def test_evaluation_sees_the_same_batches_each_time_shared_by_ranks(make_batches: Make) -> None:
    alone = [content(loaded) for loaded in make_batches().evaluation_batches(7)]
    assert len(alone) == 7
    assert alone == [content(loaded) for loaded in first(make_batches(), 7)]
    shared = [
        [content(loaded) for loaded in make_batches(rank=r, world_size=2).evaluation_batches(7)]
        for r in (0, 1)
    ]
    assert shared == [alone[0::2], alone[1::2]]
    epoch = list(make_batches().evaluation_batches(10_000))
    assert 7 < len(epoch) < 200
    assert epoch[-1].position.epoch == 0


@pytest.mark.parametrize(
    "documents",
    [[[1]], [[3]], [[1], [1]], [[500]], [[200, 300], [1]], [[2] * 30]],
    ids=["one wordpiece", "one sentence", "two", "one long sentence", "long and short", "one doc"],
)
@pytest.mark.parametrize("objective", ["sentence_pairs", "full_segments"])
def test_the_smallest_corpora_give_padded_batches(
    make_batches: Make, documents: list[list[int]], objective: str
) -> None:
    batches = make_batches(documents, objective=objective, world_size=3, rank=2, max_seqlen=16)
    for loaded in first(batches, 5):
        assert loaded.batch.input_ids[0] == 1
        assert loaded.batch.cu_seqlens[-1] == 480
        assert loaded.batch.cu_seqlens.diff().max() <= 16
        assert (loaded.targets["masked_labels"] != -100).any()


@pytest.mark.parametrize("budget", [5, 6, 11])
def test_budgets_of_a_sequence_or_two_work(make_batches: Make, budget: int) -> None:
    for loaded in first(make_batches(max_seqlen=5, budget_tokens=budget), 10):
        assert loaded.batch.cu_seqlens[1] == 5
        assert (loaded.targets["masked_labels"] != -100).sum() >= 1


def test_masking_nothing_leaves_every_slot_unused(make_batches: Make) -> None:
    (loaded,) = first(make_batches(masking=Masking(masked_prob=0.0)), 1)
    assert (loaded.targets["masked_labels"] == -100).all()
    assert (loaded.targets["masked_positions"] == 0).all()


def test_ids_beyond_16_bits_arrive_whole(make_batches: Make) -> None:
    batches = make_batches([[25] * 40] * 70)
    largest = max(int(loaded.targets["masked_labels"].max()) for loaded in first(batches, 40))
    assert largest > 65_536


def test_no_example_s_stream_is_another_s() -> None:
    keys = {int(key_of(0, epoch, 3, block)[0]) for epoch in range(30) for block in range(300)}
    assert len(keys) == 9000


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"budget_tokens": 47}, "a batch of 47 tokens (train.batch_tokens) has no room for a"),
        (
            {"budget_tokens": 2**21},
            "budget_tokens, of train.batch_tokens, (2097152) must be a whole number from 1 to",
        ),
        ({"max_seqlen": 4}, "max_seqlen (4) must be a whole number from 5"),
        ({"max_seqlen": 2, "objective": "full_segments"}, "max_seqlen (2)"),
        ({"max_seqlen": 48.0}, "max_seqlen (48.0)"),
        ({"seed": -1}, "seed (-1)"),
        ({"rank": 2, "world_size": 2}, "rank (2) must be a whole number from 0 to 1"),
        ({"world_size": 0}, "world_size (0)"),
        ({"objective": "nsp"}, "objective ('nsp') must be one of sentence_pairs, full_segments"),
        ({"prefetch_batches": -1}, "prefetch_batches (-1)"),
    ],
)
def test_settings_that_cannot_work_are_named(
    make_batches: Make, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError) as error:
        make_batches(**settings)
    assert text in str(error.value)


def test_another_vocabulary_is_refused(
    numbered_corpus: Callable[..., TokenizedCorpus], make_ids: Callable[[int], WordpieceIds]
) -> None:
    corpus = numbered_corpus([[5]], vocab_size=100)
    with pytest.raises(DataError, match="prepared with 100 wordpieces and the vocabulary has 99"):
        PretrainingBatches(corpus, make_ids(99), max_seqlen=8, budget_tokens=8, seed=0)


@pytest.mark.parametrize(
    "position",
    [Position(pool=99), Position(batch=-1), Position(epoch="1")],  # type: ignore[arg-type]
)
def test_positions_of_another_corpus_are_refused(make_batches: Make, position: Position) -> None:
    with pytest.raises(CheckpointError, match="is not a place in this corpus"):
        make_batches().batches(position)


def test_where_nothing_is_masked_each_token_s_neighbours_are_the_labels(make_batches: Make) -> None:
    batches = make_batches(objective="full_segments", is_masked=False)
    assert batches.num_masked_slots == 0
    for loaded in first(batches, 10):
        assert set(loaded.targets) == {"neighbour_labels", "next_labels"}
        ids = loaded.batch.input_ids.tolist()
        expected = [[-100, -100] for _ in ids]
        for start, end in itertools.pairwise(loaded.batch.cu_seqlens.tolist()):
            if start == end or ids[start] != 1:  # padding does not begin with [CLS]
                continue
            for place in range(start, end):
                if place + 1 < end:
                    expected[place][0] = ids[place + 1]
                if place > start:
                    expected[place][1] = ids[place - 1]
        assert loaded.targets["neighbour_labels"].tolist() == expected
        assert loaded.targets["next_labels"].tolist() == [row[0] for row in expected]
        assert 3 not in ids  # [MASK]
        assert (loaded.targets["next_labels"] >= 0).sum() > 200


def test_pairs_can_be_read_whole_as_well(make_batches: Make) -> None:
    (loaded,) = first(make_batches(is_masked=False), 1)
    assert set(loaded.targets) == {"neighbour_labels", "next_labels", "next_sentence_labels"}
