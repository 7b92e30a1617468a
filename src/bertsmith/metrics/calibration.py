"""Whether a model that is sure of 80 % of an answer is right 80 % of the time (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

NUM_BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """The answers given with probabilities between two bounds."""

    low: float
    high: float
    num_records: int
    confidence: float
    """The mean of the probabilities,"""
    accuracy: float
    """and the part of the answers that are right."""


@dataclass(frozen=True)
class Calibration:
    """How probabilities and being right go together."""

    error: float
    """The expected calibration error: how far the two are apart, over all answers."""
    bins: tuple[CalibrationBin, ...]
    """Of equal width; those without an answer are left out."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"error": self.error, "bins": [asdict(each) for each in self.bins]}


def calibration(confidences: Sequence[float], is_right: Sequence[bool]) -> Calibration:
    """Hold the probabilities that answers were given with to how often these are right.

    Args:
        confidences: from 0 to 1; at least one.
        is_right: of the same answers.
    """
    given, right = np.array(confidences, dtype=np.float64), np.array(is_right, dtype=np.float64)
    places = np.clip((given * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
    bins = []
    for number in np.unique(places).tolist():
        inside = places == number
        bins.append(
            CalibrationBin(
                low=number / NUM_BINS,
                high=(number + 1) / NUM_BINS,
                num_records=int(inside.sum()),
                confidence=float(given[inside].mean()),
                accuracy=float(right[inside].mean()),
            )
        )
    apart = sum(each.num_records * abs(each.confidence - each.accuracy) for each in bins)
    return Calibration(apart / len(given), tuple(bins))
