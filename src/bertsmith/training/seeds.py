"""The same fine-tuning with several seeds: how good it is on average, and the best of the models.

On small sets the figure depends as much on the seed, which orders the records and draws the head,
as on most settings; the paper takes the best of several restarts on the dev set (section 4.1).
A run that has come to nothing (`bertsmith.training.collapse`) begins again with the next seed.
"""

from __future__ import annotations

import dataclasses
import signal
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertsmith.atomic import write_atomically
from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.run import RECIPE, leave_nothing, lock_folder
from bertsmith.training.several_runs import (
    SEEDS,
    RunResult,
    RunsFile,
    copy_up,
    forget_model,
)
from bertsmith.training.trainer import DivergedError

if TYPE_CHECKING:
    from bertsmith.training.finetuning import Finetuned

Run = Callable[[FinetuneRecipe, bool], "Finetuned"]  # a recipe, and whether to resume


@dataclass(frozen=True, kw_only=True)
class SeedRun(RunResult):
    """A run with one seed."""

    seed: int


@dataclass(frozen=True)
class Spread:
    """One figure over several runs."""

    mean: float
    std: float | None
    """The sample's deviation, by n - 1; None of a single run."""
    min: float
    max: float


@dataclass(frozen=True)
class SeedsOutcome:
    """What came of several seeds."""

    runs: list[SeedRun]
    figure: str | None
    """The task's own; None when no run has ended."""
    best: SeedRun | None
    """Its model is the folder's, when all runs have ended."""
    spread: dict[str, Spread]
    """Of each figure, over the runs that came to something, or over all when none did."""
    stopped_by: signal.Signals | None = None


def run_with_restarts(
    recipe: FinetuneRecipe,
    run: Run,
    *,
    resume: bool,
    on_restart: Callable[[SeedRun], None] | None = None,
) -> Finetuned:
    """Run a recipe; while it comes to nothing, again with the next seed, in a folder below.

    Args:
        recipe: what to run; `train.restarts` says how often to begin again.
        run: does one run.
        resume: go on with what is in the recipe's folder.
        on_restart: called with each run that has come to nothing, before the next begins.

    Returns:
        the last run, with how the best one ended, whose model is in the recipe's folder.
    """
    settings, output = recipe.train, recipe.train.output
    record = RunsFile(output / SEEDS, SeedRun, recipe, {"seeds": "one"})
    if record.path.exists() and record.open(resume=resume)["is_finished"]:
        record.runs.pop()  # it is gone through again, from its last checkpoint
    while True:
        failed = len(record.runs)
        this = SeedRun(
            seed=settings.seed + failed, folder=f"seed-{settings.seed + failed}" if failed else "."
        )
        left = max(0, settings.restarts - failed)
        finetuned = run(_recipe_of(recipe, this, restarts=left), resume or failed > 0)
        if finetuned.outcome.stopped_by is not None:
            return finetuned
        record.figure, this = finetuned.task.figure, this.ended(finetuned)
        if this.problem is None or not left:
            break
        record.runs.append(this)
        record.save(is_finished=False)
        record.drop_checkpoints()
        forget_model(recipe)
        if on_restart is not None:
            on_restart(this)
    if not record.runs:
        return finetuned
    record.runs.append(this)
    best = record.best() or this
    if best.folder != ".":
        copy_up(output, best.folder)
    record.save(is_finished=True, best=best.seed)
    return dataclasses.replace(finetuned, outcome=best.outcome())


