"""The figures of a model folder on a file are those of its predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.data.layout import Layout
from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.inference.predictor import Predictor

ROWS = [("good films", "pos"), ("a bad book", "neg"), ("dull", "pos"), ("the film .", "neg")] * 5


def test_accuracy_is_that_of_the_predictions(classifier: Path, tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS))
    answers = Predictor.load(classifier).predict(text for text, _ in ROWS)
    correct = [a["label"] == label for a, (_, label) in zip(answers, ROWS, strict=True)]
    figures = evaluate_file(classifier, path, device="cpu")
    assert figures["accuracy"] == pytest.approx(sum(correct) / len(correct))
    assert {"loss", "macro_f1", "f1", "matthews_correlation"} < set(figures)


def test_columns_are_those_the_model_remembers_unless_said_otherwise(
    classifier: Path, tmp_path: Path
) -> None:
    remembered, other = tmp_path / "a.tsv", tmp_path / "b.tsv"
    remembered.write_text("".join(f"id\t{label}\t\t{text}\n" for text, label in ROWS))
    other.write_text("".join(f"{label}\t{text}\n" for text, label in ROWS))
    expected = evaluate_file(classifier, remembered)
    assert evaluate_file(classifier, other, layout=Layout(text="2", label="1")) == expected
    with pytest.raises(DataError, match=r"b\.tsv:1: none of the columns \(1: 'pos', 2: 'good"):
        evaluate_file(classifier, other)


def test_labels_that_are_missing_or_unknown_are_refused(classifier: Path, tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    for label, message in [
        ("", r"dev\.csv:3: label is empty"),
        ("so-so", r"dev\.csv:3: label 'so-so' is not one of the task's labels \(neg, pos\)"),
    ]:
        path.write_text(f"text,label\ngood,pos\nbad,{label}\n")
        with pytest.raises(DataError, match=message):
            evaluate_file(classifier, path)


def test_a_pretrained_model_has_no_records_to_be_measured_on(
    pretrained: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"must be one that is learned from records; make it"):
        evaluate_file(pretrained, tmp_path / "dev.csv")
