"""A run with one answer for everything is told from one that learns slowly, or rightly says one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bertsmith.data.example import Example
from bertsmith.export.model_folder import load_pretrained
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.sequence_regression import SequenceRegression
from bertsmith.training.checkpoint import TrainingState
from bertsmith.training.collapse import CollapseWatch, constant_answer_loss
from bertsmith.training.held_out import Evaluated

CONSTANT = {"matthews_correlation": 0.0, "accuracy": 0.5, "majority_accuracy": 0.5}
LEARNED = {"matthews_correlation": 0.6, "accuracy": 0.8, "majority_accuracy": 0.5}


def classifier(start: Path, labels: str = "ab", **settings: Any) -> BertForTasks:
    task = SequenceClassification(labels=list(labels), **settings)
    return load_pretrained(start / "model", [task]).model


def examples(targets: list[Any]) -> list[Example]:
    return [Example([2, 5, 3], [0, 0, 0], target) for target in targets]


def test_the_constant_answer_of_a_classifier_costs_the_entropy_of_its_labels(start: Path) -> None:
    found = constant_answer_loss(classifier(start, "abc"), examples([0] * 14 + [1] * 5 + [2]))
    entropy = -sum(p * math.log(p) for p in (0.7, 0.25, 0.05))
    assert found == pytest.approx(entropy, abs=1e-5)


def test_weights_and_smoothing_count_since_the_loss_is_the_tasks_own(start: Path) -> None:
    # Weighed so that both classes count alike, the best constant is ln 2 whatever their numbers.
    model = classifier(start, class_weights="balanced")
    task = model.tasks[0]
    assert isinstance(task, SequenceClassification)
    task.class_weights = [20 / 38, 20 / 2]
    found = constant_answer_loss(model, examples([0] * 19 + [1]))
    assert found == pytest.approx(math.log(2), abs=1e-5)
    smoothed = constant_answer_loss(classifier(start, label_smoothing=0.2), examples([0] * 20))
    assert smoothed == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1), abs=1e-5)


def test_the_constant_answer_of_a_regression_costs_the_variance(start: Path) -> None:
    model = load_pretrained(start / "model", [SequenceRegression()]).model
    assert constant_answer_loss(model, examples([0.0, 5.0, 4.0])) == pytest.approx(14 / 3)
    assert model.training is False


def evaluated(**changes: Any) -> Evaluated:
    best = changes.pop("best", CONSTANT)
    step = changes.pop("step", 100)
    state = TrainingState(step=step, best_step=10, best_figures=best)
    values: dict[str, Any] = {
        "progress": 0.5,
        "held_out": CONSTANT,
        "training": {},
        "training_loss": 0.69,
        "is_last": False,
    }
    return Evaluated(state=state, **(values | changes))


def watch(start: Path) -> CollapseWatch:
    return CollapseWatch(classifier(start), examples([0, 1] * 10))


def test_one_answer_and_a_flat_loss_at_half_of_a_run_are_a_problem(start: Path) -> None:
    assert watch(start).problem(evaluated()) == (
        "the model tells no held-out record from another, and its training loss (0.690) is not "
        "below that of one answer for everything (0.693)"
    )
    # At the end of a run that patience has cut short, too.
    assert watch(start).problem(evaluated(progress=0.3, is_last=True)) is not None
    assert watch(start).problem(evaluated(training_loss=math.inf)) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"progress": 0.4},
        {"step": 49},
        {"held_out": LEARNED},
        {"best": LEARNED},
        {"training_loss": 0.6},
    ],
    ids=["too early", "too short", "learned", "had learned", "is learning"],
)
def test_anything_else_is_none(start: Path, changes: dict[str, Any]) -> None:
    assert watch(start).problem(evaluated(**changes)) is None


def test_at_its_end_a_run_that_learned_nothing_says_so_whatever_the_reason(start: Path) -> None:
    short = {"is_last": True, "step": 20}
    assert "tells no held-out record from another" in (
        watch(start).remark(evaluated(**short)) or ""
    )
    assert watch(start).remark(evaluated(**short | {"training_loss": 0.1})) is not None
    assert watch(start).remark(evaluated(**short | {"best": LEARNED})) is None
    assert watch(start).remark(evaluated(step=20)) is None  # it goes on
    # What is a problem already is said as one.
    assert watch(start).remark(evaluated(is_last=True)) is None


@pytest.mark.parametrize(
    ("figures", "has_collapsed"),
    [
        (CONSTANT, True),
        ({"matthews_correlation": 0.0, "accuracy": 0.3, "majority_accuracy": 0.7}, True),
        (LEARNED, False),
        # The held-out file has one label: nothing else could be right.
        ({"matthews_correlation": 0.0, "accuracy": 1.0, "majority_accuracy": 1.0}, False),
        ({"matthews_correlation": -0.1, "accuracy": 0.4, "majority_accuracy": 0.5}, False),
    ],
)
def test_what_collapse_is_to_a_classifier(figures: dict[str, float], has_collapsed: bool) -> None:
    assert SequenceClassification(labels=["a", "b"]).has_collapsed(figures) is has_collapsed


def test_what_collapse_is_to_other_tasks() -> None:
    several = SequenceClassification(labels=["a", "b"], multi_label=True)
    assert several.has_collapsed({"micro_f1": 0.0}) is False
    regression = SequenceRegression()
    assert regression.has_collapsed({"pearson": 0.0}) is True
    assert regression.has_collapsed({"pearson": -0.5}) is True
    assert regression.has_collapsed({"pearson": 0.3}) is False
