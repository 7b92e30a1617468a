"""Pictures: those that the findings have figures for, and no warning for any label."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.training.report.answers import HOSTILE, evaluation_of

from bertsmith.metrics.confusion import Confusion
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.sequence_regression import SequenceRegression
from bertsmith.training.report.findings import Findings, examine
from bertsmith.training.report.pictures import draw_pictures


def drawn(findings: Findings, folder: Path) -> list[str]:
    pictures = draw_pictures(findings, folder)
    for picture in pictures:
        contents = picture.path.read_bytes()
        assert contents.startswith(b"\x89PNG")
        assert len(contents) > 8_000, picture.path
    return [picture.path.name for picture in pictures]


def test_a_classifier_has_four(classified: Findings, tmp_path: Path) -> None:
    files = ["confusion.png", "calibration.png", "scores.png", "lengths.png"]
    assert drawn(classified, tmp_path) == files


def test_a_regression_has_two(tmp_path: Path) -> None:
    task = SequenceRegression()
    scores = [number / 10 for number in range(60)]
    found = examine(task, evaluation_of(task, scores, scores[::-1]))
    assert drawn(found, tmp_path) == ["scores.png", "lengths.png"]


@pytest.mark.parametrize("right", [True, False])
def test_one_answer_alone_can_be_drawn(tmp_path: Path, right: bool) -> None:
    task = SequenceClassification(labels=["a", "b"])
    found = examine(task, evaluation_of(task, ["a"], [[1.0, 0.0] if right else [0.0, 1.0]]))
    assert drawn(found, tmp_path) == ["confusion.png", "calibration.png", "scores.png"]
    regression = SequenceRegression()
    found = examine(regression, evaluation_of(regression, [1.0], [1.0]))
    assert drawn(found, tmp_path) == ["scores.png"]


@pytest.mark.parametrize(
    "labels",
    [
        ["$x^{$", "$", HOSTILE],
        ["東京", "नमस्ते", "\U0001f600", "a\nb"],
        ["a " * 400, ""],
        [f"label {number}" for number in range(300)],
    ],
)
def test_labels_of_every_kind_can_be_drawn(
    classified: Findings, tmp_path: Path, labels: list[str]
) -> None:
    confusion = Confusion.of([(label, labels[0]) for label in labels], labels)
    only = dataclasses.replace(classified, confusion=confusion, calibration=None, lengths=[])
    assert drawn(only, tmp_path)[0] == "confusion.png"
