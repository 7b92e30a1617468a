"""Spans are chosen as a plain loop written from the published rules chooses them."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertsmith.data.question import Question
from bertsmith.data.question_windows import QuestionWindows
from bertsmith.tasks.answer_spans import rank_spans

Logits = NDArray[np.float32]


def windows_of(words: list[str], width: int, step: int, num_question: int) -> QuestionWindows:
    """Windows over a passage whose wordpieces are its words."""
    context, offsets = "", []
    for word in words:
        offsets.append((len(context), len(context) + len(word)))
        context += word + " "
    starts = range(0, max(1, len(words) - width + step), step)
    return QuestionWindows(
        Question("?", context, None),
        np.array(offsets, dtype=np.int32).reshape(-1, 2),
        tuple(range(start, min(start + width, len(words))) for start in starts),
        passage_start=num_question + 2,
        is_question_cut=False,
    )


def plain_loop(
    windows: QuestionWindows, logits: list[Logits], n_best_size: int, longest: int, has_null: bool
) -> list[tuple[str, float, float]]:
    """The n-best list by the rules: text, start logit and end logit of each."""
    found: list[tuple[str, float, float]] = []
    null = (math.inf, 0.0, 0.0)
    for number, (window, rows) in enumerate(zip(windows.windows, logits, strict=True)):
        starts, ends = (
            sorted(range(len(rows)), key=lambda place, side=side: rows[place, side], reverse=True)
            for side in (0, 1)
        )
        start_null, end_null = float(rows[0, 0]), float(rows[0, 1])
        if start_null + end_null < null[0]:
            null = (start_null + end_null, start_null, end_null)
        for start in starts[:n_best_size]:
            for end in ends[:n_best_size]:
                first = start - windows.passage_start
                last = end - windows.passage_start
                if not 0 <= first < len(window) or not 0 <= last < len(window):
                    continue
                if last < first or last - first + 1 > longest:
                    continue
                piece = window[first]
                context = {}
                for other, others in enumerate(windows.windows):
                    if piece in others:
                        left, right = piece - others.start, others.stop - 1 - piece
                        context[other] = min(left, right) + 0.01 * len(others)
                if max(context, key=context.__getitem__) != number:
                    continue
                text = windows.question.context[
                    windows.offsets[piece, 0] : windows.offsets[window[last], 1]
                ]
                found.append((text, float(rows[start, 0]), float(rows[end, 1])))
    if has_null:
        found.append(("", null[1], null[2]))
    found.sort(key=lambda each: each[1] + each[2], reverse=True)
    n_best: list[tuple[str, float, float]] = []
    for each in found:
        if len(n_best) >= n_best_size:
            break
        if each[0] not in [text for text, _, _ in n_best]:
            n_best.append(each)
    if has_null and "" not in [text for text, _, _ in n_best]:
        n_best.append(("", null[1], null[2]))
    return n_best


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    words = draw(st.lists(st.sampled_from(["a", "b", "cc"]), max_size=14))
    width = draw(st.integers(1, 8))
    windows = windows_of(words, width, draw(st.integers(1, width)), draw(st.integers(0, 3)))
    # Of few values, so that there are equals.
    value = st.integers(-4, 4) if draw(st.booleans()) else st.floats(-9, 9, width=32)
    logits = [
        np.array(
            draw(
                st.lists(
                    st.tuples(value, value),
                    min_size=windows.passage_start + len(window) + 1,
                    max_size=windows.passage_start + len(window) + 1,
                )
            ),
            dtype=np.float32,
        )
        for window in windows.windows
    ]
    return {"windows": windows, "logits": logits}


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_the_ranking_is_that_of_the_plain_loop(
    case: dict[str, Any], n_best_size: int, longest: int, has_null: bool
) -> None:
    windows, logits = case["windows"], case["logits"]
    ranked = rank_spans(
        windows,
        logits,
        n_best_size=n_best_size,
        max_answer_length=longest,
        has_null=has_null,
    )
    found = [(span.text, span.start_logit, span.end_logit) for span in ranked.n_best]
    expected = plain_loop(windows, logits, n_best_size, longest, has_null)
    # Where "no answer" fills the list the best span is there beside it.
    assert found[: len(expected)] == expected
    assert [text for text, _, _ in found[len(expected) :]] == (
        [ranked.best.text] if len(found) > len(expected) and ranked.best else []
    )
    spans = [each for each in found if each[0]]
    assert (ranked.best.text if ranked.best else None) == (spans[0][0] if spans else None)
    if has_null:
        assert ranked.null_score == min(float(rows[0, 0]) + float(rows[0, 1]) for rows in logits)
        best = sum(spans[0][1:]) if spans else 0.0
        assert ranked.no_answer_score == pytest.approx(ranked.null_score - best)
    else:
        assert ranked.null_score is ranked.no_answer_score is None
    probabilities = ranked.probabilities()
    assert len(probabilities) == len(found)
    if found:
        weights = [math.exp(start + end) for _, start, end in found]
        expected_probabilities = [weight / sum(weights) for weight in weights]
        assert probabilities == pytest.approx(expected_probabilities, rel=1e-6)
    for span in ranked.n_best:
        if span.start is not None:
            assert windows.question.context[span.start : span.end] == span.text != ""


def logits_of(windows: QuestionWindows, **places: float) -> list[Logits]:
    """Zeros but for `start3=5.0` and the like, places of the first window's passage."""
    rows = [
        np.zeros((windows.passage_start + len(window) + 1, 2), dtype=np.float32)
        for window in windows.windows
    ]
    for name, value in places.items():
        side = 0 if name.startswith("start") else 1
        place = int(name.removeprefix("start").removeprefix("end"))
        rows[0][windows.passage_start + place, side] = value
    return rows


