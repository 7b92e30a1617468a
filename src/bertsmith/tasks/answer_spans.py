"""Which span of a passage answers a question: the likeliest, over all windows (paper, section 4.2).

A span's score is its start's logit and its end's. The rules are those of the published code: of
each window the best starts are paired with the best ends, a start counts in the window where it has
the most context, and "no answer" scores what [CLS] does, where it scores least.

Dimension key: `L` tokens of a window's sequence, `D` wordpieces of the passage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.question_windows import QuestionWindows

_NOTHING = {"answer": "", "start": None, "end": None, "probability": 0.0}


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """A text out of the passage, or no answer."""

    text: str
    """"" for no answer."""
    start: int | None
    """Its first character in the passage,"""
    end: int | None
    """and the one after its last; None for no answer."""
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        """The two logits together."""
        return self.start_logit + self.end_logit


@dataclass(frozen=True)
class RankedSpans:
    """The best spans of a question."""

    n_best: tuple[AnswerSpan, ...]
    """Best first; each text is there once. The best span, and "no answer" where it is one, are
    there even if others fill the list. Empty where no span can be an answer."""
    best: AnswerSpan | None
    """The best that is an answer."""
    null_score: float | None
    """Score of "no answer"; None where every question is taken to have one."""

    @property
    def no_answer_score(self) -> float | None:
        """How far "no answer" is above the best span; without a span, above a score of 0."""
        if self.null_score is None:
            return None
        return self.null_score - (self.best.score if self.best else 0.0)

    def chosen(self, no_answer_threshold: float) -> AnswerSpan | None:
        """The best span; None where "no answer" is further above it, or there is no span."""
        odds = self.no_answer_score
        return None if odds is not None and odds > no_answer_threshold else self.best

    def probabilities(self) -> list[float]:
        """Softmax of the scores of `n_best`."""
        scores = np.array([span.score for span in self.n_best])
        weights = np.exp(scores - scores.max(initial=-np.inf))
        found: list[float] = (weights / weights.sum()).tolist()
        return found

    def answer(self, no_answer_threshold: float) -> dict[str, Any]:
        """What to say, JSON-ready; "" from None to None is "no answer"."""
        n_best = [
            {
                "answer": span.text,
                "start": span.start,
                "end": span.end,
                "probability": probability,
                "start_logit": span.start_logit,
                "end_logit": span.end_logit,
            }
            for span, probability in zip(self.n_best, self.probabilities(), strict=True)
        ]
        chosen = self.chosen(no_answer_threshold)
        text = "" if chosen is None else chosen.text
        keys = ("answer", "start", "end", "probability")
        said = next((each for each in n_best if each["answer"] == text), _NOTHING)
        odds = {} if self.null_score is None else {"no_answer_score": self.no_answer_score}
        return {key: said[key] for key in keys} | odds | {"n_best": n_best}


def rank_spans(
    windows: QuestionWindows,
    logits: Sequence[NDArray[np.float32]],
    *,
    n_best_size: int,
    max_answer_length: int,
    has_null: bool,
) -> RankedSpans:
    """Put the windows of a question together.

    Args:
        windows: of the question.
        logits: (L, 2) of each window: column 0 scores starts, column 1 ends.
        n_best_size: the best starts and ends that are paired, and the most texts to return.
        max_answer_length: in wordpieces.
        has_null: whether "no answer" is among the answers.
    """
    best_windows = windows.best_windows()
    found = [  # of each window
        _spans(
            rows,
            window,
            windows.passage_start,
            best_windows[window.start : window.stop] == number,
            n_best_size,
            max_answer_length,
        )
        for number, (window, rows) in enumerate(zip(windows.windows, logits, strict=True))
    ]
    pieces = np.concatenate([pieces for pieces, _ in found])  # (spans, 2)
    scores = np.concatenate([scores for _, scores in found])  # (spans, 2)
    null = None
    if has_null:
        start_logit, end_logit = min((rows[0].tolist() for rows in logits), key=sum)
        null = AnswerSpan("", None, None, start_logit, end_logit)
    context, offsets = windows.question.context, windows.offsets
    # "No answer" comes last, so that a span of the same score comes before it.
    totals = np.append(scores.sum(1), [] if null is None else [null.score])

    def candidate(number: int) -> AnswerSpan:
        if null is not None and number == len(scores):
            return null
        first, last = pieces[number]
        start, end = int(offsets[first, 0]), int(offsets[last, 1])
        return AnswerSpan(context[start:end], start, end, *scores[number].tolist())

    order = np.argsort(-totals, kind="stable").tolist()
    n_best: dict[str, AnswerSpan] = {}
    for number in order:
        if len(n_best) == n_best_size:
            break
        span = candidate(number)
        n_best.setdefault(span.text, span)
    best = next((candidate(number) for number in order if number < len(scores)), None)
    for needed in (best, null):
        if needed is not None:
            n_best.setdefault(needed.text, needed)
    return RankedSpans(tuple(n_best.values()), best, None if null is None else null.score)


def _spans(
    rows: NDArray[np.float32],
    window: range,
    passage_start: int,
    has_most_context: NDArray[np.bool_],
    n_best_size: int,
    max_answer_length: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The spans of a window, best starts first, and among these best ends.

    Returns:
        (spans, 2) first and last wordpiece in the passage, and their (spans, 2) logits.
    """
    # Stable: of equal logits the first token's comes first.
    best = np.argsort(-rows, axis=0, kind="stable")[:n_best_size] - passage_start
    starts, ends = (places[(places >= 0) & (places < len(window))] for places in best.T)
    starts = starts[has_most_context[starts]]
    lengths = ends - starts[:, None] + 1
    which, other = np.nonzero((lengths >= 1) & (lengths <= max_answer_length))
    chosen = np.stack([starts[which], ends[other]], axis=1)
    logits = rows[chosen + passage_start, [0, 1]].astype(np.float64)
    return chosen + window.start, logits
