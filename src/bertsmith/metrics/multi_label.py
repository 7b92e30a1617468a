"""Figures for labels that hold or not, each by itself, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class MultiLabelMetrics:
    """Loss, F1 over all decisions and over the labels, and how many records are wholly right.

    Args:
        thresholds: (C,) the probability above which each label is given; None: 0.5.
    """

    def __init__(self, thresholds: Sequence[float] | None = None) -> None:
        self.thresholds = thresholds
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add (B, C) logits and (B, C) labels of 0.0 and 1.0, rows of NaN where there are none."""
        is_scored = ~targets.isnan().any(-1)
        self._logits.append(logits.detach()[is_scored].float().cpu())
        self._labels.append(targets[is_scored].cpu())

    def compute(self) -> dict[str, float]:
        """`loss`, `micro_f1`, `macro_f1`, and `accuracy`: all labels of a record are right."""
        if not any(len(labels) for labels in self._labels):
            return {}
        from sklearn.metrics import f1_score

        logits, labels = torch.cat(self._logits), torch.cat(self._labels)
        thresholds = 0.5 if self.thresholds is None else torch.tensor(self.thresholds)
        predictions = logits.sigmoid() > thresholds
        figures = {
            "loss": float(torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)),
            "accuracy": float((predictions == labels.bool()).all(-1).double().mean()),
        }
        for average in ("micro", "macro"):
            score = f1_score(labels.int(), predictions.int(), average=average, zero_division=0)
            figures[f"{average}_f1"] = float(score)
        return figures


def best_thresholds(probabilities: Tensor, labels: Tensor) -> list[float]:
    """For each label the probability above which giving it has the best F1; 0.5 where none holds.

    A threshold lies midway between two of the probabilities seen, so that as good as possible a
    one is left to records that were not.

    Args:
        probabilities: (B, C).
        labels: (B, C) of 0.0 and 1.0.
    """
    return [
        _best_threshold(*column) for column in zip(probabilities.T, labels.T.bool(), strict=True)
    ]


def _best_threshold(probabilities: Tensor, holds: Tensor) -> float:
    if not holds.any():
        return 0.5
    ordered, order = probabilities.double().sort(descending=True)
    found = holds[order].cumsum(0)
    given = torch.arange(1, len(ordered) + 1)
    f1 = 2 * found / (given + holds.sum())
    following = torch.cat([ordered[1:], ordered.new_zeros(1)])
    f1[ordered == following] = -1.0  # a threshold cannot part equals
    best = (f1 == f1.max()).nonzero().flatten()
    middle = (ordered[best] + following[best]) / 2
    return float(middle[(middle - 0.5).abs().argmin()])
