"""Attention over packed sequences in Triton, with one tensor for queries, keys and values.

It reads them as the projection makes them and answers with their gradient as it wants it back, with
that of the projection's bias, a sum over all tokens, and if asked to in 8 bits as well.

FlashAttention's algorithm (Dao 2023, "FlashAttention-2", sections 2.3 and 3.1): scores exist block
by block on the chip and are computed again in the backward pass. PyTorch's own kernel for packed
sequences gives three separate gradients, which are then copied together, adds the queries' up by
atomic additions in float32, and knows no dropout. Here the queries' gradient and that of keys and
values are two kernels, each of which writes what it computes once, in an order that never changes.

Dimension key: `T` tokens of the batch, `N` heads, `D` head size, `B` sequences, `M` queries and `K`
keys of a block.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Queries, keys, warps and stages of the loop; found on an H200 at a head size of 64
# (benchmarks/pretrain_notes.md).
FORWARD = {"BLOCK_M": 64, "BLOCK_K": 64, "num_warps": 4, "num_stages": 3}
BACKWARD_QUERY = {"BLOCK_M": 64, "BLOCK_K": 32, "num_warps": 4, "num_stages": 3}
# Blocks of both are as long: a block of queries and one of keys share a row of sums.
BACKWARD_KEY = {"BLOCK_M": 32, "BLOCK_K": 64, "num_warps": 4, "num_stages": 3}

_LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _row_keys(seed, rows, head, num_tokens):  # type: ignore[no-untyped-def]
    """What the dropout of a row of scores is made of: MurmurHash3's finalizer of seed and row."""
    x = (head * num_tokens + rows).to(tl.uint32) * 0x9E3779B1 ^ tl.load(seed).to(tl.uint32)
    x ^= x >> 16
    x *= 0x85EBCA6B
    x ^= x >> 13
    x *= 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
def _keeps(row_keys, columns, threshold):  # type: ignore[no-untyped-def]
    """Which scores dropout keeps: a hash of a row's key and a column.

    Half of the finalizer does: the keys are mixed already, and the lower bits count for little.
    """
    x = row_keys ^ (columns.to(tl.uint32) * 0x9E3779B1)
    x *= 0x85EBCA6B
    x ^= x >> 15
    x *= 0xC2B2AE35
    return x >= threshold.to(tl.uint32)


@triton.jit
def _forward_block(  # type: ignore[no-untyped-def]
    output, total, highest, query, key, value, first, length, scale, keys, columns, threshold,
    keep_scale, IS_LAST: tl.constexpr, DROPOUT: tl.constexpr,
):  # fmt: skip
    """Attend to one block of keys; everything so far is relative to the highest score so far."""
    scores = tl.dot(query, tl.trans(key))  # (M, K)
    if IS_LAST:
        scores = tl.where((first + columns < length)[None, :], scores, float("-inf"))
    new_highest = tl.maximum(highest, tl.max(scores, 1) * scale)  # in powers of 2
    probs = tl.exp2(scores * scale - new_highest[:, None])
    shrink = tl.exp2(highest - new_highest)
    total = total * shrink + tl.sum(probs, 1)
    output = output * shrink[:, None]
    if DROPOUT:
        keep = _keeps(keys[:, None], (first + columns)[None, :], threshold)
        probs = tl.where(keep, probs * keep_scale, 0.0)
    output = tl.dot(probs.to(value.dtype), value, output)
    return output, total, new_highest


