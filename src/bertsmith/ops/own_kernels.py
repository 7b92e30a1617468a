"""Where kernels of our own, in Triton, are at hand and quicker than PyTorch's."""

from __future__ import annotations

import functools
import logging

import torch
from torch import Tensor

MIN_TOKENS = 8192
"""Of fewer, a GPU is done before the host has launched the next kernel, whoever wrote it."""

_log = logging.getLogger(__name__)


def has_own_kernels(x: Tensor) -> bool:
    """Whether to compute with kernels of our own on (T, ...) values of T tokens.

    In a compiled model on a GPU, which has a compiler at hand; and in one that only answers, on
    many tokens, where Triton finds what it needs to make them.
    """
    if not x.is_cuda:
        return False
    if torch.compiler.is_compiling():
        return True
    return len(x) >= MIN_TOKENS and not torch.is_grad_enabled() and _can_be_made(x.device)


@functools.cache
def _can_be_made(device: torch.device) -> bool:
    """Make the smallest: Triton needs a C compiler and Python's headers, which not all have."""
    try:
        from bertsmith.ops.triton_layer_norm import added_norm

        row = torch.zeros(1, 16, device=device)
        added_norm(row, row, row[0], row[0], 1.0, row.dtype)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        _log.warning("large batches are computed without kernels of our own: %s", reason)
        return False
    return True
