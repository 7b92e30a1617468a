"""Where bfloat16 arithmetic is fast."""

from __future__ import annotations

import time
from functools import cache

import torch
import torch.nn.functional as F

# A BERT-base's widest product on a batch of few hundred tokens: a few ms of a core.
_ROWS, _COLUMNS, _WIDTH, _REPEATS = 256, 768, 3072, 8
# Conversions, and what stays in float32, cost a part of what products gain.
_WORTH_IT = 1.3


def has_fast_bfloat16(device_type: str) -> bool:
    """Whether matrix products in bfloat16 beat those in float32 on "cuda", "cpu" and so on."""
    if device_type != "cpu":
        return True
    single, half = cpu_rates()
    return half > _WORTH_IT * single


@cache
def cpu_rates() -> tuple[float, float]:
    """10^9 operations a second of matrix products in float32 and in bfloat16; some 50 ms.

    Processors say which instructions they have, not whether they are fast with them: with AVX-512's
    for bfloat16 there are some that take a quarter of the time and some that take twice as long. A
    CPU without the instructions emulates them, fifty times as slowly, and has 0 here.
    """
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    names = ("avx512_bf16", "amx_bf16", "bf16")
    dtypes = [torch.float32]
    if any(capabilities.get(name) for name in names):
        dtypes.append(torch.bfloat16)
    best = dict.fromkeys(dtypes, float("inf"))
    with torch.inference_mode():
        factors = {t: (_ones(_ROWS, t), _ones(_WIDTH, t)) for t in dtypes}
        # The first one makes the kernel. Both in turn, so that other work slows them down alike.
        for _ in range(_REPEATS + 1):
            for dtype, (x, weight) in factors.items():
                start = time.perf_counter()
                F.linear(x, weight)
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    work = 2e-9 * _ROWS * _COLUMNS * _WIDTH
    return work / best[torch.float32], work / best.get(torch.bfloat16, float("inf"))


def _ones(rows: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.ones(rows, _COLUMNS, dtype=dtype)
