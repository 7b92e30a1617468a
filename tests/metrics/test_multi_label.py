"""Labels that hold or not, counted by their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from bertsmith.metrics.multi_label import MultiLabelMetrics, best_thresholds


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


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9]), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_no_threshold_is_better_than_the_one_found(rows: list[tuple[float, bool]]) -> None:
    probabilities = torch.tensor([[p] for p, _ in rows])
    labels = torch.tensor([[float(holds)] for _, holds in rows])

    def f1(threshold: float) -> float:
        given = probabilities[:, 0] > threshold
        return float(f1_score(labels[:, 0].int(), given.int(), zero_division=0))

    (found,) = best_thresholds(probabilities, labels)
    assert 0 < found < 1
    assert f1(found) >= max(map(f1, (0.0, 0.2, 0.3, 0.6, 0.8))) - 1e-9
    if not labels.any():
        assert found == 0.5


def test_thresholds_decide_the_figures() -> None:
    metrics = MultiLabelMetrics([0.9, 0.1])
    metrics.update(torch.tensor([[0.0, 0.0], [3.0, -3.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert metrics.compute()["accuracy"] == 1.0
