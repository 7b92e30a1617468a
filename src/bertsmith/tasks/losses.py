"""The losses that tasks share, and which labels count.

Dimension key: `M` scored rows, `B` sequences, `C` classes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in float32 over the labels that are not -100; 0 when none counts.

    Args:
        logits: (M, C).
        labels: (M,).
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def mean_binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy in float32 over the labels that are not NaN; 0 when none counts.

    Args:
        logits: (B, C).
        labels: (B, C) of 0.0 and 1.0.
    """
    is_scored = ~labels.isnan()
    each = F.binary_cross_entropy_with_logits(logits.float(), labels.nan_to_num(), reduction="none")
    return (each * is_scored).sum() / is_scored.sum().clamp(min=1)


def mean_squared_error(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error in float32 over the labels that are not NaN; 0 when none counts.

    Args:
        scores: (B,).
        labels: (B,).
    """
    is_scored = ~labels.isnan()
    each = (scores.float() - labels.nan_to_num()) ** 2
    return (each * is_scored).sum() / is_scored.sum().clamp(min=1)


def is_scored(labels: Tensor) -> Tensor:
    """Which labels count: those that are neither -100, among whole numbers, nor NaN."""
    return ~labels.isnan() if labels.is_floating_point() else labels != -100
