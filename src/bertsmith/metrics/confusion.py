"""Which labels are taken for which.

Dimension key: `C` labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OTHERS = "all others"


@dataclass(frozen=True)
class LabelFigures:
    """How well one label is told from the others; 0.0 where there is nothing to divide by."""

    label: str
    precision: float
    recall: float
    f1: float
    num_records: int
    """That have the label."""

    @classmethod
    def of(cls, label: str, right: int, given: int, gold: int) -> LabelFigures:
        """From how many got the label rightly, how many got it, and how many have it."""
        return cls(
            label,
            precision=right / given if given else 0.0,
            recall=right / gold if gold else 0.0,
            f1=2 * right / (given + gold) if given + gold else 0.0,
            num_records=gold,
        )


@dataclass(frozen=True)
class Confusion:
    """Records by the label that they have and the one that they were given."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    """(C, C): row for the gold label, column for the answer."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], labels: Sequence[str] = ()) -> Confusion:
        """Count pairs of gold label and answer.

        Args:
            pairs: of each record.
            labels: the order; labels that are not among them follow as they come.
        """
        pairs = list(pairs)
        names = dict.fromkeys([*labels, *(name for pair in pairs for name in pair)])
        places = {name: place for place, name in enumerate(names)}
        counts = np.zeros((len(places), len(places)), dtype=np.int64)
        for gold, answer in pairs:
            counts[places[gold], places[answer]] += 1
        return cls(tuple(places), counts)

    def capped(self, most: int) -> Confusion:
        """At most so many labels: the most frequent ones, and the others put together."""
        if len(self.labels) <= most:
            return self
        frequency = self.counts.sum(0) + self.counts.sum(1)
        kept = np.sort(np.argsort(-frequency, kind="stable")[: most - 1])
        groups = np.full(len(self.labels), most - 1)
        groups[kept] = np.arange(most - 1)
        counts = np.zeros((most, most), dtype=np.int64)
        np.add.at(counts, (groups[:, None], groups[None, :]), self.counts)
        return Confusion((*(self.labels[place] for place in kept), OTHERS), counts)

    def label_figures(self) -> list[LabelFigures]:
        """Precision, recall and F1 of each label."""
        right, given, gold = self.counts.diagonal(), self.counts.sum(0), self.counts.sum(1)
        each = zip(self.labels, right.tolist(), given.tolist(), gold.tolist(), strict=True)
        return [LabelFigures.of(*counts) for counts in each]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"labels": list(self.labels), "counts": self.counts.tolist()}
