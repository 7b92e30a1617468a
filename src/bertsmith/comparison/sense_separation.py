"""How well similarities tell the senses of a word apart.

Dimension key: `N` sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# What rounding leaves between vectors that are the same.
TIE = 1e-5


@dataclass(frozen=True)
class Separation:
    """Figures of one system, or of one of its layers."""

    within: float
    """Mean similarity of two sentences of one sense."""
    between: float
    """Mean similarity of two sentences of different senses."""
    accuracy: float
    """How often the nearest other sentence has the same sense; equally near ones share the answer,
    so that vectors that are all the same have `chance`."""
    chance: float
    """The same for an answer that is drawn."""

    @property
    def difference(self) -> float:
        """`within` minus `between`: 0 where the vectors know nothing of senses."""
        return self.within - self.between


def separation(similarities: Tensor, senses: Sequence[str | None]) -> Separation | None:
    """Measure how well the senses are told apart; None where they cannot be.

    That takes a sense with two sentences, and two senses. A sense with one sentence takes part in
    what others are held to, but has no nearest sentence of its own to be found.

    Args:
        similarities: (N, N).
        senses: of each sentence; sentences without one do not count.
    """
    between = mean_between(similarities, senses)
    if between is None:
        return None
    table, codes = _labelled(similarities, senses)
    is_other = ~torch.eye(len(codes), dtype=torch.bool)
    is_same = (codes[:, None] == codes) & is_other
    has_fellow = is_same.any(1)
    if not has_fellow.any():
        return None
    others = table.masked_fill(~is_other, -torch.inf)
    is_nearest = (others >= others.amax(1, keepdim=True) - TIE) & is_other
    right = (is_nearest & is_same).sum(1).double() / is_nearest.sum(1)
    by_chance = is_same.sum(1).double() / is_other.sum(1)
    return Separation(
        within=float(table[is_same].mean()),
        between=between,
        accuracy=float(right[has_fellow].mean()),
        chance=float(by_chance[has_fellow].mean()),
    )


def mean_between(similarities: Tensor, senses: Sequence[str | None]) -> float | None:
    """`Separation.between` alone, which is there for two senses of one sentence each too.

    Args:
        similarities: (N, N).
        senses: of each sentence; sentences without one do not count.
    """
    table, codes = _labelled(similarities, senses)
    is_different = codes[:, None] != codes
    return float(table[is_different].mean()) if is_different.any() else None


def _labelled(similarities: Tensor, senses: Sequence[str | None]) -> tuple[Tensor, Tensor]:
    """The rows and columns of sentences that have a sense, and a number for the sense of each."""
    places = [place for place, sense in enumerate(senses) if sense is not None]
    names = sorted({senses[place] or "" for place in places})
    codes = [names.index(senses[place] or "") for place in places]
    return similarities[places][:, places].double(), torch.tensor(codes, dtype=torch.int64)
