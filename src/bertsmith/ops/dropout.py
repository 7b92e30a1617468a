"""Dropout that does not wait for random numbers.

Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting";
Appleby 2011, MurmurHash3, for its finalizer.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Sixteen random bits for each number decide.
_LEVELS = 2**16
# Of MurmurHash3's finalizer, and before them the golden ratio's; as signed numbers of 32 bits.
_SPREAD, _FIRST, _SECOND = (factor - 2**32 for factor in (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35))


def dropout(x: Tensor, prob: float) -> Tensor:
    """Zero each number of `x` with a probability and scale the others, so that sums stay the same.

    PyTorch's on a CPU draws a floating-point number for each place, which at 0.1 takes longer than
    the layer before it. Here one draw of 64 bits serves four places, which makes the whole nearly
    four times as fast, and the probability is the nearest multiple of 1/65,536. In a compiled model
    on a GPU a place's number is hashed, forward and again backward, in a tenth of the instructions
    that a generator of good random numbers takes.

    Args:
        x: of any shape.
        prob: from 0 to 1.
    """
    if x.is_cuda and torch.compiler.is_compiling() and 0 < prob < 1:
        return hashed_dropout(x, prob, torch.randint(-(2**31), 2**31, (1,), device=x.device))
    level = round(prob * _LEVELS)
    if x.device.type != "cpu" or not 0 < level < _LEVELS or torch.compiler.is_compiling():
        return F.dropout(x, prob)
    count = x.numel()
    draws = torch.empty(math.ceil(count / 4), dtype=torch.int64).random_(-(2**63), None)
    keep = draws.view(torch.int16)[:count].view(x.shape) >= level - _LEVELS // 2
    return x * keep.to(x.dtype).mul_(_LEVELS / (_LEVELS - level))


def hashed_dropout(x: Tensor, prob: float, seed: Tensor) -> Tensor:
    """Dropout by a hash of each number's place.

    Args:
        x: of any shape.
        prob: above 0 and below 1.
        seed: (1,) int64 on the same device, of 32 bits with a sign; the same one drops the same
            places.
    """
    places = torch.arange(x.numel(), device=x.device).view(x.shape).to(torch.int32)
    seed = seed.to(torch.int32)
    # A constant factor would be multiplied by the width of a row by PyTorch's compiler, beyond 32
    # bits, which Triton refuses; one that the seed makes is not, and is another order of places.
    bits = (places * (2 * seed ^ _SPREAD)) ^ seed
    for shift, factor in ((16, _FIRST), (13, _SECOND)):
        bits = bits ^ ((bits >> shift) & (2 ** (32 - shift) - 1))
        bits = bits * factor
    keep = bits >= round(prob * 2**32) - 2**31  # the upper bits, so that a third shift is no use
    return torch.where(keep, x * (1 / (1 - prob)), 0.0)


class Dropout(nn.Dropout):
    """`dropout` in training, nothing otherwise."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Dropout gives it
        """Of any shape → the same."""
        return dropout(input, self.p) if self.training else input
