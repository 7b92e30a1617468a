"""What every metric offers, and the one that the self-supervised objectives share."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Accumulator(Protocol):
    """Collects figures over batches."""

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch."""

    def compute(self) -> dict[str, float]:
        """Give the figures of everything added so far; empty when there was nothing to score."""


class CrossEntropyAndAccuracy:
    """Mean cross-entropy (nats) and accuracy over the targets that are not -100.

    Means are over targets, not over batches, and are kept on the device of the logits, so that
    adding a batch never waits for a GPU.

    Args:
        prefix: figures are named `{prefix}_loss` and `{prefix}_accuracy`; without one, `loss` and
            `accuracy`.
    """

    def __init__(self, prefix: str = "") -> None:
        self._start = f"{prefix}_" if prefix else ""
        self._sums: Tensor | None = None  # (3,): loss, correct, count

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add (..., C) logits and (...) targets."""
        logits, targets = logits.detach().float().flatten(0, -2), targets.flatten()
        is_scored = targets != -100
        loss = torch.nn.functional.cross_entropy(
            logits, targets, ignore_index=-100, reduction="sum"
        )
        correct = ((logits.argmax(-1) == targets) & is_scored).sum()
        sums = torch.stack([loss.double(), correct.double(), is_scored.sum().double()])
        self._sums = sums if self._sums is None else self._sums + sums

    def compute(self) -> dict[str, float]:
        """The two figures by name; none where nothing counted."""
        if self._sums is None:
            return {}
        loss, correct, count = self._sums.tolist()
        if not count:
            return {}
        return {f"{self._start}loss": loss / count, f"{self._start}accuracy": correct / count}
