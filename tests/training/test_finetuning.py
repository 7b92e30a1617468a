"""Fine-tuning learns, resumes exactly, keeps its best model and looks before it runs."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.mood_runs import mood_recipe as recipe

from bertsmith.errors import BertsmithError, CheckpointError, ConfigError, DataError
from bertsmith.export.model_folder import LoadedModel, load_model, load_pretrained
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.inference.predictor import Predictor
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.training import finetuning
from bertsmith.training.bad_records import BadRecords
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import (
    Finetuned,
    Preparation,
    finetune,
    prepare_finetuning,
    task_of,
)
from bertsmith.training.metrics_file import read_metrics

FILES = ("model.safetensors", "optimizer.safetensors", "generators.safetensors")


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


def test_the_best_model_is_the_one_that_is_left(start: Path, tmp_path: Path) -> None:
    swapped = (start / "dev.tsv").read_text().replace("\tgood", "\t?").replace("\tbad", "\tgood")
    # What is learned from the one file is wrong in the other, so that the last model is the worst.
    (tmp_path / "dev.tsv").write_text(swapped.replace("\t?", "\tbad"))
    output = tmp_path / "run"
    state = finetune(recipe(start, output, data={"eval": str(tmp_path / "dev.tsv")})).outcome.state
    lines = read_metrics(output / "metrics.jsonl")
    evaluations = {
        line["step"]: (line["accuracy"], -line["loss"]) for line in lines if line["split"] == "eval"
    }
    assert state.best_step == max(evaluations, key=lambda step: evaluations[step])
    assert state.best_step < state.step
    saved, best, last = (
        load_file(folder / "model.safetensors")
        for folder in (
            output,
            output / "checkpoints" / f"best-{state.best_step:08}",
            output / "checkpoints" / f"step-{state.step:08}",
        )
    )
    assert all(torch.equal(saved[key], best[key]) for key in saved)
    assert not all(torch.equal(saved[key], last[key]) for key in saved)


def test_the_best_model_outlives_an_interruption(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = (start / "dev.tsv").read_text().replace("\tgood", "\t?").replace("\tbad", "\tgood")
    (tmp_path / "dev.tsv").write_text(swapped.replace("\t?", "\tbad"))
    data = {"eval": str(tmp_path / "dev.tsv")}
    train = {"eval_every_steps": 4, "keep_checkpoints": 0}
    whole, stopped = (
        recipe(start, tmp_path / name, data=data, train=train) for name in ("whole", "stopped")
    )
    outcome = finetune(whole).outcome
    assert outcome.state.best_step is not None
    assert outcome.state.best_step < 40
    calls = []

    def stop_later(self: Any, *arguments: Any, original: Any = SequenceClassification.loss) -> Any:
        calls.append(None)
        if len(calls) == 50:
            signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SequenceClassification, "loss", stop_later)
        assert finetune(stopped).outcome.stopped_by is signal.SIGTERM
    names = {path.name[:5] for path in (tmp_path / "stopped" / "checkpoints").iterdir()}
    assert names == {"step-", "best-"}
    assert finetune(stopped, resume=True).outcome.state.best_step == outcome.state.best_step
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not (tmp_path / "stopped" / "checkpoints").exists()


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
    changes: dict[str, Any] = {
        "train": {"steps": 100, "checkpoint_every_steps": 20, "eval_every_steps": 25},
        "model": {"freeze_layers": 1, "reinit_layers": 1},
        "optimizer": {"layer_decay": 0.9},
    }
    finetune(recipe(start, tmp_path / "whole", **changes))
    killed = recipe(start, tmp_path / "killed", **changes)
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


def test_frozen_parts_stay_and_the_rest_moves(start: Path, tmp_path: Path) -> None:
    prepared: list[Preparation] = []
    settings = recipe(
        start,
        tmp_path / "run",
        model={"freeze_layers": 1, "reinit_layers": 1},
        data={"eval": None},
        train={"steps": 3},
    )
    finetune(settings, on_prepared=prepared.append)
    assert prepared[0].report.lines()[-1] == "frozen: bert.embeddings (5), bert.encoder (12)"
    before = dict(load_model(start / "model").model.bert.named_parameters())
    after = dict(load_model(tmp_path / "run").model.bert.named_parameters())
    for name, parameter in after.items():
        is_frozen = name.startswith(("embeddings.", "encoder.layers.0."))
        assert torch.equal(parameter, before[name]) == is_frozen, name
    # The optimizer has nothing of them.
    state = load_file(tmp_path / "run" / "checkpoints" / "step-00000003" / "optimizer.safetensors")
    assert not [key for key in state if "embeddings" in key or "layers.0." in key]


def test_what_the_model_has_not_got_is_found_before_anything_is_trained(
    start: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"model.reinit_layers \(3\) must be at most 2"):
        finetune(
            recipe(start, tmp_path / "run", model={"reinit_layers": 3}), on_prepared=pytest.fail
        )
    assert not (tmp_path / "run").exists()


def test_a_score_s_best_model_is_that_of_the_best_correlation(start: Path, tmp_path: Path) -> None:
    data = {}
    for name in ("train", "dev"):
        text = (
            (start / f"{name}.tsv").read_text().replace("\tgood", "\t4.5").replace("\tbad", "\t1")
        )
        (tmp_path / f"{name}.tsv").write_text(text)
        data["eval" if name == "dev" else name] = str(tmp_path / f"{name}.tsv")
    task = {"name": "sequence_regression"}
    train = {"steps": 30, "eval_every_steps": 3, "checkpoint_every_steps": 30}
    run = tmp_path / "run"
    outcome = finetune(recipe(start, run, task=task, data=data, train=train)).outcome
    lines = [line for line in read_metrics(run / "metrics.jsonl") if line["split"] == "eval"]
    best = max(lines, key=lambda line: line["pearson"])
    assert outcome.state.best_step == best["step"]
    assert evaluate_file(run, data["eval"])["pearson"] == pytest.approx(best["pearson"], abs=1e-4)


def test_early_stopping_ends_a_run_that_gets_no_better(start: Path, tmp_path: Path) -> None:
    settings = {"steps": 200, "eval_every_steps": 5, "early_stopping_patience": 2}
    still = {"learning_rate": 1e-12}
    outcome = finetune(recipe(start, tmp_path / "run", train=settings, optimizer=still)).outcome
    assert outcome.stopped_early
    assert (outcome.state.step, outcome.state.best_step) == (15, 5)
    # As if it had been killed before its model was left: it is over all the same.
    for name in ("run.json", "config.json", "model.safetensors"):
        (tmp_path / "run" / name).unlink()
    again = finetune(
        recipe(start, tmp_path / "run", train=settings, optimizer=still), resume=True
    ).outcome
    assert again.stopped_early
    assert (again.state.step, again.state.best_step) == (15, 5)
    assert (tmp_path / "run" / "model.safetensors").exists()
    patient = {**settings, "early_stopping_patience": 3}
    longer = recipe(start, tmp_path / "run", train=patient, optimizer=still)
    assert finetune(longer, resume=True).outcome.state.step == 20


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
            "task.colour is not a setting; those of sequence_class",
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
    with pytest.raises(ConfigError, match=r"task\.labels is .* and the run to resume was"):
        finetune(other, resume=True)
    shorter = recipe(start, start / "finished", train={"steps": 59})
    with pytest.raises(
        ConfigError, match="has done 60 steps already and is to end after 59; make it"
    ):
        finetune(shorter, resume=True)


def test_a_model_goes_with_its_run(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when Python next collects garbage: a GPU would hold two runs."""
    models = []

    def load(*args: Any, **options: Any) -> LoadedModel:
        loaded = load_pretrained(*args, **options)
        models.append(weakref.ref(loaded.model))
        return loaded

    monkeypatch.setattr(finetuning, "load_pretrained", load)
    gc.disable()
    try:
        finetune(recipe(start, start / "freed", train={"steps": 3}))
        assert [model() for model in models] == [None]
    finally:
        gc.enable()


