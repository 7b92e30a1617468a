"""The optimizers: BERT's own Adam, AdamW, and Muon for the encoder's matrices.

`BertAdam` is the published one (Devlin et al. 2019, appendix A.2, and the code released with
it). Biases and layer norms never decay; everything else does, embeddings too. State is kept by
the parameters' names in plain tensors, so that a checkpoint needs no pickle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.training.muon import Muon
from bertsmith.training.settings import Fraction, NonNegativeFloat, PositiveFloat, Settings

NO_DECAY = re.compile(r"layer_?norm|bias$", re.IGNORECASE)
ENCODER_MATRIX = re.compile(r"(^|\.)encoder\.layers\.\d+\..*\.weight$")
FUSED_QKV = re.compile(r"\.qkv\.weight$")

# Stands in a saved state for a parameter that has had no gradient, so that a lost one is noticed.
NO_STATE = "no_state"


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Settings):
    """The `[optimizer]` section; the defaults are the published ones for pre-training."""

    name: Literal["bert_adam", "adamw", "muon"] = "bert_adam"
    """`muon` takes the matrices of the encoder's layers and leaves the rest to AdamW."""
    learning_rate: PositiveFloat = 1e-4
    muon_learning_rate: PositiveFloat | None = None
    """For Muon's matrices; `learning_rate` where not set, since Muon's updates have Adam's size."""
    weight_decay: NonNegativeFloat = 0.01
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-6
    max_grad_norm: NonNegativeFloat = 1.0
    """Gradients longer than this, all together, are shortened to it; 0 leaves them."""


