"""Folders that `transformers` opens, and gives the same numbers from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError, DataError
from bertsmith.export.model_folder import load_model, load_pretrained, save_model
from bertsmith.ops.attention import sdpa
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dogs", "ran", ".", ",", "##s", "##ed"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
CONFIG = BertConfig(
    vocab_size=len(PIECES),
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=16,
)
ROWS = [[2, 5, 6, 7, 3, 8, 9, 10, 3], [2, 11, 4, 3, 12, 3], [2, 4, 3, 5, 3]]
SEGMENTS = [[0, 0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]
MASKED = torch.tensor([1, 11, 16])
ARCHITECTURES = {
    "BertForPreTraining": ["masked_lm", "next_sentence"],
    "BertForMaskedLM": ["masked_lm"],
    "BertForNextSentencePrediction": ["next_sentence"],
    "BertForSequenceClassification": ["sequence_classification"],
}


def tasks_of(names: Sequence[str]) -> list[Task]:
    settings: dict[str, dict[str, Any]] = {
        "sequence_classification": {"labels": ["good", "bad", "ugly"]}
    }
    return [build_task(name, **settings.get(name, {})) for name in names]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)


# Rounding grows with the weights: at the published 0.02 float32 agrees to 1e-5 on any platform.
# Weights of 0.5 tell two wirings apart better, so they are compared in float64, where rounding is
# far below any mistake.
PRECISIONS = {"published": (0.02, torch.float32, 1e-5), "large": (0.5, torch.float64, 1e-10)}


def build(names: Sequence[str], initializer_range: float = 0.5, **changes: Any) -> BertForTasks:
    torch.manual_seed(0)
    config = CONFIG.replace(initializer_range=initializer_range, **changes)
    model = BertForTasks(config, tasks_of(names), attention=sdpa).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * initializer_range * torch.randn_like(parameter))
    return model


def padded(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor([row + [0] * (9 - len(row)) for row in rows])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_transformers_opens_a_saved_folder_and_agrees(
    tmp_path: Path, tokenizer: Tokenizer, architecture: str, hidden_act: str, precision: str
) -> None:
    names = ARCHITECTURES[architecture]
    initializer_range, dtype, tolerance = PRECISIONS[precision]
    model = build(names, initializer_range, hidden_act=hidden_act)
    save_model(tmp_path / "model", model, tokenizer)
    theirs, info = getattr(transformers, architecture).from_pretrained(
        tmp_path / "model", output_loading_info=True, attn_implementation="eager"
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    model.to(dtype)
    batch = Batch.from_sequences(ROWS, SEGMENTS)
    mask = padded([[1] * len(row) for row in ROWS])
    with torch.no_grad():
        ours = model(batch, {"masked_positions": MASKED})
        hidden_states = model.bert(batch).hidden_states
        outputs = theirs.eval().to(dtype)(
            input_ids=padded(ROWS),
            token_type_ids=padded(SEGMENTS),
            attention_mask=mask,
            output_hidden_states=True,
        )
    rows, columns = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 1])
    if "masked_lm" in names:
        logits = outputs["prediction_logits" if len(names) > 1 else "logits"][rows, columns]
        torch.testing.assert_close(ours["masked_lm"], logits, atol=tolerance, rtol=0)
    if "next_sentence" in names:
        logits = outputs["seq_relationship_logits" if len(names) > 1 else "logits"]
        torch.testing.assert_close(ours["next_sentence"], logits, atol=tolerance, rtol=0)
    if "sequence_classification" in names:
        logits = outputs["logits"]
        torch.testing.assert_close(ours["sequence_classification"], logits, atol=tolerance, rtol=0)
        assert theirs.config.id2label == {0: "good", 1: "bad", 2: "ugly"}
    expected = outputs["hidden_states"][-1][mask == 1]
    torch.testing.assert_close(hidden_states, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_written_by_transformers_opens_here_and_agrees(
    tmp_path: Path, tokenizer: Tokenizer, architecture: str, precision: str
) -> None:
    initializer_range, dtype, tolerance = PRECISIONS[precision]
    values = CONFIG.replace(initializer_range=initializer_range).to_dict()
    config = transformers.BertConfig(**values, num_labels=3)
    torch.manual_seed(0)
    theirs = getattr(transformers, architecture)(config).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    loaded = load_model(tmp_path, attention=sdpa)
    assert [task.name for task in loaded.model.tasks] == ARCHITECTURES[architecture]
    assert loaded.report.new == []
    model = loaded.model.to(dtype)
    with torch.no_grad():
        hidden_states = model.bert(Batch.from_sequences(ROWS[:1])).hidden_states
        expected = theirs.to(dtype).bert(input_ids=torch.tensor(ROWS[:1])).last_hidden_state[0]
    torch.testing.assert_close(hidden_states, expected, atol=tolerance, rtol=0)


def test_saving_and_opening_gives_the_same_bits(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = build(["masked_lm", "next_sentence"])
    save_model(tmp_path / "model", model, tokenizer)
    again = load_model(tmp_path / "model").model
    for (name, ours), (same, theirs) in zip(
        model.named_parameters(), again.named_parameters(), strict=True
    ):
        assert name == same
        assert torch.equal(ours, theirs)
    decoder = again.heads["masked_lm"].decoder_weight
    assert decoder is again.bert.embeddings.wordpiece.weight


def test_a_new_head_is_reported_and_everything_else_is_taken(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    pretrained = build(["masked_lm", "next_sentence"])
    save_model(tmp_path / "model", pretrained, tokenizer)
    loaded = load_pretrained(tmp_path / "model", tasks_of(["sequence_classification"]))
    assert sorted(loaded.report.new) == [
        "heads.sequence_classification.classifier.bias",
        "heads.sequence_classification.classifier.weight",
    ]
    assert "cls.predictions.bias" in loaded.report.left_over
    expected = dict(pretrained.bert.named_parameters())
    for name, parameter in loaded.model.bert.named_parameters():
        assert torch.equal(parameter, expected[name]), name


def damage_nothing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def damage_bytes(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def damage_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 128}))


def damage_layers(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))


def damage_vocabulary(folder: Path) -> None:
    longer = Tokenizer.from_vocabulary(Vocabulary([*PIECES, "more"]), lowercase=True)
    longer.save(folder)


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def damage_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config = config | {"architectures": ["BertForDreaming"]}
    del config["bertsmith"]
    (folder / "config.json").write_text(json.dumps(config))


def damage_positions(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["position_embedding_type"] = "relative_key"
    (folder / "config.json").write_text(json.dumps(config))


def damage_numbers(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.pooler.dense.weight"][3, 4] = torch.nan
    save_file(tensors, folder / "model.safetensors")


def absurd(**values: object) -> Any:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return damage


DAMAGES = {
    damage_numbers: r"bert\.pooler\.dense\.weight holds NaN or infinity",
    absurd(num_hidden_layers=10**12): r"config\.json says 1000000000000 layers",
    absurd(hidden_size=4 * 10**9): r"word_embeddings\.weight has the shape \(18, 32\) where the",
    absurd(max_position_embeddings=10**12): "has the shape",
    absurd(type_vocab_size=10**12): "has the shape",
    absurd(vocab_size=10**12): "has the shape",
    absurd(vocab_size="many"): r"vocab_size \('many'\) must be a whole number",
    damage_nothing: r"model\.safetensors does not exist",
    damage_bytes: r"model\.safetensors is damaged or not a safetensors file",
    damage_size: r"has the shape \(64, 32\) where the model's .* has \(128, 32\)",
    damage_layers: r"lacks bert\.encoder\.layers\.3.*, and .*config\.json says 4 layers",
    damage_vocabulary: "says vocab_size 18, and the vocabulary beside it has 19 wordpieces",
    damage_config: r"config\.json cannot be read",
    damage_architecture: "describes BertForDreaming; the architectures that can be opened are",
    damage_positions: r"position_embedding_type \('relative_key'\) must be 'absolute'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_sentence(
    tmp_path: Path, tokenizer: Tokenizer, damage: Any
) -> None:
    folder = tmp_path / "model"
    save_model(folder, build(["masked_lm", "next_sentence"]), tokenizer)
    damage(folder)
    with pytest.raises(CheckpointError, match=DAMAGES[damage]):
        load_model(folder)


def test_what_is_no_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        load_model(tmp_path / "missing")
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        load_model(tmp_path)


def test_a_failed_save_leaves_the_old_folder_as_it_was(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    save_model(folder, build(["masked_lm"]), tokenizer)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Tokenizer, "save", fail)
    with pytest.raises(DataError, match="cannot be written: no space left on device; make room"):
        save_model(folder, build(["next_sentence"]), tokenizer)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
