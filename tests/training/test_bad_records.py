"""All bad records are found, whatever is wrong with them, and the others are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.data.records import read_records
from bertsmith.errors import DataError
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.sequence_regression import SequenceRegression
from bertsmith.tasks.token_classification import TokenClassification
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.bad_records import MAX_SHOWN, BadRecords

TOKENIZER = Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, "a", "b"]), lowercase=True)


def places(bad: BadRecords) -> list[str]:
    return [line.partition(": ")[0].rpartition(":")[2] for line in bad.lines()]


def test_lines_texts_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "a", "label": "x"}\n{"text": "b"\n{"text": 3, "label": "x"}\n'
        '{"text": "b", "label": {}}\n{"text": "b", "label": ""}\n{"text": "b", "label": "y"}\n'
    )
    bad, task = BadRecords(), SequenceClassification()
    assert bad.learn_labels(task, lambda: read_records(path)) == {"x": 1, "y": 1}
    assert (bad.count, places(bad)) == (4, ["2", "3", "4", "5"])
    # Reading them once more finds nothing else, but the records between them.
    encoded = list(bad.encode(task, read_records(path), TOKENIZER, 8))
    assert [each.record.location.rpartition(":")[2] for each in encoded] == ["1", "6"]
    assert bad.count == 4


def test_labels_that_the_task_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "a\tx\nb\tz\n" * 30)
    bad, task = BadRecords(), SequenceClassification(labels=["x", "y"])
    assert bad.learn_labels(task, lambda: read_records(path)) == {"x": 30, "y": 0}
    assert bad.count == 30
    assert len(bad.lines()) == MAX_SHOWN + 1
    assert bad.lines()[-1] == "and 10 more like these"


def test_tags_that_are_wrong_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("a B-X\nb O\n\na X\nb O\n\na B-X\n\nb\n\na O\nb Y\n\n")
    bad, task = BadRecords(), TokenClassification()
    assert bad.learn_labels(task, lambda: read_records(path)) == {"X": 2}
    assert (bad.count, places(bad)) == (3, ["4", "9", "12"])
    assert task.labels == ["O", "B-X", "I-X"]


def test_bad_records_are_named_in_the_order_of_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "a", "label": "x"}\n{"text": "", "label": "x"}\n{"text": "b", "label": ""}\n'
        '{"text": "b", "label": "y"}\n'
    )
    bad, task = BadRecords(), SequenceClassification()
    bad.learn_labels(task, lambda: read_records(path))
    assert len(list(bad.encode(task, read_records(path), TOKENIZER, 8))) == 2
    assert places(bad) == ["2", "3"]


def test_a_file_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(DataError, match=r"a\.jsonl does not exist"):
        BadRecords().learn_labels(SequenceClassification(), lambda: read_records(path))


def test_good_records_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\tscore\na\t1\nb\t2\n")
    bad, task, readings = BadRecords(), SequenceRegression(), []

    def read():  # type: ignore[no-untyped-def]
        readings.append(path)
        return read_records(path)

    assert bad.learn_labels(task, read) == {}
    assert (bad.count, bad.lines(), len(readings)) == (0, [], 1)
    assert len(list(bad.encode(task, read(), TOKENIZER, 8))) == 2


@pytest.mark.parametrize(
    ("contents", "message", "count"),
    [
        ("text\tlabel\na\tx\nb\n", "every record has the label 'x'", 1),
        ("text\tscore\na\nb\n", "no training record can be used", 2),
    ],
)
def test_what_is_left_may_be_too_little(
    tmp_path: Path, contents: str, message: str, count: int
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(contents)
    bad = BadRecords()
    with pytest.raises(DataError, match=message):
        bad.learn_labels(SequenceClassification(), lambda: read_records(path))
    assert bad.count == count
