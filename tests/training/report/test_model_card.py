"""The card: what the hub reads of it, that its snippets are true, that it gives nothing away."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results
from tests.training.report.answers import HOSTILE, evaluation_of, results_of, tiny

from bertsmith.export.model_folder import save_model
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.task import RecordTask
from bertsmith.training.report.findings import Findings, examine
from bertsmith.training.report.model_card import FOLDER, MARK, model_card

TASK = SequenceClassification(labels=["fair", "foul", "none of <these>"])


@pytest.fixture(scope="session")
def card(classified: Findings) -> str:
    return model_card(results_of(TASK, classified))


def test_the_hub_reads_its_front_matter(card: str, tmp_path: Path, classified: Findings) -> None:
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    loaded = ModelCard.load(tmp_path / "README.md")
    data = loaded.data
    assert isinstance(data, ModelCardData)
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-classification")
    assert data.tags == ["bert", "bertsmith"]
    assert (data.license, data.language, data.base_model) == (None, None, None)
    assert data.model_name == "mine"
    assert data.eval_results is not None
    found = {each.metric_type: each.metric_value for each in data.eval_results}
    assert found == classified.figures
    # The form that the hub asks for: no more characters in the data set's id.
    assert all(re.fullmatch(r"[\w.-]+", each.dataset_type) for each in data.eval_results)
    again = ModelCardData(**{**data.to_dict(), "model_name": None, "model-index": None})
    assert again.pipeline_tag == data.pipeline_tag
    name, results = model_index_to_eval_results(data.to_dict()["model-index"])
    assert (name, len(results)) == ("mine", len(found))
    # Nothing is lost when it is loaded and saved by the hub's library.
    assert ModelCard(str(loaded)).data.to_dict() == data.to_dict()


def test_it_says_what_a_reader_needs(card: str) -> None:
    for part in (
        "# mine\n",
        "## Use\n",
        "bertsmith predict --model path/to/this/folder --input FILE",
        "fair, foul, none of &lt;these&gt;",
        "On dev.tsv, 200 records:",
        "| accuracy | 0.7000 |",
        "The 95 % interval of accuracy is 0.6332 to 0.7593 (Wilson).",
        "| fair | 47 | 20 | 0 |",
        "Of a text at most 16 wordpieces are read; longer ones are cut.",
        "SHA-256 abab",
        MARK,
    ):
        assert part in card, part
    assert "/home/someone" not in card


@pytest.mark.parametrize("labels", [[HOSTILE, "a|b\n\n# c", "[x](http://y)"], ["東京", "b"]])
def test_labels_of_every_kind_stay_labels(labels: list[str]) -> None:
    task = SequenceClassification(labels=labels)
    scores = [[float(place == 0) for place in range(len(labels))] for _ in labels]
    findings = examine(task, evaluation_of(task, labels, scores))
    written = model_card(results_of(task, findings, name=f"my {HOSTILE}"))
    assert ModelCard(written).data.model_name == f"my {HOSTILE}"
    body = written.split("---\n", 2)[2]
    assert "<script" not in body
    assert "\n# c" not in body
    assert re.search(r"(?<!\\)\]\(http", body) is None
    tables = re.findall(r"(?m)^\|.*\|$", body)
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (3, 6, len(labels) + 2) for row in tables)


def test_of_many_labels_it_names_some() -> None:
    labels = [f"label {number}" for number in range(300)]
    task = SequenceClassification(labels=labels)
    scores = [[float(n == m) for m in range(300)] for n in range(300)]
    written = model_card(results_of(task, examine(task, evaluation_of(task, labels, scores))))
    assert "label 59 and 240 more" in written
    assert "| all others |" in written
    assert len(written) < 10_000


def test_settings_are_readable_and_figures_say_what_is_particular_about_them() -> None:
    task = SequenceClassification(
        labels=["a", "b"], multi_label=True, thresholds=[0.123456789, 0.5], class_weights=[1, 2.5]
    )
    golds, scores = [["a"], ["a", "b"]] * 30, [[9.0, -9.0], [9.0, 9.0]] * 30
    written = model_card(results_of(task, examine(task, evaluation_of(task, golds, scores))))
    assert "| multi label | yes |" in written
    assert "| thresholds | a 0.1235, b 0.5 |" in written
    assert "| class weights | a 1, b 2.5 |" in written
    assert "| accuracy (all labels of a record right) | 1.0000 |" in written
    assert "| loss (with class weights) | 0.5000 |" in written
    assert "| micro F1 | 1.0000 |" in written


def test_without_an_evaluation_it_claims_nothing() -> None:
    written = model_card(results_of(TASK, None))
    assert "The model was not measured" in written
    assert "model-index" not in written
    assert ModelCard(written).data.tags == ["bert", "bertsmith"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "two_lstms"}, "An encoder (`two_lstms`) that"),
        ({"features": {"layers": [-1]}}, "under a head that reads its layers and that"),
    ],
)
def test_what_transformers_does_not_open_is_not_offered_to_it(
    changes: dict[str, Any], said: str
) -> None:
    results = results_of(TASK, None)
    results["model"] |= changes
    written = model_card(results)
    assert "transformers" not in written
    assert said in written
    assert ModelCard(written).data.library_name == "bertsmith"


def test_figures_that_are_no_numbers_are_no_results(classified: Findings) -> None:
    results = results_of(TASK, classified)
    results["findings"]["figures"]["loss"] = None
    written = model_card(results)
    assert "| loss | not a number |" in written
    loaded = ModelCard(written).data.eval_results
    assert loaded is not None
    assert "loss" not in {each.metric_type for each in loaded}


SETTINGS: dict[str, dict[str, Any]] = {
    "sequence_classification": {"labels": ["a", "b"], "pairs": False},
    "sequence_classification of pairs": {"labels": ["a", "b"], "pairs": True},
    "sequence_classification of several": {"labels": ["a", "b"], "multi_label": True},
    "sequence_regression": {},
    "token_classification": {"labels": ["O", "B-x"]},
    "question_answering": {},
    "multiple_choice": {},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_its_snippets_are_true(name: str, tmp_path: Path) -> None:
    """Both run, and where both give probabilities, these are the same."""
    task: Any = build_task(name.partition(" ")[0], **SETTINGS[name])
    model, tokenizer = tiny(task)
    save_model(tmp_path / "model", model, tokenizer)
    written = model_card(results_of(task, None))
    ours, theirs = re.findall(r"(?s)```python\n(.*?)```", written)
    said = []
    for code in (ours, theirs):
        if code is ours and not isinstance(task, RecordTask):
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            exec(code.replace(FOLDER, str(tmp_path / "model")), {})
        said.append(output.getvalue().strip())
    if name.startswith("sequence"):
        answer, (scores,) = (json.loads(text.replace("'", '"')) for text in said)
        probabilities = answer[0].get("probabilities") or {"LABEL_0": answer[0]["score"]}
        theirs_by_label = {each["label"]: each["score"] for each in scores}
        assert theirs_by_label == pytest.approx(probabilities, abs=1e-5)