def run_seeds(
    recipe: FinetuneRecipe,
    num_seeds: int,
    run: Run,
    *,
    resume: bool,
    on_ended: Callable[[SeedRun], None] | None = None,
) -> SeedsOutcome:
    """Run a recipe with `train.seed` and those that follow it, each in a folder `seed-N`.

    A run that comes to nothing is kept in the record, and another seed is run for it, as often as
    `train.restarts` says in all. Checkpoints of runs that have ended are removed.

    Args:
        recipe: what to run; its folder becomes the best run's model folder.
        num_seeds: how many; more than before when resuming adds to those.
        run: does one run.
        resume: go on with the runs in the recipe's folder.
        on_ended: called with each run that ends.

    Raises:
        ConfigError: the recipe has no data to compare the runs on; the folder holds other runs.
        DivergedError: no run has a model in the end.
    """
    if not recipe.data.eval_sources():
        raise ConfigError(
            "data.eval is not set; several runs are compared on records that they do not learn from"
        )
    output = recipe.train.output
    record = RunsFile(output / SEEDS, SeedRun, recipe, {"seeds": "several"})
    with lock_folder(output) as lock:
        record.open(resume=resume)
        try:
            write_atomically(output / RECIPE, [recipe.to_toml().encode()])
            record.save()
            stopped_by = _run_all(recipe, num_seeds, run, record, on_ended)
        except BertsmithError:
            leave_nothing(lock, [RECIPE, SEEDS])
            raise
        best = None
        if stopped_by is None:
            best = record.best()
            if best is None:
                raise DivergedError(f"no run has a model: {record.runs[0].problem}")
            copy_up(output, best.folder)
            record.save(best=best.seed, **_spread_json(record))
    return SeedsOutcome(record.runs, record.figure, best, spread(record.runs), stopped_by)


def _run_all(
    recipe: FinetuneRecipe,
    num_seeds: int,
    run: Run,
    record: RunsFile[SeedRun],
    on_ended: Callable[[SeedRun], None] | None,
) -> signal.Signals | None:
    """Run what has not been run; give the signal that put an end to it, if any."""
    settings = recipe.train
    while (seed := next_seed(settings.seed, num_seeds, settings.restarts, record.runs)) is not None:
        this = SeedRun(seed=seed, folder=f"seed-{seed}")
        failed = sum(each.problem is not None for each in record.runs)
        try:
            one = _recipe_of(recipe, this, restarts=max(0, settings.restarts - failed))
            finetuned = run(one, True)
        except DivergedError as error:
            this = dataclasses.replace(this, problem=str(error))
        else:
            if finetuned.outcome.stopped_by is not None:
                return finetuned.outcome.stopped_by
            record.figure, this = finetuned.task.figure, this.ended(finetuned)
        record.runs.append(this)
        record.save(**_spread_json(record))
        record.drop_checkpoints()
        forget_model(recipe)
        if on_ended is not None:
            on_ended(this)
    return None


def next_seed(first: int, num_seeds: int, restarts: int, runs: Sequence[SeedRun]) -> int | None:
    """The seed to run next: each run that came to nothing asks for one more; None: all are done."""
    failed = sum(run.problem is not None for run in runs)
    wanted = range(first, first + num_seeds + min(failed, restarts))
    done = {run.seed for run in runs}
    return next((seed for seed in wanted if seed not in done), None)


def spread(runs: Sequence[SeedRun]) -> dict[str, Spread]:
    """Each figure's spread over the runs that came to something, or over all when none did."""
    with_figures = [run for run in runs if run.figures]
    counted = [run for run in with_figures if run.problem is None] or with_figures
    names = counted[0].figures if counted else {}
    return {name: _spread_of([run.figures[name] for run in counted]) for name in names}


def _spread_of(values: list[float]) -> Spread:
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, min(values), max(values))


def _spread_json(record: RunsFile[SeedRun]) -> dict[str, Any]:
    return {"spread": {k: dataclasses.asdict(v) for k, v in spread(record.runs).items()}}


def _recipe_of(recipe: FinetuneRecipe, run: SeedRun, *, restarts: int) -> FinetuneRecipe:
    """The recipe of one run; with `restarts` left it may stop halfway."""
    output = recipe.train.output / run.folder
    return recipe.replace(
        train=recipe.train.replace(seed=run.seed, output=output, restarts=restarts)
    )
