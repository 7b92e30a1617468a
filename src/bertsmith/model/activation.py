"""The activations that `hidden_act` names."""

from __future__ import annotations

from torch import nn


def build_activation(hidden_act: str) -> nn.Module:
    """`gelu` is the exact form with erf (Hendrycks and Gimpel 2016), the others approximate it."""
    if hidden_act == "gelu":
        return nn.GELU()
    if hidden_act == "relu":
        return nn.ReLU()
    return nn.GELU(approximate="tanh")
