"""Figures for labels that hold or not, each by itself, by scikit-learn."""

from __future__ import annotations

import torch
from torch import Tensor


class MultiLabelMetrics:
    """Loss, F1 over all decisions and over the labels, and how many records are wholly right."""

    def __init__(self) -> None:
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
        predictions = logits > 0
        figures = {
            "loss": float(torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)),
            "accuracy": float((predictions == labels.bool()).all(-1).double().mean()),
        }
        for average in ("micro", "macro"):
            score = f1_score(labels.int(), predictions.int(), average=average, zero_division=0)
            figures[f"{average}_f1"] = float(score)
        return figures
