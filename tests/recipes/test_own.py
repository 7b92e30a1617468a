"""The scripts of recipes/own: a model from text to results, its page and its card."""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import random
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import bertsmith
from bertsmith.data.prepare import PrepareSettings, prepare
from bertsmith.training.benchmark import read_benchmark
from bertsmith.training.pretrain_recipe import PretrainRecipe

ROOT = Path(__file__).parents[2]
OWN = ROOT / "recipes" / "own"
NOUNS = [f"{start}{end}" for start in "bcdfglmnp" for end in ("ira", "oto", "umen", "elas")]


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module; it imports its neighbours as when it is run."""
    monkeypatch.syspath_prepend(str(OWN))
    spec = importlib.util.spec_from_file_location(f"own_{name}", OWN / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_of(task: str, trial: int, seed: int, value: float | None) -> dict[str, Any]:
    figures = {} if value is None else {"accuracy": value, "loss": 0.5}
    settings = {"train.batch_size": 32, "optimizer.learning_rate": 3e-4}
    return {"trial": trial, "settings": settings, "seed": seed, "figures": figures}


@pytest.fixture
def results() -> dict[str, Any]:
    seeds = [run_of("sst2", 1, seed, value) for seed, value in enumerate([0.85, 0.87, None])]
    held_out = {
        "masked_lm_loss": 2.5,
        "masked_lm_accuracy": 0.5,
        "masked_lm_perplexity": 12.18,
        "next_sentence_accuracy": 0.975,
    }
    return {
        "run": "mini",
        "recipe": "recipes/own/mini.toml",
        "changes": [],
        "pretraining": {
            "steps": 50_000,
            "tokens": 6_400_000_000,
            "seconds": 1200,
            "best_step": 50_000,
            "epochs": 40,
            "wordpieces": 145_000_000,
        },
        "held_out": {"single-128": held_out, "pairs-128": held_out, "pairs-512": held_out},
        "model": "mini",
        "random_weights": False,
        "num_parameters": 11_170_560,
        "config": {"num_hidden_layers": 4, "hidden_size": 256},
        "device": "NVIDIA H200",
        "date": "2026-12-01",
        "versions": {},
        "tasks": {
            "sst2": {
                "task": "sst2",
                "figure": "accuracy",
                "mean": 0.86,
                "std": 0.01414,
                "min": 0.85,
                "max": 0.87,
                "settings": seeds[0]["settings"],
                "num_train": 67_349,
                "num_eval": 872,
                "seconds": 100.0,
                "seeds": seeds,
                "grid": seeds[:1],
            }
        },
    }


def cells(page: str, name: str) -> list[str]:
    """The cells of the first row of this name."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_page_says_what_was_measured_and_what_was_not_run(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_page = script("write_page", monkeypatch)
    page = write_page.page({"mini": results})
    assert cells(page, "SST-2, accuracy") == ["not run", "not run", "86.0 ± 1.4", "85.9"]
    assert cells(page, "CoLA, Matthews correlation") == ["not run", "not run", "not run", "0.0"]
    assert cells(page, "masked-LM perplexity, pairs of 128")[:3] == ["", "not run", "12.18"]
    assert cells(page, "next-sentence accuracy")[:3] == ["", "not run", "97.5"]
    assert "20.0 minutes on one NVIDIA H200, 50,000 steps, 6.40 billion tokens, 40 times" in page
    assert "| SST-2, accuracy | batch_size 32, learning_rate 0.0003 | 85.0, 87.0, none |" in page
    assert cells(page, "`whole-word`")[:2] == ["not run", "not run"]
    assert page.count("Pre-training: not run.") == 2
    ablation = copy.deepcopy(results)
    mrpc = copy.deepcopy(ablation["tasks"]["sst2"]) | {"figure": "f1", "mean": 0.8, "std": 0.01}
    for run in mrpc["seeds"][:2]:
        run["figures"]["f1"] = 0.8
    ablation["tasks"]["mrpc"] = mrpc
    ablation["run"] = "mini-no-nsp"
    del ablation["held_out"]["pairs-128"]
    page = write_page.page({"mini": results, "mini-no-nsp": ablation, "mini-masked-lm": ablation})
    assert cells(page, "masked-LM perplexity, pairs of 128")[:3] == ["", "", "12.18"]
    assert cells(page, "next-sentence accuracy")[:3] == ["", "", "97.5"]
    # The paper's ablations have accuracies of MRPC, where its other tables have F1.
    assert cells(page, "`no-nsp`")[:3] == ["12.18", "86.0 ± 1.4", "86.0 ± 1.4"]
    assert "| perplexity | SST-2, accuracy | MRPC, accuracy |" in page
    assert cells(page, "MRPC, F1")[1] == "80.0 ± 1.0"


def test_the_page_in_the_documents_is_that_of_the_files_of_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_page = script("write_page", monkeypatch)
    text = write_page.page(write_page.read_results())
    assert (ROOT / "docs" / "own-models.md").read_text(encoding="utf-8") == text


