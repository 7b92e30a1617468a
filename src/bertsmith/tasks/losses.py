"""The losses that tasks share, and which labels count.

Dimension key: `M` scored rows, `B` sequences, `C` classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Of a place where there is nothing to choose. Infinity would be NaN where a row has nothing at all.
NO_SCORE = torch.finfo(torch.float32).min


def mean_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean cross-entropy in float32 over the labels that are not -100; 0 when none counts.

    Args:
        logits: (..., C).
        labels: (...).
        class_weights: (C,), how much a row of each class counts in the mean; None: alike.
        label_smoothing: part of the target that all classes share alike (Szegedy et al. 2016).
    """
    labels = labels.flatten()
    total = F.cross_entropy(
        logits.float().flatten(0, -2),
        labels,
        weight=class_weights,
        ignore_index=-100,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    counts = (labels != -100).float()
    if class_weights is not None:
        counts = counts * class_weights[labels.clamp(min=0)]
    whole = counts.sum()
    return total / whole.where(whole > 0, torch.ones_like(whole))


def mean_binary_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean binary cross-entropy in float32 over the labels that are not NaN; 0 when none counts.

    Args:
        logits: (B, C).
        labels: (B, C) of 0.0 and 1.0.
        class_weights: (C,), how much a label that holds counts against one that does not.
        label_smoothing: part of the target that both answers share alike.
    """
    is_scored = ~labels.isnan()
    each = F.binary_cross_entropy_with_logits(
        logits.float(),
        labels.nan_to_num() * (1 - label_smoothing) + label_smoothing / 2,
        pos_weight=class_weights,
        reduction="none",
    )
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
