"""Copies of tensors in the CPU's memory, which training no longer changes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def host_copies(
    tensors: Iterable[tuple[str, Tensor]], *, are_kept: bool = True
) -> dict[str, Tensor]:
    """Copy tensors of any device to the CPU's memory; they may be changed when this returns.

    Those of a GPU go to page-locked memory, at the full speed of its link; PyTorch keeps it for
    the next time.

    Args:
        tensors: by name; each is let go before the next is asked for.
        are_kept: without it the tensors are only gone through.
    """
    copies: dict[str, Tensor] = {}
    devices: set[torch.device] = set()
    for name, tensor in tensors:
        if are_kept:
            copies[name] = _begin_copy(tensor.detach())
            devices.add(tensor.device)
    for device in devices:
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
    return copies


def _begin_copy(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor.to("cpu", copy=True)
    place = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return place.copy_(tensor, non_blocking=True)
