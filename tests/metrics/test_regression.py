"""Correlations by their definitions."""

from __future__ import annotations

import pytest
import torch

from bertsmith.metrics.regression import RegressionMetrics


def test_figures_follow_their_definitions() -> None:
    scores, labels = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)).unbind()
    labels = labels + scores
    metrics = RegressionMetrics()
    metrics.update(scores[:20], labels[:20])
    gaps = torch.full((3,), torch.nan)
    metrics.update(torch.cat([scores[20:], torch.ones(3)]), torch.cat([labels[20:], gaps]))
    figures = metrics.compute()

    def pearson(x: torch.Tensor, y: torch.Tensor) -> float:
        x, y = x.double() - x.double().mean(), y.double() - y.double().mean()
        return float((x @ y) / (x.norm() * y.norm()))

    assert figures["pearson"] == pytest.approx(pearson(scores, labels), abs=1e-6)
    ranks = scores.argsort().argsort(), labels.argsort().argsort()
    assert figures["spearman"] == pytest.approx(pearson(*ranks), abs=1e-6)
    assert figures["mean_squared_error"] == pytest.approx(float(((scores - labels) ** 2).mean()))


def test_a_constant_correlates_with_nothing() -> None:
    metrics = RegressionMetrics()
    metrics.update(torch.ones(3), torch.tensor([1.0, 2.0, 3.0]))
    assert metrics.compute()["pearson"] == metrics.compute()["spearman"] == 0.0
    assert RegressionMetrics().compute() == {}
