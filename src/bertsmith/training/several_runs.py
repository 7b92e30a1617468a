"""Several fine-tuning runs below one folder: what many seeds and sweeps have in common.

Each run has a folder of its own there. A JSON file beside them says which have ended and with what
figures; these are not run again. In the end the best model's files are copied up.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import torch

from bertsmith.atomic import atomic_folder, write_atomically
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.training.checkpoint import TrainingState
from bertsmith.training.ended_run import FILE as RUN_FILE
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.outcome import Outcome
from bertsmith.training.run import RECIPE

if TYPE_CHECKING:
    from bertsmith.training.finetuning import Finetuned

SEEDS = "seeds.json"
# What may differ between runs that are compared with each other.
_FREE = ("output", "restarts", "device", "num_threads", "keep_checkpoints")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended, JSON-ready."""

    folder: str
    """Where it is, seen from the folder of all; "." is that folder itself."""
    figures: dict[str, float] = field(default_factory=dict)
    """The held-out figures of its best model; empty when there is no model."""
    step: int = 0
    best_step: int | None = None
    tokens: int = 0
    seconds: float = 0.0
    problem: str | None = None
    """Why it has not come to anything; None when it has."""

    def ended(self, finetuned: Finetuned) -> Self:
        """The same run with how it ended."""
        outcome, state = finetuned.outcome, finetuned.outcome.state
        return dataclasses.replace(
            self,
            figures=outcome.figures,
            step=state.step,
            best_step=state.best_step,
            tokens=state.tokens,
            seconds=round(state.elapsed_seconds, 3),
            problem=outcome.problem,
        )

    def outcome(self) -> Outcome:
        """What the run itself gave, as far as it is known here."""
        state = TrainingState(
            step=self.step,
            best_step=self.best_step,
            tokens=self.tokens,
            elapsed_seconds=self.seconds,
            best_figures=self.figures,
        )
        return Outcome(state, self.figures, problem=self.problem)


R = TypeVar("R", bound=RunResult)


class RunsFile(Generic[R]):
    """The runs below a folder, and the JSON file that remembers them.

    Args:
        path: the file.
        kind: of each run.
        recipe: what they all start from.
        terms: what else must be the same when the command is run again, JSON-ready.
    """

    def __init__(
        self, path: Path, kind: type[R], recipe: FinetuneRecipe, terms: dict[str, Any]
    ) -> None:
        self.path = path
        self.runs: list[R] = []
        self.figure: str | None = None
        """Which figure says that a run is better than another; known when one has ended."""
        self._kind = kind
        self._header = {"recipe": comparable(recipe)} | terms

    def open(self, *, resume: bool) -> dict[str, Any]:
        """Read what the file remembers, if it is there; give all of it.

        Raises:
            CheckpointError: when the file is damaged.
            ConfigError: when its runs were made by other settings or are not to be gone on with,
                or there is no such file and another run has the folder.
        """
        folder = self.path.parent
        if not self.path.exists():
            if (folder / "config.json").exists() or (folder / "checkpoints").exists():
                raise ConfigError(
                    f"{folder} holds a model or a single run already; choose another folder"
                )
            return {}
        if not resume:
            raise ConfigError(
                f"{folder} holds runs already ({self.path.name}); go on with them by --resume, or "
                "choose another folder"
            )
        return self._read()

    def _read(self) -> dict[str, Any]:
        try:
            contents: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            self.runs = [self._kind(**run) for run in contents["runs"]]
            self.figure = contents["figure"]
            header = {key: contents[key] for key in self._header}
        except (OSError, ValueError, KeyError, TypeError):
            raise CheckpointError(
                f"{self.path} is damaged or of another version; choose another folder"
            ) from None
        now = json.loads(json.dumps(self._header))
        different = next((name for name in now if now[name] != header[name]), None)
        if different is not None:
            name, then, asked = _difference(different, header[different], now[different])
            name = name.replace("space.", "the grid's ", 1)
            raise ConfigError(
                f"{name} is {asked} and the runs in {self.path.parent} were made with {then}; go "
                f"on with the {RECIPE} in that folder, or choose another folder"
            )
        return contents

    def save(self, **more: Any) -> None:
        """Write the file, whole or not at all."""
        contents = {"figure": self.figure} | more
        contents |= {"runs": [dataclasses.asdict(run) for run in self.runs]} | self._header
        write_atomically(self.path, [(json.dumps(contents, indent=1) + "\n").encode()])

    def best(self) -> R | None:
        """The run with the best figure, of equal ones that with the lowest loss.

        One that has come to nothing only if all have.
        """
        figure = self.figure
        ended = [run for run in self.runs if run.figures]
        if figure is None or not ended:
            return None
        return max(
            ended,
            key=lambda run: (run.problem is None, run.figures[figure], -run.figures["loss"]),
        )

    def drop_checkpoints(self) -> None:
        """Remove those of runs that have a model, of which they take several times the room."""
        for run in self.runs:
            if run.figures:
                checkpoints = self.path.parent / run.folder / "checkpoints"
                shutil.rmtree(checkpoints, ignore_errors=True)


def copy_up(output: Path, folder: str) -> None:
    """Make `output` the model folder that one below it is; recipe and record stay its own."""
    source = output / folder
    with atomic_folder(output) as partial:
        for path in source.iterdir():
            is_hidden = path.name.startswith(".")
            if path.is_file() and not is_hidden and path.name not in (RECIPE, RUN_FILE, SEEDS):
                shutil.copyfile(path, partial / path.name)


def forget_model(recipe: FinetuneRecipe) -> None:
    """Give the memory of the run before back: models and their training refer to each other."""
    gc.collect()
    if recipe.train.compile:
        torch.compiler.reset()  # else it gives up compiling after a few models


def comparable(recipe: FinetuneRecipe) -> dict[str, Any]:
    """What must be the same in runs that are compared, or gone on with, JSON-ready."""
    values = recipe.to_dict()
    values.pop("log")
    values["train"] = {k: v for k, v in values["train"].items() if k not in _FREE}
    return values


def _difference(name: str, then: Any, now: Any) -> tuple[str, Any, Any]:
    """The first setting in which two nested mappings differ, and both values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*now, *then]:
            if then.get(key) != now.get(key):
                inner = key if name == "recipe" else f"{name}.{key}"
                return _difference(inner, then.get(key), now.get(key))
    return name, then, now
