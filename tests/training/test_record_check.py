"""Twins, labels and lengths are found, in made-up records and in published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.data.layout import Layout
from bertsmith.data.records import Record, read_records
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.record_check import Lengths, RecordCheck, RecordChecker, Twins

WORDS = ["good", "bad", "film", "a", "b", "c"]
Row = tuple[str, Any]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, *WORDS]), lowercase=True)


def run(
    tokenizer: Tokenizer,
    train: list[Row],
    held_out: list[Row] | None = None,
    name: str = "sequence_classification",
    max_length: int = 8,
    **settings: Any,
) -> RecordCheck:
    task = build_task(name, **settings)
    assert isinstance(task, RecordTask)

    def records(file: str, rows: list[Row]) -> list[Record]:
        return [
            Record({"text": text, "label": label}, f"{file}:{number}")
            for number, (text, label) in enumerate(rows, 1)
        ]

    counts = task.learn_labels(records("train", train))
    checker = RecordChecker(task, unk_id=tokenizer.unk_id, max_length=max_length)
    for seen, file, rows in (
        (checker.training, "train", train),
        (checker.held_out, "dev", held_out or []),
    ):
        given = list(task.encode(records(file, rows), tokenizer, max_length=max_length))
        assert (
            list(seen(task.encode(records(file, rows), tokenizer, max_length=max_length))) == given
        )
    return checker.report(counts)


def test_twins_are_told_apart_by_their_labels_and_files(tokenizer: Tokenizer) -> None:
    train = [("good", "x"), ("bad", "y"), ("Good ", "x"), ("bad", "x"), ("good", "y"), ("a", "y")]
    check = run(tokenizer, train, [("film", "x"), ("GOOD", "y")])
    assert check.repeated == Twins(1, (("train:3 (x)", "train:1 (x)"),))
    assert check.contradicting == Twins(
        2, (("train:4 (x)", "train:2 (y)"), ("train:5 (y)", "train:1 (x)"))
    )
    assert check.shared == Twins(1, (("dev:2 (y)", "train:1 (x)"),))


def test_only_a_few_examples_are_kept(tokenizer: Tokenizer) -> None:
    check = run(tokenizer, [("good", "x"), ("bad", "y")] * 20)
    assert (check.repeated.count, len(check.repeated.examples)) == (38, 3)


def test_labels_are_counted_in_both_files(tokenizer: Tokenizer) -> None:
    train = [("a", "x")] * 12 + [("b", "y")] * 6 + [("c", "z")] * 2
    check = run(tokenizer, train, [("a", "x"), ("c", "z")])
    assert check.train.label_counts == {"x": 12, "y": 6, "z": 2}
    assert check.train.majority_share == 0.6
    assert check.rare_labels == {"z": 2}
    assert check.eval is not None
    assert check.eval.label_counts == {"x": 1, "y": 0, "z": 1}
    assert check.unmeasured_labels == ["y"]


def test_each_of_several_labels_is_counted(tokenizer: Tokenizer) -> None:
    train = [("a", ["x", "y"]), ("b", []), ("a", ["y"]), ("a", ["x", "y"])]
    check = run(tokenizer, train, [("a", ["x"])], multi_label=True)
    assert check.eval is not None
    assert check.eval.label_counts == {"x": 1, "y": 0}
    assert check.contradicting.examples == (("train:3 (y)", "train:1 (x, y)"),)
    assert check.repeated.examples == (("train:4 (x, y)", "train:1 (x, y)"),)


def test_scores_have_no_names_but_may_contradict(tokenizer: Tokenizer) -> None:
    train = [("good", 1), ("good", 1.5), ("bad", 0)]
    check = run(tokenizer, train, [("a", 3)], name="sequence_regression")
    assert check.train.label_counts == {}
    assert (check.train.majority_share, check.rare_labels, check.unmeasured_labels) == (0, {}, [])
    assert check.contradicting == Twins(1, (("train:2 (1.5)", "train:1 (1)"),))


@pytest.mark.parametrize(("rule", "num_cut"), [("head", 2), ("windows", 0)])
def test_lengths_are_those_before_cutting(tokenizer: Tokenizer, rule: str, num_cut: int) -> None:
    train = [("a", "x"), ("a " * 6, "y"), ("a " * 7, "y"), ("a " * 13, "x")]
    check = run(tokenizer, train, long_text=rule)
    assert check.train.lengths == Lengths(median=8, percentile_95=15, longest=15)
    assert (check.train.num_long, check.train.num_cut) == (2, num_cut)
    # Of 9 wordpieces two windows, of 15 three.
    assert check.train.num_windows == 1 + 1 + 2 + 3
    assert check.eval is None


def test_what_is_cut_off_tells_no_records_apart(tokenizer: Tokenizer) -> None:
    train = [("a " * 7, "x"), ("a " * 8, "y")]
    assert run(tokenizer, train).contradicting.count == 1
    assert run(tokenizer, train, long_text="windows").contradicting.count == 0


def test_unknown_words_are_counted(tokenizer: Tokenizer) -> None:
    check = run(tokenizer, [("a tree", "x"), ("b c", "y")])
    assert check.train.unknown_share == 1 / 8


@pytest.mark.parametrize(
    ("name", "task", "layout", "expected"),
    [
        ("cola", "sequence_classification", {"text": "4", "label": "2"}, (12, 11, 16)),
        ("mrpc", "sequence_classification", {}, (0, 0, 0)),
        ("stsb", "sequence_regression", {}, (40, 4, 6)),
    ],
)
def test_published_files_have_twins(
    shared_data: Path, name: str, task: str, layout: Any, expected: tuple[int, int, int]
) -> None:
    tokenizer = Tokenizer.load(shared_data / "vocab" / "bert-base-uncased-vocab.txt")
    built = build_task(task)
    assert isinstance(built, RecordTask)
    checker = RecordChecker(built, unk_id=tokenizer.unk_id, max_length=128)
    train, dev = (
        list(read_records(shared_data / "tasks" / name / f"{file}.tsv", layout=Layout(**layout)))
        for file in ("train", "dev")
    )
    counts = built.learn_labels(train)
    for seen, records in ((checker.training, train), (checker.held_out, dev)):
        for _ in seen(built.encode(records, tokenizer, max_length=128)):
            pass
    check = checker.report(counts)
    found = (check.repeated.count, check.contradicting.count, check.shared.count)
    assert found == expected
