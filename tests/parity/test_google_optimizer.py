"""A hundred steps against Google's optimization.py: schedule, clipping, Adam and decay together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bertsmith.training.optimizer import OptimizerSettings, build_optimizers, set_learning_rates
from bertsmith.training.schedule import ScheduleSettings, learning_rate_factor, progress

Arrays = Mapping[str, np.ndarray]
STEPS, LEARNING_RATE = 100, 0.01
SCHEDULES = [ScheduleSettings(warmup_proportion=0.1), ScheduleSettings(warmup_steps=10)]

# Google's → ours; our names decide what decays as Google's do.
NAMES = {
    "bert/embeddings/word_embeddings": "bert.embeddings.wordpiece.weight",
    "bert/encoder/layer_0/attention/output/LayerNorm/gamma": (
        "bert.encoder.layers.0.attention_layer_norm.weight"
    ),
    "bert/encoder/layer_0/intermediate/dense/kernel": (
        "bert.encoder.layers.0.feed_forward.intermediate.weight"
    ),
    "bert/encoder/layer_0/intermediate/dense/bias": (
        "bert.encoder.layers.0.feed_forward.intermediate.bias"
    ),
    "cls/predictions/output_bias": "heads.masked_lm.decoder_bias",
}


def factor(step: int, schedule: ScheduleSettings) -> float:
    part = progress(step, 0.0, steps=STEPS, budget_minutes=None)
    return learning_rate_factor(part, step, schedule)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["proportion", "steps"])
def test_the_learning_rate_of_each_step_is_googles(
    google_optimizer: Arrays, schedule: ScheduleSettings
) -> None:
    rates = [LEARNING_RATE * factor(step, schedule) for step in range(STEPS)]
    # Google computes it in float32, 1 - step/steps with an error of one unit of 1.
    expected = google_optimizer["learning_rates"]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=LEARNING_RATE * 1.2e-7)


def largest_difference(golden: Arrays, settings: OptimizerSettings) -> float:
    """From Google's values, over all parameters and steps."""
    parameters = {
        name: nn.Parameter(torch.from_numpy(golden[f"start/{name}"]).clone()) for name in NAMES
    }
    named = [(NAMES[name], parameter) for name, parameter in parameters.items()]
    optimizers = build_optimizers(named, settings)
    differences = []
    for step in range(STEPS):
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(golden[f"gradients/{name}"][step]).clone()
        nn.utils.clip_grad_norm_(parameters.values(), settings.max_grad_norm or math.inf)
        set_learning_rates(optimizers, factor(step, SCHEDULES[0]))
        for optimizer in optimizers:
            optimizer.step()
        for name, parameter in parameters.items():
            expected = torch.from_numpy(golden[f"values/{name}"][step])
            differences.append((parameter - expected).abs().max().item())
    return max(differences)


def test_a_hundred_steps_follow_googles(google_optimizer: Arrays) -> None:
    settings = OptimizerSettings(learning_rate=LEARNING_RATE)
    # Values are up to 4 in size, where float32 is 2.4e-7 apart.
    assert largest_difference(google_optimizer, settings) < 3e-6


@pytest.mark.parametrize(
    "change",
    [{"max_grad_norm": 0.0}, {"weight_decay": 0.0}, {"epsilon": 1e-8}, {"name": "adamw"}],
    ids=str,
)
def test_another_optimizer_would_be_noticed(
    google_optimizer: Arrays, change: dict[str, Any]
) -> None:
    settings = OptimizerSettings(learning_rate=LEARNING_RATE, **change)
    assert largest_difference(google_optimizer, settings) > 3e-5
