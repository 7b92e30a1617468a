"""Figures for labels, held to their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from bertsmith.metrics.classification import ClassificationMetrics


def confusion(labels: list[int], predictions: list[int], num_labels: int) -> list[list[int]]:
    table = [[0] * num_labels for _ in range(num_labels)]
    for label, prediction in zip(labels, predictions, strict=True):
        table[label][prediction] += 1
    return table


def f1(table: list[list[int]], label: int) -> float:
    hits = table[label][label]
    errors = sum(table[label]) - hits + sum(row[label] for row in table) - hits
    return 2 * hits / (2 * hits + errors)


def matthews(table: list[list[int]]) -> float:
    """The correlation of two labellings (Gorodkin 2004), by its definition."""
    size = range(len(table))
    total, correct = sum(map(sum, table)), sum(table[i][i] for i in size)
    true = [sum(table[i]) for i in size]
    guessed = [sum(row[i] for row in table) for i in size]
    covariance = correct * total - sum(t * g for t, g in zip(true, guessed, strict=True))
    spread = (total**2 - sum(g * g for g in guessed)) * (total**2 - sum(t * t for t in true))
    return covariance / math.sqrt(spread)


@pytest.mark.parametrize("num_labels", [2, 3, 7])
def test_figures_are_their_definitions(num_labels: int) -> None:
    generator = torch.Generator().manual_seed(num_labels)
    logits = torch.randn(200, num_labels, generator=generator)
    labels = torch.randint(num_labels, (200,), generator=generator)
    logits[torch.arange(200), labels] += 1  # better than chance
    metric = ClassificationMetrics(num_labels)
    for some, truth in zip(logits.split(64), labels.split(64), strict=True):
        metric.update(some, truth)
    figures = metric.compute()
    table = confusion(labels.tolist(), logits.argmax(-1).tolist(), num_labels)
    loss = -logits.double().log_softmax(-1)[torch.arange(200), labels].mean()
    scores = [f1(table, label) for label in range(num_labels)]
    expected = {
        "loss": float(loss),
        "accuracy": sum(table[i][i] for i in range(num_labels)) / 200,
        "macro_f1": sum(scores) / num_labels,
        "matthews_correlation": matthews(table),
        "majority_accuracy": max(map(sum, table)) / 200,
    }
    if num_labels == 2:
        expected["f1"] = scores[1]
    assert figures == pytest.approx(expected, rel=1e-6)


def test_targets_of_minus_100_change_nothing() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, -100, 1, 2, -100, 1])
    with_gaps, without = ClassificationMetrics(3), ClassificationMetrics(3)
    with_gaps.update(logits, labels)
    without.update(logits[labels != -100], labels[labels != -100])
    assert with_gaps.compute() == without.compute()


def test_nothing_to_score_gives_no_figures() -> None:
    metric = ClassificationMetrics(3)
    assert metric.compute() == {}
    metric.update(torch.zeros(2, 3), torch.tensor([-100, -100]))
    assert metric.compute() == {}


@pytest.mark.parametrize(("answer", "accuracy"), [(0, 1.0), (1, 0.0)])
def test_one_class_alone_has_figures_and_no_warning(answer: int, accuracy: float) -> None:
    metric = ClassificationMetrics(2)
    metric.update(torch.eye(2)[[answer] * 5], torch.zeros(5, dtype=torch.int64))
    figures = metric.compute()
    assert figures["accuracy"] == accuracy
    assert figures["majority_accuracy"] == 1.0
    assert figures["matthews_correlation"] == 0.0
    assert figures["f1"] == 0.0
