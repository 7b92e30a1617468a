"""Examples of a fine-tuning task in shuffled, endless batches.

Which examples make up batch `b` of epoch `e` is a function of the seed and these two numbers, so
that a run resumes exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.data.counter_random import draw, key_of
from bertsmith.data.example import Example
from bertsmith.data.loader import LoadedBatch, Position
from bertsmith.errors import CheckpointError, ConfigError, DataError

Collate = Callable[[list[Example]], dict[str, Tensor]]


class ExampleBatches:
    """Batches of a fixed number of examples, the last of an epoch with those that are left.

    In a batch the shorter ones come first.

    Args:
        examples: what to deal out; they stay in memory.
        collate: makes the targets of a batch, a task's own.
        batch_size: examples in a batch.
        seed: decides the order.
        shuffle: draw anew for each epoch which examples come together, or deal them out as given.

    Raises:
        ConfigError: `batch_size` is not at least 1.
        DataError: there are no examples.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        collate: Collate,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size ({batch_size}) must be at least 1")
        if not examples:
            raise DataError("there are no examples to make batches of; give at least one record")
        self.examples = examples
        self.collate = collate
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.examples) // self.batch_size)

    def batches(self, position: Position | None = None) -> Generator[LoadedBatch, None, None]:
        """Batches without end, from a position (the start, when there is none) on.

        Raises:
            CheckpointError: the position is not one among such batches.
        """
        position = position or Position()
        if position.pool or min(position.epoch, position.batch) < 0:
            raise CheckpointError(
                f"the checkpoint's data position ({position}) is not a place among batches of "
                "records; resume with the data that the run began with"
            )
        return self._batches(position.epoch, position.batch)

    def epoch_of(self, position: Position) -> int:
        """The epoch of the last batch before a position."""
        return position.epoch

    def _batches(self, epoch: int, first: int) -> Generator[LoadedBatch, None, None]:
        """From batch `first` of an epoch on; it may lie epochs ahead."""
        while True:
            order = self._order(epoch) if first < self.num_batches else []
            for batch in range(first, self.num_batches):
                yield self._load(order, epoch, batch)
            first = max(0, first - self.num_batches)
            epoch += 1

    def _order(self, epoch: int) -> list[int]:
        places = np.arange(len(self.examples))
        if self.shuffle:
            places = np.argsort(draw(key_of(self.seed, epoch), places), kind="stable")
        order: list[int] = places.tolist()
        return order

    def _load(self, order: list[int], epoch: int, batch: int) -> LoadedBatch:
        chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
        # Neighbours of about equal length are padded together where padding is needed.
        examples = sorted((self.examples[place] for place in chosen), key=_length)
        return LoadedBatch(
            pack_examples(examples), self.collate(examples), Position(epoch=epoch, batch=batch + 1)
        )


def _length(example: Example) -> int:
    return len(example.input_ids)


def pack_examples(examples: Sequence[Example], device: torch.device | str = "cpu") -> Batch:
    """Lay the sequences of examples end to end, on a device; to a GPU without waiting for it."""
    ids, segment_ids = zip(*(part for each in examples for part in each.sequences()), strict=True)
    batch = Batch.from_sequences(ids, segment_ids)
    if torch.device(device).type == "cuda":
        # From other memory the copy would wait for all that the GPU has been given before.
        batch = batch.pin_memory()
    return batch.to(device, non_blocking=True)
