"""What all systems of a comparison have in common: text, sizes and budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError

MAX_SEQLEN = 128
NEVER = 10**9
"""More steps than a run has: it is measured at its end alone, when it is over. A look in between
would cost some systems more of their minutes than others, and choose the best of several models."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every system is pre-trained on, how long, and how large it is.

    Raises:
        ConfigError: there is no budget, or more than one.
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
    """Of the recipes of pre-training, before what a system needs: sections of settings."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.tokens is None):
            raise ConfigError(
                "the budget must be either minutes or tokens, the same for every system; give one "
                "of --minutes and --tokens"
            )
        budget, name = (self.minutes, "minutes") if self.tokens is None else (self.tokens, "tokens")
        if not budget or not 0 < budget < math.inf:
            raise ConfigError(f"--{name} ({budget!r}) must be above 0")

    @property
    def steps(self) -> int | None:
        """Of as many tokens; None where the budget is a time."""
        return None if self.tokens is None else math.ceil(self.tokens / self.batch_tokens)

    def config(self, vocab_size: int) -> BertConfig:
        """The BERT that is compared; without dropout, since no text is seen often."""
        return BertConfig.preset(
            self.size,
            vocab_size=vocab_size,
            max_position_embeddings=self.max_seqlen,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
