"""The projection to queries, keys and values and attention over them, with one backward pass.

The gradient of the projection's bias is a sum over all tokens of the widest gradient of attention.
Attention's kernels have that on the chip and add it up there, so that nobody reads it again.

Dimension key: `T` tokens of the batch, `H` hidden size, `N` heads, `D` head size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.ops.attention import HEAD_SIZES, Attention, auto, dropout_seed, triton
from bertsmith.ops.half import is_half, product_dtype
from bertsmith.ops.ragged import RaggedLayout


def has_kernels(attention: Attention, x: Tensor, head_size: int) -> bool:
    """Whether the attention asked for is ours in Triton, or the fastest, which then is that one."""
    is_ours = x.is_cuda and attention in (auto, triton) and head_size in HEAD_SIZES
    return is_ours and is_half(product_dtype(x))


def projected_attention(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    layout: RaggedLayout,
    num_heads: int,
    dropout_prob: float,
    *,
    in_8_bits: bool = False,
) -> Tensor:
    """Project and attend, in half precision on a GPU.

    Args:
        x: (T, H).
        weight: (3 H, H).
        bias: (3 H,) float32.
        layout: of the batch.
        num_heads: N.
        dropout_prob: of the attention probabilities, below 1.
        in_8_bits: make the projection's products of 8-bit numbers (`ops/fp8.py`), but for the
            gradient of its weight; then `x` is a layer norm's output in bfloat16, and T and H are
            multiples of 16.

    Returns:
        (T, H) in the precision that products with `x` have.
    """
    x = x.to(product_dtype(x))
    seed = dropout_seed(dropout_prob, x.device)
    bounds, longest = layout.cu_seqlens, layout.max_seqlen
    output: Tensor = _ProjectedAttention.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, bounds, seed, longest, num_heads, dropout_prob, in_8_bits
    )
    return output


class _ProjectedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        cu_seqlens: Tensor,
        seed: Tensor | None,
        max_seqlen: int,
        num_heads: int,
        dropout_prob: float,
        in_8_bits: bool,
    ) -> Tensor:
        from bertsmith.ops.triton_attention import packed_attention

        if in_8_bits:
            from bertsmith.ops.fp8 import forward_product

            qkv = forward_product(x, weight, bias)
        else:
            qkv = F.linear(x, weight.to(x.dtype), bias.to(x.dtype))
        qkv = qkv.view(len(x), 3, num_heads, -1)
        out, lse = packed_attention(qkv, cu_seqlens, seed, max_seqlen, dropout_prob)
        ctx.save_for_backward(x, weight, qkv, out, lse, cu_seqlens, seed)
        ctx.numbers, ctx.in_8_bits = (max_seqlen, dropout_prob), in_8_bits
        context: Tensor = out.flatten(1)
        return context

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from bertsmith.ops.triton_attention import packed_attention_backward

        x, weight, *saved = ctx.saved_tensors
        grad_out = gradients[0].view_as(saved[1])
        if ctx.in_8_bits:
            from bertsmith.ops.fp8 import backward_product, gradient_scale

            scale = gradient_scale(gradients[0])
            grad_qkv, small, grad_bias = packed_attention_backward(
                grad_out, *saved, *ctx.numbers, scale
            )
            grad_x = backward_product(small.flatten(1), weight, scale)
        else:
            grad_qkv, _, grad_bias = packed_attention_backward(grad_out, *saved, *ctx.numbers, None)
            grad_x = grad_qkv.flatten(1) @ weight.to(grad_qkv.dtype)
        grad_weight = (grad_qkv.flatten(1).t() @ x).to(weight.dtype)
        return grad_x, grad_weight, grad_bias.flatten(), None, None, None, None, None, None
