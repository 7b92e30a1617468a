"""Labels that hold or not, counted by their definitions."""

from __future__ import annotations

import pytest
import torch

from bertsmith.metrics.multi_label import MultiLabelMetrics


def test_figures_follow_their_definitions() -> None:
    logits = torch.tensor([[2.0, -1.0], [1.0, 1.0], [-3.0, 0.5], [-1.0, -1.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    metrics = MultiLabelMetrics()
    metrics.update(logits[:1], labels[:1])
    gap = torch.full((1, 2), torch.nan)
    metrics.update(torch.cat([logits[1:], torch.ones(1, 2)]), torch.cat([labels[1:], gap]))
    figures = metrics.compute()
    # Label 0: two hits, one miss. Label 1: one hit, one false alarm.
    assert figures["micro_f1"] == pytest.approx(2 * 3 / (2 * 3 + 2))
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert figures["accuracy"] == 0.5
    probs = logits.sigmoid()
    loss = -(labels * probs.log() + (1 - labels) * (1 - probs).log()).mean()
    assert figures["loss"] == pytest.approx(float(loss), abs=1e-6)
    assert MultiLabelMetrics().compute() == {}
