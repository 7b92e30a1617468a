"""Bias and GELU of a wide layer in one kernel each way, with the sum that is the bias's gradient.

Compiled from the definition these are as many passes over the widest tensors of the model as here
and one more, for the sum, and the error function, whose exact form costs more than the memory does.

Source: Hendrycks and Gimpel 2016, "Gaussian error linear units"; Abramowitz and Stegun 1964,
formula 7.1.26, for the normal distribution (wrong by at most 1e-7).

Dimension key: `T` tokens of the batch, `F` features.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Found on an H200 (benchmarks/pretrain_notes.md).
FORWARD = {"ROWS": 16, "COLUMNS": 256, "PARTS": 1}
BACKWARD = {"ROWS": 4, "COLUMNS": 512, "PROGRAMS": 256}
# Eight numbers for each thread: with more, those of 8 bits would change places before they are
# stored, which takes as long as all the rest. So several times eight, one after the other: what a
# program does only once is a third of the instructions otherwise.
FORWARD_8_BIT = {"ROWS": 4, "COLUMNS": 256, "PARTS": 4}
BACKWARD_8_BIT = {"ROWS": 8, "COLUMNS": 128, "PROGRAMS": 256}


@triton.jit
def normal(x):  # type: ignore[no-untyped-def]
    """The standard normal distribution's cumulative probability at `x`, and its density."""
    density = tl.exp2(x * x * -0.7213475204444817)  # but for 1/√(2π); log2(e) / 2
    t = tl.rsqrt(1.0 + 0.23164189 * tl.abs(x))  # 0.3275911 / √2
    t *= t  # a division would take as many instructions as all the rest
    tail = t * (0.127414796 + t * (-0.142248368 + t * (0.7107068705 + t * (
        -0.7265760135 + t * 0.5307027145
    ))))  # fmt: skip
    tail *= density
    return tl.where(x < 0, tail, 1.0 - tail), density * 0.3989422804014327


