"""Fine-tuning learns, resumes exactly, keeps its best model and looks before it runs."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bertsmith.config import BertConfig
from bertsmith.errors import BertsmithError, CheckpointError, ConfigError, DataError
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.inference.predictor import Predictor
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.finetuning import Finetuned, Preparation, finetune
from bertsmith.training.metrics_file import read_metrics
from bertsmith.training.recipe import FinetuneRecipe

MOODS = {"good": ["good", "fine", "great"], "bad": ["bad", "poor", "dull"]}
THINGS = ["film", "book", "song", "play"]
PIECES = [*SPECIAL_TOKENS, *MOODS["good"], *MOODS["bad"], *THINGS, "a", "."]
FILES = ("model.safetensors", "optimizer.safetensors", "generators.safetensors")


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pre-trained model, and records to train and to measure on."""
    folder = tmp_path_factory.mktemp("finetuning")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        initializer_range=0.1,
    )
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)
    save_model(folder / "model", BertForTasks(config, [MaskedLM(), NextSentence()]), tokenizer)
    # Every word and every thing is in both files, and no text is.
    rows: dict[str, list[str]] = {"train": [], "dev": []}
    words = [(word, mood) for mood, words in MOODS.items() for word in words]
    for (i, (word, mood)), (j, thing) in itertools.product(enumerate(words), enumerate(THINGS)):
        rows["dev" if (i + j) % 4 == 0 else "train"].append(f"a {word} {thing} .\t{mood}")
    for name, lines in rows.items():
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    return folder


def recipe(start: Path, output: Path, **changes: dict[str, Any]) -> FinetuneRecipe:
    values: dict[str, dict[str, Any]] = {
        "task": {"name": "sequence_classification"},
        "model": {"init": str(start / "model")},
        "data": {
            "train": str(start / "train.tsv"),
            "eval": str(start / "dev.tsv"),
            "max_seqlen": 12,
        },
        "train": {
            "output": str(output),
            "batch_size": 8,
            "steps": 60,
            "num_threads": 1,
            "precision": "fp32",
        },
        "optimizer": {"learning_rate": 3e-3},
        "log": {"every_steps": 1},
    }
    for section, settings in changes.items():
        merged = values.get(section, {}) | settings
        values[section] = {key: value for key, value in merged.items() if value is not None}
    return FinetuneRecipe.from_dict(values)


@pytest.fixture(scope="session")
def finished(start: Path) -> tuple[Finetuned, FinetuneRecipe, list[Preparation]]:
    """A run that has learned."""
    settings = recipe(start, start / "finished")
    prepared: list[Preparation] = []
    return finetune(settings, on_prepared=prepared.append), settings, prepared


Finished = tuple[Finetuned, FinetuneRecipe, list[Preparation]]


