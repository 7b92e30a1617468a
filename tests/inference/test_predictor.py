"""A predictor answers each record by itself, in order, without holding them all."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.data.answered_in_order import WINDOW_BATCHES
from bertsmith.data.record import Record
from bertsmith.errors import CheckpointError, ConfigError, DataError
from bertsmith.inference.predictor import Predictor

WORDS = ["paris", "good", "bad", "film", "films", "book", "dull", "the", "unheard"]


@pytest.fixture(scope="module")
def predictor(classifier: Path) -> Predictor:
    return Predictor.load(classifier, device="cpu")


def sentences(count: int) -> list[str]:
    draw = random.Random(1)
    return [" ".join(draw.choices(WORDS, k=draw.randint(0, 15))) for _ in range(count)]


@pytest.mark.parametrize("batch_tokens", [1, 20, 4096])
def test_answers_are_those_of_each_record_alone_and_in_order(
    predictor: Predictor, batch_tokens: int
) -> None:
    texts = sentences(60)
    answers = list(predictor.predict(texts, batch_tokens=batch_tokens))
    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        encoding = predictor.tokenizer.encode(text, max_length=12)
        with torch.inference_mode():
            logits = predictor.model(Batch.from_sequences([encoding.ids]), {})
        expected = logits["sequence_classification"].softmax(-1)[0].tolist()
        probabilities = answer["probabilities"]
        assert list(probabilities.values()) == pytest.approx(expected, abs=1e-6)
        assert answer["label"] == max(probabilities, key=probabilities.get)
    assert len({tuple(answer["probabilities"].values()) for answer in answers}) > 10


def test_records_of_every_form_are_answered_alike(predictor: Predictor) -> None:
    forms: list[Any] = [
        ("good film", "bad book"),
        ["good film", "bad book"],
        {"sentence1": "good film", "sentence2": "bad book", "label": "unknown"},
        Record({"premise": "good film", "hypothesis": "bad book"}, "a.csv:2"),
        {"4": "good film", "pair": "bad book", "text": "bad book"},
        "good film",
        {"4": "good film", "2": "unknown"},
        Record({"text": "good film", "label": 7}, "a.csv:2"),
    ]
    answers = [answer["probability"] for answer in predictor.predict(forms)]
    pair, single = answers[0], answers[5]
    assert answers == pytest.approx([pair] * 4 + [single] * 4, abs=1e-6)
    assert pair != pytest.approx(single, abs=1e-4)


def test_answers_come_while_records_are_still_being_read(predictor: Predictor) -> None:
    read = itertools.count()

    def endless() -> Iterator[str]:
        for _ in read:
            yield "good film"  # 4 tokens

    answers = predictor.predict(endless(), batch_tokens=40)
    for _ in range(100):
        next(answers)
    assert next(read) <= 2 * WINDOW_BATCHES * 40 // 4


def test_texts_too_long_are_cut_and_counted(classifier: Path) -> None:
    predictor = Predictor.load(classifier, device="cpu")
    cut, whole = predictor.predict(["good " * 11 + "bad", "good " * 10])
    assert cut["probability"] == pytest.approx(whole["probability"])
    assert predictor.num_truncated == 1


def test_no_records_give_no_answers(predictor: Predictor) -> None:
    assert list(predictor.predict([])) == []


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (["a", 5], r"^record 2 is of type int; it must be a text, a pair of texts or a mapping"),
        ([("a", "b", "c")], r"^record 1 is of type tuple; it must be"),
        ([{"body": "a"}], r"^record 1: none of the columns \(body: 'a'\) is known to hold the"),
        ([{"text": None}], r"^record 1: text is missing"),
        ("one text", r"predict takes many records and got a single one; put it in a list"),
        ({"text": "a"}, r"predict takes many records and got a single one"),
    ],
)
def test_what_is_no_record_is_refused(predictor: Predictor, records: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(predictor.predict(records))


def test_models_that_answer_no_records_are_refused(pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks \(masked_lm, next_sentence\) must be one that"):
        Predictor.load(pretrained)
    with pytest.raises(CheckpointError, match=r"nowhere is not a folder"):
        Predictor.load(tmp_path / "nowhere")


def test_settings_that_cannot_work_are_refused(predictor: Predictor, classifier: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_tokens \(0\) must be at least 1"):
        list(predictor.predict(["a"], batch_tokens=0))
    with pytest.raises(ConfigError, match=r"device \('quantum'\) cannot be used"):
        Predictor.load(classifier, device="quantum")