@triton.jit
def _attention_forward(  # type: ignore[no-untyped-def]
    qkv, out, lse, cu_seqlens, seed, num_tokens, scale, threshold, keep_scale,
    N: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
    DROPOUT: tl.constexpr,
):  # fmt: skip
    """The outputs of one block of queries of one head."""
    head, sequence = tl.program_id(1), tl.program_id(2)
    start = tl.load(cu_seqlens + sequence)
    length = tl.load(cu_seqlens + sequence + 1) - start
    first_row = tl.program_id(0) * BLOCK_M
    if first_row >= length:
        return
    rows = first_row + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_K)
    dims = tl.arange(0, D)
    base = qkv + start.to(tl.int64) * (3 * N * D) + head * D
    query_at = base + rows[:, None] * (3 * N * D) + dims[None, :]
    query = tl.load(query_at, mask=(rows < length)[:, None], other=0.0)
    key_at = base + N * D + columns[:, None] * (3 * N * D) + dims[None, :]
    keys = rows.to(tl.uint32)
    if DROPOUT:
        keys = _row_keys(seed, start + rows, head, num_tokens)
    log2_scale = scale * _LOG2_E
    output = tl.zeros([BLOCK_M, D], tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    highest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    whole = length // BLOCK_K * BLOCK_K
    for first in range(0, whole, BLOCK_K):
        key = tl.load(key_at + first * (3 * N * D))
        value = tl.load(key_at + first * (3 * N * D) + N * D)
        output, total, highest = _forward_block(
            output, total, highest, query, key, value, first, length, log2_scale, keys, columns,
            threshold, keep_scale, False, DROPOUT,
        )  # fmt: skip
    if whole < length:
        is_there = (whole + columns < length)[:, None]
        key = tl.load(key_at + whole * (3 * N * D), mask=is_there, other=0.0)
        value = tl.load(key_at + whole * (3 * N * D) + N * D, mask=is_there, other=0.0)
        output, total, highest = _forward_block(
            output, total, highest, query, key, value, whole, length, log2_scale, keys, columns,
            threshold, keep_scale, True, DROPOUT,
        )  # fmt: skip
    output = output / total[:, None]
    out_at = out + start.to(tl.int64) * (N * D) + head * D + rows[:, None] * (N * D) + dims[None, :]
    tl.store(out_at, output.to(out.dtype.element_ty), mask=(rows < length)[:, None])
    lse_at = lse + head.to(tl.int64) * num_tokens + start + rows
    tl.store(lse_at, highest + tl.log2(total), mask=rows < length)


@triton.jit
def _query_block(  # type: ignore[no-untyped-def]
    grad_query, query, grad_out, row_lse, delta, key, value, first, length, scale, keys, columns,
    threshold, keep_scale, IS_LAST: tl.constexpr, DROPOUT: tl.constexpr,
):  # fmt: skip
    """What one block of keys adds to the gradient of the queries, but for `scale`."""
    scores = tl.dot(query, tl.trans(key)) * scale  # (M, K)
    grad_probs = tl.dot(grad_out, tl.trans(value))  # (M, K)
    if IS_LAST:
        scores = tl.where((first + columns < length)[None, :], scores, float("-inf"))
    probs = tl.exp2(scores - row_lse[:, None])
    if DROPOUT:
        keep = _keeps(keys[:, None], (first + columns)[None, :], threshold)
        grad_probs = tl.where(keep, grad_probs * keep_scale, 0.0)
    grad_scores = probs * (grad_probs - delta[:, None])
    return tl.dot(grad_scores.to(key.dtype), key, grad_query)


@triton.jit
def _store_gradient(  # type: ignore[no-untyped-def]
    grad, grad_qkv, small, factor, places, is_row, offset,
):  # fmt: skip
    """Write a block's gradient; `offset` is that of the head in a row of all."""
    tl.store(grad_qkv + offset + places, grad.to(grad_qkv.dtype.element_ty), mask=is_row)
    if small is not None:  # e5m2
        eighth = tl.clamp(grad * factor, -57344.0, 57344.0).to(small.dtype.element_ty)
        tl.store(small + offset + places, eighth, mask=is_row)


@triton.jit
def _store_sum(  # type: ignore[no-untyped-def]
    grad, sums, is_row, slot, offset, N: tl.constexpr, D: tl.constexpr
):  # fmt: skip
    """Write the sum of a block's gradient over its rows, for the gradient of the bias."""
    sums_at = sums + slot.to(tl.int64) * (3 * N * D) + offset + tl.arange(0, D)
    tl.store(sums_at, tl.sum(tl.where(is_row, grad, 0.0), 0))


@triton.jit
def _attention_backward_query(  # type: ignore[no-untyped-def]
    qkv, out, grad_out, lse, grad_qkv, small, sums, deltas, cu_seqlens, seed, factor_at, num_tokens,
    scale, threshold, keep_scale, N: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr, DROPOUT: tl.constexpr,
):  # fmt: skip
    """The gradient of one block of queries of one head, and `deltas`, which the keys' needs."""
    head, sequence = tl.program_id(1), tl.program_id(2)
    start = tl.load(cu_seqlens + sequence)
    length = tl.load(cu_seqlens + sequence + 1) - start
    first_row = tl.program_id(0) * BLOCK_M
    if first_row >= length:
        return
    rows = first_row + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_K)
    dims = tl.arange(0, D)
    is_row = (rows < length)[:, None]
    base = qkv + start.to(tl.int64) * (3 * N * D) + head * D
    query_at = rows[:, None] * (3 * N * D) + dims[None, :]
    query = tl.load(base + query_at, mask=is_row, other=0.0)
    out_at = start.to(tl.int64) * (N * D) + head * D + rows[:, None] * (N * D) + dims[None, :]
    row_grad = tl.load(grad_out + out_at, mask=is_row, other=0.0)
    row_out = tl.load(out + out_at, mask=is_row, other=0.0)
    delta = tl.sum(row_grad.to(tl.float32) * row_out.to(tl.float32), 1)
    row_at = head.to(tl.int64) * num_tokens + start + rows
    tl.store(deltas + row_at, delta, mask=rows < length)
    row_lse = tl.load(lse + row_at, mask=rows < length, other=0.0)
    key_at = base + N * D + columns[:, None] * (3 * N * D) + dims[None, :]
    keys = rows.to(tl.uint32)
    if DROPOUT:
        keys = _row_keys(seed, start + rows, head, num_tokens)
    log2_scale = scale * _LOG2_E
    grad_query = tl.zeros([BLOCK_M, D], tl.float32)
    whole = length // BLOCK_K * BLOCK_K
    for first in range(0, whole, BLOCK_K):
        key = tl.load(key_at + first * (3 * N * D))
        value = tl.load(key_at + first * (3 * N * D) + N * D)
        grad_query = _query_block(
            grad_query, query, row_grad, row_lse, delta, key, value, first, length, log2_scale,
            keys, columns, threshold, keep_scale, False, DROPOUT,
        )  # fmt: skip
    if whole < length:
        is_there = (whole + columns < length)[:, None]
        key = tl.load(key_at + whole * (3 * N * D), mask=is_there, other=0.0)
        value = tl.load(key_at + whole * (3 * N * D) + N * D, mask=is_there, other=0.0)
        grad_query = _query_block(
            grad_query, query, row_grad, row_lse, delta, key, value, whole, length, log2_scale,
            keys, columns, threshold, keep_scale, True, DROPOUT,
        )  # fmt: skip
    places = start.to(tl.int64) * (3 * N * D) + query_at
    factor = tl.load(factor_at) if small is not None else 1.0
    slot = start // BLOCK_M + sequence + tl.program_id(0)
    grad_query *= scale
    _store_gradient(grad_query, grad_qkv, small, factor, places, is_row, head * D)
    _store_sum(grad_query, sums, is_row, slot, head * D, N, D)


