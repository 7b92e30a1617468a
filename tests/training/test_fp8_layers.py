"""What asks for 8-bit products and cannot have them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.conftest import write_recipe

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert
from bertsmith.ops.ragged import RaggedLayout
from bertsmith.training.finetune_recipe import FinetuneTraining
from bertsmith.training.fp8_layers import FP8FeedForward, FP8SelfAttention, use_fp8
from bertsmith.training.pretrain_recipe import PretrainRecipe, PretrainTraining
from bertsmith.training.pretraining import pretrain


def test_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="the device is cpu; set it to 'bf16'"):
        use_fp8(Bert(BertConfig.preset("tiny")), torch.device("cpu"))


def test_a_batch_that_cannot_be_multiplied_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch_tokens \(1000\) must be a multiple of 16"):
        PretrainTraining(output="out", steps=1, batch_tokens=1000, precision="fp8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 24, "num_attention_heads": 2}, "hidden_size that 16 divides"),
        ({"intermediate_size": 24}, "intermediate_size that 16 divides"),
        ({"hidden_act": "relu"}, "hidden_act = 'gelu'"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    with pytest.raises(ConfigError, match=words):
        use_fp8(Bert(BertConfig.preset("tiny", **changes)), torch.device("cuda"))


def test_in_evaluation_the_model_is_the_one_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    bert = Bert(BertConfig.preset("tiny")).eval()
    before, x = dict(bert.named_parameters()), torch.randn(5, 128)
    layer = bert.encoder.layers[0]
    layout = RaggedLayout(torch.tensor([0, 3, 5], dtype=torch.int32), 3)
    expected = layer.feed_forward(x), layer.attention(x, layout)
    use_fp8(bert, torch.device("cuda"))
    assert isinstance(layer.feed_forward, FP8FeedForward)
    assert isinstance(layer.attention, FP8SelfAttention)
    assert torch.equal(layer.feed_forward(x), expected[0])
    assert torch.equal(layer.attention(x, layout), expected[1])
    assert all(p is before[name] for name, p in bert.named_parameters())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.precision=fp8", "needs an NVIDIA GPU"),
        ("model.attention=triton", "needs bfloat16 or float16 on a CUDA device"),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing(
    tmp_path: Path, corpus: Path, setting: str, message: str
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=5)
    with pytest.raises(ConfigError, match=message):
        pretrain(PretrainRecipe.load(recipe, [setting, "train.device=cpu"]))
    assert not (tmp_path / "run").exists()


def test_fine_tuning_in_8_bits_is_refused() -> None:
    with pytest.raises(ConfigError, match="is for pre-training; set it to 'bf16'"):
        FinetuneTraining(output="out", precision="fp8")
