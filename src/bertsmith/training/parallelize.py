"""What is put around a plain model from outside: a device, a precision, a compiler."""

from __future__ import annotations

import contextlib
import os

import torch

from bertsmith.errors import ConfigError
from bertsmith.training.precision import has_fast_bfloat16

# Where a GPU computes, the host has little to do in parallel, and threads of PyTorch's that wait
# for more of it keep the cores from those that launch kernels and make batches: with all 32 of a
# machine BERT-mini trains at a third of its speed (benchmarks/pretrain_notes.md).
HOST_THREADS = 4


def choose_device(name: str | None = None) -> torch.device:
    """The named device, or a GPU where there is one, or the CPU.

    Raises:
        ConfigError: when PyTorch does not know the name or there is no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some hold no numbers
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        if reason.startswith("Expected one of"):  # and then the twenty kinds that PyTorch knows
            reason = "there is no such kind of device"
        raise ConfigError(f"device ({name!r}) cannot be used: {reason}; try cpu or cuda") from None
    return device


def limit_host_threads(device: torch.device) -> None:
    """For a program that computes on a GPU: few threads, unless `OMP_NUM_THREADS` says how many."""
    if device.type == "cuda" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(HOST_THREADS, torch.get_num_threads()))


def choose_precision(name: str | None, device: torch.device) -> str:
    """The named precision, or bf16 where the device is fast at it, or fp32."""
    return name or ("bf16" if has_fast_bfloat16(device.type) else "fp32")


def precision_context(
    device: torch.device, precision: str
) -> contextlib.AbstractContextManager[object]:
    """Arithmetic in float32, or with matrix products in bfloat16 over float32 parameters.

    With `fp8` too, where the layers that `use_fp8` has changed say themselves what they do.
    """
    if precision in ("bf16", "fp8"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
