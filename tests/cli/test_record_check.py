"""The check of the records in lines: short where all is well."""

from __future__ import annotations

import dataclasses

from bertsmith.cli.record_check import check_lines
from bertsmith.training.record_check import FileCheck, Lengths, RecordCheck, Twins

FILE = FileCheck(
    num_records=1000,
    label_counts={"x": 600, "y": 400},
    lengths=Lengths(20, 60, 100),
    num_long=0,
    num_cut=0,
    num_windows=1000,
    unknown_share=0.001,
)
CHECK = RecordCheck(
    max_length=128,
    train=FILE,
    eval=dataclasses.replace(FILE, lengths=Lengths(21, 61, 1001)),
    repeated=Twins(),
    contradicting=Twins(),
    shared=Twins(),
)


def test_labels_and_lengths_are_always_said() -> None:
    assert list(check_lines(CHECK)) == [
        "share of the most frequent label: 60.0% in training, 60.0% held out",
        "wordpieces of a record: median 20, 95% up to 60, longest 100 (held out 21, 61, 1,001); "
        "the limit is 128",
    ]


def test_where_records_have_several_labels_the_share_is_among_all_of_them() -> None:
    train = dataclasses.replace(FILE, label_counts={"x": 900, "y": 300})
    first, *_ = check_lines(dataclasses.replace(CHECK, train=train, eval=None))
    assert first == (
        "share of the most frequent label among all labels of the records: 75.0% in training"
    )


def test_a_task_without_labels_and_a_run_without_held_out_records() -> None:
    train = dataclasses.replace(FILE, label_counts={})
    assert list(check_lines(dataclasses.replace(CHECK, train=train, eval=None))) == [
        "wordpieces of a record: median 20, 95% up to 60, longest 100; the limit is 128"
    ]


def test_everything_that_is_found() -> None:
    train = dataclasses.replace(
        FILE, label_counts={"x": 997, "y": 3}, num_long=100, num_cut=100, unknown_share=0.2
    )
    held_out = dataclasses.replace(FILE, label_counts={"x": 1000, "y": 0}, num_long=10)
    check = RecordCheck(
        max_length=128,
        train=train,
        eval=held_out,
        repeated=Twins(2, (("a:3 (x)", "a:1 (x)"), ("a:4 (x)", "a:1 (x)"))),
        contradicting=Twins(1, (("a:5 (y)", "a:1 (x)"),)),
        shared=Twins(500, (("b:1 (x)", "a:1 (x)"),)),
    )
    lines = list(check_lines(check))
    assert lines[1:3] == [
        "labels with too few training records to be learned: y 3",
        "labels that no held-out record has: y",
    ]
    assert lines[4:] == [
        "training records that lose text: 100 (10.0%)",
        "20.0% of the wordpieces of training records are [UNK]; the model's vocabulary does not "
        "fit this text",
        "held-out records beyond the limit: 10 (1.0%)",
        "training records with text and label of an earlier one: 2 (0.2%), such as",
        "  a:3 (x) and a:1 (x)",
        "  a:4 (x) and a:1 (x)",
        "training records with the text of an earlier one and another label: 1 (0.1%), such as",
        "  a:5 (y) and a:1 (x)",
        "held-out records whose text is in the training records: 500 (50.0%), such as",
        "  b:1 (x) and a:1 (x)",
    ]


def test_many_labels_are_not_all_listed() -> None:
    counts = {f"label{i}": 1 for i in range(14)}
    train = dataclasses.replace(FILE, label_counts=counts)
    line = list(check_lines(dataclasses.replace(CHECK, train=train)))[1]
    assert line.endswith("label9 1 and 4 more")
