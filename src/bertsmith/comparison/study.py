"""A comparison from pre-training to its table; what is done is not done again.

```
study.json                      what all cells depend on; another study is refused
models/SYSTEM/                  model folders, those of runs with their curves
pretrained/SYSTEM.json          how each pre-training ended
cells/TASK-SYSTEM-MODE-SEED.json  how each task went
runs/                           the run that is under way
data/                           text and tasks, where the user has none
```
"""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.comparison.downstream import Downstream, finetune_recipe_of
from bertsmith.comparison.plan import Plan
from bertsmith.comparison.system import PretrainedModel, System
from bertsmith.comparison.systems import chosen_systems
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.model_folder import load_model
from bertsmith.training.finetuning import finetune
from bertsmith.training.outcome import Outcome
from bertsmith.training.run import lock_folder
from bertsmith.training.trainer import DivergedError

STUDY = "study.json"
DATA = "data"
"""The folder of what a comparison without files of the user's own is made of."""


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
class Results:
    """All that is known at the end, or when a signal came."""

    pretrained: Mapping[str, PretrainedModel]
    cells: Sequence[Cell]
    stopped_by: signal.Signals | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """Systems, tasks and seeds, and the folder where all of it goes."""

    output: Path
    plan: Plan
    systems: Sequence[System]
    tasks: Sequence[Downstream]
    num_seeds: int = 3
    limit: int | None = None
    """The most records of each task."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the tasks' recipes."""

    def __post_init__(self) -> None:
        if self.num_seeds < 1:
            raise ConfigError(f"--seeds ({self.num_seeds}) must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit ({self.limit}) must be at least 1")

    def run(self, *, say: Callable[[str], None] = lambda _: None) -> Results:
        """Do what has not been done.

        Args:
            say: told what begins.

        Raises:
            ConfigError: the folder holds another study, or settings cannot be.
        """
        lock = lock_folder(self.output)
        try:
            self._check_same()
            for name in ("models", "pretrained", "cells", "runs"):
                (self.output / name).mkdir(exist_ok=True)
            pretrained, stopped_by = self._pretrain_all(say)
            if stopped_by is not None:
                return Results(pretrained, [], stopped_by)
            cells, stopped_by = self._learn_all(say)
            return Results(pretrained, cells, stopped_by)
        finally:
            lock.release()

    def model_folders(self) -> dict[str, Path]:
        """Of each system's title, its pre-trained model; systems that share one are there once."""
        own = [system for system in self.systems if system.shares is None]
        return {system.title: self.model_folder(system) for system in own}

    def model_folder(self, system: System) -> Path:
        """Where a system's pre-trained model is."""
        return self.output / "models" / (system.shares or system.name)

    def cells_wanted(self) -> list[Cell]:
        """Every cell, without what came of it: a seed of all before the next seed."""
        seeds = range(self.plan.seed, self.plan.seed + self.num_seeds)
        return [
            Cell(task=task.name, system=system.name, mode=mode, seed=seed)
            for seed in seeds
            for task in self.tasks
            for system in self.systems
            for mode in system.modes
        ]

    def _pretrain_all(
        self, say: Callable[[str], None]
    ) -> tuple[dict[str, PretrainedModel], signal.Signals | None]:
        done: dict[str, PretrainedModel] = {}
        for system in self.systems:
            name = system.shares or system.name
            path = self.output / "pretrained" / f"{name}.json"
            if not path.exists():
                maker = self._maker(system)
                say(f"pre-training {maker.title}")
                made = maker.pretrain(maker, self.plan, self.model_folder(maker))
                if isinstance(made, Outcome):
                    return done, made.stopped_by
                _write(path, dataclasses.asdict(made))
                gc.collect()
            done[system.name] = _read(path, PretrainedModel)
        return done, None

    def _maker(self, system: System) -> System:
        """The system itself, or the one whose model it takes, whether that is compared or not."""
        return system if system.shares is None else chosen_systems([system.shares])[0]

    def _learn_all(self, say: Callable[[str], None]) -> tuple[list[Cell], signal.Signals | None]:
        done: list[Cell] = []
        wanted = self.cells_wanted()
        for number, cell in enumerate(wanted, 1):
            path = self.output / "cells" / cell.file_name
            if not path.exists():
                say(f"{number} of {len(wanted)}: {cell.task} on {cell.system}, {cell.mode}, "
                    f"seed {cell.seed}")  # fmt: skip
                learned = self._learn(cell)
                if isinstance(learned, Outcome):
                    return done, learned.stopped_by
                _write(path, dataclasses.asdict(learned))
                shutil.rmtree(self._run_folder(cell), ignore_errors=True)
                gc.collect()
            done.append(_read(path, Cell))
        return done, None

    def _learn(self, cell: Cell) -> Cell | Outcome:
        system = next(each for each in self.systems if each.name == cell.system)
        recipe = finetune_recipe_of(
            next(each for each in self.tasks if each.name == cell.task),
            self.model_folder(system),
            system.modes[cell.mode],
            seed=cell.seed,
            max_seqlen=self.plan.max_seqlen,
            limit=self.limit,
            output=self._run_folder(cell),
            settings=self.settings,
        )
        try:
            finetuned = finetune(recipe, resume=True)
        except DivergedError as error:
            return dataclasses.replace(cell, problem=str(error))
        outcome = finetuned.outcome
        if outcome.stopped_by is not None:
            return outcome
        model = load_model(recipe.train.output).model
        is_frozen = model.features is not None and model.features.settings.is_frozen
        trained = sum(
            parameter.numel()
            for name, parameter in model.named_parameters()
            if not (is_frozen and name.startswith("bert."))
        )
        return dataclasses.replace(
            cell,
            figure=finetuned.task.figure,
            figures=outcome.figures,
            trained_parameters=trained,
            steps=outcome.state.step,
            seconds=round(outcome.state.elapsed_seconds, 1),
            problem=outcome.problem,
        )

    def _run_folder(self, cell: Cell) -> Path:
        return self.output / "runs" / cell.file_name.removesuffix(".json")

    def _terms(self) -> dict[str, Any]:
        """What cells depend on; systems, tasks and seeds may be more the next time."""
        plan = dataclasses.asdict(self.plan)
        terms = {
            "plan": {key: value for key, value in plan.items() if key not in ("train", "held_out")},
            "vocabulary": TokenizedCorpus.open(self.plan.train).vocabulary_sha256,
            "train": str(self.plan.train),
            "held_out": str(self.plan.held_out),
            "limit": self.limit,
            "settings": dict(self.settings),
            "tasks": {
                each.name: {"data": dict(each.data), "task": dict(each.task)} for each in self.tasks
            },
        }
        plain: dict[str, Any] = json.loads(json.dumps(terms, default=str))
        return plain

    def _check_same(self) -> None:
        path, terms = self.output / STUDY, self._terms()
        TokenizedCorpus.open(self.plan.held_out, vocabulary_sha256=terms["vocabulary"])
        if not path.exists():
            others = [each.name for each in self.output.iterdir() if not each.name.startswith(".")]
            if set(others) - {DATA}:
                raise ConfigError(
                    f"{self.output} holds something else than a comparison ({min(others)}); choose "
                    "another folder with --output"
                )
            _write(path, terms)
            return
        try:
            then = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise CheckpointError(f"{path} is damaged; choose another folder") from None
        tasks = then.get("tasks", {})
        terms["tasks"] = tasks | terms["tasks"]
        # A task that one of the two has not is no difference.
        then["tasks"] = terms["tasks"] | tasks
        for key, value in terms.items():
            if then.get(key) != value:
                before, now = _first_difference(then.get(key), value)
                raise ConfigError(
                    f"{key} is {now} and the comparison in {self.output} was begun with {before}; "
                    "run it with the same settings, or choose another folder with --output"
                )
        if terms["tasks"] != tasks:
            _write(path, terms)


def _first_difference(then: Any, now: Any, name: str = "") -> tuple[str, str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            if then.get(key) != now.get(key):
                inner = f"{name}.{key}" if name else str(key)
                return _first_difference(then.get(key), now.get(key), inner)
    beside = f"{name} = " if name else ""
    return f"{beside}{then}", f"{beside}{now}"


def _write(path: Path, values: Mapping[str, Any]) -> None:
    write_atomically(path, [(json.dumps(values, indent=1) + "\n").encode()])


def _read(path: Path, kind: Any) -> Any:
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise CheckpointError(
            f"{path} is damaged; remove it, and the same command makes it again"
        ) from None
