"""The fitting choice is learned among any number of them."""

from __future__ import annotations

import torch
from tests.tasks.learning import learn

from bertsmith.batch import Batch
from bertsmith.tasks.multiple_choice import MultipleChoice

# The right ending repeats the context's word; questions have two, three and two choices.
CHOICES = [(5, 5), (5, 6), (6, 7), (6, 6), (6, 5), (7, 5), (7, 7)]
BATCH = Batch.from_sequences([[2, a, 3, b, 3] for a, b in CHOICES], [[0, 0, 0, 1, 1]] * 7)
TARGETS = {"answers": torch.tensor([0, 1, 1]), "choice_bounds": torch.tensor([0, 2, 5, 7])}


def test_the_answer_is_learned() -> None:
    figures = learn(MultipleChoice(), BATCH, TARGETS)
    assert figures["before"] > 0.5
    assert figures["after"] < 0.05
    assert figures["choice_accuracy"] == 1.0


def test_choices_compete_within_their_question_alone() -> None:
    logits = torch.randn(7, requires_grad=True)
    parts = [
        logits[:2].log_softmax(0)[0],
        logits[2:5].log_softmax(0)[1],
        logits[5:].log_softmax(0)[1],
    ]
    loss = MultipleChoice().loss(logits, TARGETS)
    torch.testing.assert_close(loss, -sum(parts) / 3)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    without = TARGETS | {"answers": torch.tensor([-100, 1, -100])}
    torch.testing.assert_close(MultipleChoice().loss(logits, without), -parts[1])