def answer(windows: QuestionWindows, threshold: float, **places: float) -> dict[str, Any]:
    logits = logits_of(windows, **places)
    ranked = rank_spans(windows, logits, n_best_size=20, max_answer_length=30, has_null=True)
    return ranked.answer(threshold)


def test_no_answer_is_given_above_the_threshold() -> None:
    windows = windows_of(["a", "b", "c"], 3, 3, 1)
    places = {"start1": 2.0, "end2": 3.0}  # [CLS] has 0: "no answer" is 5 below the best span
    said = answer(windows, -4.9, **places)
    assert (said["answer"], said["start"], said["end"]) == ("b c", 2, 5)
    assert said["no_answer_score"] == -5.0
    assert said["probability"] == said["n_best"][0]["probability"] > 0.5
    said = answer(windows, -5.0, **places)  # not above it yet
    assert said["answer"] == "b c"
    said = answer(windows, -5.1, **places)
    assert (said["answer"], said["start"], said["end"]) == ("", None, None)
    null = next(each for each in said["n_best"] if each["answer"] == "")
    assert said["probability"] == null["probability"]


@pytest.mark.parametrize("has_null", [False, True])
def test_a_passage_without_a_span_has_no_answer(has_null: bool) -> None:
    windows = windows_of([], 3, 3, 1)
    logits = [np.full((4, 2), 2.0, dtype=np.float32)]
    ranked = rank_spans(windows, logits, n_best_size=20, max_answer_length=30, has_null=has_null)
    said = ranked.answer(100.0)
    assert (said["answer"], said["start"], said["end"]) == ("", None, None)
    assert said["probability"] == (1.0 if has_null else 0.0)
    assert said.get("no_answer_score") == (4.0 if has_null else None)


def test_ten_thousand_questions_take_seconds() -> None:
    windows = windows_of([f"w{i}" for i in range(200)], 150, 128, 12)
    generator = np.random.default_rng(0)
    logits = [
        generator.normal(size=(15 + len(window), 2)).astype(np.float32)
        for window in windows.windows
    ]
    started = time.perf_counter()
    for _ in range(200):
        rank_spans(windows, logits, n_best_size=20, max_answer_length=30, has_null=True).answer(0.0)
    assert (time.perf_counter() - started) / 200 < 60 / 10_570
