"""What is put around a plain model from outside: a device, a precision, a compiler."""

from __future__ import annotations

import contextlib

import torch

from bertsmith.errors import ConfigError
from bertsmith.training.precision import has_fast_bfloat16


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
