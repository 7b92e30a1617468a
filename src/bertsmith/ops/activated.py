"""A linear layer with the activation after it.

Dimension key: `T` tokens of the batch, `H` features read, `F` features made.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.ops.half import is_half, product_dtype
from bertsmith.ops.own_kernels import has_own_kernels


def activated(x: Tensor, linear: nn.Linear, activation: nn.Module) -> Tensor:
    """(T, H) → (T, F): the definition, or on a GPU the fastest way there.

    That is a kernel of our own for what lies between two products (`triton_gelu`), in half
    precision and with the exact GELU.
    """
    is_half_product = is_half(product_dtype(x))
    if is_half_product and _is_gelu(activation) and has_own_kernels(x):
        from bertsmith.ops.triton_gelu import bias_gelu

        output: Tensor = bias_gelu(F.linear(x, linear.weight), linear.bias)
    else:
        output = activation(linear(x))
    return output


def _is_gelu(activation: nn.Module) -> bool:
    return isinstance(activation, nn.GELU) and activation.approximate == "none"
