"""Starts and ends are learned, [CLS] for no answer among them, and rows do not mix."""

from __future__ import annotations

import torch
from tests.tasks.learning import learn

from bertsmith.batch import Batch
from bertsmith.tasks.question_answering import QuestionAnswering

# `[CLS] question [SEP] passage [SEP]`: the answer is what stands between two of the question's
# word, or nothing.
ROWS = [
    [2, 5, 3, 8, 5, 9, 5, 3],
    [2, 6, 3, 8, 5, 9, 5, 3],
    [2, 6, 3, 6, 10, 11, 6, 9, 3],
    [2, 5, 3, 6, 10, 6, 3],
]
SPANS = [[5, 5], [0, 0], [4, 5], [0, 0]]
BATCH = Batch.from_sequences(ROWS)
TARGETS = {
    "answer_places": torch.tensor(SPANS).view(-1),
    "sequence_bounds": BATCH.cu_seqlens,
}


def test_spans_and_their_absence_are_learned() -> None:
    figures = learn(QuestionAnswering(), BATCH, TARGETS)
    assert figures["before"] > 1.5
    assert figures["after"] < 0.05
    assert figures["answer_place_accuracy"] == 1.0


def test_tokens_compete_within_their_sequence_alone() -> None:
    task = QuestionAnswering()
    logits = torch.randn(5, 2, requires_grad=True)
    targets = {
        "answer_places": torch.tensor([1, 1, 0, 2]),
        "sequence_bounds": torch.tensor([0, 2, 5]),
    }
    starts, ends = logits[:, 0], logits[:, 1]
    expected = -(
        starts[:2].log_softmax(0)[1]
        + ends[:2].log_softmax(0)[1]
        + starts[2:].log_softmax(0)[0]
        + ends[2:].log_softmax(0)[2]
    )
    loss = task.loss(logits, targets)
    torch.testing.assert_close(loss, expected / 4)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    # A sequence without an answer to learn from changes nothing.
    targets["answer_places"] = torch.tensor([1, 1, -100, -100])
    torch.testing.assert_close(
        task.loss(logits, targets), -(starts[:2].log_softmax(0)[1] + ends[:2].log_softmax(0)[1]) / 2
    )