def test_it_learns_and_says_beforehand_what(finished: Finished) -> None:
    finetuned, settings, (preparation,) = finished
    # Of 14 seeds every one is at 1 by step 30.
    assert finetuned.outcome.figures["accuracy"] == 1.0
    assert finetuned.outcome.state.step == 60
    assert preparation.label_counts == {"bad": 9, "good": 9}
    assert (preparation.num_train, preparation.num_eval, preparation.steps) == (18, 6, 60)
    assert all("sequence_classification" in name for name in preparation.report.new)
    output = settings.train.output
    assert evaluate_file(output, settings.data.train)["accuracy"] == 1.0
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (output / "curves.png").stat().st_size > 10_000
    assert FinetuneRecipe.load(output / "recipe.toml") == settings
    # Predictions cut texts where training did.
    config = json.loads((output / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == Predictor.load(output).max_length == 12


def test_all_parameters_move(finished: Finished, start: Path) -> None:
    before = dict(load_model(start / "model").model.bert.named_parameters())
    after = dict(load_model(start / "finished").model.bert.named_parameters())
    assert before.keys() == after.keys()
    for name, parameter in after.items():
        assert not torch.equal(parameter, before[name]), name


def test_the_best_model_is_the_one_that_is_left(finished: Finished, start: Path) -> None:
    finetuned, settings, _ = finished
    output, state = settings.train.output, finetuned.outcome.state
    lines = read_metrics(output / "metrics.jsonl")
    evaluations = {line["step"]: line["accuracy"] for line in lines if line["split"] == "eval"}
    # All words are told apart long before the end, and of equals the first is kept.
    assert state.best_step == max(evaluations, key=lambda step: (evaluations[step], -step))
    assert state.best_step < state.step
    saved, best, last = (
        load_file(folder / "model.safetensors")
        for folder in (
            output,
            output / "checkpoints" / f"step-{state.best_step:08}",
            output / "checkpoints" / f"step-{state.step:08}",
        )
    )
    assert all(torch.equal(saved[key], best[key]) for key in saved)
    assert not all(torch.equal(saved[key], last[key]) for key in saved)


# Runs a recipe and kills itself in the middle of a step.
KILLED = """
import os, signal, sys
from bertsmith import FinetuneRecipe, finetune
from bertsmith.tasks.sequence_classification import SequenceClassification

loss, calls = SequenceClassification.loss, []

def deadly(*arguments):
    calls.append(None)
    if len(calls) == 75:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(*arguments)

SequenceClassification.loss = deadly
finetune(FinetuneRecipe.load(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")
def test_a_killed_run_resumes_to_the_same_bits(start: Path, tmp_path: Path) -> None:
    settings = {"steps": 100, "checkpoint_every_steps": 20, "eval_every_steps": 25}
    finetune(recipe(start, tmp_path / "whole", train=settings))
    killed = recipe(start, tmp_path / "killed", train=settings)
    path = tmp_path / "recipe.toml"
    path.write_text(killed.to_toml())
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert read_metrics(tmp_path / "killed" / "metrics.jsonl")[-1]["step"] > 60
    torch.rand(1000)  # whatever happens to the generators in between must not matter
    assert finetune(killed, resume=True).outcome.state.step == 100
    for name in FILES:
        one, other = (
            load_file(tmp_path / run / "checkpoints" / "step-00000100" / name)
            for run in ("whole", "killed")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    whole, resumed = (read_metrics(tmp_path / run / "metrics.jsonl") for run in ("whole", "killed"))
    assert [(line["step"], line["loss"]) for line in whole] == [
        (line["step"], line["loss"]) for line in resumed
    ]


def test_early_stopping_ends_a_run_that_gets_no_better(start: Path, tmp_path: Path) -> None:
    settings = {"steps": 200, "eval_every_steps": 5, "early_stopping_patience": 2}
    still = {"learning_rate": 1e-12}
    outcome = finetune(recipe(start, tmp_path / "run", train=settings, optimizer=still)).outcome
    assert outcome.stopped_early
    assert (outcome.state.step, outcome.state.best_step) == (15, 5)


def test_without_held_out_data_the_last_model_is_left(start: Path, tmp_path: Path) -> None:
    finetuned = finetune(recipe(start, tmp_path / "run", data={"eval": None}, train={"steps": 3}))
    assert finetuned.outcome.figures == {}
    assert finetuned.preparation.num_eval == 0
    saved = load_file(tmp_path / "run" / "model.safetensors")
    last = load_file(tmp_path / "run" / "checkpoints" / "step-00000003" / "model.safetensors")
    assert all(torch.equal(saved[key], last[key]) for key in saved)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({"epochs": 2}, 6), ({"epochs": 0.5}, 2), ({"epochs": 2, "accumulation_steps": 4}, 2)],
)
def test_epochs_make_steps(start: Path, tmp_path: Path, settings: Any, steps: int) -> None:
    settings = {"steps": None} | settings  # 18 records in batches of 8 are 3 batches
    assert finetune(recipe(start, tmp_path / "run", train=settings)).outcome.state.step == steps


@pytest.mark.parametrize(
    ("name", "row", "task", "message"),
    [
        ("train", "a film\tgreat", {"labels": ["good", "bad"]}, r"train\.tsv:6: label 'great' is"),
        ("train", "a film\t", {}, r"train\.tsv:6: label is empty; label the record"),
        ("eval", "a film\tgreat", {}, r"eval\.tsv:6: label 'great' is not one of .*\(bad, good\)"),
        ("eval", "a film", {}, r"eval\.tsv:6: the row has 1 column"),
    ],
)
def test_a_bad_label_is_found_before_anything_is_trained(
    start: Path, tmp_path: Path, name: str, row: str, task: Any, message: str
) -> None:
    lines = (start / "train.tsv").read_text().splitlines()
    lines[5] = row
    (tmp_path / f"{name}.tsv").write_text("\n".join(lines))
    data = {name: str(tmp_path / f"{name}.tsv")}
    settings = recipe(start, tmp_path / "run", data=data, task=task)
    with pytest.raises(DataError, match=message):
        finetune(settings, on_prepared=pytest.fail)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": {"name": "masked_lm"}}, ConfigError, "masked_lm is not learned from records"),
        ({"task": {"name": "classify"}}, ConfigError, "'classify' is not a task"),
        (
            {"task": {"colour": 3}},
            ConfigError,
            "task.colour is not a setting; did you mean task.columns",
        ),
        ({"model": {"init": "nowhere"}}, CheckpointError, "nowhere is not a folder"),
        ({"data": {"train": "none.tsv"}}, DataError, "none.tsv"),
        ({"data": {"label": "kind"}}, DataError, "kind"),
        ({"train": {"device": "quantum"}}, ConfigError, "'quantum'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(
    start: Path, tmp_path: Path, changes: Any, error: type[BertsmithError], message: str
) -> None:
    with pytest.raises(error, match=message):
        finetune(recipe(start, tmp_path / "run", **changes), on_prepared=pytest.fail)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_not_overwritten_nor_resumed_with_other_labels(
    finished: Finished, start: Path
) -> None:
    _, settings, _ = finished
    with pytest.raises(ConfigError, match="holds a run of 60 steps; go on with it by --resume"):
        finetune(settings)
    other = recipe(start, start / "finished", task={"labels": ["good", "bad"]})
    with pytest.raises(ConfigError, match=r"task is .* and the run to resume was started with"):
        finetune(other, resume=True)
