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

import contextlib
import dataclasses
import functools
import gc
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.comparison.cells import Cell, CellRun, learn, write_json
from bertsmith.comparison.downstream import Downstream, finetune_recipe_of
from bertsmith.comparison.plan import Plan
from bertsmith.comparison.system import PretrainedModel, System
from bertsmith.comparison.systems import chosen_systems
from bertsmith.cores import available_cores
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.outcome import Outcome
from bertsmith.training.run import lock_folder
from bertsmith.training.side_by_side import Ended, run_side_by_side

STUDY = "study.json"
DATA = "data"
"""The folder of what a comparison without files of the user's own is made of."""


@dataclass(frozen=True)
class _Numbered:
    name: str
    run: CellRun


def _learn(say: Callable[[str], None] | None, numbered: _Numbered) -> Ended[Cell]:
    if say is not None:
        say(numbered.name)
    return learn(numbered.run)


def _log_of(numbered: _Numbered) -> Path:
    return numbered.run.recipe.train.output.with_suffix(".log")


def _ending(cell: Cell) -> str:
    if cell.value is None:
        return f"has come to nothing: {cell.problem}"
    return f"{cell.figure} {cell.value:.4f}, {cell.seconds:.1f} s"


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

    def run(self, *, say: Callable[[str], None] = lambda _: None, workers: int = 1) -> Results:
        """Do what has not been done.

        Args:
            say: told what begins; of tasks with several workers, what has ended.
            workers: how many tasks are learned at a time, by processes that share the device;
                systems are pre-trained one after the other, each with all of it.

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
            cells, stopped_by = self._learn_all(say, workers)
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
                write_json(path, dataclasses.asdict(made))
                gc.collect()
            done[system.name] = _read(path, PretrainedModel)
        return done, None

    def _maker(self, system: System) -> System:
        """The system itself, or the one whose model it takes, whether that is compared or not."""
        return system if system.shares is None else chosen_systems([system.shares])[0]

    def _learn_all(
        self, say: Callable[[str], None], workers: int
    ) -> tuple[list[Cell], signal.Signals | None]:
        wanted = self.cells_wanted()
        paths = [self.output / "cells" / cell.file_name for cell in wanted]
        left = [
            _Numbered(
                f"{number} of {len(wanted)}: {cell}",
                CellRun(cell, self._recipe_of(cell, workers), path),
            )
            for number, (cell, path) in enumerate(zip(wanted, paths, strict=True), 1)
            if not path.exists()
        ]
        running = run_side_by_side(
            left, functools.partial(_learn, say if workers == 1 else None), workers, log_of=_log_of
        )
        with contextlib.closing(running):
            for numbered, (learned, stopped_by) in running:
                if learned is None:
                    return [_read(path, Cell) for path in paths if path.exists()], stopped_by
                if workers > 1:
                    say(f"{numbered.name}, {_ending(learned)}")
        return [_read(path, Cell) for path in paths], None

    def _recipe_of(self, cell: Cell, workers: int) -> FinetuneRecipe:
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
        if workers == 1 or recipe.train.num_threads is not None:
            return recipe
        num_threads = max(1, available_cores() // workers)
        train = dataclasses.replace(recipe.train, num_threads=num_threads)
        return dataclasses.replace(recipe, train=train)

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
            write_json(path, terms)
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
            write_json(path, terms)


def _first_difference(then: Any, now: Any, name: str = "") -> tuple[str, str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            if then.get(key) != now.get(key):
                inner = f"{name}.{key}" if name else str(key)
                return _first_difference(then.get(key), now.get(key), inner)
    beside = f"{name} = " if name else ""
    return f"{beside}{then}", f"{beside}{now}"


def _read(path: Path, kind: Any) -> Any:
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise CheckpointError(
            f"{path} is damaged; remove it, and the same command makes it again"
        ) from None