@triton.jit
def _gelu_forward(  # type: ignore[no-untyped-def]
    x, bias, output, small, scale, num_rows, F: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`PARTS` groups of rows of some columns."""
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = (columns < F)[None, :]
    own_bias = tl.load(bias + columns, mask=columns < F, other=0.0)[None, :]
    for part in tl.static_range(PARTS):
        rows = (tl.program_id(0) * PARTS + part) * ROWS + tl.arange(0, ROWS)
        places = rows[:, None].to(tl.int64) * F + columns[None, :]
        is_there = (rows < num_rows)[:, None] & is_column
        biased = tl.load(x + places, mask=is_there, other=0.0).to(tl.float32) + own_bias
        cumulative, _ = normal(biased)
        activated = biased * cumulative
        tl.store(output + places, activated.to(output.dtype.element_ty), mask=is_there)
        if small is not None:  # e4m3; GELU has no large negative values
            eighth = tl.minimum(activated * scale, 448.0).to(small.dtype.element_ty)
            tl.store(small + places, eighth, mask=is_there)


@triton.jit
def _gelu_backward(  # type: ignore[no-untyped-def]
    grad_output, x, bias, grad_x, small, scale, sums, num_rows, F: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """Every `PROGRAMS`-th group of rows of some columns, and the sums over them."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = (columns < F)[None, :]
    own_bias = tl.load(bias + columns, mask=columns < F, other=0.0)[None, :]
    if small is not None:
        factor = tl.load(scale)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for first in range(tl.program_id(1) * ROWS, num_rows, PROGRAMS * ROWS):
        rows = first + tl.arange(0, ROWS)
        places = rows[:, None].to(tl.int64) * F + columns[None, :]
        is_there = (rows < num_rows)[:, None] & is_column
        biased = tl.load(x + places, mask=is_there, other=0.0).to(tl.float32) + own_bias
        grad = tl.load(grad_output + places, mask=is_there, other=0.0).to(tl.float32)
        cumulative, density = normal(biased)
        grad *= cumulative + biased * density
        tl.store(grad_x + places, grad.to(grad_x.dtype.element_ty), mask=is_there)
        if small is not None:  # e5m2
            eighth = tl.clamp(grad * factor, -57344.0, 57344.0).to(small.dtype.element_ty)
            tl.store(small + places, eighth, mask=is_there)
        total += grad
    tl.store(sums + tl.program_id(1) * F + columns, tl.sum(total, 0), mask=columns < F)


def _launch_forward(x: Tensor, bias: Tensor, small: Tensor | None, scale: float) -> Tensor:
    x = x.contiguous()
    output = torch.empty_like(x)
    num_rows, num_features = x.shape
    sizes = FORWARD if small is None else FORWARD_8_BIT
    rows = sizes["ROWS"] * sizes["PARTS"]
    grid = (triton.cdiv(num_rows, rows), triton.cdiv(num_features, sizes["COLUMNS"]))
    with torch.cuda.device(x.device):  # Triton launches on the current one
        _gelu_forward[grid](
            x, bias, output, small, scale, num_rows, F=num_features, num_warps=4, **sizes
        )
    return output


def _launch_backward(
    grad_output: Tensor, x: Tensor, bias: Tensor, small: Tensor | None, scale: Tensor | None
) -> tuple[Tensor, Tensor]:
    x, grad_output = x.contiguous(), grad_output.contiguous()
    grad_x = torch.empty_like(x)
    num_rows, num_features = x.shape
    sizes = BACKWARD if small is None else BACKWARD_8_BIT
    sums = x.new_empty(sizes["PROGRAMS"], num_features, dtype=torch.float32)
    grid = (triton.cdiv(num_features, sizes["COLUMNS"]), sizes["PROGRAMS"])
    _gelu_backward[grid](
        grad_output, x, bias, grad_x, small, scale, sums, num_rows, F=num_features, num_warps=4,
        **sizes,
    )  # fmt: skip
    return grad_x, sums.sum(0)


@torch.library.custom_op("bertsmith::bias_gelu", mutates_args=())
def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """GELU of `x + bias`, computed in float32.

    Args:
        x: (T, F), the product of a linear layer without its bias, in bfloat16 or float16.
        bias: (F,) float32.

    Returns:
        (T, F) in the type of `x`.
    """
    return _launch_forward(x, bias, None, 0.0)


@bias_gelu.register_fake
def _(x: Tensor, bias: Tensor) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("bertsmith::bias_gelu_backward", mutates_args=())
def bias_gelu_backward(grad_output: Tensor, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `bias_gelu`: (T, F) → (T, F), and (F,) float32."""
    return _launch_backward(grad_output, x, bias, None, None)


@bias_gelu_backward.register_fake
def _(grad_output: Tensor, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), bias.new_empty(x.shape[1], dtype=torch.float32)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_of(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor]:
    grad_x, grad_bias = bias_gelu_backward(grad_output, *ctx.saved_tensors)
    return grad_x, grad_bias


bias_gelu.register_autograd(_backward_of, setup_context=_setup_context)


@torch.library.custom_op("bertsmith::bias_gelu_8_bit", mutates_args=())
def bias_gelu_8_bit(x: Tensor, bias: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """`bias_gelu`, and the same times `scale` in e4m3; without a gradient of its own."""
    small = torch.empty_like(x, dtype=torch.float8_e4m3fn)
    return _launch_forward(x, bias, small, scale), small


@bias_gelu_8_bit.register_fake
def _(x: Tensor, bias: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.float8_e4m3fn)


@torch.library.custom_op("bertsmith::bias_gelu_8_bit_backward", mutates_args=())
def bias_gelu_8_bit_backward(
    grad_output: Tensor, x: Tensor, bias: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of `x`, the same times `scale`, which is on the device, in e5m2; of `bias`."""
    small = torch.empty_like(x, dtype=torch.float8_e5m2)
    grad_x, grad_bias = _launch_backward(grad_output, x, bias, small, scale)
    return grad_x, small, grad_bias


@bias_gelu_8_bit_backward.register_fake
def _(grad_output: Tensor, x: Tensor, bias: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    small = torch.empty_like(x, dtype=torch.float8_e5m2)
    return torch.empty_like(x), small, bias.new_empty(x.shape[1], dtype=torch.float32)
