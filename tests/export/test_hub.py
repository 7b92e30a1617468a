"""Names of the hub are told from paths, and its cache serves without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError
from bertsmith.export.hub import fetch_from_hub, is_hub_name
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = BertConfig(
    vocab_size=7,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as huggingface_hub leaves it, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--small-bert"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    torch.manual_seed(0)
    model = BertForTasks(CONFIG, [build_task("masked_lm")])
    tokenizer = Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, "a", "b"]), lowercase=True)
    save_model(repository / "snapshots" / COMMIT, model, tokenizer)
    return tmp_path


@pytest.mark.parametrize("name", ["owner/small-bert", f"owner/small-bert@{COMMIT}"])
def test_the_cache_serves_without_a_network(cache: Path, name: str) -> None:
    assert fetch_from_hub(name).name == COMMIT
    loaded = load_model(name)
    assert [task.name for task in loaded.model.tasks] == ["masked_lm"]


@pytest.mark.parametrize("name", ["owner/other-bert", "owner/small-bert@v2"])
def test_what_the_cache_lacks_is_explained(cache: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"{name} is not a folder here and could not be had"):
        load_model(name)


def test_a_repository_without_weights_is_refused(cache: Path) -> None:
    snapshot = cache / "models--owner--small-bert" / "snapshots" / COMMIT
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has neither model\.safetensors nor pytorch_model"):
        load_model("owner/small-bert")


def test_paths_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/mini", "/a/b", "./a", "../a", "a/b/c", "a b", "runs", "C:\\x"):
        assert not is_hub_name(name), name
    for name in ("owner/model", "bert-base-uncased", "owner/model@v1.0", "o/m@refs/pr/3"):
        assert is_hub_name(name), name
