"""How a run ended, kept beside its model in run.json, so that a run that is over is not run again.

It takes the place of a last checkpoint, which is several times as large as the model and serves
nothing but to lengthen the run.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.training.checkpoint import TrainingState
from bertsmith.training.outcome import Outcome

FILE = "run.json"
_LENGTH = ("steps", "epochs", "budget_minutes", "early_stopping_patience")


def write_ended_run(folder: Path, outcome: Outcome) -> None:
    """Leave the file in the run's folder."""
    contents = dataclasses.asdict(outcome)
    del contents["stopped_by"]  # a run that a signal stopped is not over
    write_atomically(folder / FILE, [(json.dumps(contents, indent=1) + "\n").encode()])


def holds_model(folder: Path) -> bool:
    """Whether a run has left its model in the folder."""
    return all((folder / name).exists() for name in ("config.json", "model.safetensors"))


def read_ended_run(folder: Path) -> Outcome | None:
    """How the folder's run ended; None: it has not, its model is not there or the file is damaged.

    The file is written before a first model, so it may be there without one.
    """
    if not holds_model(folder):
        return None
    try:
        contents = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Outcome(**contents | {"state": TrainingState(**contents["state"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def has_length_of(recipe: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two recipes, as dictionaries, make runs of the same length."""
    return all(recipe["train"].get(key) == other["train"].get(key) for key in _LENGTH)
