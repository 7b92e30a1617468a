"""Scores are learned, and texts without one do not count."""

from __future__ import annotations

import torch
from tests.tasks.learning import learn

from bertsmith.batch import Batch
from bertsmith.tasks.sequence_regression import SequenceRegression

ROWS = [[2, a, 3, b, 3] for a in (5, 6, 7) for b in (5, 6, 7)]
SCORES = torch.tensor([2.0 - abs(row[1] - row[3]) for row in ROWS])


def test_scores_are_learned() -> None:
    batch = Batch.from_sequences(ROWS, [[0, 0, 0, 1, 1]] * len(ROWS))
    figures = learn(SequenceRegression(), batch, {"scores": SCORES})
    assert figures["before"] > 0.5
    assert figures["after"] < 0.02
    assert figures["pearson"] > 0.98
    # Scores that tie in truth are ranked apart by what is left of the error.
    assert figures["spearman"] > 0.9


def test_texts_without_score_do_not_count() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    targets = {"scores": torch.tensor([2.0, torch.nan, 5.0])}
    loss = SequenceRegression().loss(scores, targets)
    torch.testing.assert_close(loss, torch.tensor((1.0 + 4.0) / 2))
    loss.backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.tensor([-1.0, 0.0, -2.0]))
    assert SequenceRegression().loss(scores, {"scores": torch.full((3,), torch.nan)}) == 0
