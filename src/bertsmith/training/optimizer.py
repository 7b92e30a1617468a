"""The optimizers: BERT's own Adam, AdamW, LAMB, and Muon for the encoder's matrices.

`BertAdam` is the published one (Devlin et al. 2019, appendix A.2, and the code released with
it). Biases and layer norms never decay; everything else does, embeddings too. Each layer may
have a rate of its own. State is kept by the parameters' names in plain tensors, so that a
checkpoint needs no pickle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.training.lamb import Lamb
from bertsmith.training.muon import Muon
from bertsmith.training.settings import (
    Factor,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    Settings,
)

NO_DECAY = re.compile(r"layer_?norm|bias(_[ih]h_l\d+(_reverse)?)?$", re.IGNORECASE)
ENCODER_MATRIX = re.compile(r"(^|\.)encoder\.layers\.\d+\..*\.weight(_(ih|hh|hr)_l\d+)?$")
FUSED_QKV = re.compile(r"\.qkv\.weight$")
# The four gates of an LSTM; its projection (hr) is one matrix.
FUSED_GATES = re.compile(r"\.weight_(ih|hh)_l\d+(_reverse)?$")
EMBEDDING = re.compile(r"^(bert\.)?embeddings\.")
ENCODER_LAYER = re.compile(r"(?:^|\.)encoder\.layers\.(\d+)\.")
FUSED_DEVICES = {"cuda", "cpu", "mps", "xpu"}  # those that PyTorch has a fused AdamW for

# Stands in a saved state for a parameter that has had no gradient, so that a lost one is noticed.
NO_STATE = "no_state"
# 0.999 to this power is 0, and float32 does not notice when 1 is added to it.
UNCORRECTED_STEP = 2.0**30


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Settings):
    """The `[optimizer]` section; the defaults are the published ones for pre-training."""

    name: Literal["bert_adam", "adamw", "lamb", "muon"] = "bert_adam"
    """`bert_adam` is the published Adam without bias correction; `adamw` has it: on some thousand
    records or fewer it fails less often, above all with 10 to 20 epochs in place of 3 (Mosbach et
    al. 2021; Zhang et al. 2021). `lamb` is for very large batches: You et al. (2020) pre-train with
    32,768 sequences in a step. `muon` takes the matrices of the encoder's layers and leaves the
    rest to AdamW."""
    learning_rate: PositiveFloat = 1e-4
    """The highest, at the end of warm-up. For fine-tuning the paper tries 5e-5, 3e-5 and 2e-5;
    above 1e-4 runs often end with one answer for everything."""
    layer_decay: Factor = 1.0
    """What the rate is multiplied with from each layer to the one below: of L layers the i-th has
    `layer_decay`^(L + 1 - i) of `learning_rate`, the embeddings `layer_decay`^(L + 1); pooler and
    heads have all of it. For fine-tuning, to keep what the lower layers know (Howard & Ruder 2018):
    0.9 to 0.95 is usual, ELECTRA takes 0.8 for base and 0.9 for large (Clark et al. 2020)."""
    muon_learning_rate: PositiveFloat | None = None
    """For Muon's matrices; `learning_rate` where not set, since Muon's updates have Adam's size."""
    weight_decay: NonNegativeFloat = 0.01
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-6
    max_grad_norm: NonNegativeFloat = 1.0
    """Gradients longer than this, all together, are shortened to it; 0 leaves them."""


