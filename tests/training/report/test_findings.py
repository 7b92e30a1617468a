"""Findings: figures, intervals, parts and worst errors, for each kind of task."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support
from tests.training.report.answers import evaluation_of, results_of

from bertsmith.metrics.interval import wilson_interval
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.sequence_regression import SequenceRegression
from bertsmith.tasks.task import RecordTask, ScoredRecord
from bertsmith.training.report.findings import Findings, examine
from bertsmith.training.report.model_card import model_card


def test_a_classifier_is_seen_from_all_sides(classified: Findings) -> None:
    assert (classified.figure, classified.figures["accuracy"]) == ("accuracy", 0.7)
    assert classified.interval == wilson_interval(140, 200)
    assert classified.confusion is not None
    assert classified.confusion.counts.trace() == 140
    assert classified.confusion.labels == ("fair", "foul", "none of <these>")
    assert classified.calibration is not None
    assert sum(each.num_records for each in classified.calibration.bins) == 200
    assert sum(each.num_records for each in classified.lengths) == 200
    assert [each.low for each in classified.lengths] == sorted(x.low for x in classified.lengths)
    for each in classified.lengths:
        assert each.interval_low < each.value < each.interval_high
    (table,) = classified.tables
    assert [row[0] for row in table.rows] == list(classified.confusion.labels)


def test_the_worst_are_the_surest_wrong_ones_by_file_and_line(classified: Findings) -> None:
    worst = classified.worst(20)
    errors = [each.verdict.error for each in worst]
    assert errors == sorted(errors, reverse=True)  # type: ignore[type-var]
    assert all(each.verdict.gold != each.verdict.answer for each in worst)
    assert worst[0].verdict.confidence == pytest.approx(math.exp(5) / (math.exp(5) + 2))
    assert {each.location.partition(":")[0] for each in worst} == {"dev.tsv"}
    assert len(classified.worst(1000)) == 60


def test_several_labels_have_a_table_and_an_interval_by_bootstrap() -> None:
    task = SequenceClassification(labels=["a", "b", "c"], multi_label=True)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(100, 3, generator=generator)
    golds = [["a"] if n % 2 else ["a", "b"] for n in range(100)]
    found = examine(task, evaluation_of(task, golds, scores.tolist()))
    assert (found.confusion, found.calibration) == (None, None)
    assert found.interval is not None
    assert found.interval.low < found.figures["micro_f1"] < found.interval.high
    assert found.interval.method == "bootstrap of 250 resamples"
    (table,) = found.tables
    gold = np.array([[True, "b" in each, False] for each in golds])
    theirs = precision_recall_fscore_support(gold, scores.numpy() > 0, zero_division=0)
    assert np.array([row[1:] for row in table.rows]) == pytest.approx(np.array(theirs).T)
    (worst, *_) = found.worst(3)
    assert worst.verdict.error == 3.0
    assert (worst.verdict.gold, worst.verdict.answer) in {("a", "b, c"), ("a, b", "c")}


def test_scores_are_nearer_or_farther() -> None:
    task = SequenceRegression()
    golds = [number / 10 for number in range(60)]
    scores = [gold + (3.0 if gold == 4.0 else 0.1 * (n % 3)) for n, gold in enumerate(golds)]
    found = examine(task, evaluation_of(task, golds, scores))
    assert not found.has_credits
    assert found.interval is not None
    assert found.interval.low < found.figures["pearson"] < found.interval.high
    (worst,) = found.worst(1)
    assert (worst.verdict.gold, worst.verdict.answer) == ("4", "7")
    assert len(found.lengths) == 3
    values = found.values("numbers")
    assert values is not None
    assert values[40] == (4.0, pytest.approx(7.0))


@pytest.mark.parametrize("num", [1, 2, 39])
def test_few_records_are_no_trouble(num: int) -> None:
    task = SequenceClassification(labels=["a", "b"])
    found = examine(task, evaluation_of(task, ["a"] * num, [[1.0, 0.0]] * num))
    assert found.lengths == []
    assert found.interval == wilson_interval(num, num)
    assert found.worst(5) == []
    regression = SequenceRegression()
    found = examine(regression, evaluation_of(regression, [1.0] * num, [2.0] * num))
    assert found.interval is None  # a constant correlates with nothing, in every resample


def test_what_is_no_number_is_left_out() -> None:
    task = SequenceClassification(labels=["a", "b"])
    found = examine(task, evaluation_of(task, ["a"] * 50, [[math.nan, 0.0]] * 50))
    assert found.calibration is None
    assert found.values("confidence") is None


def test_a_task_that_says_nothing_more_has_its_figures() -> None:
    class Plain(SequenceClassification):
        verdict = RecordTask.verdict
        tables = RecordTask.tables

    task = Plain(labels=["a", "b"])
    found = examine(task, evaluation_of(task, ["a", "b"] * 30, [[1.0, 0.0]] * 60))
    assert found.figures["accuracy"] == 0.5
    assert found.interval is not None  # by bootstrap of the figure itself
    assert (found.confusion, found.calibration, found.lengths, found.tables) == (None, None, [], [])
    verdict = found.judged[1].verdict
    assert (verdict.texts, verdict.gold) == ({"text": "text 2"}, "b")
    assert json.loads(verdict.answer)["label"] == "a"
    assert found.worst(10) == []


def test_figures_of_groups_are_a_table() -> None:
    class Grouped(SequenceRegression):
        def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
            return {"pearson": 0.5, "in/precision": 0.1, "in/f1": 0.2, "by/the way/f1": 0.3}

    task = Grouped()
    found = examine(task, evaluation_of(task, [1.0, 2.0], [1.0, 2.0]))
    assert found.figures == {"pearson": 0.5, "loss": 0.5}
    (table,) = found.tables
    assert list(table.columns) == ["type", "precision", "F1"]
    assert [row[0] for row in table.rows] == ["in", "by/the way"]
    written = model_card(results_of(task, found))
    assert "| in | 0.1000 | 0.2000 |" in written
    assert "| by/the way | – | 0.3000 |" in written


def test_what_is_kept_has_no_text_of_a_record(classified: Findings) -> None:
    text = json.dumps(classified.to_dict(), allow_nan=False)
    assert "script" not in text
    assert "dev.tsv" not in text
