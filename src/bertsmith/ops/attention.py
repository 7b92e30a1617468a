"""Scaled dot-product attention over packed sequences: one signature, five implementations.

`reference` is the definition: each sequence by itself, a softmax in float32. The others compute
the same faster and are held to it by the tests, forward and gradient. None lets a sequence see
its neighbours, and one that cannot do what is asked raises; it never leaves dropout out quietly.
Attention is BERT's, to all tokens of the sequence, or causal: to those before and to itself.

Source: Vaswani et al. 2017, section 3.2.1; Devlin et al. 2019, section 3.

Dimension key: `T` tokens of the batch, `N` heads, `D` head size, `B` sequences, `S` longest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.ops.dropout import dropout
from bertsmith.ops.half import is_half
from bertsmith.ops.own_kernels import has_own_kernels
from bertsmith.ops.ragged import RaggedLayout

# Up to here `eager` is faster than `sdpa` on a CPU in bfloat16 (docs/decisions/0008). The squares
# of longer sequences are large, and not measured.
MAX_EAGER_SEQLEN = 512
SOFTMAX_NUMBERS = 2**18
# Those that `triton` has kernels for: a block of them is as wide as a head.
HEAD_SIZES = (32, 64, 128)


class Attention(Protocol):
    """(T, 3, N, D) queries, keys and values → (T, N, D), each sequence attending to itself alone.

    They are one tensor as one product makes them, so that their gradients can be one as well.
    """

    def __call__(
        self, qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False, /
    ) -> Tensor:
        """Attend; `dropout_prob` is that of the attention probabilities, 0 in evaluation.

        With `is_causal` no token attends to one after it.
        """


def reference(
    qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False
) -> Tensor:
    """The definition, one sequence after the other; for tests and for reading."""
    outputs = []
    bounds = layout.cu_seqlens.tolist()
    for start, end in itertools.pairwise(bounds):
        q, k, v = qkv[start:end].permute(1, 2, 0, 3)  # (N, S, D) each
        scores = (q @ k.transpose(1, 2)).float() / math.sqrt(q.shape[-1])  # (N, S, S)
        if is_causal:
            scores = scores.masked_fill(is_later(end - start, scores.device), -torch.inf)
        probs = F.dropout(scores.softmax(-1), dropout_prob, training=dropout_prob > 0)
        outputs.append((probs.to(v.dtype) @ v).transpose(0, 1))  # (S, N, D)
    return torch.cat(outputs)


def is_later(length: int, device: torch.device) -> Tensor:
    """(S, S) bool: whether the token of a column stands after that of the row."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)


def _in_runs(
    attention: Attention, qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool
) -> Tensor:
    """Attend within runs of sequences of about equal length, each padded to its own longest.

    Without a gradient the runs are of exactly equal lengths, and nothing is padded or copied. On a
    GPU, where shapes that change cost more than they save, all are one run.
    """
    if qkv.device.type != "cpu" or torch.compiler.is_compiling():
        return attention(qkv, layout, dropout_prob, is_causal)
    runs = layout.runs if qkv.requires_grad else layout.equal_runs
    if len(runs) == 1:
        return attention(qkv, layout, dropout_prob, is_causal)
    parts = torch.split(qkv, [int(run.cu_seqlens[-1]) for run in runs])
    pairs = zip(parts, runs, strict=True)
    return torch.cat([attention(part, run, dropout_prob, is_causal) for part, run in pairs])


def sdpa(qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False) -> Tensor:
    """PyTorch's fused attention on sequences padded for it alone; runs on every device.

    On a CPU it computes in float32: forward is no slower than in bfloat16 there, and backward, at
    lengths up to 128, takes half the time.
    """
    if qkv.device.type == "cpu" and is_half(qkv.dtype):
        with torch.autocast("cpu", enabled=False):
            return sdpa(qkv.float(), layout, dropout_prob, is_causal).to(qkv.dtype)
    return _in_runs(_padded_sdpa, qkv, layout, dropout_prob, is_causal)


def _padded_sdpa(
    qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False
) -> Tensor:
    q, k, v = layout.pad(qkv).permute(2, 0, 3, 1, 4)  # (B, N, S, D) each
    # Padding stands at the end, where a token that attends to the left alone never looks.
    mask = None if is_causal else layout.mask  # (B, S)
    mask = None if mask is None else mask[:, None, None, :]
    output = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout_prob, is_causal=is_causal
    )
    return layout.unpad(output.transpose(1, 2))


def eager(
    qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False
) -> Tensor:
    """The definition on all sequences at once, padded for it alone; the whole square is in memory.

    PyTorch's fused attention has neither dropout on a CPU nor a fast backward pass in bfloat16.
    """
    return _in_runs(_padded_eager, qkv, layout, dropout_prob, is_causal)


