"""A run leaves all with an evaluation file, no claims without one, and nothing when stopped."""

from __future__ import annotations

import hashlib
import json
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.training.report.answers import HOSTILE, tiny

from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import save_model
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.training import finetuning
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import finetune
from bertsmith.training.report import writing

REPORT = {"README.md", "report.html", "results.json"}
PICTURES = {"confusion.png", "calibration.png", "scores.png", "lengths.png"}


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A folder with a model to start from, and one file of records."""
    model, tokenizer = tiny(SequenceClassification(labels=["fair", "foul"]))
    save_model(tmp_path / "model", model, tokenizer)
    texts = [f"a text {'. ' * (number % 9)}" for number in range(44)]
    texts.append(HOSTILE.replace("\x00", "").replace("\t", " "))
    lines = [f"{text}\t{'foul' if n % 3 else 'fair'}" for n, text in enumerate(texts)]
    (tmp_path / "data.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def recipe(start: Path, **changes: dict[str, Any]) -> FinetuneRecipe:
    data = str(start / "data.tsv")
    values: dict[str, Any] = {
        "task": {"name": "sequence_classification"},
        "model": {"init": str(start / "model")},
        "data": {"train": data, "eval": data},
        "train": {
            "output": str(start / "run"),
            "steps": 2,
            "num_threads": 1,
            "precision": "fp32",
            "keep_checkpoints": 1,
        },
    }
    for section, settings in changes.items():
        values[section] = {k: v for k, v in (values[section] | settings).items() if v is not None}
    return FinetuneRecipe.from_dict(values)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_leaves_everything_to_judge_and_to_ask_the_model(start: Path) -> None:
    finetuned = finetune(recipe(start))
    run = start / "run"
    assert names(run) >= REPORT | PICTURES | {"curves.png", "recipe.toml", "model.safetensors"}
    results = json.loads((run / "results.json").read_bytes())
    assert results["findings"]["figures"] == finetuned.outcome.figures
    digest = hashlib.sha256((start / "data.tsv").read_bytes()).hexdigest()
    assert results["evaluation"] == {"file": "data.tsv", "records": 45, "sha256": digest}
    training = results["training"]
    assert (training["file"], training["records"], training["sha256"]) == ("data.tsv", 45, digest)
    assert (training["start"], training["steps"]) == ("model", 2)
    assert training["label_counts"] == {"fair": 15, "foul": 30}
    assert training["settings"]["train"]["batch_size"] == 32
    assert "epochs" not in training["settings"]["train"]  # steps were given
    card = (run / "README.md").read_text(encoding="utf-8")
    assert ModelCard(card).data.model_name == "run"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert "<script>" not in page
    for text in (card, page, json.dumps(results)):
        assert str(start) not in text
        assert "expect a little less" in text or text.startswith("{")


def test_transformers_opens_the_folder_unchanged(start: Path) -> None:
    finetune(recipe(start))
    before = {path.name: path.read_bytes() for path in (start / "run").iterdir() if path.is_file()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model = AutoModelForSequenceClassification.from_pretrained(start / "run")
        tokenizer = AutoTokenizer.from_pretrained(start / "run")
    assert model(**tokenizer("a text", return_tensors="pt")).logits.shape == (1, 2)
    assert model.config.id2label == {0: "fair", 1: "foul"}
    after = {path.name: path.read_bytes() for path in (start / "run").iterdir() if path.is_file()}
    assert after == before


def test_without_an_evaluation_file_there_are_curves_and_no_claims(start: Path) -> None:
    finetune(recipe(start, data={"eval": None}))
    run = start / "run"
    assert names(run) > REPORT
    assert not PICTURES & names(run)
    results = json.loads((run / "results.json").read_bytes())
    assert (results["findings"], results["evaluation"]) == (None, None)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert "model-index" not in (run / "README.md").read_text(encoding="utf-8")


def test_a_run_that_wants_none_leaves_none(start: Path) -> None:
    finetune(recipe(start, train={"report": False}))
    assert not (REPORT | PICTURES | {"curves.png"}) & names(start / "run")
    assert "model.safetensors" in names(start / "run")


def test_a_stopped_run_leaves_none_and_the_resumed_one_does(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = finetuning.evaluate_records

    def stop(*arguments: Any, **settings: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return learn(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "evaluate_records", stop)
        assert finetune(recipe(start)).outcome.stopped_by is signal.SIGTERM
    assert not REPORT & names(start / "run")
    finetune(recipe(start), resume=True)
    assert names(start / "run") >= REPORT | PICTURES
    finetune(recipe(start, train={"steps": 3}), resume=True)
    assert json.loads((start / "run" / "results.json").read_bytes())["training"]["steps"] == 3


def test_a_readme_of_somebodys_own_stays(start: Path) -> None:
    (start / "run").mkdir()
    (start / "run" / "README.md").write_text("mine")
    finetune(recipe(start))
    assert (start / "run" / "README.md").read_text() == "mine"
    assert (start / "run" / "report.html").exists()


def test_what_fails_in_writing_leaves_nothing_half_done(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "report_page", full)
    with pytest.raises(DataError, match="No space left on device"):
        finetune(recipe(start))
    assert not (REPORT | PICTURES) & names(start / "run")
    assert (start / "run" / "model.safetensors").exists()


def test_any_model_is_reported_on_any_labelled_file(start: Path) -> None:
    out = start / "reports" / "one"
    figures = evaluate_file(start / "model", start / "data.tsv", report=out)
    assert names(out) == {"report.html", "results.json"} | PICTURES
    results = json.loads((out / "results.json").read_bytes())
    assert results["findings"]["figures"] == figures
    assert (results["name"], results["training"]) == ("model", None)
    evaluate_file(start / "model", start / "data.tsv", report=out)  # replaced file by file
    with pytest.raises(ConfigError, match="is the folder of a model, which has a report of its"):
        evaluate_file(start / "model", start / "data.tsv", report=start / "model")
