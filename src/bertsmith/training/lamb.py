"""LAMB: Adam whose step for each layer is as long as the layer's weights, for very large batches.

Source: You et al. 2020, "Large batch optimization for deep learning: training BERT in 76 minutes",
algorithm 2, and the code released with it: parameters that do not decay (biases and layer norms)
are left at Adam's own length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Bias-corrected Adam with decay; each matrix's update has the matrix's norm times the rate.

    Args:
        params: parameters, or groups of them. A group's `parts` says how many matrices of equal
            size are stacked on dimension 0 of each of its parameters, and each has its own length:
            3 for a fused projection to queries, keys and values, 4 for the gates of an LSTM.
        lr: learning rate.
        betas: of the running means of gradients and of their squares.
        eps: added to the root.
        weight_decay: for the groups that do not say; a group with 0 is not scaled by its norm.
        parts: likewise.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        parts: int = 1,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "parts": parts,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(params, group)

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        updates = self._adam(params, group)
        rates: list[Tensor] | float = -group["lr"]
        if group["weight_decay"] > 0:
            torch._foreach_add_(updates, params, alpha=group["weight_decay"])
            params = [part for param in params for part in param.chunk(group["parts"])]
            updates = [part for update in updates for part in update.chunk(group["parts"])]
            lengths, steps = torch._foreach_norm(params), torch._foreach_norm(updates)
            # Weights or an update of zero have no length to speak of: they move as Adam's would.
            rates = [
                -group["lr"] * torch.where((length > 0) & (step > 0), length / step, 1.0)
                for length, step in zip(lengths, steps, strict=True)
            ]
        torch._foreach_mul_(updates, rates)
        torch._foreach_add_(params, updates)

    def _adam(self, params: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """The direction that Adam takes, decay left out."""
        for param in params:
            if not self.state[param]:
                self.state[param] = {
                    "step": torch.zeros(()),  # on the CPU, where it can be read without waiting
                    "exp_avg": torch.zeros_like(param),
                    "exp_avg_sq": torch.zeros_like(param),
                }
        states = [self.state[param] for param in params]
        means, squares = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq"))
        gradients = [param.grad for param in params if param.grad is not None]
        beta1, beta2 = group["betas"]
        torch._foreach_add_([state["step"] for state in states], 1)
        counts = [int(state["step"]) for state in states]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [(1 - beta2**count) ** 0.5 for count in counts])
        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(means, roots)
        torch._foreach_div_(updates, [1 - beta1**count for count in counts])
        return list(updates)
