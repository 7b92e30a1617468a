"""Where bfloat16 arithmetic is fast."""

from __future__ import annotations

from functools import cache

import torch


@cache
def has_fast_bfloat16(device_type: str) -> bool:
    """Whether matrix products in bfloat16 beat those in float32 on "cuda", "cpu" and so on.

    A CPU without the instructions emulates them: with AVX2 alone a product of 256 by 256
    matrices takes fifty times as long as in float32, with them a quarter.
    """
    if device_type != "cpu":
        return True
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
