"""How BERT's parameters start."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def initialize(module: nn.Module, initializer_range: float) -> None:
    """Draw matrices and embeddings from a truncated normal; zero biases; LayerNorm to identity.

    The normal is cut at two standard deviations and not rescaled, so that the values' own
    deviation is 0.88 times `initializer_range`, as in the published code.
    """
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Embedding):
            _draw_truncated_normal(child.weight, initializer_range)
        if isinstance(child, nn.Linear) and child.bias is not None:
            nn.init.zeros_(child.bias)
        if isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
        if isinstance(child, nn.RNNBase):  # of which the paper has none: as PyTorch starts them
            child.reset_parameters()


@torch.no_grad()
def _draw_truncated_normal(weight: Tensor, deviation: float) -> None:
    """By the inverse of the distribution: one draw a number.

    PyTorch's own (2.13) draws all of them again until none is left outside, ten times as long.
    """
    most = math.erf(2 / math.sqrt(2))  # the share of the normal that lies inside
    weight.uniform_(-most, most).erfinv_().mul_(math.sqrt(2) * deviation)
    weight.clamp_(-2 * deviation, 2 * deviation)  # against rounding


def initialize_head(module: nn.Module, initializer_range: float) -> None:
    """Draw a new output layer's matrices from a whole normal; zero biases.

    The published code cuts the normal here too. A fine-tuning lasts a few hundred steps, and a head
    that starts an eighth smaller passes that much less to the encoder at first: on a short run it
    costs points (docs/decisions/0031-heads-start-from-a-whole-normal.md).
    """
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.normal_(child.weight, std=initializer_range)
            nn.init.zeros_(child.bias)
