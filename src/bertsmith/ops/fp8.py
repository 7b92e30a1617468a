"""The products of wide layers in 8-bit floating point, where they save more than they cost.

A GPU that has them multiplies 8-bit numbers nearly twice as fast as bfloat16 ones, once they are
there. Forward products are made so, and the gradients of what the layers read. Those of weights
stay in bfloat16 (benchmarks/pretrain_notes.md): they are sums over tokens, for which both factors
would have to be turned round.

Numbers keep their relative precision over a range: 2^-6 to 448 in e4m3, which has three bits after
the leading one; 2^-14 to 57,344 in e5m2, which has two. So a tensor's scale only has to be about
right. A layer norm's output, GELU's and weights have a size that is known beforehand and are
multiplied by a constant, in e4m3; gradients, in e5m2, are scaled by the largest of a part of them.

Source: Micikevicius et al. 2022, "FP8 formats for deep learning".

Dimension key: `T` tokens of the batch, `H` hidden size, `F` features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bertsmith.ops.triton_gelu import bias_gelu_8_bit, bias_gelu_8_bit_backward

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
# Activations are exact to three bits from 0.004 to 112, weights from 0.001 to 28: published models
# have weights of up to 8, and new ones a deviation of 0.02.
ACTIVATION_SCALE, WEIGHT_SCALE = 4.0, 16.0
# What the largest gradient that a layer gets becomes, looked for in every so many-th token: there
# is room above for one that is two hundred times as large, in the others or inside the layer.
LARGEST_GRADIENT, TOKENS_LOOKED_AT = 256.0, 16


def fp8_feed_forward(
    x: Tensor, wide: Tensor, wide_bias: Tensor, narrow: Tensor, narrow_bias: Tensor
) -> Tensor:
    """Two linear layers with GELU between them.

    Args:
        x: (T, H) bfloat16, a layer norm's output; T, H and F multiples of 16.
        wide: (F, H) float32.
        wide_bias: (F,) float32.
        narrow: (H, F) float32.
        narrow_bias: (H,) float32.

    Returns:
        (T, H) bfloat16.
    """
    output: Tensor = _FeedForward.apply(x, wide, wide_bias, narrow, narrow_bias)  # type: ignore[no-untyped-call]
    return output


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, wide: Tensor, wide_bias: Tensor, narrow: Tensor, narrow_bias: Tensor
    ) -> Tensor:
        widened = forward_product(x, wide)
        activated, small = bias_gelu_8_bit(widened, wide_bias, ACTIVATION_SCALE)
        ctx.save_for_backward(x, wide, wide_bias, widened, activated, narrow)
        return _product_of_8_bits(small, narrow, narrow_bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        x, wide, wide_bias, widened, activated, narrow = ctx.saved_tensors
        grad = gradients[0]
        scale = gradient_scale(grad)
        grad_activated = backward_product(_to_8_bit(grad, scale, E5M2), narrow, scale)
        grad_widened, small, grad_wide_bias = bias_gelu_8_bit_backward(
            grad_activated, widened, wide_bias, scale
        )
        return (
            backward_product(small, wide, scale),
            (grad_widened.t() @ x).float(),
            grad_wide_bias,
            (grad.t() @ activated).float(),
            grad.sum(0, dtype=torch.float32),
        )


def _to_8_bit(x: Tensor, scale: float | Tensor, dtype: torch.dtype) -> Tensor:
    limit = torch.finfo(dtype).max
    return (x.float() * scale).clamp(-limit, limit).to(dtype)


def gradient_scale(grad: Tensor) -> Tensor:
    """What a layer's output gradient, (T, F), and those inside the layer are multiplied with.

    A number on the device.
    """
    return LARGEST_GRADIENT / grad[::TOKENS_LOOKED_AT].abs().amax().float().clamp(min=1e-30)


def forward_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear layer: (T, H) bfloat16, (F, H) and (F,) float32 → (T, F) bfloat16."""
    return _product_of_8_bits(_to_8_bit(x, ACTIVATION_SCALE, E4M3), weight, bias)


def _product_of_8_bits(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(T, H) e4m3, times `ACTIVATION_SCALE`; else as `forward_product`."""
    small = _to_8_bit(weight, WEIGHT_SCALE, E4M3)
    return torch._scaled_mm(
        x,
        small.t(),
        weight.new_full((), 1 / ACTIVATION_SCALE),
        weight.new_full((), 1 / WEIGHT_SCALE),
        bias=None if bias is None else bias.bfloat16(),
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )


def backward_product(grad: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """The gradient of what a layer reads: (T, F) e5m2, (F, H) float32 → (T, H) bfloat16.

    Args:
        grad: that of its output, times `scale`.
        weight: the layer's.
        scale: as `gradient_scale` gives it.
    """
    turned = _to_8_bit(weight.t(), WEIGHT_SCALE, E4M3).contiguous()
    unit = weight.new_full((), 1 / WEIGHT_SCALE)
    return torch._scaled_mm(
        grad, turned.t(), 1 / scale, unit, out_dtype=torch.bfloat16, use_fast_accum=True
    )
