"""Figures for one label out of several, by scikit-learn."""

from __future__ import annotations

import torch
from torch import Tensor


class ClassificationMetrics:
    """Loss, accuracy, macro F1, Matthews correlation; F1 of the second class when there are two.

    Args:
        num_labels: the number of classes.
    """

    def __init__(self, num_labels: int) -> None:
        self.num_labels = num_labels
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add (B, num_labels) logits and (B,) labels, -100 where there is none."""
        is_scored = targets != -100
        self._logits.append(logits.detach()[is_scored].float().cpu())
        self._labels.append(targets[is_scored].cpu())

    def compute(self) -> dict[str, float]:
        """`loss`, `accuracy`, `macro_f1`, `matthews_correlation`, `majority_accuracy` and `f1`.

        `majority_accuracy` is what always answering the most frequent class would score.
        """
        if not any(len(labels) for labels in self._labels):
            return {}
        from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

        logits, labels = torch.cat(self._logits), torch.cat(self._labels)
        predictions = logits.argmax(-1)
        figures = {
            "loss": float(torch.nn.functional.cross_entropy(logits, labels)),
            "accuracy": float(accuracy_score(labels, predictions)),
            "macro_f1": float(f1_score(labels, predictions, average="macro", zero_division=0)),
            "matthews_correlation": 0.0,
            "majority_accuracy": int(labels.bincount().max()) / len(labels),
        }
        if len(torch.unique(labels)) > 1:  # else it is 0 by definition, and scikit-learn warns
            figures["matthews_correlation"] = float(matthews_corrcoef(labels, predictions))
        if self.num_labels == 2:
            figures["f1"] = float(f1_score(labels, predictions, pos_label=1, zero_division=0))
        return figures
