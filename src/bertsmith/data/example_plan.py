"""What the examples of an epoch will be, before any wordpiece is read.

A plan says where in the corpus each text starts and how long it is. Planning needs lengths and
random numbers only, so that shuffling and resuming cost no reading.

Dimension key: `N` examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertsmith.data.counter_random import Keys

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ExamplePlan:
    """N examples, `[CLS] A [SEP] B [SEP]`, or `[CLS] A [SEP]` where B has no wordpieces."""

    first_start: Ints
    """(N,) place of A's first wordpiece, counted over all shards."""
    first_length: Ints
    """(N,) wordpieces of A, at least 1."""
    second_start: Ints
    """(N,) place of B's first wordpiece."""
    second_length: Ints
    """(N,) wordpieces of B."""
    is_random: npt.NDArray[np.bool_]
    """(N,) whether B is a random text and not A's continuation."""
    keys: Keys
    """(N,) uint64: each example's own random stream, whatever batch it comes to be in."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def lengths(self) -> Ints:
        """(N,) tokens of each example with its [CLS] and [SEP]."""
        return self.first_length + self.second_length + (2 + (self.second_length > 0))

    def take(self, rows: Ints | slice) -> ExamplePlan:
        """Some of the examples, in the order of `rows`."""
        return ExamplePlan(*(getattr(self, field.name)[rows] for field in _FIELDS))

    @staticmethod
    def concatenate(plans: Sequence[ExamplePlan]) -> ExamplePlan:
        """The examples of several plans in a row."""
        return ExamplePlan(
            *(np.concatenate([getattr(plan, field.name) for plan in plans]) for field in _FIELDS)
        )


_FIELDS = dataclasses.fields(ExamplePlan)
