"""`Cell`: how a task went on a system with one seed; and the run that finds out."""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.export.model_folder import load_model
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import finetune
from bertsmith.training.side_by_side import Ended
from bertsmith.training.trainer import DivergedError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How a task went on a system with one seed, JSON-ready."""

    task: str
    system: str
    mode: str
    """How the task makes use of the model, in words: a key of `System.modes`."""
    seed: int
    figure: str | None = None
    """The figure that counts; None where training came to nothing."""
    figures: dict[str, float] = field(default_factory=dict)
    trained_parameters: int = 0
    steps: int = 0
    seconds: float = 0.0
    problem: str | None = None
    """Why training came to nothing, or why the figure is of no use."""

    def __str__(self) -> str:
        return f"{self.task} on {self.system}, {self.mode}, seed {self.seed}"

    @property
    def value(self) -> float | None:
        """The figure that counts."""
        return None if self.figure is None else self.figures[self.figure]

    @property
    def file_name(self) -> str:
        """Where it is kept."""
        mode = self.mode.replace(" ", "_")
        return f"{self.task}-{self.system}-{mode}-{self.seed}.json"


@dataclass(frozen=True)
class CellRun:
    """What is to be done for a cell."""

    cell: Cell
    """Without what came of it."""
    recipe: FinetuneRecipe
    path: Path
    """Of the file that keeps it."""


def learn(run: CellRun) -> Ended[Cell]:
    """Train, or go on, and keep the cell; the run's folder is removed."""
    learned = run.cell
    recipe = run.recipe
    try:
        finetuned = finetune(recipe, resume=True)
    except DivergedError as error:
        learned = dataclasses.replace(learned, problem=str(error))
    else:
        outcome = finetuned.outcome
        if outcome.stopped_by is not None:
            return None, outcome.stopped_by
        learned = dataclasses.replace(
            learned,
            figure=finetuned.task.figure,
            figures=outcome.figures,
            trained_parameters=_num_trained(recipe.train.output),
            steps=outcome.state.step,
            seconds=round(outcome.state.elapsed_seconds, 1),
            problem=outcome.problem,
        )
    write_json(run.path, dataclasses.asdict(learned))
    shutil.rmtree(recipe.train.output, ignore_errors=True)
    gc.collect()
    return learned, None


def _num_trained(folder: Path) -> int:
    model = load_model(folder).model
    is_frozen = model.features is not None and model.features.settings.is_frozen
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not (is_frozen and name.startswith("bert."))
    )


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file that is there whole or not at all."""
    write_atomically(path, [(json.dumps(values, indent=1) + "\n").encode()])
