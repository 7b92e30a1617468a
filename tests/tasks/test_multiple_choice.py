"""The fitting choice is learned among any number of them, of contexts of any length."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks.learning import learn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.example_batches import ExampleBatches
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.predictor import Predictor
from bertsmith.ops.ragged import row_indices
from bertsmith.tasks.losses import NO_SCORE
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.multiple_choice import MultipleChoice
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import ScoredRecord
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary
from bertsmith.training.record_evaluation import evaluate_records

# The right ending repeats the context's word; questions have two, three and two choices.
CHOICES = [(5, 5), (5, 6), (6, 7), (6, 6), (6, 5), (7, 5), (7, 7)]
BATCH = Batch.from_sequences([[2, a, 3, b, 3] for a, b in CHOICES], [[0, 0, 0, 1, 1]] * 7)
TARGETS = {"answers": torch.tensor([0, 1, 1]), "choice_indices": row_indices([2, 3, 2])}

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["red", "green", "blue", "it", "is", "what", "?", "a", "b", "c"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary(SPECIAL + WORDS), lowercase=True)


def records(rows: Iterable[dict[str, Any]]) -> list[Record]:
    return [Record(row, f"train.jsonl:{line}") for line, row in enumerate(rows, 1)]


def encode(
    tokenizer: Tokenizer, *rows: dict[str, Any], max_length: int = 16, **settings: Any
) -> tuple[list[EncodedRecord], MultipleChoice]:
    task = MultipleChoice(**settings)
    return list(task.encode(records(rows), tokenizer, max_length=max_length)), task


def texts(tokenizer: Tokenizer, example: Example) -> list[str]:
    pieces = tokenizer.vocabulary.pieces
    return [" ".join(pieces[i] for i in ids) for ids, _ in example.sequences()]


def test_the_answer_is_learned() -> None:
    figures = learn(MultipleChoice(), BATCH, TARGETS)
    assert figures["before"] > 0.5
    assert figures["after"] < 0.05
    assert figures["accuracy"] == 1.0


def test_choices_compete_within_their_question_alone() -> None:
    logits = torch.randn(7, requires_grad=True)
    parts = [
        logits[:2].log_softmax(0)[0],
        logits[2:5].log_softmax(0)[1],
        logits[5:].log_softmax(0)[1],
    ]
    loss = MultipleChoice().loss(logits, TARGETS)
    torch.testing.assert_close(loss, -sum(parts) / 3)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    without = TARGETS | {"answers": torch.tensor([-100, 1, -100])}
    torch.testing.assert_close(MultipleChoice().loss(logits, without), -parts[1])


def test_each_choice_is_a_sequence_after_the_context(tokenizer: Tokenizer) -> None:
    row = {"context": "it is red", "question": "what ?", "choices": ["red", "a blue"], "label": "B"}
    ((record,), task) = encode(tokenizer, row)
    (example,) = record.examples
    assert texts(tokenizer, example) == [
        "[CLS] it is red [SEP] what ? red [SEP]",
        "[CLS] it is red [SEP] what ? a blue [SEP]",
    ]
    assert example.lengths == (9, 10)
    assert list(example.segment_ids[:9]) == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert example.target == 1
    assert task.num_truncated == 0


def test_a_batch_holds_questions_of_different_numbers_of_choices(tokenizer: Tokenizer) -> None:
    encoded, task = encode(
        tokenizer,
        {"text": "it", "choices": ["red", "blue"], "label": 0},
        {"text": "it", "choices": ["red", "blue", "green"]},
    )
    examples = [record.examples[0] for record in encoded]
    targets = task.collate(examples)
    assert targets["answers"].tolist() == [0, -100]
    assert [record.num_wordpieces for record in encoded] == [5, 5]  # of a choice, not of all
    assert targets["choice_indices"].tolist() == [[0, 1, -1], [2, 3, 4]]
    rows = task.rows(torch.arange(5.0), targets)
    assert rows.tolist() == [[0.0, 1.0, NO_SCORE], [2.0, 3.0, 4.0]]


LONG = {"text": "it is red a b c", "choices": ["blue", "green is"], "label": 1}


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ("head", "it is red a b", "it is red a"),
        ("tail", "is red a b c", "red a b c"),
        ("head_tail", "it red a b c", "it a b c"),
    ],
)
def test_a_long_context_is_cut_for_each_choice(
    tokenizer: Tokenizer, rule: Any, first: str, second: str
) -> None:
    ((record,), task) = encode(tokenizer, LONG, max_length=9, long_text=rule)
    (example,) = record.examples
    assert texts(tokenizer, example) == [
        f"[CLS] {first} [SEP] blue [SEP]",
        f"[CLS] {second} [SEP] green is [SEP]",
    ]
    assert task.num_truncated == 1


def test_windows_show_all_choices_the_same_part_of_the_context(tokenizer: Tokenizer) -> None:
    ((record,), task) = encode(tokenizer, LONG, max_length=8, long_text="windows", window_step=2)
    assert [texts(tokenizer, example) for example in record.examples] == [
        [f"[CLS] {part} [SEP] blue [SEP]", f"[CLS] {part} [SEP] green is [SEP]"]
        for part in ("it is red", "red a b", "b c")
    ]
    assert [example.target for example in record.examples] == [1, 1, 1]
    assert task.num_truncated == 0
    scores = [torch.tensor([0.0, 1.0]), torch.tensor([2.0, 0.0]), torch.tensor([1.0, 8.0])]
    assert task.join(record, scores).tolist() == [1.0, 3.0]
    by_max = MultipleChoice(window_join="max")
    assert by_max.join(record, scores).tolist() == [2.0, 8.0]


@pytest.mark.parametrize("context", ["it", "it is red a b c"])
def test_windows_leave_room_for_the_context_where_a_choice_is_long(
    tokenizer: Tokenizer, context: str
) -> None:
    row = {"text": context, "choices": ["red", " ".join(["blue"] * 20)], "label": 0}
    ((record,), task) = encode(tokenizer, row, max_length=9, long_text="windows")
    for example in record.examples:
        assert max(example.lengths) == 9
    assert len(record.examples) == (1 if context == "it" else 2)
    assert task.num_truncated == 1


def test_an_answer_names_the_choice_and_all_probabilities(tokenizer: Tokenizer) -> None:
    ((record,), task) = encode(tokenizer, {"text": "it", "choices": ["red", "blue", "a"]})
    scores = torch.tensor([0.0, 2.0, 1.0])
    answer = task.answer(record, scores)
    assert (answer["choice"], answer["text"]) == (1, "blue")
    assert answer["probabilities"] == pytest.approx(scores.softmax(0).tolist())
    assert answer["probability"] == answer["probabilities"][1]


def test_figures_are_of_questions(tokenizer: Tokenizer) -> None:
    encoded, task = encode(
        tokenizer,
        {"text": "it", "choices": ["red", "blue"], "label": 0},
        {"text": "it", "choices": ["red", "blue", "green"], "label": 2},
    )
    scores = [torch.tensor([1.0, 0.0]), torch.tensor([3.0, 0.0, 0.0])]
    figures = task.figures(list(map(ScoredRecord, encoded, scores)))
    expected = -(scores[0].log_softmax(0)[0] + scores[1].log_softmax(0)[2]) / 2
    assert figures == {"accuracy": 0.5, "loss": pytest.approx(float(expected))}


def test_a_verdict_shows_choices_and_counts_their_places(tokenizer: Tokenizer) -> None:
    fields = {"text": "it", "choices": ["red", "blue", "a"], "label": 2}
    ((record,), task) = encode(tokenizer, fields)
    verdict = task.verdict(ScoredRecord(record, torch.tensor([0.0, 2.0, 1.0])))
    assert (verdict.texts, verdict.gold, verdict.answer) == ({"context": "it"}, "a", "blue")
    assert (verdict.classes, verdict.credit) == (("2", "1"), 0.0)
    assert verdict.error == verdict.confidence == pytest.approx(0.665, abs=0.001)


COLOURS = ["red", "green", "blue"]
ROWS = [
    {"context": f"it is {colour}", "question": "what ?", "choices": list(choices), "answer": colour}
    for colour in COLOURS
    for size in (2, 3)
    for choices in itertools.permutations(COLOURS, size)
    if colour in choices
]


def test_a_tiny_model_learns_from_records_and_answers_them(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL + WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
    )
    task = MultipleChoice(classifier_dropout=0.0)
    assert task.learn_labels(records(ROWS)) == {}
    model = BertForTasks(config, [task])
    encoded = list(task.encode(records(ROWS), tokenizer, max_length=16))
    examples = [example for record in encoded for example in record.examples]
    batches = ExampleBatches(examples, task.collate, batch_size=len(examples), seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for loaded in itertools.islice(batches.batches(), 80):
        logits = model(loaded.batch, loaded.targets)
        model.losses(logits, loaded.targets)[task.name].backward()
        optimizer.step()
        optimizer.zero_grad()
    figures = evaluate_records(model, encoded, "cpu").figures(task)
    assert figures["accuracy"] == 1.0
    assert figures["loss"] < 0.1
    predictor = Predictor(model, tokenizer)
    # The answer is not looked at.
    asked = [row | {"answer": "none of them"} for row in ROWS]
    answers = [answer["text"] for answer in predictor.predict(asked)]
    assert answers == [row["answer"] for row in ROWS]
    (answer,) = predictor.predict([("it is blue", ["what ? red", "what ? blue"])])
    assert answer["choice"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "it", "choices": ["red"], "label": 0}, "there are fewer than two choices"),
        ({"text": "it", "choices": ["red", "blue"], "label": 2}, "label is 2, which is none of"),
        ({"text": "it", "choices": ["red", ""], "label": 0}, r"choices\[1\] is empty"),
        ({"text": "it", "choices": ["red", "blue"]}, "is known to hold the place of the right"),
        ({"text": "it", "label": 0}, "is known to hold the choices"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_where_it_stands(
    row: dict[str, Any], message: str
) -> None:
    good = {"text": "it", "choices": ["red", "blue"], "label": 1}
    with pytest.raises(DataError, match=rf"^train\.jsonl:2: .*{message}"):
        MultipleChoice().learn_labels(records([good, row]))


def test_what_is_no_question_cannot_be_asked(tokenizer: Tokenizer) -> None:
    model = BertForTasks(
        BertConfig.preset("tiny", vocab_size=len(SPECIAL + WORDS)), [MultipleChoice()]
    )
    with pytest.raises(DataError, match="record 1 is of type str; it must be a context with a"):
        list(Predictor(model, tokenizer).predict(["it"]))


def test_settings_make_the_same_task_again() -> None:
    settings = {
        "classifier_dropout": 0.2,
        "columns": {"text": "2", "label": "7", "choices": "3,4,5,6"},
        "long_text": "windows",
        "window_step": 9,
        "window_join": "max",
    }
    assert build_task("multiple_choice", **settings).settings() == settings
    assert MultipleChoice().settings() == {}
    with pytest.raises(ConfigError, match=r"task\.long_text \('end'\) must be one of head"):
        build_task("multiple_choice", long_text="end")
    with pytest.raises(ConfigError, match=r"task\.classifier_dropout \(1\.0\) must be"):
        build_task("multiple_choice", classifier_dropout=1.0)


def test_real_questions_are_encoded(shared_data: Path) -> None:
    layout = Layout(text="2", choices="3,4,5,6", label="7")
    path = shared_data / "tasks" / "codah" / "full_data.tsv"
    tokenizer = Tokenizer.load(shared_data / "vocab" / "bert-base-uncased-vocab.txt")
    task = MultipleChoice(columns=layout.named)
    some = itertools.islice(task.labelled(read_records(path, layout=layout)), 200)
    encoded = list(task.encode(some, tokenizer, max_length=128))
    assert {record.examples[0].num_sequences for record in encoded} == {4}
    assert {record.examples[0].target for record in encoded} == {0, 1, 2, 3}
    assert task.num_truncated == 0
