"""Every token gets its own label, and tokens without one do not count."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.learning import learn

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError
from bertsmith.tasks.token_classification import TokenClassification

# A word's label depends on the word before it: 7 is a name after 5 and none after 6.
ROWS = [[2, 5, 7, 8, 3], [2, 6, 7, 8, 3], [2, 8, 5, 7, 7, 3], [2, 7, 6, 7, 3]]
LABELS = [[-100, 0, 1, 0, -100], [-100, 0, 2, 0, -100], [-100, 0, 0, 1, 2, -100]]
LABELS += [[-100, 2, 0, 2, -100]]
FLAT = torch.tensor([label for row in LABELS for label in row])


def test_every_label_is_learned() -> None:
    task = TokenClassification(labels=["O", "NAME", "OTHER"])
    figures = learn(task, Batch.from_sequences(ROWS), {"token_labels": FLAT})
    assert figures["before"] > 0.8
    assert figures["after"] < 0.05
    assert figures["token_accuracy"] == 1.0


def test_tokens_without_label_do_not_count() -> None:
    task = TokenClassification(labels=["a", "b"])
    logits = torch.randn(3, 2, requires_grad=True)
    loss = task.loss(logits, {"token_labels": torch.tensor([1, -100, -100])})
    torch.testing.assert_close(loss, -logits.log_softmax(-1)[0, 1])
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[1:].any()
    assert task.loss(logits, {"token_labels": torch.full((3,), -100)}) == 0


def test_settings_make_the_same_task_again() -> None:
    task = TokenClassification(labels=["a", "b"], classifier_dropout=0.3)
    assert task.settings() == {"labels": ["a", "b"], "classifier_dropout": 0.3}
    assert TokenClassification(**task.settings()).settings() == task.settings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ["a"]}, r"task\.labels \(a\) must name at least two labels, each once"),
        ({"labels": ["a", "a"]}, "each once"),
        ({"labels": ["a", "b"], "classifier_dropout": 1.0}, "at least 0 and below 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenClassification(**settings)
