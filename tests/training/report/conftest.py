"""Findings that several tests look at."""

from __future__ import annotations

import pytest
from tests.training.report.answers import HOSTILE, evaluation_of

from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.training.report.findings import Findings, examine

LABELS = ["fair", "foul", "none of <these>"]


@pytest.fixture(scope="session")
def classified() -> Findings:
    """Two hundred answers among three labels; seven of ten are right, and some surely wrong."""
    task = SequenceClassification(labels=LABELS)
    golds = [LABELS[number % 3] for number in range(200)]
    scores = []
    for number in range(200):
        row = [0.0, 0.0, 0.0]
        row[(number + (number % 10 >= 7)) % 3] = 1.0 + number % 5
        scores.append(row)
    return examine(task, evaluation_of(task, golds, scores, [HOSTILE] * 200))
