"""The loss that most tasks share.

Dimension key: `M` scored rows, `C` classes.
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
