"""How a run ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from bertsmith.training.checkpoint import TrainingState


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: TrainingState
    figures: dict[str, float]
    """The held-out figures of the best step, whose model is kept; empty without held-out data."""
    stopped_by: signal.Signals | None = None
    stopped_early: bool = False
    problem: str | None = None
    """Why the run has not come to anything; None when it has."""