def test_the_first_records_alone_are_read_where_so_many_are_asked_for(
    start: Path, tmp_path: Path
) -> None:
    limits = {"max_train_records": 7, "max_eval_records": 3}
    values = recipe(start, tmp_path / "run").to_dict()
    values["data"] |= limits
    values["task"] = {**values["task"], "labels": ["bad", "good"]}  # the first seven are all good
    limited = FinetuneRecipe.from_dict(values)
    prepared = prepare_finetuning(limited, task_of(limited))
    assert prepared.preparation.num_train == 7
    assert prepared.preparation.num_eval == 3
    assert sum(prepared.preparation.label_counts.values()) == 7
    texts = [each.record.fields["text"] for each in prepared.held_out_records]
    lines = (start / "dev.tsv").read_text().splitlines()[1:4]
    assert texts == [line.split("\t")[0] for line in lines]


def test_a_record_that_cannot_be_read_does_not_end_a_limited_file(
    start: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("text\tlabel\na good film .\tgood\nonly one column\na bad book .\tbad\n")
    values = recipe(start, tmp_path / "run").to_dict()
    values["data"] |= {"train": str(path), "max_train_records": 3}
    limited = FinetuneRecipe.from_dict(values)
    bad = BadRecords()
    prepared = prepare_finetuning(limited, task_of(limited), bad=bad)
    assert bad.count == 1
    assert prepared.preparation.num_train == 2
