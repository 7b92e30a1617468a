"""Systems that are pre-trained by an objective, in the one loop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bertsmith.comparison.plan import NEVER, Plan
from bertsmith.comparison.system import PretrainedModel, System
from bertsmith.config import BertConfig
from bertsmith.export.model_folder import load_model
from bertsmith.model.encoders.registry import encoder_class
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.outcome import Outcome
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import pretrain

LEARNING_RATE = 5e-3
EVAL_TOKENS = 65_536
MULTIPLE = 8
"""Sizes are multiples of this, as matrix products want them."""


def pretrain_by_objective(system: System, plan: Plan, folder: Path) -> PretrainedModel | Outcome:
    """Pre-train a system, or go on with it; see `Pretrain`."""
    pretrained = pretrain(pretrain_recipe_of(system, plan, folder), resume=True)
    outcome = pretrained.outcome
    if outcome.stopped_by is not None:
        return outcome
    state = outcome.state
    bert = load_model(folder).model.bert
    return PretrainedModel(
        parameters=_count(bert),
        layer_parameters=_count(bert) - bert.embeddings.wordpiece.weight.numel(),
        tokens=state.tokens,
        steps=state.step,
        seconds=round(state.elapsed_seconds, 1),
        figures=outcome.figures | {"unigram_entropy": pretrained.unigram_entropy},
    )


def pretrain_recipe_of(system: System, plan: Plan, folder: Path) -> PretrainRecipe:
    """The recipe by which a system is pre-trained.

    Raises:
        ConfigError: its settings cannot be.
    """
    config = plan.config(Tokenizer.load(plan.train).vocab_size)
    kind = encoder_class(str(system.settings.get("model", {}).get("encoder", config.encoder)))
    length = {"steps": plan.steps} if plan.minutes is None else {"budget_minutes": plan.minutes}
    values: dict[str, Any] = {
        "data": {
            "train": str(plan.train),
            "eval": str(plan.held_out),
            "eval_tokens": EVAL_TOKENS,
            "max_seqlen": plan.max_seqlen,
        },
        "optimizer": {"name": "muon", "learning_rate": LEARNING_RATE, "beta2": 0.98},
        "train": {
            "batch_tokens": plan.batch_tokens,
            "seed": plan.seed,
            "keep_checkpoints": 0,
            "eval_every_steps": NEVER,
            "compile": plan.compiles and kind.has_fixed_shapes,
            **length,
        },
    }
    values = _over(_over(values, system.settings), plan.settings)
    own = dict(system.settings.get("model", {}))
    if system.matched_size is not None:
        own[system.matched_size] = matched(system.matched_size, own, config)
    # A user's sizes are the BERT's, and what makes another system of it comes after them.
    values["model"] = plan.model | own
    return PretrainRecipe.from_dict(_over(values, {"train": {"output": str(folder)}}))


def matched(name: str, model: Mapping[str, Any], config: BertConfig) -> int:
    """The size with which an encoder has about as many parameters as a BERT.

    Args:
        name: of the size, on which the number of parameters depends linearly.
        model: the section of the encoder's settings.
        config: of the BERT.
    """
    own = {key: value for key, value in model.items() if key in config.to_dict()}
    first = getattr(config, name)
    one, other = (_parameters(config.replace(**own | {name: size})) for size in (first, 2 * first))
    exact = first + first * (_parameters(config) - one) / (other - one)
    return int(max(MULTIPLE, round(exact / MULTIPLE) * MULTIPLE))


def _parameters(config: BertConfig) -> int:
    with torch.device("meta"):
        return _count(encoder_class(config.encoder)(config))


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Sections whose settings replace those of the same name."""
    result = dict(values)
    for key, change in changes.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(change, Mapping):
            result[key] = {**before, **change}
        else:
            result[key] = change
    return result
