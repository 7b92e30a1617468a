"""Figures of tags are those of the official script and of seqeval, which counts as it does."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import (
    accuracy_score,
    classification_report,
    f1_score,
    precision_score,
    recall_score,
)

from bertsmith.metrics.tagging import entity_figures, tag_figures

TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "E-PER", "S-LOC"]
PAIRS = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1), min_size=1
)


@given(PAIRS)
def test_figures_are_seqevals(sentences: list[list[tuple[str, str]]]) -> None:
    true = [[a for a, _ in sentence] for sentence in sentences]
    found = [[b for _, b in sentence] for sentence in sentences]
    figures = entity_figures(zip(true, found, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nothing to divide by
        expected = {
            "precision": precision_score(true, found),
            "recall": recall_score(true, found),
            "f1": f1_score(true, found),
            "token_accuracy": accuracy_score(true, found),
        }
        report = classification_report(true, found, output_dict=True)
    for kind in ("LOC", "PER"):
        if kind in report:
            row = report[kind]
            expected |= {f"{kind}/precision": row["precision"], f"{kind}/recall": row["recall"]}
            expected[f"{kind}/f1"] = row["f1-score"]
    assert figures == pytest.approx(expected)


def test_figures_by_hand() -> None:
    true = ["B-PER I-PER O B-LOC", "O B-LOC B-LOC", "O O"]
    found = ["B-PER I-PER O I-LOC", "O B-LOC I-LOC", "I-PER O"]
    figures = entity_figures((a.split(), b.split()) for a, b in zip(true, found, strict=True))
    assert figures == pytest.approx(
        {
            # PER and the first LOC are right; two LOC taken for one and a PER are wrong.
            "precision": 2 / 4,
            "recall": 2 / 4,
            "f1": 0.5,
            "token_accuracy": 6 / 9,
            "LOC/precision": 1 / 2,
            "LOC/recall": 1 / 3,
            "LOC/f1": 2 / 5,
            "PER/precision": 1 / 2,
            "PER/recall": 1.0,
            "PER/f1": 2 / 3,
        }
    )


def test_an_untyped_entity_has_no_figures_of_its_own() -> None:
    assert entity_figures([(["B", "I"], ["B", "I"])]) == dict.fromkeys(
        ["precision", "recall", "f1", "token_accuracy"], 1.0
    )


def test_plain_tags() -> None:
    figures = tag_figures([(["N", "V", "N"], ["N", "N", "N"]), (["V"], ["V"])])
    n, v = 2 * 2 / (2 + 3), 2 * 1 / (2 + 1)
    assert figures == pytest.approx({"token_accuracy": 0.75, "macro_f1": (n + v) / 2})


def test_without_words_there_are_no_figures() -> None:
    assert entity_figures([]) == entity_figures([([], [])]) == {}
    assert tag_figures([]) == tag_figures([([], [])]) == {}
