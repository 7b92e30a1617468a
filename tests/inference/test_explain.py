"""Every kind of thing that the package writes is told apart and described; others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.data.prepare import PrepareSettings, prepare
from bertsmith.errors import BertsmithError, CheckpointError, ConfigError
from bertsmith.export.model_folder import load_model
from bertsmith.inference.explain import explain
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.checkpoint import Checkpoints, TrainingState, take_snapshot
from bertsmith.training.optimizer import OptimizerSettings, build_optimizers

PRETRAIN = '[data]\ntrain = "shards"\n[train]\noutput = "run"\nsteps = 10\n'
FINETUNE = (
    '[task]\nname = "sequence_classification"\n[model]\ninit = "model"\n'
    '[data]\ntrain = "a.tsv"\n[train]\noutput = "run"\n'
)


def facts_of(path: Path) -> dict[str, Any]:
    facts = explain(path)
    assert facts["path"] == str(path)
    return json.loads(json.dumps(facts, default=str))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", ""])
def test_a_vocabulary_is_counted(pretrained: Path, tmp_path: Path, name: str) -> None:
    tokenizer = Tokenizer.load(pretrained)
    tokenizer.save(tmp_path)
    facts = facts_of(tmp_path / name)
    assert facts["kind"] == "vocabulary"
    assert (facts["vocab_size"], facts["lowercase"]) == (20, True)
    assert (facts["continuations"], facts["unused"]) == (1, 0)
    assert facts["longest"] == "capital"
    assert facts["sha256"] == tokenizer.vocabulary.sha256


def test_a_corpus_is_counted(pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Paris is the capital.\nA good film.\n\nFrance.\n")
    tokenizer = Tokenizer.load(pretrained)
    settings = PrepareSettings(language=None)
    prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "shards", settings, workers=1)
    facts = facts_of(tmp_path / "shards")
    counted = [facts[key] for key in ("kind", "documents", "sentences", "wordpieces", "shards")]
    assert counted == ["corpus", 2, 3, 11, 1]


NAMED = '[model]\ninit = "model"\n[data]\nname = "glue:mrpc"\n[train]\noutput = "run"\n'


@pytest.mark.parametrize(
    ("text", "verb"), [(PRETRAIN, "pretrain"), (FINETUNE, "finetune"), (NAMED, "finetune")]
)
def test_a_recipe_is_shown_with_its_defaults(tmp_path: Path, text: str, verb: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    facts = facts_of(path)
    assert (facts["kind"], facts["verb"]) == ("recipe", verb)
    assert facts["settings"]["train"]["output"] == "run"
    assert facts["settings"]["train"]["seed"] == 12345  # which the file does not say


def test_a_model_is_described(pretrained: Path, classifier: Path) -> None:
    facts = facts_of(pretrained)
    assert (facts["kind"], facts["tasks"]) == ("model", ["masked_lm", "next_sentence"])
    assert facts["config"]["hidden_size"] == 32
    model = load_model(pretrained).model
    assert facts["num_parameters"] == sum(p.numel() for p in model.parameters())
    assert (facts["weights"]["new"], facts["weights"]["left_over"]) == ([], [])
    assert facts["weights"]["used"] > 0
    assert facts_of(classifier)["tasks"] == ["sequence_classification"]


def test_a_checkpoint_is_a_model_and_where_its_run_is(pretrained: Path, tmp_path: Path) -> None:
    loaded = load_model(pretrained)
    optimizers = build_optimizers(loaded.model.named_parameters(), OptimizerSettings())
    state = TrainingState(step=7, tokens=1000, best_step=5, recipe={"train": {"seed": 3}})
    snapshot = take_snapshot(state, loaded.model, loaded.tokenizer, optimizers)
    path = Checkpoints(tmp_path / "checkpoints", keep=1).save(snapshot)
    assert facts_of(path)["recipe_file"] is None
    (tmp_path / "recipe.toml").write_text("")
    facts = facts_of(path)
    assert facts["kind"] == "checkpoint"
    assert (facts["verb"], facts["recipe_file"]) == ("pretrain", str(tmp_path / "recipe.toml"))
    assert (facts["step"], facts["tokens"], facts["best_step"]) == (7, 1000, 5)
    assert facts["recipe"] == {"train": {"seed": 3}}
    assert facts["tasks"] == ["masked_lm", "next_sentence"]


def write_nothing(path: Path) -> None:
    pass


def write_folder(path: Path) -> None:
    path.mkdir()


def write_bytes(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def write_list(path: Path) -> None:
    path.write_text("[1, 2]")


def write_number(path: Path) -> None:
    path.write_text("3")


def write_torn_manifest(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text("{")


def write_torn_state(path: Path) -> None:
    path.mkdir()
    (path / "training.json").write_text("{")


@pytest.mark.parametrize(
    ("name", "write", "error", "message"),
    [
        ("nowhere", write_nothing, ConfigError, "nowhere does not exist; name a file or a folder"),
        ("folder", write_folder, ConfigError, "folder is not a vocabulary, a prepared corpus, a"),
        ("a.bin", write_bytes, ConfigError, r"a\.bin is not a vocabulary"),
        ("a.json", write_bytes, CheckpointError, r"a\.json is not valid JSON \("),
        ("a.json", write_number, ConfigError, r"a\.json is not a vocabulary"),
        ("a.json", write_list, ConfigError, r"a\.json is not a vocabulary"),
        ("a.txt", write_bytes, BertsmithError, r"a\.txt"),
        ("a.toml", write_bytes, BertsmithError, r"a\.toml"),
        ("shards", write_torn_manifest, BertsmithError, r"manifest\.json"),
        ("step-1", write_torn_state, CheckpointError, r"training\.json is missing, damaged or of"),
    ],
)
def test_what_is_none_of_these_is_refused_by_name(
    tmp_path: Path, name: str, write: Any, error: type[BertsmithError], message: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(error, match=message):
        explain(tmp_path / name)
