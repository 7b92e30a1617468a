"""Classification learns every label, tells one text from a pair, and refuses what it cannot be."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.example_batches import ExampleBatches
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import ConfigError, DataError
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.task import ScoredRecord
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary
from bertsmith.training.record_evaluation import evaluate_records

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["good", "fine", "bad", "poor", "plain", "dull", "film", "book", "a", "."]
TINY = BertConfig(
    vocab_size=len(SPECIAL + WORDS),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=16,
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary(SPECIAL + WORDS), lowercase=True)


def records(rows: Iterable[dict[str, Any]]) -> list[Record]:
    return [Record(row, f"train.jsonl:{line}") for line, row in enumerate(rows, 1)]


# Whether both texts speak alike: neither of them says anything alone, so that the label of a
# pair can only be learned by attention from one to the other.
PAIRS = [
    {"text": f"a {first} film .", "pair": f"a {second} book .", "label": label}
    for (first, mood), (second, other) in itertools.product(
        [("good", 1), ("bad", 0)], [("good", 1), ("fine", 1), ("bad", 0), ("poor", 0)]
    )
    for label in ["same" if mood == other else "different"]
]
SINGLES = [
    {"sentence": f"a {word} {thing} .", "label": label}
    for label, words in {
        "0": ["good", "fine"],
        "1": ["bad", "poor"],
        "2": ["plain", "dull"],
    }.items()
    for word in words
    for thing in ("film", "book")
]


@pytest.mark.parametrize("rows", [SINGLES, PAIRS], ids=["single", "pair"])
def test_a_tiny_model_learns_every_label(tokenizer: Tokenizer, rows: list[dict[str, Any]]) -> None:
    torch.manual_seed(0)
    task = SequenceClassification(classifier_dropout=0.0)
    data = records(rows)
    task.learn_labels(data)
    config = TINY.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    # Of 40 seeds every one ends below 0.01, and the slowest is below 0.05 after 94 steps; another
    # platform's rounding is no more than another seed.
    model = BertForTasks(config.replace(initializer_range=0.2), [task])
    encoded = list(task.encode(data, tokenizer, max_length=16))
    examples = [record.examples[0] for record in encoded]
    batches = ExampleBatches(examples, task.collate, batch_size=len(rows), seed=1)
    before = evaluate_records(model, encoded, "cpu").figures(task)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for loaded in itertools.islice(batches.batches(), 200):
        logits = model(loaded.batch, loaded.targets)
        model.losses(logits, loaded.targets)["sequence_classification"].backward()
        optimizer.step()
        optimizer.zero_grad()
    after = evaluate_records(model, encoded, "cpu").figures(task)
    assert before["loss"] > 0.5
    assert after["loss"] < 0.05
    # Macro F1 is 1 only where the records of every label are answered with it.
    assert after["accuracy"] == after["macro_f1"] == 1.0


def test_gradients_reach_every_parameter(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    task = SequenceClassification(labels=["same", "different"])
    model = BertForTasks(TINY, [task])
    encoded = task.encode(records(PAIRS), tokenizer, max_length=16)
    examples = [record.examples[0] for record in encoded]
    loaded = next(ExampleBatches(examples, task.collate, batch_size=8, seed=0).batches())
    losses = model.losses(model(loaded.batch, loaded.targets), loaded.targets)
    losses["sequence_classification"].backward()
    # A key's bias moves all scores of a query alike, which a softmax does not see.
    size = TINY.hidden_size
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        gradient = parameter.grad
        if name.endswith("qkv.bias"):
            gradient = torch.cat([gradient[:size], gradient[2 * size :]])
        assert (gradient != 0).any(), name
    assert model.heads["sequence_classification"].classifier.bias.grad.abs().min() > 0


def test_the_head_starts_from_a_whole_normal() -> None:
    torch.manual_seed(0)
    config = BertConfig.preset("mini", vocab_size=100)
    task = SequenceClassification(labels=[str(label) for label in range(100)])
    classifier = BertForTasks(config, [task]).heads["sequence_classification"].classifier
    weight = classifier.weight.detach()
    assert weight.shape == (100, 256)
    # 25,600 draws: the deviation of their deviation is 0.5 %; a normal cut at 0.04 has 0.0176.
    assert float(weight.std()) == pytest.approx(0.02, rel=0.02)
    assert float(weight.abs().max()) > 0.06
    assert not classifier.bias.any()


@pytest.mark.parametrize(("given", "expected"), [(None, 0.1), (0.0, 0.0), (0.5, 0.5)])
def test_dropout_is_the_models_where_not_set(given: float | None, expected: float) -> None:
    task = SequenceClassification(labels=["a", "b"], classifier_dropout=given)
    assert BertForTasks(TINY, [task]).heads["sequence_classification"].dropout.p == expected


@pytest.mark.parametrize(
    ("labels", "learned"),
    [
        (["b", "a", "b"], {"a": 1, "b": 2}),
        (["10", "9", "-1", "9"], {"-1": 1, "9": 2, "10": 1}),
        ([1, 0, 1.0, "1", True, False], {"0": 1, "1": 3, "false": 1, "true": 1}),
        ([10, 2, 2.0], {"2": 2, "10": 1}),
    ],
)
def test_labels_are_learned_in_order_and_counted(
    labels: list[Any], learned: dict[str, int]
) -> None:
    task = SequenceClassification()
    counts = task.learn_labels(records({"text": "a", "label": label} for label in labels))
    assert list(counts.items()) == list(learned.items())
    assert task.labels == list(learned)


def test_given_labels_keep_their_order_and_count_what_is_absent() -> None:
    task = SequenceClassification(labels=["yes", "no", "maybe"])
    data = records({"text": "a", "label": label} for label in ["no", "yes", "no"])
    assert list(task.learn_labels(data).items()) == [("yes", 1), ("no", 2), ("maybe", 0)]


def test_pairs_without_gold_label_are_not_learned_from() -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "gold_label": label} for label in "xy-"]
    assert SequenceClassification().learn_labels(records(rows)) == {"x": 1, "y": 1}


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        (
            ["entailment", "neutral"],
            ["contradiction", "entailment"],
            "train.jsonl:2: label 'neutral' is not one of the task's labels (contradiction, "
            "entailment); correct it, drop the record, or train with it in task.labels",
        ),
        (["a", ""], None, "train.jsonl:2: label is empty; label the record or drop it"),
        (["a", ["b"]], None, "train.jsonl:2: the label is a list; it must be one text or whole"),
        ([{}, "a"], None, "train.jsonl:1: the label is an object; it must be"),
        (
            ["a", "a"],
            None,
            "every record has the label 'a', from train.jsonl:1 on; a ",
        ),
        ([], None, "no record has a gold label"),
        (["5.000", "3.800"], None, "the labels are numbers with fractions, such as 3.800; list"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    labels: list[Any], given: list[str] | None, message: str
) -> None:
    data = records({"text": "a", "label": label} for label in labels)
    with pytest.raises(DataError) as raised:
        SequenceClassification(labels=given).learn_labels(data)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("settings", "figure"),
    [
        ({}, "accuracy"),
        ({"figure": "f1"}, "f1"),
        ({"figure": "matthews_correlation"}, "matthews_correlation"),
        ({"multi_label": True}, "micro_f1"),
        ({"multi_label": True, "figure": "macro_f1"}, "macro_f1"),
    ],
)
def test_the_figure_that_decides_can_be_chosen(settings: dict[str, Any], figure: str) -> None:
    task = build_task("sequence_classification", labels=["a", "b"], **settings)
    assert isinstance(task, SequenceClassification)
    assert task.figure == figure
    assert task.settings() == {"labels": ["a", "b"]} | settings
    example = Example([2, 3], [0, 0], [1] if "multi_label" in settings else 1)
    record = EncodedRecord(Record({"text": ""}, "a.csv:1"), (example,))
    assert figure in task.figures([ScoredRecord(record, torch.tensor([0.0, 1.0]))])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"figure": "bleu"}, r"task\.figure \('bleu'\) must be one of accuracy, f1, macro_f1, m"),
        ({"figure": "f1", "multi_label": True}, r"task\.figure \('f1'\) must be one of micro_f1"),
        (
            {"figure": "f1", "labels": ["a", "b", "c"]},
            r"task\.figure \('f1'\) is of the second of two labels and there are 3 \(a, b, c\); t",
        ),
        ({"labels": ["a"]}, r"task.labels \(a\) must name at least two labels"),
        ({"labels": ["a", "b", "a"]}, r"task.labels \(a, b, a\) must name at least two labels, e"),
        ({"classifier_dropout": 1.0}, r"task.classifier_dropout \(1.0\) must be at least 0"),
        ({"columns": {"txt": "a"}}, r"data.txt is not a setting; did you mean data.text\?"),
        ({"num_labels": 3}, r"task\.num_labels is not a setting; did you mean task\.labels"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_task("sequence_classification", **settings)


def test_a_head_needs_labels() -> None:
    with pytest.raises(ConfigError, match=r"task.labels is not set; list the labels, or learn"):
        BertForTasks(TINY, [SequenceClassification()])


def test_settings_make_the_same_task_again() -> None:
    settings = {"labels": ["1", "2"], "classifier_dropout": 0.2, "columns": {"text": "4"}}
    assert build_task("sequence_classification", **settings).settings() == settings
    assert SequenceClassification(labels=[0, 1]).settings() == {"labels": ["0", "1"]}


def test_texts_are_encoded_and_long_ones_cut_and_counted(tokenizer: Tokenizer) -> None:
    task = SequenceClassification(labels=["x", "y"])
    rows = [
        {"text": "good film", "label": "y"},
        {"text": "good film .", "label": "x"},
        {"text": "good film . a"},
        {"text": "good film . a", "pair": "bad"},
    ]
    encoded = task.encode(records(rows), tokenizer, max_length=5)
    first, second, third, fourth = (record.examples[0] for record in encoded)
    good, film, dot, bad = map(tokenizer.vocabulary.id_of, ["good", "film", ".", "bad"])
    assert (list(first.input_ids), first.target) == ([2, good, film, 3], 1)
    assert (list(second.input_ids), second.target) == ([2, good, film, dot, 3], 0)
    assert (list(third.input_ids), third.target) == ([2, good, film, dot, 3], None)
    assert list(fourth.input_ids) == [2, good, 3, bad, 3]
    assert list(fourth.segment_ids) == [0, 0, 0, 1, 1]
    assert task.num_truncated == 2
    assert task.collate([first, second, third])["labels"].tolist() == [1, 0, -100]


@pytest.mark.parametrize(
    ("learned_from", "given", "message"),
    [
        (PAIRS, SINGLES, "train.jsonl:1 is a single text and the task was learned from pairs"),
        (SINGLES, PAIRS, "train.jsonl:1 is a pair of texts and the task was learned from single"),
    ],
)
def test_pairs_and_single_texts_are_not_taken_for_each_other(
    tokenizer: Tokenizer, learned_from: Any, given: Any, message: str
) -> None:
    task = SequenceClassification()
    task.learn_labels(records(learned_from))
    again = build_task(task.name, **task.settings())
    unlabelled = [{key: row[key] for key in row if key != "label"} for row in given]
    with pytest.raises(DataError, match=message):
        list(again.encode(records(unlabelled), tokenizer, max_length=16))


def test_a_task_of_both_takes_both(tokenizer: Tokenizer) -> None:
    task = SequenceClassification()
    task.learn_labels(records([*PAIRS, *SINGLES]))
    assert "pairs" not in task.settings()
    assert len(list(task.encode(records([*PAIRS, *SINGLES]), tokenizer, max_length=16))) > 8


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": " "}, r"^train\.jsonl:1: the text is empty; write one or drop the record"),
        ({"text": "a", "pair": ""}, r"^train\.jsonl:1: the second text is empty"),
    ],
)
def test_nothing_is_learned_from_an_empty_text(
    tokenizer: Tokenizer, row: dict[str, str], message: str
) -> None:
    task = SequenceClassification(labels=["x", "y"])
    assert len(list(task.encode(records([row]), tokenizer, max_length=8))) == 1
    with pytest.raises(DataError, match=message):
        list(task.encode(records([row | {"label": "x"}]), tokenizer, max_length=8))


def test_a_record_of_another_label_is_refused_where_it_stands(tokenizer: Tokenizer) -> None:
    task = SequenceClassification(labels=["x", "y"])
    data = records([{"text": "a", "label": "x"}, {"text": "a", "label": "z"}])
    with pytest.raises(DataError, match=r"^train\.jsonl:2: label 'z' is not one of"):
        list(task.encode(data, tokenizer, max_length=8))


def test_answers_name_the_likeliest_label_and_all_probabilities() -> None:
    task = SequenceClassification(labels=["x", "y", "z"])
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    record = EncodedRecord(Record({}, "a:1"), ())
    answers = [task.answer(record, row) for row in logits]
    assert [answer["label"] for answer in answers] == ["y", "x"]
    for answer, row in zip(answers, logits.softmax(-1), strict=True):
        assert list(answer["probabilities"]) == ["x", "y", "z"]
        assert list(answer["probabilities"].values()) == pytest.approx(row.tolist())
        assert answer["probability"] == max(answer["probabilities"].values())


def test_a_record_without_label_does_not_count_in_the_loss() -> None:
    task = SequenceClassification(labels=["x", "y"])
    logits = torch.tensor([[2.0, 0.0], [0.0, 9.0]])
    alone = task.loss(logits[:1], {"labels": torch.tensor([1])})
    assert task.loss(logits, {"labels": torch.tensor([1, -100])}) == alone


@pytest.mark.parametrize(
    ("name", "layout", "counts"),
    [
        ("rte", {}, {"entailment": 1249, "not_entailment": 1241}),
        ("snli", {"text": "1", "pair": "2", "label": "3"}, {"0": 3329, "1": 3235, "2": 3278}),
    ],
)
def test_real_labels_are_learned(
    shared_data: Path, name: str, layout: dict[str, str], counts: dict[str, int]
) -> None:
    path = shared_data / "tasks" / name / "train.tsv"
    assert SequenceClassification().learn_labels(read_records(path, layout=Layout(**layout))) == (
        counts
    )


def test_several_labels_in_a_cell_are_not_taken_for_one() -> None:
    rows = [{"text": "a", "label": label} for label in ("a;b", "a", "c")]
    with pytest.raises(
        DataError, match=r":1: the label 'a;b' seems to be several; say task.label_separator=';'"
    ):
        SequenceClassification(multi_label=True).learn_labels(records(rows))
    for task in (
        SequenceClassification(multi_label=True, labels=["a;b", "a", "c"]),
        SequenceClassification(),
    ):
        assert task.learn_labels(records(rows)) == {"a;b": 1, "a": 1, "c": 1}


def test_scores_are_not_taken_for_labels(shared_data: Path) -> None:
    path = shared_data / "tasks" / "stsb" / "train.tsv"
    with pytest.raises(DataError, match=r"list them in task\.labels if they are names"):
        SequenceClassification().learn_labels(read_records(path))


MOODS = [
    {"text": "a good film .", "labels": ["good", "film"]},
    {"text": "a good book .", "labels": ["good"]},
    {"text": "a bad film .", "labels": ["film"]},
    {"text": "a bad book .", "labels": []},
    {"text": "a fine film .", "labels": ["film", "good"]},
]


def test_several_labels_of_one_text_are_learned_each_by_itself(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    task = SequenceClassification(multi_label=True, classifier_dropout=0.0)
    assert task.learn_labels(records(MOODS)) == {"film": 3, "good": 3}
    assert task.figure == "micro_f1"
    again = build_task(task.name, **task.settings())
    assert again.settings() == task.settings() | {"classifier_dropout": 0.0}
    config = TINY.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = BertForTasks(config.replace(initializer_range=0.2), [task])
    encoded = list(task.encode(records(MOODS), tokenizer, max_length=16))
    examples = [record.examples[0] for record in encoded]
    batches = ExampleBatches(examples, task.collate, batch_size=5, seed=1)
    assert evaluate_records(model, encoded, "cpu").figures(task)["micro_f1"] < 1.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for loaded in itertools.islice(batches.batches(), 200):
        logits = model(loaded.batch, loaded.targets)
        model.losses(logits, loaded.targets)[task.name].backward()
        optimizer.step()
        optimizer.zero_grad()
    evaluation = evaluate_records(model, encoded, "cpu")
    figures = evaluation.figures(task)
    assert figures["micro_f1"] == figures["accuracy"] == 1.0
    answers = [task.answer(each.record, each.scores) for each in evaluation.scored]
    assert [set(answer["labels"]) for answer in answers] == [set(row["labels"]) for row in MOODS]


def test_a_text_that_is_not_labelled_does_not_count_among_several() -> None:
    task = SequenceClassification(labels=["a", "b"], multi_label=True)
    targets = {"labels": torch.tensor([[1.0, 0.0], [torch.nan, torch.nan]])}
    logits = torch.randn(2, 2, requires_grad=True)
    loss = task.loss(logits, targets)
    expected = -(logits[0, 0].sigmoid().log() + (1 - logits[0, 1].sigmoid()).log()) / 2
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()


def test_cells_of_a_table_hold_several_labels_or_none(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "moods.csv"
    path.write_text('text,labels\na good film,"good, film"\na bad book,\na film,film\n')
    task = SequenceClassification(multi_label=True, label_separator=",", class_weights="balanced")
    assert task.learn_labels(read_records(path)) == {"film": 2, "good": 1}
    assert task.settings()["class_weights"] == [0.5, 2.0]
    encoded = list(task.encode(task.labelled(read_records(path)), tokenizer, max_length=8))
    assert [record.examples[0].target for record in encoded] == [[1, 0], [], [0]]
    rows = task.collate([record.examples[0] for record in encoded])["labels"]
    assert rows.tolist() == [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    # Without a column for labels there is nothing to learn from, and predictions do not need it.
    with pytest.raises(DataError, match="known to hold the label"):
        list(task.labelled([Record({"text": "a"}, "b.csv:1")]))
    (unlabelled,) = task.encode([Record({"text": "a"}, "b.csv:1")], tokenizer, max_length=8)
    assert unlabelled.examples[0].target is None


def test_thresholds_are_chosen_on_records_and_kept() -> None:
    task = SequenceClassification(labels=["x", "y"], multi_label=True)
    probabilities = torch.tensor([[0.3, 0.6], [0.2, 0.9], [0.4, 0.8]])
    scored = [
        ScoredRecord(EncodedRecord(Record({}, "a:1"), (Example([], [], target),)), row)
        for row, target in zip(probabilities.logit(), ([0], [1], [0, 1]), strict=True)
    ]
    assert task.figures(scored)["accuracy"] == pytest.approx(1 / 3)
    task.tune(scored)
    assert task.thresholds == pytest.approx([0.25, 0.7])
    assert task.figures(scored)["accuracy"] == 1.0
    again = build_task(task.name, **task.settings())
    assert again.answer(scored[0].record, scored[0].scores)["labels"] == ["x"]
    again.tune(scored[:1])  # given ones stay
    assert again.settings() == task.settings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"label_smoothing": 1.0},
            r"task\.label_smoothing \(1\.0\) must be at least 0 and below 1",
        ),
        ({"thresholds": [0.5, 0.5]}, r"task\.thresholds is for records with several labels"),
        ({"label_separator": ","}, r"task\.label_separator is for records with several labels"),
        (
            {"thresholds": [0.5], "multi_label": True},
            r"must be one for each of the labels \(x, y\)",
        ),
        ({"thresholds": [0.5, 1.5], "multi_label": True}, r"must be probabilities between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SequenceClassification(labels=["x", "y"], **settings)
