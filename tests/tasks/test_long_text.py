"""Texts longer than the model are cut where asked, or read in windows whose answers are joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError
from bertsmith.inference.predictor import Predictor
from bertsmith.tasks.long_text import LongText
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.record_evaluation import evaluate_records

WORDS = [chr(ord("a") + index) for index in range(20)]
TEXT = " ".join(WORDS[:12])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, *WORDS]), lowercase=True)


def read(
    tokenizer: Tokenizer, long_text: LongText, *texts: str, length: int
) -> tuple[list[str], bool]:
    """The wordpieces of each window, and whether some are lost."""
    found, is_cut = long_text.fitted(tokenizer.ids_batch(texts, split_special_tokens=False), length)
    assert all(len(tokenizer.with_special_tokens(parts)[0]) <= length for parts in found)
    words = [" ".join(f"{tokenizer.decode(part)}|" for part in parts) for parts in found]
    return words, is_cut


@pytest.mark.parametrize(
    ("rule", "kept"),
    [("head", "a b c d e f g h|"), ("tail", "e f g h i j k l|"), ("head_tail", "a b g h i j k l|")],
)
def test_a_part_is_kept(tokenizer: Tokenizer, rule: Any, kept: str) -> None:
    assert read(tokenizer, LongText(rule), TEXT, length=10) == ([kept], True)
    assert read(tokenizer, LongText(rule), TEXT, length=14) == ([f"{TEXT}|"], False)


def test_windows_cover_the_whole_text(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, LongText("windows"), TEXT, length=10)[0] == [
        "a b c d e f g h|",
        "f g h i j k l|",
    ]
    assert read(tokenizer, LongText("windows", window_step=8), TEXT, length=10)[0] == [
        "a b c d e f g h|",
        "i j k l|",
    ]
    assert not read(tokenizer, LongText("windows"), TEXT, length=10)[1]


def test_the_longer_text_of_a_pair_is_read_in_windows(tokenizer: Tokenizer) -> None:
    windows = LongText("windows", window_step=4)
    assert read(tokenizer, windows, "a b", TEXT, length=9)[0] == [
        "a b| a b c d|",
        "a b| e f g h|",
        "a b| i j k l|",
    ]
    assert read(tokenizer, windows, TEXT, "a b", length=9)[0] == [
        "a b c d| a b|",
        "e f g h| a b|",
        "i j k l| a b|",
    ]
    # Of two long ones the shorter loses what it has beyond half of the room, and that is said.
    found, is_cut = read(tokenizer, windows, TEXT, "a b c d e f", length=9)
    assert [each.partition("| ")[2] for each in found] == ["a b c|"] * 4
    assert is_cut


def test_logits_of_windows_are_joined() -> None:
    rows = [torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])]
    assert LongText("windows").join(rows).tolist() == [2.0, 2.0]
    assert LongText("windows", window_join="max").join(rows).tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"long_text": "middle"}, r"task\.long_text \('middle'\) must be one of head, tail"),
        ({"window_join": "sum"}, r"task\.window_join \('sum'\) must be one of mean, max"),
        ({"window_step": 0}, r"task\.window_step \(0\) must be a whole number of at least 1"),
        ({"window_step": "8"}, r"task\.window_step \('8'\) must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SequenceClassification(**settings)


def test_a_record_has_one_answer_however_many_windows(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=10,
        initializer_range=0.5,
    )
    task = SequenceClassification(labels=["x", "y"], long_text="windows", window_step=5)
    again = build_task(task.name, **task.settings())
    assert again.settings() == task.settings()
    model = BertForTasks(config, [again]).eval()
    texts = [TEXT, "a b", " ".join(WORDS), "c"]
    answers = list(Predictor(model, tokenizer).predict(texts, batch_tokens=8))
    assert len(answers) == 4
    single = Predictor(model, tokenizer)
    windows = [" ".join(WORDS[at : at + 8]) for at in (0, 5, 10, 15)]
    rows = [[answer["probabilities"][x] for x in "xy"] for answer in single.predict(windows)]
    joined = torch.tensor(rows).log().mean(0).softmax(-1)  # the logits but for a constant a window
    found = torch.tensor([answers[2]["probabilities"][x] for x in "xy"])
    torch.testing.assert_close(found, joined, atol=1e-5, rtol=0)

    labelled = [Record({"text": text, "label": "x"}, "a:1") for text in texts]
    encoded = list(again.encode(labelled, tokenizer, max_length=10))
    evaluation = evaluate_records(model, encoded, "cpu")
    assert len(evaluation.scored) == 4
    share = sum(answer["label"] == "x" for answer in answers) / 4
    assert evaluation.figures(again)["accuracy"] == share


def test_real_text_of_any_length_is_answered(tokenizer: Tokenizer, shared_data: Path) -> None:
    path = shared_data / "tasks" / "rte" / "dev.tsv"
    text = " ".join(path.read_text(encoding="utf-8").split()[:3000])
    for rule in ("head", "tail", "head_tail", "windows"):
        assert read(tokenizer, LongText(rule), text, text[:500], length=32)[1]
