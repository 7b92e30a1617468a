"""What a run trains on one after another: first short sequences, then long ones.

Attention over a sequence costs the square of its length, and most of what there is to learn can be
learned from short ones: the published models saw sequences of 128 for nine tenths of their steps
and of 512 for the rest, which teaches the positions beyond (Devlin et al. 2019, appendix A.2).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bertsmith.data.loader import LoadedBatch, Position


class BatchSource(Protocol):
    """Endless batches that can go on from any position."""

    def batches(self, position: Position | None = None) -> Generator[LoadedBatch, None, None]:
        """Give the batches from a position on."""

    def epoch_of(self, position: Position) -> int:
        """The epoch of the last batch before a position, whichever process's it was."""


@dataclass(frozen=True)
class Stage:
    """A part of a run."""

    source: BatchSource
    until: float = 1.0
    """The part of the run that is over when the stage is, from 0 to 1."""


def batches_in_turn(
    stages: Sequence[Stage], position: Position | None, progress: Callable[[], float]
) -> Generator[LoadedBatch, None, None]:
    """Give each stage's batches while it lasts, and the last one's without end.

    A stage begins with the epoch after the one in which the stage before it has ended. Closing this
    closes the source in use.

    Args:
        stages: in order, their `until` rising.
        position: where to go on, in whatever stage; None for the start of the run.
        progress: tells the part of the run that is over, from 0 to 1.
    """
    last = len(stages) - 1
    for number, stage in enumerate(stages):
        if number < last and progress() >= stage.until:
            continue
        if position is not None and position.stage != number:
            ended = stages[position.stage].source.epoch_of(position)
            position = Position(epoch=ended + 1, stage=number)
        with contextlib.closing(stage.source.batches(position)) as batches:
            while number == last or progress() < stage.until:
                loaded = next(batches)
                position = dataclasses.replace(loaded.position, stage=number)
                yield dataclasses.replace(loaded, position=position)
