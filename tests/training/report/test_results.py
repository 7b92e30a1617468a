"""results.json: JSON without NaN, fingerprints as `sha256sum` gives them, and no paths."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
from tests.training.report.answers import all_texts, evaluation_of, results_of

from bertsmith.data.record_source import RecordSource
from bertsmith.errors import CheckpointError
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.training.report.findings import Findings, examine
from bertsmith.training.report.results import RESULTS, DataFile, read_results, results_bytes


def test_a_file_is_known_again_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_bytes(b"text\tlabel\n" * 300_000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert DataFile.of(RecordSource(path), "dev", 3) == DataFile("dev.tsv", 3, digest)
    assert DataFile.of(RecordSource("glue:mrpc"), "dev", 3) == DataFile("glue:mrpc", 3, None)
    named = RecordSource("glue:mrpc", folder=tmp_path)
    assert DataFile.of(named, "dev", 3) == DataFile("glue:mrpc", 3, digest)


def test_it_is_read_as_it_was_written(classified: Findings, tmp_path: Path) -> None:
    task = SequenceClassification(labels=["fair", "foul", "none of <these>"])
    results = results_of(task, classified)
    (tmp_path / RESULTS).write_bytes(results_bytes(results))
    assert read_results(tmp_path) == results
    assert results["findings"]["figures"] == classified.figures
    assert results["evaluation"] == {"file": "dev.tsv", "records": 200, "sha256": "ab" * 32}
    assert results["model"]["max_length"] == 16
    assert set(results["versions"]) == {"bertsmith", "torch", "python"}
    assert not [text for text in all_texts(results) if "/" in text or "script" in text]


def test_what_is_not_finite_is_null() -> None:
    task = SequenceClassification(labels=["a", "b"])
    found = examine(task, evaluation_of(task, ["a", "b"] * 30, [[math.nan, 0.0]] * 60))
    text = results_bytes(results_of(task, found)).decode()
    assert "NaN" not in text
    assert json.loads(text)["findings"]["figures"]["loss"] == 0.5


@pytest.mark.parametrize("contents", ["{", "[]", "{}", '{"format": 99}', "\x00"])
def test_what_is_damaged_is_refused_by_name(tmp_path: Path, contents: str) -> None:
    assert read_results(tmp_path) is None
    (tmp_path / RESULTS).write_text(contents)
    with pytest.raises(CheckpointError, match=r"results\.json is damaged or of another version"):
        read_results(tmp_path)
