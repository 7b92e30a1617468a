"""`bertsmith convert`: Google's checkpoints and folders of others become model folders."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from bertsmith.cli.main import main
from bertsmith.export.model_folder import load_model

Capture = pytest.CaptureFixture[str]
GOLDEN = Path(__file__).parent.parent / "parity" / "data" / "tensorflow"


CASES = {
    "pretrained": ("BertForPreTraining", ["masked_lm", "next_sentence"]),
    "pretrained/bert_model.ckpt": ("BertForPreTraining", ["masked_lm", "next_sentence"]),
    "shards": ("BertModel", []),
    "fine-tuned/classifier.ckpt-343": (
        "BertForSequenceClassification",
        ["sequence_classification"],
    ),
    "fine-tuned/squad.ckpt-343": ("BertForQuestionAnswering", ["question_answering"]),
    "model-garden/named": ("BertModel", []),
}


@pytest.mark.parametrize("name", CASES)
def test_googles_checkpoints_become_folders(tmp_path: Path, capsys: Capture, name: str) -> None:
    architecture, tasks = CASES[name]
    output = tmp_path / "model"
    assert main(["convert", str(GOLDEN / name), str(output)]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts["tasks"] == tasks
    said = captured.err.splitlines()
    assert said[0].startswith("read: bert.embeddings (5), bert.encoder (")
    assert said[1] == "new, to be trained: nothing"
    assert said[-1] == f"next: bertsmith info {output}"
    _, info = getattr(transformers, architecture).from_pretrained(output, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    transformers.AutoTokenizer.from_pretrained(output)


def test_weights_can_be_kept_in_half_the_room(tmp_path: Path) -> None:
    source = str(GOLDEN / "pretrained")
    assert main(["convert", source, str(tmp_path / "whole")]) == 0
    assert main(["convert", source, str(tmp_path / "half"), "--dtype", "bf16"]) == 0
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    half = load_file(tmp_path / "half" / "model.safetensors")
    assert whole.keys() == half.keys()
    for name, tensor in half.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, whole[name].bfloat16())
    # Whoever opens it computes in float32, on these numbers.
    theirs = transformers.BertForPreTraining.from_pretrained(tmp_path / "half")
    assert theirs.dtype == torch.float32
    ours = load_model(tmp_path / "half").model.bert.embeddings.wordpiece.weight
    assert torch.equal(ours, theirs.bert.embeddings.word_embeddings.weight)


def test_other_rules_throw_no_setting_of_the_tokenizer_away(
    tmp_path: Path, capsys: Capture
) -> None:
    folder, output = tmp_path / "folder", str(tmp_path / "output")
    assert main(["convert", str(GOLDEN / "pretrained"), str(folder)]) == 0
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"strip_accents": False}))
    assert main(["convert", str(folder), output, "--normalization", "huggingface"]) == 0
    stored = json.loads((tmp_path / "output" / "tokenizer_config.json").read_text())
    assert stored["strip_accents"] is False
    capsys.readouterr()
    assert main(["convert", str(folder), output, "--normalization", "google"]) == 2
    assert "strip_accents that Google's rules do not have" in capsys.readouterr().err


def test_the_published_zip_and_its_folder_are_the_same(tmp_path: Path) -> None:
    archive = tmp_path / "uncased_L-2.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (GOLDEN / "pretrained").iterdir():
            if path.suffix != ".npz":
                file.write(path, f"uncased_L-2/{path.name}")
    assert main(["convert", str(archive), str(tmp_path / "a")]) == 0
    assert main(["convert", str(GOLDEN / "pretrained"), str(tmp_path / "b")]) == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    # What was converted can be converted again, and is what it was.
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "c")]) == 0
    weights = "model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "c" / weights).read_bytes()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere/at/all", "nowhere/at/all"),
        ("some-owner/some-model", "could not be had from Hugging Face's hub ("),
        ("some-owner/some-model@main", "fetch it where there is a network, or give the path"),
        ("runs/mini", "runs/mini is not a folder"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert main(["convert", source, "out"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
