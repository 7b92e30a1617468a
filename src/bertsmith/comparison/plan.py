"""What all systems of a comparison have in common: text, sizes and budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.config import SIZES, BertConfig
from bertsmith.errors import ConfigError
from bertsmith.training.recipe import ModelSettings

MAX_SEQLEN = 128
NEVER = 10**9
"""More steps than a run has: it is measured at its end alone, when it is over. A look in between
would cost some systems more of their minutes than others, and choose the best of several models."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every system is pre-trained on, how long, and how large it is.

    Raises:
        ConfigError: there is no budget, or more than one; or the sizes make no BERT.
    """

    train: Path
    """A folder written by `bertsmith prepare`."""
    held_out: Path
    """Another, of the same vocabulary."""
    size: str = "mini"
    """The BERT whose size the others match."""
    minutes: float | None = None
    """How long each system is pre-trained; or"""
    tokens: int | None = None
    """how many tokens it reads."""
    batch_tokens: int = 4096
    max_seqlen: int = MAX_SEQLEN
    """Of pre-training and of the tasks."""
    seed: int = 12345
    """Of pre-training; the tasks' seeds are this one and those that follow it."""
    compiles: bool = False
    """Whether encoders that can be compiled are."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the recipes of pre-training: sections, whose settings replace what is usual here. Those of
    `model` make the BERT whose size all systems have, and a system's own come after them; all
    others come last."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.tokens is None):
            raise ConfigError(
                "the budget must be either minutes or tokens, the same for every system; give one "
                "of --minutes and --tokens"
            )
        budget, name = (self.minutes, "minutes") if self.tokens is None else (self.tokens, "tokens")
        if not budget or not 0 < budget < math.inf:
            raise ConfigError(f"--{name} ({budget!r}) must be above 0")
        self._sizes()

    @property
    def steps(self) -> int | None:
        """Of as many tokens; None where the budget is a time."""
        return None if self.tokens is None else math.ceil(self.tokens / self.batch_tokens)

    def config(self, vocab_size: int) -> BertConfig:
        """The BERT that is compared, as the settings make it."""
        return self._sizes().config(vocab_size)

    @property
    def model(self) -> dict[str, Any]:
        """Its section of a recipe; without dropout, since no text is seen often."""
        usual = {
            "preset": self.size,
            "max_position_embeddings": self.max_seqlen,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }
        return usual | dict(self.settings.get("model", {}))

    def _sizes(self) -> ModelSettings:
        own = self.settings.get("model", {})
        if self.size not in SIZES:
            raise ConfigError(f"--size ({self.size!r}) must be one of {', '.join(SIZES)}")
        for name in ("init", "encoder"):
            if name in own:
                raise ConfigError(
                    f"pretrain.model.{name} ({own[name]!r}) cannot be set, since every system "
                    "begins anew with an encoder of its own; remove it"
                )
        try:
            return ModelSettings.from_dict(self.model)
        except ConfigError as error:
            given = ", ".join(f"pretrain.model.{name}={value}" for name, value in own.items())
            problems = "; ".join(str(error).splitlines())
            raise ConfigError(
                f"{given} with --size {self.size} makes no BERT: {problems}"
            ) from None
