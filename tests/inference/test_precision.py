"""bfloat16 where it is faster, by what was measured, and how near its answers are."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.cli.main import main
from bertsmith.errors import ConfigError
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.inference import precision
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.fill_mask import fill_mask
from bertsmith.inference.opened_model import open_model
from bertsmith.inference.precision import choose_precision
from bertsmith.inference.predictor import Predictor
from bertsmith.model.encoders.registry import encoder_names
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.training import precision as training_precision

TEXTS = ["paris is the capital of france .", "a good film", "a dull book", "bad"]


@pytest.mark.parametrize(
    ("rates", "chosen", "reason"),
    [
        ((200.0, 410.0), "bf16", "200 GFLOP/s in float32 and 410 in bfloat16"),
        ((233.0, 165.0), "fp32", "233 GFLOP/s in float32 and 165 in bfloat16"),
        ((200.0, 210.0), "fp32", "200 GFLOP/s in float32 and 210 in bfloat16"),
        ((80.0, 0.0), "fp32", "no instructions for bfloat16"),
    ],
)
def test_the_faster_one_is_chosen_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rates: tuple[float, float],
    chosen: str,
    reason: str,
) -> None:
    for module in (precision, training_precision):
        monkeypatch.setattr(module, "cpu_rates", lambda: rates)
    with caplog.at_level(logging.INFO):
        assert choose_precision("auto", torch.device("cpu")) == chosen
    assert caplog.messages == [f"precision {chosen}: {caplog.messages[0].partition(': ')[2]}"]
    assert reason in caplog.messages[0]
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"


def test_another_precision_is_refused(pretrained: Path) -> None:
    with pytest.raises(ConfigError, match=r"precision \('int4'\) must be one of auto, fp32, bf16"):
        open_model(pretrained, precision="int4")
    with pytest.raises(ConfigError, match="precision fp16 is for GPUs, and this is a CPU; give"):
        open_model(pretrained, precision="fp16")


def test_bfloat16_answers_are_near(pretrained: Path, classifier: Path) -> None:
    exact = Embedder.load(pretrained, device="cpu", normalize=True).embed(TEXTS)
    near = Embedder.load(pretrained, device="cpu", precision="bf16", normalize=True)
    found = near.embed(TEXTS)
    assert found.dtype == np.float32
    cosines = (exact * found).sum(1)
    assert cosines.min() > 0.999
    assert np.abs(exact - found).max() > 1e-5  # it was not float32
    inner = Embedder.load(pretrained, device="cpu", precision="bf16", layer=0).embed(TEXTS)
    assert inner.dtype == np.float32
    for a, b in zip(
        Predictor.load(classifier, device="cpu").predict(TEXTS),
        Predictor.load(classifier, device="cpu", precision="bf16").predict(TEXTS),
        strict=True,
    ):
        assert a["probability"] == pytest.approx(b["probability"], abs=0.02)
    # The masked-LM head and the embedding that it is tied to stay float32.
    opened = open_model(pretrained, precision="bf16")
    exactly = fill_mask(load_model(pretrained).model, opened.tokenizer, "the [MASK] is good")
    filled = fill_mask(opened.model, opened.tokenizer, "the [MASK] is good")
    assert filled[0][0].probability == pytest.approx(exactly[0][0].probability, abs=0.02)


@pytest.mark.parametrize(("has_bfloat16", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_is_asked_what_it_has(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert choose_precision("auto", torch.device("cuda")) == chosen
    assert choose_precision("fp16", torch.device("cuda")) == "fp16"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("narrow", ["bf16", "fp16"])
def test_narrow_answers_of_a_gpu_are_near(pretrained: Path, narrow: str) -> None:
    exact = Embedder.load(pretrained, device="cpu", normalize=True).embed(TEXTS)
    found = Embedder.load(pretrained, device="cuda", precision=narrow, normalize=True).embed(TEXTS)
    assert (exact * found).sum(1).min() > 0.999


@pytest.mark.parametrize("encoder", encoder_names())
def test_every_encoder_has_narrow_answers(pretrained: Path, tmp_path: Path, encoder: str) -> None:
    loaded = load_model(pretrained)
    layers = 1 if encoder == "static_vectors" else 2
    config = loaded.model.config.replace(encoder=encoder, num_hidden_layers=layers)
    save_model(tmp_path, BertForTasks(config, []), loaded.tokenizer)
    exact = Embedder.load(tmp_path, device="cpu", normalize=True).embed(TEXTS)
    found = Embedder.load(tmp_path, device="cpu", precision="bf16", normalize=True).embed(TEXTS)
    assert (exact * found).sum(1).min() > 0.999


def test_features_stay_as_they_are(pretrained: Path, tmp_path: Path) -> None:
    loaded = load_model(pretrained)
    task = build_task("token_classification", labels=["O", "B-X"])
    model = BertForTasks(loaded.model.config, [task], features=FeaturesConfig(layers=(-1, -2)))
    save_model(tmp_path, model, loaded.tokenizer)
    records = [["a", "good", "film"]]
    exact = list(Predictor.load(tmp_path, device="cpu").predict(records))
    assert list(Predictor.load(tmp_path, device="cpu", precision="bf16").predict(records)) == exact


def test_the_command_line_chooses_and_says_so(
    classifier: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (precision, training_precision):
        monkeypatch.setattr(module, "cpu_rates", lambda: (100.0, 300.0))
    texts = tmp_path / "a.txt"
    texts.write_text("a good film\na dull book\n")
    common = ["predict", "--model", str(classifier), "--input", str(texts), "--device", "cpu"]
    assert main(common) == 0
    automatic = capsys.readouterr()
    assert "precision: bf16, since products take 100 GFLOP/s in float32" in automatic.err
    assert main([*common, "--precision", "fp32"]) == 0
    exact = capsys.readouterr()
    assert "precision" not in exact.err
    for a, b in zip(automatic.out.splitlines(), exact.out.splitlines(), strict=True):
        difference = abs(json.loads(a)["probability"] - json.loads(b)["probability"])
        assert 0 < difference < 0.02
