"""`mode = "features"`: a BiLSTM learns over an encoder that not a bit of changes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.mood_runs import mood_recipe
from tests.training.test_finetuning import FILES, KILLED

from bertsmith.errors import ConfigError
from bertsmith.export.model_folder import load_model
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.inference.predictor import Predictor
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Finetuned, finetune

LAYERS = {"layers": ["embeddings", -1], "lstm_hidden_size": 24}


def features_recipe(start: Path, output: Path, **changes: Any) -> FinetuneRecipe:
    changes = {"features": LAYERS} | changes
    values = mood_recipe(start, output).to_dict()
    for section, settings in changes.items():
        values[section] = values.get(section, {}) | settings
    return FinetuneRecipe.from_dict(values | {"mode": "features"})


@pytest.fixture(scope="module")
def finished(start: Path) -> tuple[Finetuned, FinetuneRecipe]:
    settings = features_recipe(start, start / "features")
    return finetune(settings), settings


Finished = tuple[Finetuned, FinetuneRecipe]


def test_it_learns_is_measured_and_answers(finished: Finished) -> None:
    finetuned, settings = finished
    output = settings.train.output
    assert finetuned.outcome.figures["accuracy"] == 1.0
    assert settings.data.eval is not None
    assert evaluate_file(output, settings.data.eval) == pytest.approx(finetuned.outcome.figures)
    answers = Predictor.load(output).predict(["a great film .", "a dull play ."])
    assert [answer["label"] for answer in answers] == ["good", "bad"]
    read, new, _ = finetuned.preparation.report.lines()
    assert "bert.encoder" in read
    assert new.startswith("new, to be trained: features (")
    assert "bert" not in new


def test_the_encoder_is_the_one_it_started_from_to_the_bit(finished: Finished, start: Path) -> None:
    _, settings = finished
    before, after = (
        dict(load_model(folder).model.bert.named_parameters())
        for folder in (start / "model", settings.train.output)
    )
    assert before.keys() == after.keys()  # the pooler too, though nothing reads it
    assert all(torch.equal(before[name], after[name]) for name in before)
    state = load_file(settings.train.output / "checkpoints/step-00000060/optimizer.safetensors")
    assert {name.split(".")[0] for name in state} == {"features", "heads"}
    texts = ["a great film .", "a dull play ."]
    vectors = [
        Embedder.load(folder).embed(texts) for folder in (start / "model", start / "features")
    ]
    assert (vectors[0] == vectors[1]).all()


def test_the_recipe_is_written_out_whole(finished: Finished) -> None:
    _, settings = finished
    path = settings.train.output / "recipe.toml"
    assert FinetuneRecipe.load(path) == settings
    written = tomllib.loads(path.read_text())
    assert written["mode"] == "features"
    own = {"combine": "concat", "layer_norm": False, "lstm_layers": 2}
    assert written["features"] == LAYERS | own


def test_answers_are_found_by_features(start: Path, tmp_path: Path) -> None:
    words = ["good", "fine", "great", "bad", "poor", "dull"]
    rows = [
        {"id": f"{word}{thing}", "question": f"a {thing} .", "context": f"{thing} {word} . book",
         "answers": {"text": [word], "answer_start": [len(thing) + 1]}}
        for word in words for thing in ("film", "book")
    ]  # fmt: skip
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    data = {"train": str(path), "eval": str(path), "max_seqlen": 16}
    finished = finetune(
        features_recipe(start, tmp_path / "run", task={"name": "question_answering"}, data=data)
    )
    assert finished.outcome.figures["exact_match"] == 1.0
    figures = evaluate_file(tmp_path / "run", path)
    assert figures == pytest.approx(finished.outcome.figures)
    answers = Predictor.load(tmp_path / "run").predict(rows[:2])
    assert [answer["answer"] for answer in answers] == ["good", "good"]


@pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")
def test_a_killed_run_resumes_to_the_same_bits(start: Path, tmp_path: Path) -> None:
    every = {"steps": 100, "checkpoint_every_steps": 20, "eval_every_steps": 25}
    features = LAYERS | {"combine": "weighted_sum"}
    whole, killed = (
        features_recipe(start, tmp_path / name, train=every | {"output": str(tmp_path / name)},
                        features=features)
        for name in ("whole", "killed")
    )  # fmt: skip
    finetune(whole)
    path = tmp_path / "recipe.toml"
    path.write_text(killed.to_toml())
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    torch.rand(1000)  # whatever happens to the generators in between must not matter
    assert finetune(killed, resume=True).outcome.state.step == 100
    for name in FILES:
        one, other = (
            load_file(tmp_path / run / "checkpoints" / "step-00000100" / name)
            for run in ("whole", "killed")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name


def test_the_mode_has_defaults_of_its_own() -> None:
    values: dict[str, Any] = {
        "task": {"name": "sequence_classification"},
        "model": {"init": "bert"},
        "data": {"train": "train.tsv"},
        "train": {"output": "out"},
    }
    features = FinetuneRecipe.from_dict(values | {"mode": "features"})
    assert (features.optimizer.name, features.optimizer.learning_rate) == ("adamw", 1e-3)
    assert features.train.epochs == 5
    assert features.features_config == FeaturesConfig()
    changed = values | {"mode": "features", "optimizer": {"learning_rate": 3e-4}}
    assert FinetuneRecipe.from_dict(changed).optimizer.name == "adamw"
    assert FinetuneRecipe.from_dict(changed).optimizer.learning_rate == 3e-4
    finetuning = FinetuneRecipe.from_dict(values)
    assert (finetuning.mode, finetuning.features_config) == ("finetune", None)
    assert "features" not in finetuning.to_dict()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"features": {"layers": [-1]}}, "set mode = 'features'"),
        ({"mode": "frozen"}, r"mode \('frozen'\) must be one of finetune, features"),
        ({"mode": "features", "features": {"layers": []}}, r"features.layers \(\[\]\) must name"),
        ({"mode": "features", "features": {"layers": ["first"]}},
         'a list of layers: numbers, -1 for the last and 0 for the first, or "embeddings"'),
        ({"mode": "features", "features": {"layer": [-1]}}, "did you mean features.layers"),
        ({"mode": "features", "features": {"combine": "sum"}}, "one of concat, weighted_sum"),
        ({"mode": "features", "optimizer": {"name": "muon"}}, "choose adamw or bert_adam"),
        ({"mode": "features", "train": 3}, r"train \(3\) must be a section"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(start: Path, values: Any, message: str) -> None:
    plain = mood_recipe(start, start / "refused").to_dict()
    with pytest.raises(ConfigError, match=message) as error:
        FinetuneRecipe.from_dict(plain | values)
    assert str(error.value).count("\n") == 0


def test_a_layer_that_is_not_there_is_refused_before_anything_is_trained(
    start: Path, tmp_path: Path
) -> None:
    settings = features_recipe(start, tmp_path / "run", features={"layers": [-3]})
    with pytest.raises(ConfigError, match=r"features\.layers names -3 and the model has 2"):
        finetune(settings)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_in_another_mode(finished: Finished, start: Path) -> None:
    _, settings = finished
    for other, name in (
        (mood_recipe(start, settings.train.output), "mode"),
        (
            features_recipe(start, settings.train.output, features={"layers": [-1]}),
            "features.layers",
        ),
    ):
        with pytest.raises(ConfigError, match=f"{name} is .* and the run to resume was"):
            finetune(other, resume=True)


def test_nothing_of_the_encoder_can_be_frozen_or_begun_anew_beside_it(start: Path) -> None:
    values = features_recipe(start, start / "refused").to_dict()
    with pytest.raises(ConfigError, match="leaves the whole encoder as it is; remove them"):
        FinetuneRecipe.from_dict(values | {"model": values["model"] | {"reinit_layers": 1}})


def test_encoder_and_bilstm_learn_together(start: Path, tmp_path: Path) -> None:
    values = features_recipe(start, tmp_path / "run", features={"layers": [-1]}).to_dict()
    recipe = FinetuneRecipe.from_dict(values | {"mode": "finetune_bilstm"})
    assert FinetuneRecipe.from_dict(recipe.to_dict()) == recipe
    finetuned = finetune(recipe)
    assert finetuned.outcome.figures["accuracy"] == 1.0
    loaded = load_model(tmp_path / "run").model
    assert loaded.features is not None
    assert not loaded.features.settings.is_frozen
    before = dict(load_model(start / "model").model.bert.named_parameters())
    changed = {
        name
        for name, parameter in loaded.bert.named_parameters()
        if not torch.equal(parameter, before[name])
    }
    # Positions and segments that no text has stay as they were, and so does the pooler.
    assert {name for name in before if "pooler" not in name} == changed
    assert evaluate_file(tmp_path / "run", start / "dev.tsv") == pytest.approx(
        finetuned.outcome.figures
    )


def test_an_encoder_that_learns_drops_out_and_one_that_is_fixed_does_not() -> None:
    from bertsmith.config import BertConfig
    from bertsmith.tasks.model import BertForTasks
    from bertsmith.tasks.registry import build_task

    config = BertConfig.preset("tiny", vocab_size=20)
    for is_frozen in (True, False):
        task = build_task("sequence_classification", labels=["a", "b"])
        features = FeaturesConfig(layers=(-1,), lstm_hidden_size=4, is_frozen=is_frozen)
        model = BertForTasks(config, [task], features=features).train()
        assert model.bert.training is not is_frozen
        assert all(p.requires_grad is not is_frozen for p in model.bert.parameters())