class BertAdam(Optimizer):
    """Adam as BERT was trained with: no bias correction, epsilon outside the root.

    The update is m/(√v + eps) + weight_decay·w, times the learning rate. Without the correction
    the first steps are larger than Adam's, up to (1-b1)/√(1-b2) = 3.2 of its size at the
    published values; warm-up is what keeps them small.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(params, group)

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [param.grad for param in params if param.grad is not None]
        for param in params:
            if not self.state[param]:
                self.state[param] = {
                    "exp_avg": torch.zeros_like(param),
                    "exp_avg_sq": torch.zeros_like(param),
                }
        means = [self.state[param]["exp_avg"] for param in params]
        squares = [self.state[param]["exp_avg_sq"] for param in params]
        beta1, beta2 = group["betas"]
        torch._foreach_mul_(means, beta1)
        torch._foreach_add_(means, gradients, alpha=1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_add_(denominators, group["eps"])
        updates = torch._foreach_div(means, denominators)
        if group["weight_decay"]:
            torch._foreach_add_(updates, params, alpha=group["weight_decay"])
        torch._foreach_add_(params, updates, alpha=-group["lr"])


# What each optimizer keeps for a parameter that has had a gradient.
STATE_KEYS: Mapping[type[Optimizer], tuple[str, ...]] = {
    BertAdam: ("exp_avg", "exp_avg_sq"),
    AdamW: ("exp_avg", "exp_avg_sq", "step"),
    Muon: ("momentum_buffer",),
}


def build_optimizers(
    named_parameters: Iterable[tuple[str, nn.Parameter]], settings: OptimizerSettings
) -> list[Optimizer]:
    """Make the optimizers of a run; every trainable parameter is in exactly one.

    Args:
        named_parameters: of the whole model, heads too, as `nn.Module.named_parameters` gives.
        settings: which optimizer, and its numbers.

    Raises:
        ConfigError: when Muon is asked for and no matrix of an encoder layer is trainable.
    """
    trainable = [(name, param) for name, param in named_parameters if param.requires_grad]
    adam: type[BertAdam] | type[AdamW] = BertAdam if settings.name == "bert_adam" else AdamW
    optimizers: list[Optimizer] = []
    if settings.name == "muon":
        matrices = [(n, p) for n, p in trainable if p.ndim == 2 and ENCODER_MATRIX.search(n)]
        if not matrices:
            raise ConfigError(
                "optimizer.name ('muon') needs trainable matrices in encoder.layers and there "
                "are none; choose adamw or bert_adam"
            )
        taken = {name for name, _ in matrices}
        trainable = [(name, param) for name, param in trainable if name not in taken]
        groups = [
            {"params": [p for n, p in matrices if bool(FUSED_QKV.search(n)) == fused], "parts": k}
            for fused, k in ((True, 3), (False, 1))
        ]
        optimizers.append(
            Muon(
                [group for group in groups if group["params"]],
                settings.muon_learning_rate or settings.learning_rate,
                weight_decay=settings.weight_decay,
            )
        )
    decay_groups = [
        {"params": [p for n, p in trainable if bool(NO_DECAY.search(n)) != decays],
         "weight_decay": settings.weight_decay if decays else 0.0}
        for decays in (True, False)
    ]  # fmt: skip
    options: dict[str, Any] = {"betas": (settings.beta1, settings.beta2), "eps": settings.epsilon}
    if adam is AdamW:
        fused_devices = {"cuda", "cpu", "mps", "xpu"}
        options["fused"] = {param.device.type for _, param in trainable} <= fused_devices
    kept = [group for group in decay_groups if group["params"]]
    if kept:
        optimizers.append(adam(kept, settings.learning_rate, **options))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def set_learning_rates(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Set every group's learning rate to its own `initial_lr` times the schedule's factor."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def optimizer_state(
    optimizers: Iterable[Optimizer], names: Mapping[Tensor, str]
) -> dict[str, Tensor]:
    """All that the optimizers remember, as tensors keyed `"{parameter name}.{state key}"`.

    The tensors are the optimizers' own, not copies. A parameter that has had no gradient yet is
    there as an empty `"{parameter name}.no_state"`. The settings of the groups are not part of
    it: they come from the recipe.

    Args:
        optimizers: those of the run.
        names: each parameter's name.
    """
    state: dict[str, Tensor] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for param in group["params"]:
                kept = optimizer.state.get(param) or {NO_STATE: torch.zeros(0)}
                state |= {f"{names[param]}.{key}": value for key, value in kept.items()}
    return state


def load_optimizer_state(
    optimizers: Iterable[Optimizer],
    names: Mapping[Tensor, str],
    state: Mapping[str, Tensor],
) -> None:
    """Put back what `optimizer_state` gave, bit for bit; the tensors are copied.

    Raises:
        CheckpointError: when a tensor is missing, too many or of the wrong shape; the optimizers
            are then unchanged.
    """
    optimizers = list(optimizers)
    unread = set(state)
    loaded: list[dict[int, dict[str, Tensor]]] = []
    for optimizer in optimizers:
        params = [param for group in optimizer.param_groups for param in group["params"]]
        by_index: dict[int, dict[str, Tensor]] = {}
        for index, param in enumerate(params):
            name = names[param]
            if f"{name}.{NO_STATE}" in state:
                unread.discard(f"{name}.{NO_STATE}")
                continue
            keys = [f"{name}.{key}" for key in STATE_KEYS[type(optimizer)]]
            by_index[index] = {
                key.removeprefix(f"{name}."): _fitting(state, key, param).clone() for key in keys
            }
            unread.difference_update(keys)
        loaded.append(by_index)
    if unread:
        raise CheckpointError(
            f"the saved optimizer state has {min(unread)}, which the optimizer of this run does "
            "not keep; resume with the optimizer that the checkpoint was made with"
        )
    for optimizer, by_index in zip(optimizers, loaded, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        # PyTorch's own loading puts each tensor on the device where its optimizer wants it.
        optimizer.load_state_dict({"state": by_index, "param_groups": groups})


def _fitting(state: Mapping[str, Tensor], key: str, param: nn.Parameter) -> Tensor:
    """The saved tensor, when it is there and has the parameter's shape (`step` is one number)."""
    if key not in state:
        raise CheckpointError(
            f"the saved optimizer state lacks {key}; resume with the optimizer and the model "
            "that the checkpoint was made with"
        )
    shape = () if key.endswith(".step") else tuple(param.shape)
    if tuple(state[key].shape) != shape:
        raise CheckpointError(
            f"{key} of the saved optimizer state has the shape {tuple(state[key].shape)} and the "
            f"parameter needs {shape}; resume with the model that the checkpoint was made with"
        )
    return state[key]
