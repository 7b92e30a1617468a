"""Many fine-tuning runs that differ in a few settings, and the best of their models.

The paper chooses batch size, learning rate and epochs on the dev set (appendix A.3). Trials go one
after the other, each in a folder of its own below the recipe's; sweep.json says which have ended.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.errors import BertsmithError, ConfigError, DataError
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Preparation, finetune, finetune_seeds
from bertsmith.training.recipe_file import to_toml
from bertsmith.training.run import RECIPE, leave_nothing, lock_folder
from bertsmith.training.search_space import (
    PAPER_GRID,
    Space,
    check_space,
    points,
    recipe_at,
    sections_of,
)
from bertsmith.training.seeds import SeedRun, SeedsOutcome
from bertsmith.training.several_runs import RunResult, RunsFile, copy_up, forget_model
from bertsmith.training.suggestion import check_installed, suggest
from bertsmith.training.trainer import DivergedError

SWEEP = "sweep.json"
GRID = "grid.toml"


@dataclass(frozen=True, kw_only=True)
class Trial(RunResult):
    """A run with its own settings, or several that differ in the seed alone.

    With several seeds, `figures` are means, `tokens` and `seconds` sums, steps those of the best.
    """

    number: int
    """From 1."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What it has that other trials have otherwise, by the settings' names."""
    is_finished: bool = False


@dataclass(frozen=True)
class SweepOutcome:
    """What came of a sweep."""

    trials: list[Trial]
    figure: str | None
    """The figure that decides; None when no trial has ended."""
    best: Trial | None
    """Its model is the folder's, when all trials have ended."""
    stopped_by: signal.Signals | None = None


@dataclass(frozen=True)
class Sweep:
    """What to try.

    Args:
        recipe: what the trials start from; its folder becomes the best one's model folder.
        space: settings by name, each with a list of values, or for a search a range.
        num_trials: of a search; None tries every combination.
        num_seeds: how many seeds each trial has; their mean decides.

    Raises:
        ConfigError: a trial could not be run, or they could not be compared.
    """

    recipe: FinetuneRecipe
    space: Space = field(default_factory=lambda: PAPER_GRID)
    num_trials: int | None = None
    num_seeds: int = 1

    def __post_init__(self) -> None:
        """See that every trial can be run, before the first is."""
        for name, number in (("trials", self.num_trials), ("seeds", self.num_seeds)):
            if number is not None and number < 1:
                raise ConfigError(f"the number of {name} ({number}) must be at least 1")
        if not self.recipe.data.eval_sources():
            raise ConfigError(
                "data.eval is not set; trials are compared on records that they do not learn from"
            )
        check_space(self.recipe, self.space, is_grid=self.num_trials is None)
        if self.num_trials is not None:
            check_installed()

    @property
    def size(self) -> int:
        """How many trials there are at most."""
        return len(points(self.space)) if self.num_trials is None else self.num_trials

    def run(
        self,
        *,
        resume: bool = False,
        on_prepared: Callable[[Preparation], None] | None = None,
        on_restart: Callable[[SeedRun], None] | None = None,
        on_ended: Callable[[Trial], None] | None = None,
    ) -> SweepOutcome:
        """Run all trials that have not ended.

        A trial whose loss leaves the finite numbers, or whose settings do not fit the model, has a
        `problem` and no figures; the others go on.

        Args:
            resume: go on with the trials in the recipe's folder.
            on_prepared: called before the first step of each run.
            on_restart: called with each run that begins again with another seed.
            on_ended: called with each trial that ends.

        Raises:
            BertsmithError: when the first trial cannot begin, or in the end none has a model.
        """
        output = self.recipe.train.output
        terms = {
            "space": sections_of(self.space),
            "method": "grid" if self.num_trials is None else "search",
            "num_seeds": self.num_seeds,
        }
        record = RunsFile(output / SWEEP, Trial, self.recipe, terms)
        with lock_folder(output) as lock:
            record.open(resume=resume)
            try:
                write_atomically(output / RECIPE, [self.recipe.to_toml().encode()])
                write_atomically(output / GRID, [to_toml(sections_of(self.space)).encode()])
                stopped_by = self._run_all(
                    record,
                    lambda trial: self._run(trial, record, on_prepared, on_restart),
                    on_ended,
                )
            except BertsmithError:
                leave_nothing(lock, [RECIPE, GRID, SWEEP])
                raise
            best = None
            if stopped_by is None:
                best = record.best()
                if best is None:
                    raise DataError(f"no trial has a model: {record.runs[0].problem}")
                copy_up(output, best.folder)
                record.save(best=best.number)
        return SweepOutcome(record.runs, record.figure, best, stopped_by)

    def _run_all(
        self,
        record: RunsFile[Trial],
        run: Callable[[Trial], Trial | signal.Signals | None],
        on_ended: Callable[[Trial], None] | None,
    ) -> signal.Signals | None:
        """Run what has not ended; give the signal that put an end to it, if any."""
        while (trial := self._next(record)) is not None:
            record.runs[trial.number - 1 :] = [trial]
            record.save()
            ended: Trial | signal.Signals | None
            try:
                ended = run(trial)
            except (ConfigError, DivergedError) as error:
                if trial.number == 1 and isinstance(error, ConfigError):
                    raise
                ended = dataclasses.replace(trial, is_finished=True, problem=str(error))
            if not isinstance(ended, Trial):
                return ended
            record.runs[-1] = ended
            record.save()
            record.drop_checkpoints()
            forget_model(self.recipe)
            if on_ended is not None:
                on_ended(ended)
        return None

    def _next(self, record: RunsFile[Trial]) -> Trial | None:
        """The trial that was interrupted, or a new one; None when there is none."""
        trials = record.runs
        if trials and not trials[-1].is_finished:
            return trials[-1]
        if len(trials) >= self.size:
            return None
        if self.num_trials is None:
            point: dict[str, Any] | None = points(self.space)[len(trials)]
        else:
            tried = [
                (t.settings, t.figures[record.figure] if t.figures and record.figure else None)
                for t in trials
            ]
            point = suggest(self.space, tried, self.recipe.train.seed)
        if point is None:
            return None
        number = len(trials) + 1
        return Trial(number=number, folder=f"trial-{number:03}", settings=point)

    def _run(
        self,
        trial: Trial,
        record: RunsFile[Trial],
        on_prepared: Callable[[Preparation], None] | None,
        on_restart: Callable[[SeedRun], None] | None,
    ) -> Trial | signal.Signals | None:
        """Run a trial to its end; a signal when it was stopped."""
        output = self.recipe.train.output / trial.folder
        recipe = recipe_at(self.recipe, trial.settings | {"train.output": str(output)})
        if self.num_seeds == 1:
            finetuned = finetune(
                recipe, resume=True, on_prepared=on_prepared, on_restart=on_restart
            )
            if finetuned.outcome.stopped_by is not None:
                return finetuned.outcome.stopped_by
            record.figure = finetuned.task.figure
            return dataclasses.replace(trial.ended(finetuned), is_finished=True)
        outcome = finetune_seeds(recipe, self.num_seeds, resume=True, on_prepared=on_prepared)
        match outcome:
            case SeedsOutcome(stopped_by=None, best=SeedRun() as best):
                record.figure = outcome.figure
                return dataclasses.replace(
                    trial,
                    figures={name: spread.mean for name, spread in outcome.spread.items()},
                    step=best.step,
                    best_step=best.best_step,
                    tokens=sum(run.tokens for run in outcome.runs),
                    seconds=round(sum(run.seconds for run in outcome.runs), 3),
                    problem=best.problem,
                    is_finished=True,
                )
        return outcome.stopped_by
