"""The precision in which a model answers, and whether a narrow one is faster here.

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.precision import cpu_rates, has_fast_bfloat16

log = logging.getLogger(__name__)

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: torch.device) -> str:
    """`fp32`, `bf16` or `fp16`: the named one, or for `auto` the fastest on this device.

    On a CPU a product is timed in both, once a process; the log says what was found.

    Raises:
        ConfigError: it is none, or none of this device's.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"precision ({name!r}) must be one of {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 is for GPUs, and this is a CPU; give bf16, fp32 or auto")
    if name != "auto":
        return name
    chosen, reason = faster_precision(device)
    log.info("precision %s: %s", chosen, reason)
    return chosen


def faster_precision(device: torch.device) -> tuple[str, str]:
    """What `auto` is, and why."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "this GPU has bfloat16"
        return "fp16", "this GPU has no bfloat16"
    if device.type != "cpu":
        return "fp32", f"nothing is known of bfloat16 on {device.type}"
    single, half = cpu_rates()
    rates = f"products take {single:.0f} GFLOP/s in float32 and {half:.0f} in bfloat16 here"
    if not half:
        rates = "this processor has no instructions for bfloat16"
    return ("bf16" if has_fast_bfloat16("cpu") else "fp32"), rates


def use_precision(model: BertForTasks, precision: str) -> None:
    """Let a model that only answers compute its layers in this precision.

    With `bf16` or `fp16` the layers' parameters are of that type from then on. Embeddings and heads
    stay float32, and so do the vectors that heads read; and a model over features, whose layers are
    summed, as a whole.

    Args:
        model: on its device.
        precision: `fp32` changes nothing.
    """
    if precision not in _NARROW or model.features is not None:
        return
    encoder = model.bert.encoder
    encoder.to(_NARROW[precision])
    encoder.register_forward_pre_hook(functools.partial(_narrowed, _NARROW[precision]))
    encoder.register_forward_hook(_widened)


def _narrowed(
    dtype: torch.dtype, _module: torch.nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    """(T, H) embeddings in the precision of the layers."""
    return (args[0].to(dtype), *args[1:])


def _widened(_module: torch.nn.Module, _args: tuple[Any, ...], output: Tensor) -> Tensor:
    """(T, H) for the heads."""
    return output.float()
