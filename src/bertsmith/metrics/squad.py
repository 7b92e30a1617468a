"""Exact match and F1 of answers to questions, to the digit as SQuAD's official scripts count them.

Rajpurkar et al. 2016 ("SQuAD: 100,000+ Questions for Machine Comprehension of Text") and 2018
("Know What You Don't Know", questions without an answer). A prediction is compared with the answer
that it is most like, after case, punctuation, articles and white space have been evened out.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bertsmith.errors import DataError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)

Figure = Literal["exact", "f1"]
FIGURES: tuple[Figure, ...] = ("exact", "f1")


@dataclass(frozen=True)
class AnswerScore:
    """How right the prediction for one question is."""

    exact: float
    """1.0 where it is one of the answers, else 0.0."""
    f1: float
    """Words in common with the answer that it shares most with, 0 to 1."""
    has_answer: bool
    """Whether the question has an answer."""
    is_answered: bool
    """Whether the prediction is more than "no answer"."""

    def if_unanswered(self) -> AnswerScore:
        """The score of answering "no answer" in its place."""
        right = float(not self.has_answer)
        return AnswerScore(right, right, self.has_answer, is_answered=False)


def normalize_answer(text: str) -> str:
    """Lower case without punctuation, articles and more than one blank at a time."""
    text = _ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION))
    return " ".join(text.split())


def score_answer(
    prediction: str, answers: Sequence[str], *, is_unanswerable_known: bool = False
) -> AnswerScore:
    """Score the prediction for one question.

    Args:
        prediction: its text; "" is "no answer".
        answers: all that are right; none where the question has no answer.
        is_unanswerable_known: go by the script of version 2.0, in which answers without a word
            ("the") do not count and "no answer" equals itself; in version 1.1 it has an F1 of 0.
    """
    golds = [normalize_answer(answer) for answer in answers]
    if is_unanswerable_known:
        golds = [gold for gold in golds if gold] or [""]
    normalized = normalize_answer(prediction)
    words = normalized.split()
    return AnswerScore(
        exact=max((float(normalized == gold) for gold in golds), default=0.0),
        f1=max((_f1(words, gold.split(), is_unanswerable_known) for gold in golds), default=0.0),
        has_answer=bool(answers),
        is_answered=bool(prediction),
    )


def best_threshold(
    scores: Iterable[tuple[AnswerScore, float]], figure: Figure
) -> tuple[float, float]:
    """The bound on the odds of "no answer" above which to say so, and what is reached with it.

    Args:
        scores: of every question with its odds; each prediction should be an answer.
        figure: the one that is to be as high as can be.

    Returns:
        The sum of the figure over the questions, and the threshold. Where saying "no answer" to
        everything is best, the threshold is 0.0 as in the official script, even if odds are lower.
    """
    ordered = sorted(scores, key=lambda scored: scored[1])
    total = best = float(sum(not score.has_answer for score, _ in ordered))
    threshold = 0.0
    for score, odds in ordered:
        total += getattr(score, figure) if score.has_answer else -float(score.is_answered)
        if total > best:
            best, threshold = total, odds
    return best, threshold


def answer_figures(scores: Sequence[AnswerScore]) -> dict[str, float]:
    """Means from 0 to 1: `exact_match` and `f1`.

    Where questions without an answer are among them also those of the questions with one,
    `has_answer_exact_match` and `has_answer_f1`, and the part of the others that were left
    unanswered, `no_answer_accuracy`.
    """
    figures = {"exact_match": _mean(scores, "exact"), "f1": _mean(scores, "f1")}
    unanswerable = [score for score in scores if not score.has_answer]
    if not unanswerable:
        return figures
    figures["no_answer_accuracy"] = _mean(unanswerable, "exact")
    if answerable := [score for score in scores if score.has_answer]:
        figures["has_answer_exact_match"] = _mean(answerable, "exact")
        figures["has_answer_f1"] = _mean(answerable, "f1")
    return figures


def squad_figures(
    predictions: Mapping[str, str],
    answers: Mapping[str, Sequence[str]],
    *,
    null_odds: Mapping[str, float] | None = None,
    null_threshold: float = 1.0,
) -> dict[str, float]:
    """What the official script prints for a file of predictions, in percent.

    Where every question has an answer these are the `exact_match` and `f1` of version 1.1. Else
    `exact`, `f1` and `total` of version 2.0, the same of the questions with an answer (`HasAns_`)
    and without (`NoAns_`) and, with odds, what the best thresholds reach: `best_exact`,
    `best_exact_thresh`, `best_f1`, `best_f1_thresh`.

    Args:
        predictions: text by the question's id; a question without one counts as wrong.
        answers: of every question by id.
        null_odds: the odds of "no answer" by id.
        null_threshold: odds above it make a prediction "no answer".

    Raises:
        DataError: odds were given, and not for every question.
    """
    has_unanswerable = not all(answers.values())
    scores = {
        key: score_answer(predictions[key], golds, is_unanswerable_known=has_unanswerable)
        if key in predictions
        else AnswerScore(0.0, 0.0, bool(golds), is_answered=True)
        for key, golds in answers.items()
    }
    if not has_unanswerable:
        exact, f1 = (_mean(scores.values(), name, 100.0) for name in FIGURES)
        return {"exact_match": exact, "f1": f1}
    if null_odds is None:
        return _by_kind(scores.values())
    missing = next((key for key in scores if key not in null_odds), None)
    if missing is not None:
        raise DataError(
            f"question {missing} is not among the odds of no answer; give the file that was "
            "written together with the predictions"
        )
    figures = _by_kind(
        [
            score.if_unanswered() if null_odds[key] > null_threshold else score
            for key, score in scores.items()
        ]
    )
    # In the order of the file, which decides between equal odds.
    with_odds = [(scores[key], odds) for key, odds in null_odds.items() if key in scores]
    for name in FIGURES:
        best, threshold = best_threshold(with_odds, name)
        figures[f"best_{name}"] = 100.0 * best / len(scores)
        figures[f"best_{name}_thresh"] = threshold
    return figures


def _by_kind(scores: Iterable[AnswerScore]) -> dict[str, float]:
    """The figures of version 2.0: of all questions, and of those with and without an answer."""
    every = list(scores)
    kinds = {
        "": every,
        "HasAns_": [score for score in every if score.has_answer],
        "NoAns_": [score for score in every if not score.has_answer],
    }
    figures: dict[str, float] = {}
    for prefix, chosen in kinds.items():
        if chosen:
            figures |= {f"{prefix}{name}": _mean(chosen, name, 100.0) for name in FIGURES}
            figures[f"{prefix}total"] = len(chosen)
    return figures


def _f1(prediction: list[str], gold: list[str], is_unanswerable_known: bool) -> float:
    if is_unanswerable_known and not (prediction and gold):
        return float(prediction == gold)
    num_same = sum((Counter(prediction) & Counter(gold)).values())
    if num_same == 0:
        return 0.0
    precision, recall = num_same / len(prediction), num_same / len(gold)
    return 2 * precision * recall / (precision + recall)


def _mean(scores: Collection[AnswerScore], figure: Figure, scale: float = 1.0) -> float:
    # In this order of operations: another one differs in the last digit.
    total: float = sum(getattr(score, figure) for score in scores)
    return scale * total / len(scores)