@triton.jit
def _key_block(  # type: ignore[no-untyped-def]
    grad_key, grad_value, key, value, query, grad_out, row_lse, delta, scale, keys, columns,
    threshold, keep_scale, DROPOUT: tl.constexpr,
):  # fmt: skip
    """What one block of queries adds to the gradients of keys, but for `scale`, and of values."""
    scores = tl.dot(key, tl.trans(query)) * scale  # (K, M)
    probs = tl.exp2(scores - row_lse[None, :])
    grad_probs = tl.dot(value, tl.trans(grad_out))  # (K, M)
    kept = probs
    if DROPOUT:
        keep = _keeps(keys[None, :], columns[:, None], threshold)
        kept = tl.where(keep, probs * keep_scale, 0.0)
        grad_probs = tl.where(keep, grad_probs * keep_scale, 0.0)
    grad_value = tl.dot(kept.to(grad_out.dtype), grad_out, grad_value)
    grad_scores = probs * (grad_probs - delta[None, :])
    return tl.dot(grad_scores.to(query.dtype), query, grad_key), grad_value


@triton.jit
def _attention_backward_key(  # type: ignore[no-untyped-def]
    qkv, grad_out, lse, grad_qkv, small, sums, deltas, cu_seqlens, seed, factor_at, num_tokens,
    scale, threshold, keep_scale, N: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr, DROPOUT: tl.constexpr,
):  # fmt: skip
    """The gradients of one block of keys and of its values, of one head."""
    head, sequence = tl.program_id(1), tl.program_id(2)
    start = tl.load(cu_seqlens + sequence)
    length = tl.load(cu_seqlens + sequence + 1) - start
    first_column = tl.program_id(0) * BLOCK_K
    if first_column >= length:
        return
    columns = first_column + tl.arange(0, BLOCK_K)
    rows = tl.arange(0, BLOCK_M)
    dims = tl.arange(0, D)
    is_column = (columns < length)[:, None]
    base = qkv + start.to(tl.int64) * (3 * N * D) + head * D
    key_at = columns[:, None] * (3 * N * D) + dims[None, :]
    key = tl.load(base + N * D + key_at, mask=is_column, other=0.0)
    value = tl.load(base + 2 * N * D + key_at, mask=is_column, other=0.0)
    query_at = base + rows[:, None] * (3 * N * D) + dims[None, :]
    grad_base = grad_out + start.to(tl.int64) * (N * D) + head * D
    grad_at = grad_base + rows[:, None] * (N * D) + dims[None, :]
    row_at = head.to(tl.int64) * num_tokens + start
    log2_scale = scale * _LOG2_E
    keys = rows.to(tl.uint32)
    grad_key = tl.zeros([BLOCK_K, D], tl.float32)
    grad_value = tl.zeros([BLOCK_K, D], tl.float32)
    whole = length // BLOCK_M * BLOCK_M
    for first in range(0, whole, BLOCK_M):
        query = tl.load(query_at + first * (3 * N * D))
        row_grad = tl.load(grad_at + first * (N * D))
        row_lse = tl.load(lse + row_at + first + rows)
        delta = tl.load(deltas + row_at + first + rows)
        if DROPOUT:
            keys = _row_keys(seed, start + first + rows, head, num_tokens)
        grad_key, grad_value = _key_block(
            grad_key, grad_value, key, value, query, row_grad, row_lse, delta, log2_scale, keys,
            columns, threshold, keep_scale, DROPOUT,
        )  # fmt: skip
    if whole < length:
        is_row = whole + rows < length
        query = tl.load(query_at + whole * (3 * N * D), mask=is_row[:, None], other=0.0)
        row_grad = tl.load(grad_at + whole * (N * D), mask=is_row[:, None], other=0.0)
        # Of a row that is none, every probability is 2 to the minus infinity.
        row_lse = tl.load(lse + row_at + whole + rows, mask=is_row, other=float("inf"))
        delta = tl.load(deltas + row_at + whole + rows, mask=is_row, other=0.0)
        if DROPOUT:
            keys = _row_keys(seed, start + whole + rows, head, num_tokens)
        grad_key, grad_value = _key_block(
            grad_key, grad_value, key, value, query, row_grad, row_lse, delta, log2_scale, keys,
            columns, threshold, keep_scale, DROPOUT,
        )  # fmt: skip
    places = start.to(tl.int64) * (3 * N * D) + key_at
    factor = tl.load(factor_at) if small is not None else 1.0
    slot = start // BLOCK_K + sequence + tl.program_id(0)
    value_at = 2 * N * D + head * D
    _store_gradient(
        grad_key * scale, grad_qkv, small, factor, places, is_column, N * D + head * D
    )  # fmt: skip
    _store_gradient(grad_value, grad_qkv, small, factor, places, is_column, value_at)
    # The keys' bias adds the same to all scores of a row, which changes no softmax: its gradient
    # is 0, and that is what stands in `sums`.
    _store_sum(grad_value, sums, is_column, slot, value_at, N, D)


