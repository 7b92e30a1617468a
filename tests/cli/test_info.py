"""`bertsmith info`: facts as JSON, a sentence, and a next command that fits what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import save

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


def info(path: Path, capsys: Capture) -> tuple[dict[str, object], str, str]:
    assert main(["info", str(path)]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    sentence, *_, following = captured.err.splitlines()
    return json.loads(line), sentence, following


def test_a_model_is_explained(pretrained: Path, classifier: Path, capsys: Capture) -> None:
    facts, sentence, following = info(pretrained, capsys)
    assert (facts["kind"], facts["tasks"]) == ("model", ["masked_lm"])
    assert sentence.startswith(f"{pretrained} is a model: 1 layer of 16, ")
    assert following.startswith(f"next: bertsmith fill-mask --model {pretrained} ")
    assert main(["info", str(pretrained)]) == 0
    assert capsys.readouterr().err.splitlines()[1:4] == [
        "read: bert.embeddings (5), bert.encoder (12), heads.masked_lm (5)",
        "new, to be trained: nothing",
        "left over: nothing",
    ]
    facts, _, following = info(classifier, capsys)
    assert facts["tasks"] == ["sequence_classification"]
    assert following == f"next: bertsmith predict --model {classifier} --input FILE"


@pytest.mark.parametrize(
    "task", ["token_classification", "question_answering", "multiple_choice", "sequence_regression"]
)
def test_every_fine_tuned_model_is_to_be_asked(tmp_path: Path, capsys: Capture, task: str) -> None:
    labels = {"labels": ["O", "B-X"]} if task == "token_classification" else {}
    model = save(tmp_path / "model", task, **labels)
    assert info(model, capsys)[2] == f"next: bertsmith predict --model {model} --input FILE"


@pytest.mark.parametrize(
    ("section", "verb"), [("", "pretrain"), ('[data]\nname = "glue:mrpc"', "finetune")]
)
def test_an_unfinished_run_goes_on_with_its_own_recipe(
    tmp_path: Path, capsys: Capture, section: str, verb: str
) -> None:
    (tmp_path / "recipe.toml").write_text(section)
    facts, _, following = info(tmp_path, capsys)
    assert facts["kind"] == "unfinished run"
    assert following == f"next: bertsmith {verb} {tmp_path / 'recipe.toml'} --resume"


def test_a_vocabulary_is_explained(pretrained: Path, capsys: Capture) -> None:
    facts, sentence, following = info(pretrained / "vocab.txt", capsys)
    assert (facts["kind"], facts["vocab_size"]) == ("vocabulary", 11)
    assert sentence.endswith(" is a vocabulary: 11 wordpieces, uncased")
    assert following.startswith("next: bertsmith prepare TEXT --vocab ")


def test_a_corpus_is_explained(pretrained: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.txt").write_text("Good film.\nBad film.\n\nA film.\n")
    shards = tmp_path / "shards"
    arguments = [str(tmp_path / "a.txt"), "--vocab", str(pretrained), "--output", str(shards)]
    assert main(["prepare", *arguments, "--workers", "1"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"next: bertsmith info {shards}"
    facts, sentence, following = info(shards, capsys)
    assert facts["kind"] == "corpus"
    assert sentence.endswith(" 2 documents, 3 sentences, 9 wordpieces; shards: 1")
    assert following == f"next: bertsmith pretrain RECIPE.toml data.train={shards}"


def test_a_corpus_is_verified_where_that_is_asked_for(
    pretrained: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "a.txt").write_text("Good film.\nBad film.\n\nA film.\n")
    shards = tmp_path / "shards"
    arguments = [str(tmp_path / "a.txt"), "--vocab", str(pretrained), "--output", str(shards)]
    assert main(["prepare", *arguments, "--workers", "1"]) == 0
    capsys.readouterr()
    assert main(["info", str(shards), "--verify"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["is_verified"] is True
    assert captured.err.splitlines()[1] == "the checksums of 1 shard are right"
    (shard,) = shards.glob("*.safetensors")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert main(["info", str(shards)]) == 0  # which reads no wordpieces
    capsys.readouterr()
    assert main(["info", str(shards), "--verify"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"bertsmith: {shard} is damaged: its checksum is not the one")


def test_only_a_corpus_can_be_verified(pretrained: Path, capsys: Capture) -> None:
    assert main(["info", str(pretrained / "vocab.txt"), "--verify"]) == 2
    assert "--verify reads the shards of a prepared corpus, and " in capsys.readouterr().err


def test_a_recipe_is_explained(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[data]\ntrain = "shards"\n[train]\noutput = "run"\nsteps = 10\n')
    facts, sentence, following = info(path, capsys)
    assert (facts["kind"], facts["verb"]) == ("recipe", "pretrain")
    assert "bertsmith pretrain" in sentence
    assert following == f"next: bertsmith pretrain {path}"


def test_a_recipe_of_fine_tuning_is_followed_by_its_command(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "r.toml"
    sections = ['[task]\nname = "sequence_classification"', '[model]\ninit = "m"']
    sections += ['[data]\ntrain = "a.tsv"\neval = "b.tsv"', '[train]\noutput = "run"']
    path.write_text("\n".join(sections))
    facts, sentence, following = info(path, capsys)
    assert (facts["kind"], facts["verb"]) == ("recipe", "finetune")
    assert "for bertsmith finetune; its " in sentence
    assert following == f"next: bertsmith finetune {path}"


@pytest.mark.parametrize("name", ["nowhere", "empty", "image.png", "story.txt"])
def test_what_is_nothing_is_one_sentence(tmp_path: Path, capsys: Capture, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "story.txt").write_text("Once upon a time.")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    assert main(["info", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"bertsmith: {tmp_path / name} ")
    assert captured.err.count("\n") == 1