class BertAdam(AdamW):
    """Adam as BERT was trained with: no bias correction, epsilon outside the root.

    The update is m/(√v + eps) + weight_decay·w, times the learning rate. Without the correction
    the first steps are larger than Adam's, up to (1-b1)/√(1-b2) = 3.2 of its size at the
    published values; warm-up is what keeps them small.

    PyTorch's AdamW divides m and v by 1 - b^step. After very many steps that is 1 and its update
    is the published one, so this counts from there and has the use of its fused kernels.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, fused=fused)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None and not self.state[param]:
                    device = param.device if group["fused"] else "cpu"
                    self.state[param] = {
                        "step": torch.tensor(UNCORRECTED_STEP, device=device),
                        "exp_avg": torch.zeros_like(param),
                        "exp_avg_sq": torch.zeros_like(param),
                    }
        super().step()


# What each optimizer keeps for a parameter that has had a gradient.
STATE_KEYS: Mapping[type[Optimizer], tuple[str, ...]] = {
    BertAdam: ("exp_avg", "exp_avg_sq", "step"),
    AdamW: ("exp_avg", "exp_avg_sq", "step"),
    Lamb: ("exp_avg", "exp_avg_sq", "step"),
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
    params = dict(named_parameters)
    factors = layer_factors(params, settings.layer_decay)
    trainable = {name: param for name, param in params.items() if param.requires_grad}
    matrices: dict[str, nn.Parameter] = {}
    if settings.name == "muon":
        matrices = {n: p for n, p in trainable.items() if p.ndim == 2 and ENCODER_MATRIX.search(n)}
        if not matrices:
            raise ConfigError(
                "optimizer.name ('muon') needs trainable matrices in encoder.layers and there "
                "are none; choose adamw or bert_adam"
            )
    others = {name: param for name, param in trainable.items() if name not in matrices}
    optimizers: list[Optimizer] = []
    if matrices:
        optimizers.append(_build_muon(matrices, factors, settings))
    if others:
        build = _build_lamb if settings.name == "lamb" else _build_adam
        optimizers.append(build(others, factors, settings))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def layer_factors(names: Iterable[str], layer_decay: float) -> dict[str, float]:
    """What each parameter's learning rate is multiplied with; see `OptimizerSettings.layer_decay`.

    ELECTRA's published code has one power more on encoder and embeddings.

    Args:
        names: of all the model's parameters, since they say how many layers it has.
        layer_decay: from each layer to the one below.
    """
    names = list(names)
    layers = {name: int(found[1]) for name in names if (found := ENCODER_LAYER.search(name))}
    top = max(layers.values(), default=-1)
    steps = {name: top - layer + 1 for name, layer in layers.items()}
    steps |= {name: top + 2 for name in names if EMBEDDING.search(name)}
    return {name: layer_decay ** steps.get(name, 0) for name in names}


def _build_muon(
    matrices: Mapping[str, nn.Parameter],
    factors: Mapping[str, float],
    settings: OptimizerSettings,
) -> Muon:
    rate = settings.muon_learning_rate or settings.learning_rate

    def options(name: str) -> dict[str, float]:
        return {"parts": _parts(name), "lr": rate * factors[name]}

    return Muon(_groups(matrices, options), rate, weight_decay=settings.weight_decay)


def _parts(name: str) -> int:
    """How many matrices of the same size lie one above the other in a layer's parameter."""
    if FUSED_QKV.search(name):
        return 3
    return 4 if FUSED_GATES.search(name) else 1


def _shared_options(
    name: str, factors: Mapping[str, float], settings: OptimizerSettings
) -> dict[str, float]:
    """What Adam and LAMB are told of a parameter alike."""
    decay = 0.0 if NO_DECAY.search(name) else settings.weight_decay
    return {"weight_decay": decay, "lr": settings.learning_rate * factors[name]}


def _build_adam(
    params: Mapping[str, nn.Parameter],
    factors: Mapping[str, float],
    settings: OptimizerSettings,
) -> AdamW:
    def options(name: str) -> dict[str, float]:
        return _shared_options(name, factors, settings)

    kind = BertAdam if settings.name == "bert_adam" else AdamW
    return kind(
        _groups(params, options),
        settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused={param.device.type for param in params.values()} <= FUSED_DEVICES,
    )


def _build_lamb(
    params: Mapping[str, nn.Parameter],
    factors: Mapping[str, float],
    settings: OptimizerSettings,
) -> Lamb:
    def options(name: str) -> dict[str, float]:
        return _shared_options(name, factors, settings) | {"parts": _parts(name)}

    return Lamb(
        _groups(params, options),
        settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
    )


def _groups(
    params: Mapping[str, nn.Parameter], options: Callable[[str], dict[str, float]]
) -> list[dict[str, Any]]:
    """Parameters that have the same options together."""
    groups: dict[tuple[float, ...], dict[str, Any]] = {}
    for name, param in params.items():
        own = options(name)
        groups.setdefault(tuple(own.values()), own | {"params": []})["params"].append(param)
    return list(groups.values())


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
    part_like: Callable[[Tensor, nn.Parameter], Tensor] = lambda tensor, _: tensor.clone(),
) -> None:
    """Put back what `optimizer_state` gave, bit for bit; the tensors are copied.

    Args:
        optimizers: those of the run.
        names: each parameter's name.
        state: whole tensors.
        part_like: copies what this process is to have of a parameter's tensor.

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
            fitting = {key: _fitting(state, key, param) for key in keys}
            by_index[index] = {
                key.removeprefix(f"{name}."): (
                    part_like(tensor, param) if tensor.shape == param.shape else tensor.clone()
                )
                for key, tensor in fitting.items()
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
