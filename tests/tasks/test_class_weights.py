"""Rare classes count as much as asked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from bertsmith.data.record import Record
from bertsmith.errors import ConfigError
from bertsmith.tasks.class_weights import resolve_class_weights
from bertsmith.tasks.losses import mean_binary_cross_entropy, mean_cross_entropy
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.sequence_classification import SequenceClassification

LABELS = ["x", "y", "z"]


def test_balanced_weights_are_scikit_learns() -> None:
    labels = ["x"] * 7 + ["y"] * 2 + ["z"]
    expected = compute_class_weight("balanced", classes=np.array(LABELS), y=np.array(labels))
    found = resolve_class_weights("balanced", LABELS, Counter(labels), num_records=None)
    assert found == pytest.approx(expected.tolist())


def test_balanced_weights_of_several_labels_set_each_against_its_absence() -> None:
    counts = {"x": 2, "y": 10, "z": 0}
    assert resolve_class_weights("balanced", LABELS, counts, num_records=10) == [4.0, 1.0, 1.0]


def test_weights_that_are_given_stay() -> None:
    assert resolve_class_weights({"y": 3}, LABELS, {}, num_records=None) == [1.0, 3.0, 1.0]
    assert resolve_class_weights([1, 2, 3.5], LABELS, {}, num_records=None) == [1.0, 2.0, 3.5]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("equal", r"task\.class_weights \('equal'\) must be 'balanced', or weights by label"),
        (3, r"task\.class_weights \(3\) must be 'balanced'"),
        ({"w": 1.0}, r"names 'w', which is not one of the task's labels \(x, y, z\)"),
        ([1.0, 2.0], r"\(1\.0, 2\.0\) must be a number above 0 for each of the labels"),
        ({"x": 0}, r"\(0, 1\.0, 1\.0\) must be a number above 0"),
        ({"x": True}, r"must be a number above 0"),
        ({"x": float("nan")}, r"must be a number above 0"),
        (["a", 1, 1], r"must be a number above 0"),
    ],
)
def test_what_are_no_weights_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_class_weights(given, LABELS, {}, num_records=None)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_the_weighted_smoothed_mean_is_pytorchs(weights: Any, smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, -100, 1, -100])
    expected = torch.nn.functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    found = mean_cross_entropy(logits, labels, class_weights=weights, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    nothing = torch.full((6,), -100)
    assert mean_cross_entropy(logits, nothing, class_weights=weights) == 0


def test_smoothing_of_several_labels_lies_between_the_two_answers() -> None:
    logits = torch.tensor([[2.0, -1.0]])
    labels = torch.tensor([[1.0, 0.0]])
    same, opposite = (mean_binary_cross_entropy(logits, x) for x in (labels, 1 - labels))
    smoothed = mean_binary_cross_entropy(logits, labels, label_smoothing=0.2)
    torch.testing.assert_close(smoothed, 0.9 * same + 0.1 * opposite)


def test_weights_are_learned_with_the_labels_and_kept() -> None:
    records = [Record({"text": "a", "label": x}, "a:1") for x in ["x", "x", "x", "y"]]
    task = SequenceClassification(class_weights="balanced", label_smoothing=0.1)
    with pytest.raises(ConfigError, match=r"task\.labels is not set"):
        task.settings()
    task.learn_labels(records)
    assert task.settings()["class_weights"] == pytest.approx([4 / 6, 2.0])
    again = build_task(task.name, **task.settings())
    logits, targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), {"labels": torch.tensor([0, 1])}
    assert again.loss(logits, targets) == task.loss(logits, targets)
    plain = SequenceClassification(labels=["x", "y"], label_smoothing=0.1)
    assert task.loss(logits, targets) > plain.loss(logits, targets)  # the rare one is wrong


def test_weights_by_label_wait_for_the_labels() -> None:
    task = SequenceClassification(labels=["x", "y"], class_weights={"y": 2.0})
    with pytest.raises(ConfigError, match="needs the training records' labels; call learn_labels"):
        task.loss(torch.zeros(1, 2), {"labels": torch.tensor([0])})


def test_weights_that_an_evaluation_asked_for_first_are_fit_for_training() -> None:
    task = SequenceClassification(labels=["x", "y"], class_weights=[1.0, 3.0])
    targets = {"labels": torch.tensor([0, 1])}
    with torch.inference_mode():
        expected = float(task.loss(torch.zeros(2, 2), targets))
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = task.loss(logits, targets)
    loss.backward()
    assert float(loss.detach()) == expected
    assert logits.grad is not None
    assert logits.grad.any()


def test_weights_stay_where_they_are_when_another_device_asks() -> None:
    task = SequenceClassification(labels=["x", "y"], class_weights=[1.0, 3.0])
    first = task._weights_on(torch.device("cpu"))
    other = task._weights_on(torch.device("meta"))
    assert first is not None
    assert other is not None
    assert (first.device.type, other.device.type) == ("cpu", "meta")
    assert task._weights_on(torch.device("cpu")) is first
