"""What a system of the comparison is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bertsmith.comparison.plan import Plan
from bertsmith.training.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """How the pre-training of a system ended, JSON-ready."""

    parameters: int
    """Of the encoder, without the head of its objective."""
    layer_parameters: int
    """Of these, those that are no wordpiece's vector."""
    tokens: int
    """Of the text that have been read, as often as they were."""
    steps: int
    seconds: float
    figures: dict[str, float]
    """On held-out text, where the objective has any."""


Pretrain = Callable[["System", Plan, Path], "PretrainedModel | Outcome"]
"""Makes a folder a model folder, or goes on with that; gives the outcome of a run that a signal
has stopped."""

# How a task makes use of a model: its layers under a new BiLSTM, or all of it trained.
FROZEN, WHOLE = "frozen features", "fine-tuned"
MODES: Mapping[str, str] = MappingProxyType({FROZEN: "features", WHOLE: "finetune"})


@dataclass(frozen=True, kw_only=True)
class System:
    """A way of making vectors of text."""

    name: str
    """As on the command line and in the names of files."""
    title: str
    source: str
    """The paper, and where the row is in table 5 of BERT's, if it is there."""
    pretrain: Pretrain
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of its recipe: `tasks`, and sections."""
    matched_size: str | None = None
    """The setting by which it gets as many parameters as the BERT; None: it has its sizes."""
    shares: str | None = None
    """The system whose pre-trained model it takes, where it differs in what comes after."""
    modes: Mapping[str, str] = field(default_factory=lambda: MODES)
    """How the tasks make use of it → the mode of fine-tuning that does so."""
