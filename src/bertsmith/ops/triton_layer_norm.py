"""A sum and its layer normalisation in one kernel, for models that only answer.

PyTorch adds in one kernel and normalises in another: five passes over the tokens' vectors, of which
three are needed.

Source: Ba et al. 2016, "Layer normalization".

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Numbers of a row for each thread of a program: as many as one load of 16 bytes has.
NUMBERS = 8
MAX_WARPS = 16


@triton.jit
def _added_norm(  # type: ignore[no-untyped-def]
    x, residual, weight, bias, output, eps, H: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """One row."""
    columns = tl.arange(0, WIDTH)
    is_column = columns < H
    places = tl.program_id(0).to(tl.int64) * H + columns
    own = tl.load(x + places, mask=is_column, other=0.0).to(tl.float32)
    own += tl.load(residual + places, mask=is_column, other=0.0).to(tl.float32)
    mean = tl.sum(own, 0) / H
    own = tl.where(is_column, own - mean, 0.0)
    variance = tl.sum(own * own, 0) / H
    own *= tl.rsqrt(variance + eps)
    own *= tl.load(weight + columns, mask=is_column, other=0.0).to(tl.float32)
    own += tl.load(bias + columns, mask=is_column, other=0.0).to(tl.float32)
    tl.store(output + places, own.to(output.dtype.element_ty), mask=is_column)


def added_norm(
    x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype
) -> Tensor:
    """The layer norm of `x + residual`, computed in float32, without a gradient.

    Args:
        x: (T, H) on a GPU.
        residual: (T, H).
        weight: (H,).
        bias: (H,).
        eps: added to the variance.
        dtype: of the answer.

    Returns:
        (T, H).
    """
    x, residual = x.contiguous(), residual.contiguous()
    output = torch.empty_like(x, dtype=dtype)
    num_rows, size = x.shape
    width = triton.next_power_of_2(size)
    warps = min(max(width // (32 * NUMBERS), 1), MAX_WARPS)
    with torch.cuda.device(x.device):  # Triton launches on the current one
        _added_norm[(num_rows,)](
            x, residual, weight, bias, output, eps, H=size, WIDTH=width, num_warps=warps
        )
    return output