def _padded_eager(
    qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False
) -> Tensor:
    q, k, v = layout.pad(qkv).permute(2, 0, 3, 1, 4)  # (B, N, S, D) each
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(2, 3)  # (B, N, S, S)
    lowest = torch.finfo(scores.dtype).min
    if is_causal:  # and so never to padding, which stands at the end
        scores = scores.masked_fill(is_later(scores.shape[-1], scores.device), lowest)
    elif layout.mask is not None:
        scores = scores.masked_fill(~layout.mask[:, None, None, :], lowest)
    probs = _softmax(scores)
    if dropout_prob > 0:
        probs = dropout(probs, dropout_prob)
    return layout.unpad((probs @ v).transpose(1, 2))


def _softmax(scores: Tensor) -> Tensor:
    """(B, N, S, S) → the same; without a gradient the scores themselves are overwritten."""
    if scores.requires_grad or scores.device.type != "cpu" or not is_half(scores.dtype):
        return scores.softmax(-1)
    # In float32, since in bfloat16 it takes up to four times as long where S is no multiple of 32;
    # a few rows at a time, which stay in the cache (docs/decisions/0008).
    for part in torch.split(scores, max(1, SOFTMAX_NUMBERS // scores[0].numel())):
        part.copy_(part.softmax(-1, dtype=torch.float32))
    return scores


def varlen(
    qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False
) -> Tensor:
    """FlashAttention on the packed tensors as they are; CUDA, bfloat16 or float16, no dropout."""
    if dropout_prob > 0:
        raise ConfigError(
            f"attention_probs_dropout_prob ({dropout_prob}) is not supported by the varlen "
            "attention; set it to 0 or choose the sdpa attention"
        )
    _check_is_half_on_cuda("varlen", qkv)
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = qkv.unbind(1)
    bounds, longest = layout.cu_seqlens, layout.max_seqlen
    seen = (-1, 0) if is_causal else (-1, -1)  # how far to the left and to the right; -1: all
    output = varlen_attn(query, key, value, bounds, bounds, longest, longest, window_size=seen)
    assert isinstance(output, Tensor)  # noqa: S101 - the other form returns statistics as well
    return output


def triton(
    qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False
) -> Tensor:
    """Our own kernels (`triton_attention`), with dropout; CUDA, bfloat16 or float16; not causal."""
    if is_causal:
        raise ConfigError(
            "the triton attention has no kernel in which tokens attend to the left alone; choose "
            "the auto, sdpa or varlen attention"
        )
    _check_is_half_on_cuda("triton", qkv)
    if qkv.shape[-1] not in HEAD_SIZES:
        raise ConfigError(
            f"the triton attention has no kernel for heads of {qkv.shape[-1]}, only for those of "
            f"{', '.join(map(str, HEAD_SIZES))}; choose the sdpa attention"
        )
    from bertsmith.ops.triton_attention import packed_attention

    seed = dropout_seed(dropout_prob, qkv.device)
    output: Tensor
    output, _ = packed_attention(qkv, layout.cu_seqlens, seed, layout.max_seqlen, dropout_prob)
    return output


def dropout_seed(dropout_prob: float, device: torch.device) -> Tensor | None:
    """(1,) int64, of which `triton` makes a batch's dropout; None without any."""
    return torch.randint(2**31 - 1, (1,), device=device) if dropout_prob > 0 else None


def _check_is_half_on_cuda(name: str, qkv: Tensor) -> None:
    if not qkv.is_cuda or not is_half(qkv.dtype):
        raise ConfigError(
            f"the {name} attention needs bfloat16 or float16 on a CUDA device and got "
            f"{str(qkv.dtype).removeprefix('torch.')} on {qkv.device.type}; choose the sdpa "
            "attention or train with precision = 'bf16'"
        )


def auto(qkv: Tensor, layout: RaggedLayout, dropout_prob: float, is_causal: bool = False) -> Tensor:
    """The fastest that can do what is asked.

    On a GPU that is `triton` where kernels of our own are at hand, and `varlen` elsewhere and
    where it is to be causal; on a CPU `eager` with dropout, and without it in
    bfloat16, which PyTorch's fused attention has no quick backward pass in.
    """
    chosen: Attention = sdpa
    if qkv.is_cuda and is_half(qkv.dtype):
        if qkv.shape[-1] in HEAD_SIZES and not is_causal and has_own_kernels(qkv):
            chosen = triton
        elif dropout_prob == 0:
            chosen = varlen
    elif qkv.device.type == "cpu" and (
        dropout_prob > 0 or (is_half(qkv.dtype) and layout.max_seqlen <= MAX_EAGER_SEQLEN)
    ):
        chosen = eager
    return chosen(qkv, layout, dropout_prob, is_causal)


ATTENTIONS: Mapping[str, Attention] = {
    "auto": auto,
    "eager": eager,
    "reference": reference,
    "sdpa": sdpa,
    "triton": triton,
    "varlen": varlen,
}


def get_attention(name: str) -> Attention:
    """Look an implementation up by its name."""
    if name not in ATTENTIONS:
        raise ConfigError(f"attention ({name!r}) must be one of {', '.join(ATTENTIONS)}")
    return ATTENTIONS[name]
