"""Layer normalisation (Ba et al. 2016) that keeps the stream between the layers narrow.

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """Computed in float32, and answered in the precision that matrix products have.

    PyTorch's autocast on a GPU answers in float32, so that what the layers hand on is twice as wide
    as what the next product reads; on a CPU it does as is done here.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.LayerNorm gives it
        """(T, H) → (T, H)."""
        kind = input.device.type
        if kind == "cpu" or not torch.is_autocast_enabled(kind):
            return super().forward(input)
        with torch.autocast(kind, enabled=False):
            output = F.layer_norm(
                input.float(), self.normalized_shape, self.weight, self.bias, self.eps
            )
        return output.to(torch.get_autocast_dtype(kind))
