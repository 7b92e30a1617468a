"""How far a figure may be off because the records it was measured on are only so many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
_QUANTILE = 1.959963984540054  # of the normal distribution, at 0.975


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with a confidence of `LEVEL`."""

    low: float
    high: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"level": LEVEL, "low": self.low, "high": self.high, "method": self.method}


def wilson_interval(num_right: float, num_records: int) -> Interval:
    """The interval of a proportion (Wilson 1927), which is honest for 0 and 1 too.

    Args:
        num_right: how many are right; halves count as such.
        num_records: of how many; at least one.
    """
    share, square = num_right / num_records, _QUANTILE**2
    middle = share + square / (2 * num_records)
    reach = _QUANTILE * math.sqrt(share * (1 - share) / num_records + square / (4 * num_records**2))
    scale = 1 + square / num_records
    # At the ends rounding would leave a speck below 0 or above 1.
    low, high = max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)
    return Interval(low, high, "Wilson")


def bootstrap_interval(
    measure: Callable[[NDArray[np.int64]], float], num_records: int, num_resamples: int
) -> Interval | None:
    """The interval of any figure: percentiles over resamples of the records (Efron 1979).

    Args:
        measure: gives the figure of the records with these (num_records,) indices, some of which
            come more than once; NaN where it has none.
        num_records: how many there are.
        num_resamples: how many times to draw.

    Returns:
        None where the figure does not vary, as when all is right: then resamples tell nothing.
    """
    generator = np.random.default_rng(0)
    found = np.array(
        [
            measure(generator.integers(0, num_records, num_records, dtype=np.int64))
            for _ in range(num_resamples)
        ]
    )
    found = found[np.isfinite(found)]
    if not len(found):
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    if low == high:
        return None
    return Interval(low, high, f"bootstrap of {num_resamples} resamples")
