"""Figures are those of the official scripts, to the last digit."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from bertsmith.data.question import question_of
from bertsmith.data.records import read_records
from bertsmith.errors import DataError
from bertsmith.metrics.squad import (
    AnswerScore,
    answer_figures,
    best_threshold,
    normalize_answer,
    score_answer,
    squad_figures,
)


def published(shared_data: Path, data: str, name: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Predictions by question, and the right answers."""
    predictions = json.loads((shared_data / "squad-predictions" / f"{name}.json").read_text())
    questions = map(question_of, read_records(shared_data / "tasks" / "squad" / f"{data}.json"))
    answers = {q.id: [answer.text for answer in q.answers or ()] for q in questions}
    return predictions, answers


@pytest.mark.parametrize(
    ("data", "name", "figures"),
    [
        (
            "dev-v1.1",
            "v1.1-google-bert-ensemble",
            {"exact_match": 86.20624408703878, "f1": 92.19557978351129},
        ),
        (
            "dev-v1.1",
            "v1.1-logistic-regression",
            {"exact_match": 40.14191106906339, "f1": 50.98153647324482},
        ),
        (
            "dev-v2.0",
            "v2.0-google-bert-single",
            {
                "exact": 78.74168280973637,
                "f1": 81.77528052374727,
                "total": 11873,
                "HasAns_exact": 74.10593792172739,
                "HasAns_f1": 80.18183293833516,
                "HasAns_total": 5928,
                "NoAns_exact": 83.36417157275021,
                "NoAns_f1": 83.36417157275021,
                "NoAns_total": 5945,
            },
        ),
    ],
)
def test_published_predictions_score_as_published(
    shared_data: Path, data: str, name: str, figures: dict[str, float]
) -> None:
    assert squad_figures(*published(shared_data, data, name)) == figures


def test_odds_decide_as_in_the_official_script(shared_data: Path) -> None:
    predictions, answers = published(shared_data, "dev-v2.0", "v2.0-google-bert-single")
    # Odds that know something, many of them equal; and an answer to everything. The figures are
    # what evaluate-v2.0.py prints for these two files.
    odds = {
        key: (zlib.crc32(key.encode()) % 400) / 100 - 2 + (0 if text else 3)
        for key, text in predictions.items()
    }
    answered = {key: text or "nothing" for key, text in predictions.items()}
    assert squad_figures(answered, answers, null_odds=odds) == {
        "exact": 71.42255537774783,
        "f1": 73.78446263459173,
        "total": 11873,
        "HasAns_exact": 55.71862348178138,
        "HasAns_f1": 60.44921134623917,
        "HasAns_total": 5928,
        "NoAns_exact": 87.08158116063919,
        "NoAns_f1": 87.08158116063919,
        "NoAns_total": 5945,
        "best_exact": 71.5067800892782,
        "best_exact_thresh": 1.0099999999999998,
        "best_f1": 73.87874751999922,
        "best_f1_thresh": 1.0099999999999998,
    }
    # The best counts some questions of equal odds and not others; no threshold can part them.
    at_the_best = squad_figures(
        answered, answers, null_odds=odds, null_threshold=1.0099999999999998
    )
    assert at_the_best["f1"] == pytest.approx(73.87874751999922, abs=0.01)


def test_case_punctuation_articles_and_blanks_do_not_count() -> None:
    assert normalize_answer(" The  Cat's (an) a-hat. ") == "cats ahat"
    assert normalize_answer("theatre An") == "theatre"
    score = score_answer("the cat sat", ["a dog", "Cat sat down!"])
    assert score.exact == 0.0
    assert score.f1 == pytest.approx(2 * (1.0 * 2 / 3) / (1.0 + 2 / 3))
    assert score_answer("cat cat", ["cat"]).f1 == pytest.approx(2 / 3)


def test_nothing_equals_nothing_in_version_2_alone() -> None:
    known = score_answer("", [], is_unanswerable_known=True)
    assert (known.exact, known.f1, known.has_answer, known.is_answered) == (1.0, 1.0, False, False)
    wrong = score_answer("cat", [], is_unanswerable_known=True)
    assert (wrong.exact, wrong.f1, wrong.is_answered) == (0.0, 0.0, True)
    # Version 1.1 compares answers without a word, too; version 2.0 drops them.
    old, new = (score_answer("the", ["a", "b"], is_unanswerable_known=x) for x in (False, True))
    assert (old.exact, old.f1) == (1.0, 0.0)
    assert (new.exact, new.f1) == (0.0, 0.0)


def test_questions_without_a_prediction_are_wrong() -> None:
    assert squad_figures({"1": "cat"}, {"1": ["cat"], "2": ["dog"]}) == {
        "exact_match": 50.0,
        "f1": 50.0,
    }
    figures = squad_figures({"1": "cat"}, {"1": ["cat"], "2": []})
    assert figures["NoAns_exact"] == 0.0
    assert figures["exact"] == 50.0


def test_odds_must_be_there_for_every_question() -> None:
    with pytest.raises(DataError, match=r"question 2 is not among the odds of no answer; give the"):
        squad_figures({"1": "", "2": ""}, {"1": [], "2": ["a"]}, null_odds={"1": 0.5})


def test_figures_of_a_task_are_parts_of_one() -> None:
    right, half = AnswerScore(1.0, 1.0, True, True), AnswerScore(0.0, 0.5, True, True)
    assert answer_figures([right, half]) == {"exact_match": 0.5, "f1": 0.75}
    unanswerable = AnswerScore(0.0, 0.0, has_answer=False, is_answered=True)
    assert answer_figures([right, half, unanswerable, unanswerable.if_unanswered()]) == {
        "exact_match": 0.5,
        "f1": 0.625,
        "no_answer_accuracy": 0.5,
        "has_answer_exact_match": 0.5,
        "has_answer_f1": 0.75,
    }
    assert answer_figures([unanswerable])["no_answer_accuracy"] == 0.0


def test_the_best_threshold_parts_the_questions() -> None:
    right = AnswerScore(1.0, 1.0, has_answer=True, is_answered=True)
    none = AnswerScore(0.0, 0.0, has_answer=False, is_answered=True)
    odds = [(none, 3.0), (right, -1.0), (none, 0.5), (right, 2.0), (right, -4.0)]
    assert best_threshold(odds, "f1") == (4.0, -1.0)
    # With "no answer" to everything best, the official 0.0.
    assert best_threshold([(none, -5.0), (none, 1.0)], "f1") == (2.0, 0.0)
