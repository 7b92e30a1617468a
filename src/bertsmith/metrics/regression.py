"""Figures for a score, by SciPy."""

from __future__ import annotations

import torch
from torch import Tensor


class RegressionMetrics:
    """Squared error and the correlations that STS-B is measured by."""

    def __init__(self) -> None:
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add (B,) scores and (B,) labels, NaN where there is none."""
        is_scored = ~targets.isnan()
        self._scores.append(logits.detach()[is_scored].double().cpu())
        self._labels.append(targets[is_scored].double().cpu())

    def compute(self) -> dict[str, float]:
        """`mean_squared_error`, `pearson` and `spearman`; a constant correlates with nothing: 0."""
        if not any(len(labels) for labels in self._labels):
            return {}
        from scipy.stats import pearsonr, spearmanr

        scores, labels = torch.cat(self._scores), torch.cat(self._labels)
        figures = {"mean_squared_error": float(((scores - labels) ** 2).mean())}
        varies = bool(scores.ne(scores[0]).any() and labels.ne(labels[0]).any())
        for name, correlation in (("pearson", pearsonr), ("spearman", spearmanr)):
            figures[name] = float(correlation(scores, labels).statistic) if varies else 0.0
        return figures
