"""The share of a device's peak, and of the time that the loader takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.data.loader import LoadedBatch, Position
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.training import speed
from bertsmith.training.flops import training_flops
from bertsmith.training.speed import Speed


def model() -> BertForTasks:
    return BertForTasks(BertConfig.preset("tiny", vocab_size=100), [MaskedLM()])


def batches(seconds: float) -> Iterator[LoadedBatch]:
    batch = Batch.from_sequences([[1] * 30, [1] * 10])
    while True:
        time.sleep(seconds)
        labels = torch.tensor([5, 7, 9, 6, 8, 5, -100])
        yield LoadedBatch(batch, {"masked_labels": labels}, Position())


@pytest.fixture
def _known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "peak_flops", lambda device: 1e9)


@pytest.mark.usefixtures("_known_peak")
def test_arithmetic_over_time_over_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(speed.time, "monotonic", lambda: now[0])
    clock, source = Speed(model()), batches(0.0)
    for _ in range(3):
        clock.next_of(source)
    now[0] = 102.0
    expected = 3 * training_flops(model().config, 40, 30**2 + 10**2, 6) / 2.0 / 1e9
    assert clock.figures() == pytest.approx({"data_wait": 0.0, "mfu": expected})
    clock.restart()
    now[0] = 103.0
    assert clock.figures() == {"data_wait": 0.0, "mfu": 0.0}


def test_a_slow_loader_shows() -> None:
    clock, source = Speed(model()), batches(0.02)
    for _ in range(3):
        clock.next_of(source)
    figures = clock.figures()
    assert figures["data_wait"] > 0.9
    assert "mfu" not in figures  # nobody knows a CPU's peak


@pytest.mark.usefixtures("_known_peak")
def test_a_frozen_encoder_has_no_share() -> None:
    frozen = model()
    frozen.bert.embeddings.requires_grad_(False)
    assert "mfu" not in Speed(frozen).figures()
