"""A linear layer with the activation after it.

Dimension key: `T` tokens of the batch, `H` features read, `F` features made.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.ops.half import is_half, product_dtype


def activated(x: Tensor, linear: nn.Linear, activation: nn.Module) -> Tensor:
    """(T, H) → (T, F): the definition, or in a compiled model on a GPU the fastest way there.

    That is a kernel of our own for what lies between two products (`triton_gelu`), in half
    precision and with the exact GELU.
    """
    is_half_product = is_half(product_dtype(x))
    if torch.compiler.is_compiling() and x.is_cuda and is_half_product and _is_gelu(activation):
        from bertsmith.ops.triton_gelu import bias_gelu

        output: Tensor = bias_gelu(F.linear(x, linear.weight), linear.bias)
    else:
        output = activation(linear(x))
    return output


def _is_gelu(activation: nn.Module) -> bool:
    return isinstance(activation, nn.GELU) and activation.approximate == "none"
