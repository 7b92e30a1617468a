"""Copies of tensors in the CPU's memory, which training no longer changes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def host_copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors of any device to the CPU's memory; they may be changed when this returns.

    Those of a GPU go to page-locked memory, at the full speed of its link; PyTorch keeps it for
    the next time.
    """
    copies = {name: _begin_copy(tensor.detach()) for name, tensor in tensors.items()}
    for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
        torch.cuda.current_stream(device).synchronize()
    return copies


def _begin_copy(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor.to("cpu", copy=True)
    place = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return place.copy_(tensor, non_blocking=True)
