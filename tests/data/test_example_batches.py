"""Batches of examples: each example once an epoch, in an order that can be resumed."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
import torch
from torch import Tensor

from bertsmith.data.example import Example
from bertsmith.data.example_batches import ExampleBatches
from bertsmith.data.loader import LoadedBatch, Position
from bertsmith.errors import CheckpointError, ConfigError, DataError


def collate(examples: list[Example]) -> dict[str, Tensor]:
    return {"labels": torch.tensor([example.target for example in examples])}


def make(count: int = 10, batch_size: int = 4, **settings: object) -> ExampleBatches:
    examples = [Example([2, 10 + i, *[5] * (i % 3), 3], [0] * (3 + i % 3), i) for i in range(count)]
    options = {"batch_size": batch_size, "seed": 7} | settings
    return ExampleBatches(examples, collate, **options)  # type: ignore[arg-type]


def targets(loaded: LoadedBatch) -> list[int]:
    labels: list[int] = loaded.targets["labels"].tolist()
    return labels


def take(batches: ExampleBatches, count: int, position: Position | None = None) -> list[list[int]]:
    return [targets(b) for b in itertools.islice(batches.batches(position), count)]


def test_each_epoch_deals_every_example_once_in_a_new_order() -> None:
    batches = make()
    assert batches.num_batches == 3
    dealt = [list(itertools.chain(*take(batches, 9)[at : at + 3])) for at in (0, 3, 6)]
    assert [sorted(epoch) for epoch in dealt] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in dealt}) == 3
    assert [len(batch) for batch in take(batches, 6)] == [4, 4, 2, 4, 4, 2]


def test_batches_are_packed_with_their_own_targets() -> None:
    for loaded in itertools.islice(make().batches(), 5):
        batch = loaded.batch
        assert (batch.input_ids[batch.cls_positions] == 2).all()
        assert (batch.input_ids[batch.cls_positions + 1] - 10).tolist() == targets(loaded)
        assert batch.cu_seqlens.diff().tolist() == [3 + t % 3 for t in targets(loaded)]


def test_the_order_is_the_seeds_own() -> None:
    assert take(make(), 6) == take(make(), 6)
    assert take(make(), 6) != take(make(seed=8), 6)
    # The shorter come first in a batch.
    assert take(make(shuffle=False), 3) == [[0, 3, 1, 2], [6, 4, 7, 5], [9, 8]]


@pytest.mark.parametrize("count", range(1, 8))
def test_resuming_from_any_position_gives_the_batches_after_it(count: int) -> None:
    uninterrupted = list(itertools.islice(make().batches(), 12))
    stored = json.dumps(dataclasses.asdict(uninterrupted[count - 1].position))
    rest = take(make(), 12 - count, Position(**json.loads(stored)))
    assert rest == [targets(loaded) for loaded in uninterrupted[count:]]


def test_what_cannot_be_dealt_is_refused() -> None:
    with pytest.raises(DataError, match="there are no examples"):
        make(0)
    with pytest.raises(ConfigError, match=r"batch_size \(0\) must be at least 1"):
        make(batch_size=0)
    for position in (Position(pool=1), Position(epoch=-1), Position(batch=-1)):
        with pytest.raises(CheckpointError, match="is not a place among batches of records"):
            make().batches(position)
