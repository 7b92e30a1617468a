"""Which precision matrix products have."""

from __future__ import annotations

import torch
from torch import Tensor


def product_dtype(x: Tensor) -> torch.dtype:
    """The type in which a product with `x` is computed: autocast's where that is on."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


def is_half(dtype: torch.dtype) -> bool:
    """Whether a type is one of 16 bits."""
    return dtype in (torch.bfloat16, torch.float16)