def _dropout_numbers(dropout_prob: float) -> tuple[int, float]:
    """Hashes from which on a score is kept, and what it is multiplied with."""
    return min(round(dropout_prob * 2**32), 2**32 - 1), 1 / (1 - dropout_prob)


@torch.library.custom_op("bertsmith::packed_attention", mutates_args=())
def packed_attention(
    qkv: Tensor, cu_seqlens: Tensor, seed: Tensor | None, max_seqlen: int, dropout_prob: float
) -> tuple[Tensor, Tensor]:
    """Each sequence attends to itself.

    Args:
        qkv: (T, 3, N, D) queries, keys and values, in bfloat16 or float16.
        cu_seqlens: (B + 1,) int32, from 0 to T.
        seed: (1,) int64 on the same device, for dropout; None without.
        max_seqlen: the longest that a sequence may be.
        dropout_prob: of the attention probabilities, below 1.

    Returns:
        (T, N, D), and (N, T) float32: the logarithm to the base 2 of each softmax's denominator.
    """
    num_tokens, _, num_heads, head_size = qkv.shape
    qkv = qkv.contiguous()
    out = qkv.new_empty(num_tokens, num_heads, head_size)
    lse = qkv.new_empty(num_heads, num_tokens, dtype=torch.float32)
    threshold, keep_scale = _dropout_numbers(dropout_prob)
    grid = (triton.cdiv(max_seqlen, FORWARD["BLOCK_M"]), num_heads, len(cu_seqlens) - 1)
    with torch.cuda.device(qkv.device):  # Triton launches on the current one
        _attention_forward[grid](
            qkv, out, lse, cu_seqlens, seed, num_tokens, 1 / math.sqrt(head_size), threshold,
            keep_scale, N=num_heads, D=head_size, DROPOUT=seed is not None, **FORWARD,
        )  # fmt: skip
    return out, lse


