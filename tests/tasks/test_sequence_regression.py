"""Scores are learned, and texts without one do not count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.tasks.learning import learn

from bertsmith.batch import Batch
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.sequence_regression import SequenceRegression
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

ROWS = [[2, a, 3, b, 3] for a in (5, 6, 7) for b in (5, 6, 7)]
SCORES = torch.tensor([2.0 - abs(row[1] - row[3]) for row in ROWS])


def test_scores_are_learned() -> None:
    batch = Batch.from_sequences(ROWS, [[0, 0, 0, 1, 1]] * len(ROWS))
    figures = learn(SequenceRegression(), batch, {"scores": SCORES})
    assert figures["before"] > 0.5
    assert figures["after"] < 0.02
    assert figures["pearson"] > 0.98
    # Scores that tie in truth are ranked apart by what is left of the error.
    assert figures["spearman"] > 0.9


def test_texts_without_score_do_not_count() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    targets = {"scores": torch.tensor([2.0, torch.nan, 5.0])}
    loss = SequenceRegression().loss(scores, targets)
    torch.testing.assert_close(loss, torch.tensor((1.0 + 4.0) / 2))
    loss.backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.tensor([-1.0, 0.0, -2.0]))
    assert SequenceRegression().loss(scores, {"scores": torch.full((3,), torch.nan)}) == 0


def test_records_are_taught_and_answered() -> None:
    pieces = [*SPECIAL_TOKENS, "good", "bad", "film"]
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(pieces), lowercase=True)
    rows = [{"text": "good film", "label": "4.5"}, {"text": "bad film", "label": 0}]
    rows.append({"text": "good " * 20, "pair": "film", "label": None})
    task = SequenceRegression(columns={"text": "text"})
    records = [Record(row, f"a.jsonl:{line}") for line, row in enumerate(rows, 1)]
    encoded = list(task.encode(records, tokenizer, max_length=8))
    examples = [record.examples[0] for record in encoded]
    assert [example.target for example in examples] == [4.5, 0.0, None]
    assert list(examples[2].segment_ids) == [0, 0, 0, 0, 0, 0, 1, 1]
    assert task.num_truncated == 1
    scores = task.collate(examples)["scores"]
    assert scores[:2].tolist() == [4.5, 0.0]
    assert scores[2].isnan()
    assert task.answer(encoded[0], torch.tensor(0.5)) == {"score": 0.5}
    assert build_task(task.name, **task.settings()).settings() == task.settings()


@pytest.mark.parametrize("label", ["good", "nan", "inf", [1.0], {}])
def test_what_is_no_score_is_refused(label: object) -> None:
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(SPECIAL_TOKENS), lowercase=True)
    records = [Record({"text": "a", "label": label}, "a.jsonl:1")]
    with pytest.raises(DataError, match=r"a\.jsonl:1: the label .* is no number"):
        list(SequenceRegression().encode(records, tokenizer, max_length=8))


def test_a_score_of_pairs_is_not_asked_of_single_texts() -> None:
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(SPECIAL_TOKENS), lowercase=True)
    task = SequenceRegression()
    rows = [{"text": "a", "pair": "b", "label": label} for label in (1, 2)]
    task.learn_labels([Record(row, "a.jsonl:1") for row in rows])
    again = build_task(task.name, **task.settings())
    with pytest.raises(DataError, match=r"b\.txt:1 is a single text and the task was learned from"):
        list(again.encode([Record({"text": "a"}, "b.txt:1")], tokenizer, max_length=8))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, "3.0"], r"every record has the score 3, to a\.jsonl:2; there is nothing to learn"),
        ([3, True], r"a\.jsonl:2: the label True is no number"),
        ([3, "nan"], r"a\.jsonl:2: the label 'nan' is no number"),
    ],
)
def test_scores_that_teach_nothing_are_refused(labels: list[Any], message: str) -> None:
    records = [
        Record({"text": "a", "label": label}, f"a.jsonl:{line}")
        for line, label in enumerate(labels, 1)
    ]
    with pytest.raises(DataError, match=message):
        SequenceRegression().learn_labels(records)


def test_the_figure_that_decides_can_be_chosen() -> None:
    assert SequenceRegression().figure == "pearson"
    assert build_task("sequence_regression", figure="spearman").settings() == {"figure": "spearman"}
    with pytest.raises(
        ConfigError, match=r"task\.figure \('f1'\) must be one of pearson, spearman"
    ):
        build_task("sequence_regression", figure="f1")
