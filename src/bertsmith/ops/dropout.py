"""Dropout that does not wait for random numbers.

Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Sixteen random bits for each number decide.
_LEVELS = 2**16


def dropout(x: Tensor, prob: float) -> Tensor:
    """Zero each number of `x` with a probability and scale the others, so that sums stay the same.

    PyTorch's on a CPU draws a floating-point number for each place, which at 0.1 takes longer than
    the layer before it. Here one draw of 64 bits serves four places, which makes the whole nearly
    four times as fast, and the probability is the nearest multiple of 1/65,536.

    Args:
        x: of any shape.
        prob: from 0 to 1.
    """
    level = round(prob * _LEVELS)
    if x.device.type != "cpu" or not 0 < level < _LEVELS or torch.compiler.is_compiling():
        return F.dropout(x, prob)
    count = x.numel()
    draws = torch.empty(math.ceil(count / 4), dtype=torch.int64).random_(-(2**63), None)
    keep = draws.view(torch.int16)[:count].view(x.shape) >= level - _LEVELS // 2
    return x * keep.to(x.dtype).mul_(_LEVELS / (_LEVELS - level))


class Dropout(nn.Dropout):
    """`dropout` in training, nothing otherwise."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Dropout gives it
        """Of any shape → the same."""
        return dropout(input, self.p) if self.training else input