def test_each_ablation_changes_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = script("figures", monkeypatch)
    sections = tomllib.loads((OWN / "ablations.toml").read_text(encoding="utf-8"))
    common = sections.pop("all")
    whole = PretrainRecipe.load(OWN / "mini.toml")
    seen = [whole]
    for name, section in sections.items():
        assert name in figures.PAPER or section["is_long"]
        changes = section["changes"]
        changes = changes if section.get("is_long") else common["changes"] + changes
        recipe = PretrainRecipe.load(OWN / "mini.toml", changes)
        assert recipe not in seen, name
        seen.append(recipe)
    for model in ("mini", "small", "base"):
        assert PretrainRecipe.load(OWN / f"{model}.toml").model.preset == model


def test_the_tasks_can_be_run_with_the_real_data(shared_data: Path, tmp_path: Path) -> None:
    benchmark = read_benchmark(
        OWN / "tasks.toml", model="model", data=shared_data / "tasks", output=tmp_path
    )
    assert {task.name for task in benchmark.tasks} == {
        *("squad", "sst2", "snli", "cola", "stsb", "mrpc", "rte", "wnut17", "codah")
    }
    assert benchmark.num_seeds == 5
    for task in benchmark.tasks:
        assert len(task.points()) == (4 if task.name == "squad" else 8)


def write_corpus(folder: Path) -> None:
    """Documents about few things each."""
    folder.mkdir()
    for part, documents, seed in (("train", 300, 1), ("dev", 60, 2)):
        rng = random.Random(seed)
        texts = []
        for _ in range(documents):
            things = rng.sample(NOUNS, 3)
            lines = [
                f"The {rng.choice(things)} saw a {rng.choice(things)} near the old "
                f"{rng.choice(things)}."
                for _ in range(6)
            ]
            texts.append("\n".join(lines))
        (folder / f"text-{part}.txt").write_text("\n\n".join(texts) + "\n")


def write_tasks(folder: Path) -> None:
    """SST-2's files, with what decides at the front."""
    (folder / "sst2").mkdir(parents=True)
    for split, count, seed in (("train", 64, 1), ("dev", 32, 2)):
        rng = random.Random(seed)
        rows = [f"{rng.choice(NOUNS)} was {('bad', 'good')[i % 2]}\t{i % 2}" for i in range(count)]
        text = "sentence\tlabel\n" + "\n".join(rows) + "\n"
        (folder / "sst2" / f"{split}.tsv").write_text(text)


SETTINGS = (
    *("model.hidden_size=32", "model.num_attention_heads=2", "model.intermediate_size=64"),
    *("model.num_hidden_layers=1", "model.max_position_embeddings=64"),
    *("data.max_seqlen=64", "data.short_seqlen=32", "data.eval_tokens=4096"),
    *("train.steps=8", "train.budget_minutes=", "train.batch_tokens=512", "train.compile=false"),
    *("train.precision=fp32", "train.device=cpu", "schedule.warmup_steps=2"),
)


TASK_SETTINGS = (
    *("optimizer.learning_rate=[3e-4, 1e-3]", "train.batch_size=16"),
    *("train.epochs=1", "train.device=cpu"),
)


@pytest.mark.slow
def test_a_model_is_made_from_text_to_results_and_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "corpus")
    write_tasks(tmp_path / "tasks")

    def make(*more: str, settings: tuple[str, ...] = SETTINGS) -> None:
        command = [sys.executable, str(OWN / "make.py"), "mini", "--output", str(tmp_path / "own")]
        command += ["--corpus", str(tmp_path / "corpus"), "--tasks", str(tmp_path / "tasks")]
        command += ["--workers", "1", "--task-names", "sst2", *more, *settings]
        for setting in TASK_SETTINGS:
            command += ["--task-setting", setting]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr

    make()
    made = json.loads((tmp_path / "own/results/mini.json").read_text())
    assert made["pretraining"]["steps"] == 8
    assert made["pretraining"]["tokens"] > 2000
    assert set(made["held_out"]) == {"single-128", "pairs-128", "pairs-512"}
    assert made["held_out"]["pairs-128"]["masked_lm_perplexity"] > 1
    (sst2,) = made["tasks"].values()
    assert [run["seed"] for run in sst2["seeds"]] == [1, 2, 3, 4, 5]
    assert len(sst2["grid"]) == 2
    # The same line again makes nothing again.
    weights = tmp_path / "own/mini/model.safetensors"
    before = weights.read_bytes(), (tmp_path / "own/mini/metrics.jsonl").read_bytes()
    measured_at = (tmp_path / "own/mini/held-out.json").stat().st_mtime_ns
    make("--from", "pretrain", "--until", "held-out")
    assert before == (weights.read_bytes(), (tmp_path / "own/mini/metrics.jsonl").read_bytes())
    assert measured_at == (tmp_path / "own/mini/held-out.json").stat().st_mtime_ns
    make("--random-weights", settings=())
    twin = json.loads((tmp_path / "own/results/mini-random.json").read_text())
    assert twin["random_weights"]
    assert twin["pretraining"] is None
    # An encoder that sees no later wordpiece has another objective, and no pairs.
    make("--ablation", "left-to-right")
    other = json.loads((tmp_path / "own/results/mini-left-to-right.json").read_text())
    assert other["config"]["encoder"] == "left_to_right"
    assert set(other["held_out"]) == {"single-128"}
    assert other["held_out"]["single-128"]["next_token_perplexity"] > 1

    ship = script("ship", monkeypatch)
    arguments = ["ship.py", "mini", "--runs", str(tmp_path / "own")]
    arguments += ["--results", str(tmp_path / "own/results"), "--output", str(tmp_path / "shipped")]
    monkeypatch.setattr(sys, "argv", arguments)
    ship.main()
    folder = tmp_path / "shipped" / "bertsmith-mini"
    tensors = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card
    assert "CC BY-SA" in card
    assert "| masked lm perplexity |" in card
    assert f"{100 * sst2['mean']:.1f} ±" in card
    bertsmith.load_model(folder)


