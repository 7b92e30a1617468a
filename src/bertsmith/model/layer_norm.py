"""Layer normalisation (Ba et al. 2016) that keeps the stream between the layers narrow.

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.ops.half import is_half, product_dtype
from bertsmith.ops.own_kernels import has_own_kernels


class LayerNorm(nn.LayerNorm):
    """Computed in float32, and answered in the precision that matrix products have.

    PyTorch's autocast on a GPU answers in float32, so that what the layers hand on is twice as wide
    as what the next product reads; on a CPU it does as is done here.
    """

    def forward(
        self,
        input: Tensor,  # noqa: A002 - the name that nn.LayerNorm gives it
        residual: Tensor | None = None,
    ) -> Tensor:
        """(T, H) → (T, H), of the sum with `residual` where that is given."""
        kind = input.device.type
        if residual is not None:
            narrow = is_half(product_dtype(input))
            if narrow and not torch.compiler.is_compiling() and has_own_kernels(input):
                return self._added(input, residual)
            return self.forward(residual + input)
        if kind == "cpu" or not torch.is_autocast_enabled(kind):
            return super().forward(input)
        with torch.autocast(kind, enabled=False):
            output = F.layer_norm(
                input.float(), self.normalized_shape, self.weight, self.bias, self.eps
            )
        return output.to(torch.get_autocast_dtype(kind))

    def _added(self, x: Tensor, residual: Tensor) -> Tensor:
        """In a compiled model PyTorch's compiler makes such a kernel, with its gradient."""
        from bertsmith.ops.triton_layer_norm import added_norm

        return added_norm(x, residual, self.weight, self.bias, self.eps, product_dtype(x))
