"""Confusion: counts by gold label and answer, and what follows from them."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bertsmith.metrics.confusion import OTHERS, Confusion


def test_counts_and_figures_are_scikit_learns() -> None:
    rng = random.Random(0)
    labels = ["a", "b", "c", "never"]
    pairs = [(rng.choice("abc"), rng.choice("aabc")) for _ in range(300)]
    found = Confusion.of(pairs, labels)
    gold, given = zip(*pairs, strict=True)
    assert found.counts.tolist() == confusion_matrix(gold, given, labels=labels).tolist()
    theirs = precision_recall_fscore_support(gold, given, labels=labels, zero_division=0)
    for place, each in enumerate(found.label_figures()):
        assert (each.precision, each.recall, each.f1, each.num_records) == pytest.approx(
            [float(column[place]) for column in theirs]
        )
    assert found.to_dict()["labels"] == labels


def test_of_many_labels_the_frequent_ones_stay() -> None:
    pairs = [(f"label {n}", f"label {n}") for n in range(50) for _ in range(n + 1)]
    pairs += [("label 0", "label 49")]
    shown = Confusion.of(pairs).capped(5)
    assert shown.labels == ("label 46", "label 47", "label 48", "label 49", OTHERS)
    assert shown.counts.sum() == len(pairs)
    assert shown.counts[4].tolist() == [0, 0, 0, 1, sum(range(1, 47))]
    assert Confusion.of(pairs).capped(50).labels == Confusion.of(pairs).labels


def test_labels_nobody_listed_follow() -> None:
    assert Confusion.of([("x", "y")], ["y"]).labels == ("y", "x")
