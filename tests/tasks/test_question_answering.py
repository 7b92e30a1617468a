"""Starts and ends are learned, [CLS] for no answer among them, and rows do not mix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.tasks.learning import learn
from tests.tasks.passages import PIECES, squad, tokenizer

from bertsmith.batch import Batch
from bertsmith.data.example import EncodedRecord
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import ConfigError, DataError
from bertsmith.ops.ragged import row_indices
from bertsmith.tasks.answer_spans import AnswerSpan, RankedSpans
from bertsmith.tasks.question_answering import QuestionAnswering
from bertsmith.tasks.task import ScoredRecord

# `[CLS] question [SEP] passage [SEP]`: the answer is what stands between two of the question's
# word, or nothing.
ROWS = [
    [2, 5, 3, 8, 5, 9, 5, 3],
    [2, 6, 3, 8, 5, 9, 5, 3],
    [2, 6, 3, 6, 10, 11, 6, 9, 3],
    [2, 5, 3, 6, 10, 6, 3],
]
SPANS = [[5, 5], [0, 0], [4, 5], [0, 0]]
BATCH = Batch.from_sequences(ROWS)
TARGETS = {
    "answer_places": torch.tensor(SPANS),
    "token_indices": row_indices([len(row) for row in ROWS]),
}


def test_spans_and_their_absence_are_learned() -> None:
    figures = learn(QuestionAnswering(), BATCH, TARGETS)
    assert figures["before"] > 1.5
    assert figures["after"] < 0.05
    assert figures["answer_place_accuracy"] == 1.0


def test_tokens_compete_within_their_sequence_alone() -> None:
    task = QuestionAnswering()
    logits = torch.randn(5, 2, requires_grad=True)
    targets = {
        "answer_places": torch.tensor([[1, 1], [0, 2]]),
        "token_indices": torch.tensor([[0, 1, -1], [2, 3, 4]]),
    }
    starts, ends = logits[:, 0], logits[:, 1]
    expected = -(
        starts[:2].log_softmax(0)[1]
        + ends[:2].log_softmax(0)[1]
        + starts[2:].log_softmax(0)[0]
        + ends[2:].log_softmax(0)[2]
    )
    loss = task.loss(logits, targets)
    torch.testing.assert_close(loss, expected / 4)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    # A sequence without an answer to learn from changes nothing.
    targets["answer_places"] = torch.tensor([[1, 1], [-100, -100]])
    torch.testing.assert_close(
        task.loss(logits, targets), -(starts[:2].log_softmax(0)[1] + ends[:2].log_softmax(0)[1]) / 2
    )


def records_of(document: dict[str, Any], folder: Path) -> list[Record]:
    path = folder / "squad.json"
    path.write_text(json.dumps(document))
    return list(read_records(path))


def encode(task: QuestionAnswering, records: list[Record], max_length: int) -> list[EncodedRecord]:
    return list(task.encode(records, tokenizer(), max_length=max_length))


def test_the_targets_are_the_places_of_the_answer_or_cls(tmp_path: Path) -> None:
    context = "the cat went and saw New Rome, and it saw Ada."
    record = Record(
        {"question": "Where?", "context": context, "answers": ["New Rome"]}, "a.jsonl:1"
    )
    task = QuestionAnswering(doc_stride=3)
    whole, windows = (encode(task, [record], length)[0] for length in (64, 11))
    (example,) = whole.examples
    start, end = example.target
    assert [PIECES[index] for index in example.input_ids[start : end + 1]] == ["new", "rome"]
    # Of windows of six wordpieces the second alone holds both.
    assert [each.target for each in windows.examples] == [(0, 0), (6, 7), (0, 0), (0, 0)]
    batch = task.collate([*windows.examples, example])
    assert batch["answer_places"].tolist() == [[0, 0], [6, 7], [0, 0], [0, 0], [start, end]]
    lengths = [len(each.input_ids) for each in (*windows.examples, example)]
    assert (batch["token_indices"] >= 0).sum(-1).tolist() == lengths


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"answers": []}, (0, 0)),
        ({"is_impossible": True}, (0, 0)),
        ({}, None),
        ({"answers": ["Oslo"]}, None),
        ({"answers": ["Oslo", "Ada"]}, (4, 4)),
    ],
)
def test_no_answer_is_at_cls_and_an_unknown_one_does_not_count(
    fields: dict[str, Any], target: Any
) -> None:
    record = Record({"question": "Who?", "context": "Ada went."} | fields, "a:1")
    (encoded,) = encode(QuestionAnswering(), [record], 64)
    assert [each.target for each in encoded.examples] == [target]
    places = QuestionAnswering().collate(list(encoded.examples))["answer_places"].tolist()
    assert places == [list(target or (-100, -100))]


def test_what_the_training_records_are_like_is_learned(tmp_path: Path) -> None:
    task = QuestionAnswering()
    assert task.learn_labels(records_of(squad(20, seed=1), tmp_path)) == {}
    assert (task.has_unanswerable, task.figure, task.remarks) == (False, "f1", ())
    assert task.settings() == {"has_unanswerable": False}
    task = QuestionAnswering()
    counts = task.learn_labels(records_of(squad(40, seed=1, unanswerable=0.5), tmp_path))
    assert counts.keys() == {"answer", "no answer"} and sum(counts.values()) == 40
    assert (task.has_unanswerable, task.figure) == (True, "best_f1")
    assert task.settings() == {"has_unanswerable": True, "no_answer_threshold": 0.0}
    # What the user says counts before it.
    task = QuestionAnswering(has_unanswerable=False)
    task.learn_labels(records_of(squad(40, seed=1, unanswerable=0.5), tmp_path))
    assert task.has_unanswerable is False


def test_moved_answers_are_counted_and_lost_ones_refused(tmp_path: Path) -> None:
    document = squad(5, seed=1)
    questions = [paragraph["qas"][0] for paragraph in document["data"][0]["paragraphs"]]
    for question in questions[:2]:
        question["answers"][0]["answer_start"] += 1
    task = QuestionAnswering()
    task.learn_labels(records_of(document, tmp_path))
    place = f"{tmp_path}/squad.json: question"
    assert task.remarks == (
        "2 of 5 answers are not at their answer_start; each was found at the only other place "
        f"where it stands: {place} 1-0, {place} 1-1",
    )
    questions[3]["answers"][0]["text"] = "Paris"
    with pytest.raises(DataError, match=r"squad\.json: question 1-3: the answer 'Paris' is not in"):
        QuestionAnswering().learn_labels(records_of(document, tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {},
            r"a:1 has no answer \(question: 'Who\?', context: 'Ada went\.'\); give answers",
        ),
        ({"answers": []}, r"no question has an answer; give some that have one to learn from"),
        ({"answers": ["Ada"], "question": ""}, r"a:1: the question is empty"),
    ],
)
def test_records_that_teach_nothing_are_refused(fields: dict[str, Any], message: str) -> None:
    record = Record({"question": "Who?", "context": "Ada went."} | fields, "a:1")
    with pytest.raises(DataError, match=message):
        QuestionAnswering().learn_labels([record])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"doc_stride": 0}, r"task\.doc_stride \(0\) must be a whole number of at least 1"),
        ({"n_best_size": 1.5}, r"task\.n_best_size \(1\.5\) must be a whole number"),
        ({"max_answer_length": True}, r"task\.max_answer_length \(True\) must be a whole"),
        ({"has_unanswerable": "yes"}, r"task\.has_unanswerable \('yes'\) must be true or false"),
        ({"no_answer_threshold": "1"}, r"task\.no_answer_threshold \('1'\) must be a number"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        QuestionAnswering(**settings)


def test_settings_build_the_same_task_again() -> None:
    task = QuestionAnswering(
        has_unanswerable=True,
        no_answer_threshold=-1.5,
        doc_stride=64,
        n_best_size=5,
        columns={"text": "q", "pair": "p"},
    )
    settings = json.loads(json.dumps(task.settings()))
    again = QuestionAnswering(**settings)
    assert again.settings() == settings == task.settings()
    assert (again.figure, again.no_answer_threshold) == ("best_f1", -1.5)


def scored(
    spans: list[tuple[str, list[str], float]], task: QuestionAnswering
) -> list[ScoredRecord]:
    """Best span, right answers and odds of "no answer" of each question."""
    found = []
    for text, answers, odds in spans:
        context = " ".join([*answers, text, "."])
        record = Record({"question": "Who?", "context": context, "answers": answers}, "a:1")
        (encoded,) = encode(task, [record], 64)
        best = AnswerSpan(text, 0, len(text), 1.0, 1.0)
        found.append(ScoredRecord(encoded, RankedSpans((best,), best, 2.0 + odds)))
    return found


def test_figures_are_of_the_answers_at_the_threshold() -> None:
    task = QuestionAnswering(has_unanswerable=True)
    records = scored(
        [
            ("Ada", ["Ada"], 1.5),
            ("the cat", ["cat", "saw"], 1.0),
            ("Alan", ["Ada"], -1.0),
            ("Ada", [], 2.5),
            ("Ada", [], 0.5),
        ],
        task,
    )
    assert task.figures(records) == {
        "exact_match": 2 / 5,  # the two questions without an answer
        "f1": 2 / 5,
        "no_answer_accuracy": 1.0,
        "has_answer_exact_match": 0.0,
        "has_answer_f1": 0.0,
        "best_f1": 3 / 5,
        "best_f1_threshold": 1.5,
    }
    task.tune(records)
    assert task.no_answer_threshold == 2.0  # between the odds of 1.5 and those of 2.5
    figures = task.figures(records)
    assert figures["f1"] == figures["best_f1"] == 3 / 5
    assert (figures["has_answer_exact_match"], figures["no_answer_accuracy"]) == (2 / 3, 1 / 2)
    # Where every question has an answer there is nothing to choose by.
    task.tune(records[:3])
    assert task.no_answer_threshold == 2.0
    given = QuestionAnswering(has_unanswerable=True, no_answer_threshold=-1)
    given.tune(records)
    assert given.no_answer_threshold == -1.0


def test_a_verdict_has_the_credit_that_the_figure_is_the_mean_of() -> None:
    task = QuestionAnswering(has_unanswerable=True, no_answer_threshold=2.0)
    records = scored(
        [("the black cat", ["cat", "dog"], 1.0), ("Alan", ["Ada"], 0.0), ("Ada", [], 2.5)], task
    )
    partly, wrong, unanswered = map(task.verdict, records)
    assert (partly.gold, partly.answer) == ("cat / dog", "the black cat")
    assert partly.credit == pytest.approx(2 / 3)
    assert (wrong.credit, unanswered.credit, unanswered.error) == (0.0, 1.0, 0.0)
    assert (unanswered.gold, unanswered.answer) == ("no answer", "no answer")
    assert (partly.credit + 1) / 3 == pytest.approx(task.figures(records)["f1"])
    (table,) = task.tables(records)
    assert table.rows == [("no answer", 1.0, 1.0, 1), ("1", 0.0, pytest.approx(1 / 3), 2)]


def test_a_verdict_shows_the_passage_around_the_answer() -> None:
    task = QuestionAnswering()
    context = f"{'before ' * 200}Ada {'after ' * 200}"
    fields = {"question": "Who?", "context": context, "answers": ["Ada"]}
    (encoded, *_) = encode(task, [Record(fields, "a:1")], 64)
    best = AnswerSpan("before", 0, 6, 1.0, 1.0)
    shown = task.verdict(ScoredRecord(encoded, RankedSpans((best,), best, None))).texts["context"]
    assert " Ada after" in shown
    assert len(shown) == 402
    assert (shown[0], shown[-1]) == ("…", "…")


def test_a_task_that_always_answers_has_no_threshold() -> None:
    task = QuestionAnswering(has_unanswerable=False)
    records = scored([("Ada", ["Ada"], 0.0), ("the cat", ["cat"], 0.0)], task)
    records = [
        ScoredRecord(each.record, RankedSpans(each.scores.n_best, each.scores.best, None))
        for each in records
    ]
    assert task.figures(records) == {"exact_match": 1.0, "f1": 1.0}
    task.tune(records)
    assert task.settings() == {"has_unanswerable": False}


def test_windows_are_joined_to_one_answer() -> None:
    task = QuestionAnswering(has_unanswerable=True, doc_stride=3)
    context = "the cat went and saw New Rome, and it saw Ada."
    record = Record({"id": 7, "question": "Where?", "context": context}, "a:1")
    (encoded,) = encode(task, [record], 11)
    assert len(encoded.examples) == 4
    logits = [torch.zeros(len(each.input_ids), 2) for each in encoded.examples]
    logits[0][5, 0] = logits[0][6, 1] = 9.0
    logits[1][6, 0] = logits[1][7, 1] = 10.0
    logits[2][0] = -3.0  # "no answer" has what it has where it has least
    answer = task.answer(encoded, task.join(encoded, logits))
    assert (answer["id"], answer["answer"]) == ("7", "New Rome")
    assert context[answer["start"] : answer["end"]] == "New Rome"
    assert answer["no_answer_score"] == -26.0
    assert [each["answer"] for each in answer["n_best"][:2]] == ["New Rome", "cat went"]
    assert json.loads(json.dumps(answer)) == answer


def test_a_question_that_is_too_long_is_cut_and_counted() -> None:
    task = QuestionAnswering()
    questions = ["who " * 100, "who " * 64, "who"]
    records = [Record({"question": each, "context": "Ada went."}, "a:1") for each in questions]
    lengths = [len(each.examples[0].input_ids) for each in encode(task, records, 384)]
    assert lengths == [64 + 6, 64 + 6, 1 + 6]
    assert task.num_truncated == 1


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(str.strip)


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT, ANY_TEXT, st.integers(5, 20), st.booleans(), st.integers(0, 99))
@example("\u200b", "\u200b", 8, True, 0)  # texts without a wordpiece
def test_any_texts_are_answered(
    question: str, context: str, max_length: int, has_unanswerable: bool, seed: int
) -> None:
    task = QuestionAnswering(has_unanswerable=has_unanswerable, doc_stride=2)
    record = Record({"question": question, "context": context}, "a:1")
    (encoded,) = encode(task, [record], max_length)
    torch.manual_seed(seed)
    logits = [torch.randn(len(each.input_ids), 2) for each in encoded.examples]
    answer = task.answer(encoded, task.join(encoded, logits))
    assert json.loads(json.dumps(answer)) == answer
    for each in answer["n_best"]:
        if each["answer"]:
            assert context[each["start"] : each["end"]] == each["answer"]
