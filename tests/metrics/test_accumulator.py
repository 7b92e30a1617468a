"""Losses and accuracies over batches are those of all targets at once."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy


def draws() -> tuple[torch.Tensor, torch.Tensor]:
    """40 rows of 5 classes, a third of them without a target."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 5, generator=generator)
    targets = torch.randint(5, (40,), generator=generator)
    targets[::3] = -100
    return logits, targets


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [0, 7, 30, 3]])
def test_figures_are_scikit_learns_however_the_batches_fall(sizes: list[int]) -> None:
    logits, targets = draws()
    metric = CrossEntropyAndAccuracy("masked_lm")
    for some, labels in zip(logits.split(sizes), targets.split(sizes), strict=True):
        metric.update(some, labels)
    counts = targets != -100
    labels = targets[counts].numpy()
    probabilities = logits[counts].double().softmax(-1).numpy()
    figures = metric.compute()
    assert list(figures) == ["masked_lm_loss", "masked_lm_accuracy"]
    expected = log_loss(labels, probabilities, labels=range(5))
    assert figures["masked_lm_loss"] == pytest.approx(expected, rel=1e-6)
    assert figures["masked_lm_accuracy"] == accuracy_score(labels, probabilities.argmax(-1))


def test_targets_of_minus_100_change_nothing() -> None:
    logits, targets = draws()
    all_rows, scored_rows = CrossEntropyAndAccuracy("x"), CrossEntropyAndAccuracy("x")
    all_rows.update(logits, targets)
    scored_rows.update(logits[targets != -100], targets[targets != -100])
    assert all_rows.compute() == pytest.approx(scored_rows.compute(), rel=1e-6)


def test_nothing_to_score_gives_no_figures() -> None:
    metric = CrossEntropyAndAccuracy("x")
    assert metric.compute() == {}
    metric.update(torch.zeros(3, 5), torch.full((3,), -100))
    metric.update(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))
    assert metric.compute() == {}


def test_logits_in_bfloat16_are_summed_in_float32() -> None:
    metric = CrossEntropyAndAccuracy("x")
    logits = torch.zeros(10_000, 3, dtype=torch.bfloat16)
    metric.update(logits, torch.ones(10_000, dtype=torch.int64))
    assert metric.compute()["x_loss"] == pytest.approx(1.0986123, rel=1e-5)


def test_it_keeps_no_graph() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    metric = CrossEntropyAndAccuracy("x")
    metric.update(logits * 2, torch.zeros(4, dtype=torch.int64))
    assert metric._sums is not None
    assert not metric._sums.requires_grad