def test_held_out_text_is_measured_once_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = script("make", monkeypatch)
    run = tmp_path / "mini"
    run.mkdir()
    config = {"max_position_embeddings": 512, "bertsmith": {"tasks": ["masked_lm"]}}
    (run / "config.json").write_text(json.dumps(config))
    asked: list[object] = []

    def bertsmith(*words: object, capture: bool = False) -> str:
        asked.append(words)
        return '{"masked_lm_loss": 2.5}'

    monkeypatch.setattr(make, "bertsmith", bertsmith)
    args = argparse.Namespace(output=tmp_path)
    model, held_out = run / "model.safetensors", run / "held-out.json"
    model.write_bytes(b"weights")
    for _ in range(2):
        make.measure_on_text(args, "mini")
    assert len(asked) == 1
    assert json.loads(held_out.read_text())["single-128"] == {"masked_lm_loss": 2.5}
    # A run that went on has another model.
    model.write_bytes(b"others")
    make.measure_on_text(args, "mini")
    assert len(asked) == 2


def test_results_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = script("make", monkeypatch)
    path = tmp_path / "results.json"
    make.write_json(path, {"a": "é"})
    assert path.read_text(encoding="utf-8") == '{\n "a": "é"\n}\n'

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make.write_json(path, {"a": "b"})
    monkeypatch.undo()
    assert [(each.name, json.loads(each.read_text())) for each in tmp_path.iterdir()] == [
        ("results.json", {"a": "é"})
    ]


def shards_of(folder: Path, model: Path) -> Path:
    write_corpus(folder / "corpus")
    tokenizer = bertsmith.Tokenizer.load(model)
    settings = PrepareSettings(language=None)
    text = folder / "corpus" / "text-dev.txt"
    prepare([text], tokenizer, folder / "shards" / "dev", settings, workers=1)
    return folder / "shards" / "dev"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of runs with a model of random weights, and text."""
    from bertsmith.config import BertConfig
    from bertsmith.tasks.model import BertForTasks
    from bertsmith.tasks.registry import build_task

    lines = [f"the {noun} saw a near old ." for noun in NOUNS]
    tokenizer, _ = bertsmith.train_vocabulary(lines, size=200)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    model = BertForTasks(config, [build_task("masked_lm"), build_task("next_sentence")])
    bertsmith.save_model(tmp_path / "mini", model, tokenizer)
    shards_of(tmp_path, tmp_path / "mini")
    return tmp_path


def test_what_would_be_too_large_or_too_different_is_not_shipped(
    run: Path, results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ship = script("ship", monkeypatch)
    (run / "results").mkdir()
    (run / "results" / "mini.json").write_text(json.dumps(results))
    arguments = ["ship.py", "mini", "--runs", str(run), "--results", str(run / "results")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--output", str(run / "shipped")])
    monkeypatch.setattr(ship, "MOST_BYTES", 1000)
    with pytest.raises(SystemExit, match=r"bertsmith-mini would take .* bytes and may take 1,000"):
        ship.main()
    monkeypatch.setattr(ship, "MOST_BYTES", 25_000_000)
    monkeypatch.setattr(ship, "TOLERANCE", 0.0)
    with pytest.raises(SystemExit, match="in bfloat16 the held-out masked-LM loss is"):
        ship.main()
    assert not (run / "shipped").exists()
    monkeypatch.setattr(ship, "TOLERANCE", 0.05)
    ship.main()
    card = (run / "shipped" / "bertsmith-mini" / "README.md").read_text(encoding="utf-8")
    assert "20.0 minutes on one NVIDIA H200" in card
    assert "| SST-2, accuracy | 86.0 ± 1.4 |" in card
    assert "$" not in card