@packed_attention.register_fake
def _(
    qkv: Tensor, cu_seqlens: Tensor, seed: Tensor | None, max_seqlen: int, dropout_prob: float
) -> tuple[Tensor, Tensor]:
    num_tokens, _, num_heads, head_size = qkv.shape
    return (
        qkv.new_empty(num_tokens, num_heads, head_size),
        qkv.new_empty(num_heads, num_tokens, dtype=torch.float32),
    )


@torch.library.custom_op("bertsmith::packed_attention_backward", mutates_args=())
def packed_attention_backward(
    grad_out: Tensor,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    cu_seqlens: Tensor,
    seed: Tensor | None,
    max_seqlen: int,
    dropout_prob: float,
    factor: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of `packed_attention`: (T, N, D) → (T, 3, N, D), and what is made of it besides.

    Args:
        grad_out: (T, N, D), of the output.
        qkv: as it was for `packed_attention`.
        out: what that gave;
        lse: and its logarithms.
        cu_seqlens: as it was.
        seed: likewise.
        max_seqlen: likewise.
        dropout_prob: likewise.
        factor: a number on the device; None where no 8-bit gradient is wanted.

    Returns:
        the gradient, the same times `factor` in e5m2 (empty without one), and the sum over all
        tokens, (3, N, D) float32, added up before anything is rounded; of the keys' it is 0 by
        nature.
    """
    num_tokens, _, num_heads, head_size = qkv.shape
    grad_out, qkv = grad_out.contiguous(), qkv.contiguous()
    grad_qkv = torch.empty_like(qkv)
    small = None if factor is None else torch.empty_like(qkv, dtype=torch.float8_e5m2)
    deltas = torch.empty_like(lse)
    num_sequences = len(cu_seqlens) - 1
    # One row for each block of a sequence: block i of sequence b, which starts at s, has row
    # s // BLOCK + b + i, and rows between them stay 0.
    block = BACKWARD_QUERY["BLOCK_M"]
    sums = lse.new_zeros(num_tokens // block + num_sequences, *qkv.shape[1:])
    threshold, keep_scale = _dropout_numbers(dropout_prob)
    made = (grad_qkv, small, sums, deltas)
    numbers = (
        cu_seqlens,
        seed,
        factor,
        num_tokens,
        1 / math.sqrt(head_size),
        threshold,
        keep_scale,
    )
    sizes = {"N": num_heads, "D": head_size, "DROPOUT": seed is not None}
    grid = (triton.cdiv(max_seqlen, block), num_heads, num_sequences)
    _attention_backward_query[grid](
        qkv, out, grad_out, lse, *made, *numbers, **sizes, **BACKWARD_QUERY
    )
    _attention_backward_key[grid](qkv, grad_out, lse, *made, *numbers, **sizes, **BACKWARD_KEY)
    if small is None:
        small = qkv.new_empty(0, dtype=torch.float8_e5m2)
    return grad_qkv, small, sums.sum(0)


@packed_attention_backward.register_fake
def _(
    grad_out: Tensor,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    cu_seqlens: Tensor,
    seed: Tensor | None,
    max_seqlen: int,
    dropout_prob: float,
    factor: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    small = qkv.new_empty(0 if factor is None else qkv.shape, dtype=torch.float8_e5m2)
    return torch.empty_like(qkv), small, lse.new_empty(qkv.shape[1:])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, cu_seqlens, seed, ctx.max_seqlen, ctx.dropout_prob = inputs
    out, lse = output
    ctx.mark_non_differentiable(lse)
    ctx.save_for_backward(qkv, out, lse, cu_seqlens, seed)


def _backward(ctx: Any, grad_out: Tensor, _lse: Tensor) -> tuple[Tensor | None, ...]:
    grad_qkv, _, _ = packed_attention_backward(
        grad_out, *ctx.saved_tensors, ctx.max_seqlen, ctx.dropout_prob, None
    )
    return grad_qkv, None, None, None, None


packed_attention.register_autograd(_backward, setup_context=_setup_context)
