"""Muon: momentum whose update is made orthogonal, for the matrices of the encoder's layers.

The singular values of the momentum are all brought near 1, so that no direction of a matrix is
left behind; the length is then set to what Adam's updates have. Matrices of one shape are
stacked and worked on in one go, and a fused projection counts as the matrices it is made of.

Sources: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks";
Liu et al. 2025, "Muon is scalable for LLM training", for the factor of the learning rate.

Dimension key: `K` matrices of one shape, `A` rows, `B` columns, `R` the smaller of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bertsmith.training.precision import has_fast_bfloat16

# The quintic a·x + b·x³ + c·x⁵ with the steepest rise at 0; five rounds bring singular values
# from 0.01 to 1 to between about 0.7 and 1.2, which trains as well as exactly 1 does.
QUINTIC = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5
# The root mean square of Adam's update is about 0.2; that of an orthogonal (R, C) is 1/√C.
UPDATE_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; decay is decoupled and multiplied by the rate.

    Args:
        params: matrices, or groups of them. A group's `parts` says how many matrices of equal
            size are stacked on dimension 0 of each of its parameters: 3 for a fused projection
            to queries, keys and values.
        lr: learning rate; on the scale of Adam's.
        weight_decay: part of a weight taken away at a learning rate of 1.
        momentum: of the running mean of gradients.
        parts: for the groups that do not say.

    Raises:
        ValueError: for a parameter that is no matrix or that `parts` does not divide.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        parts: int = 1,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "parts": parts}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2 or len(param) % group["parts"]:
                    raise ValueError(
                        f"a parameter of shape {tuple(param.shape)} is not {group['parts']} "
                        "matrices on top of each other"
                    )

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        weights: list[Tensor] = []
        updates: list[Tensor] = []
        scales: list[float] = []
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if not params:
                continue
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            for param, update in zip(params, self._nesterov(params, group), strict=True):
                weights += param.chunk(group["parts"])
                updates += update.chunk(group["parts"])
            added = weights[len(scales) :]
            scales += [-group["lr"] * UPDATE_RMS * math.sqrt(max(w.shape)) for w in added]
        if weights:
            orthogonal = orthogonalize(updates)
            torch._foreach_mul_(orthogonal, scales)
            torch._foreach_add_(weights, orthogonal)

    def _nesterov(self, params: list[Tensor], group: dict[str, Any]) -> Sequence[Tensor]:
        """Move the running means and look one step ahead of them."""
        for param in params:
            if "momentum_buffer" not in self.state[param]:
                self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        buffers = [self.state[param]["momentum_buffer"] for param in params]
        gradients = [param.grad for param in params if param.grad is not None]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        return torch._foreach_lerp(gradients, buffers, group["momentum"])


def orthogonalize(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Give each matrix's nearest (semi-)orthogonal one, up to the error that `QUINTIC` leaves.

    Matrices of one shape go through together. The arithmetic is in bfloat16 where that is fast: the
    iteration corrects what its own rounding does.

    Returns:
        in the order given, each with its shape and type.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, matrix in enumerate(matrices):
        groups.setdefault((matrix.shape, matrix.device, matrix.dtype), []).append(index)
    results: list[Tensor] = list(matrices)
    for (_, device, dtype), indices in groups.items():
        fast = torch.bfloat16 if has_fast_bfloat16(device.type) else torch.float32
        stacked = torch.stack([matrices[index] for index in indices]).to(fast)
        for index, result in zip(indices, _newton_schulz(stacked).to(dtype), strict=True):
            results[index] = result
    return results


def _newton_schulz(x: Tensor) -> Tensor:
    """(K, A, B) → (K, A, B) with singular values near 1."""
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # so that none is above 1
    stands = x.shape[1] > x.shape[2]
    a, b, c = QUINTIC
    for _ in range(NUM_ITERATIONS):
        gram = x.mT @ x if stands else x @ x.mT  # (K, R, R)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factors = (x, polynomial) if stands else (polynomial, x)
        x = torch.baddbmm(x, *factors, beta=a)
    return x
