"""What a run is measured on while it trains, and what an evaluation says about where it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from bertsmith.tasks.model import BertForTasks
from bertsmith.training.checkpoint import TrainingState


@dataclass(frozen=True)
class Evaluated:
    """Where a run stands after an evaluation."""

    state: TrainingState
    progress: float
    """The part of the run that is over, from 0 to 1."""
    held_out: dict[str, float]
    training: dict[str, float]
    """The figures of the last line in the log; empty before the first."""
    training_loss: float
    """Mean over the steps since the evaluation before."""
    is_last: bool
    """Whether the run ends with it."""


@dataclass(frozen=True)
class HeldOut:
    """What a run is measured on while it trains."""

    measure: Callable[[BertForTasks, torch.device, str], dict[str, float]]
    """Gives the figures of a model on a device, at a precision; on the same data each time."""
    figure: str
    """The figure that says which model is the best."""
    higher_is_better: bool
    """Of equally good ones the model with the lower loss is the better."""
    remark: Callable[[Evaluated], str | None] = lambda _: None
    """Says what the user should know about the figures, if anything."""
    is_enough: Callable[[Evaluated], bool] = lambda _: False
    """Whether the run has reached what it was for, and ends."""
    problem: Callable[[Evaluated], str | None] = lambda _: None
    """Says why the run cannot come to anything, if so."""
    stops_at_problem: bool = False
    """Whether such a run ends at once."""

    def rank(self, figures: Mapping[str, float]) -> tuple[float, float]:
        """How good a model with these figures is, to be compared; what is no number is worst."""
        sign = 1 if self.higher_is_better else -1
        figure, loss = sign * figures[self.figure], -figures["loss"]
        return _lowest_for_nan(figure), _lowest_for_nan(loss)


def _lowest_for_nan(value: float) -> float:
    return -math.inf if math.isnan(value) else value
