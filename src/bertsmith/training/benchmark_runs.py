"""The runs of a benchmark, many at a time, and what comes of them.

First every point of each task's grid is run with one seed, then the best point with the others.
Each run leaves its result in a file, which is read in place of running it again; its model is
removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.errors import BertsmithError, CheckpointError, ConfigError
from bertsmith.export.model_source import CONFIG
from bertsmith.training.benchmark import Benchmark, BenchmarkTask
from bertsmith.training.benchmark_results import (
    RESULTS,
    BenchmarkRun,
    facts_of,
    other_tasks,
    shared_settings,
    task_result,
)
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import finetune
from bertsmith.training.random_twin import write_random_twin
from bertsmith.training.search_space import recipe_at
from bertsmith.training.several_runs import comparable, forget_model
from bertsmith.training.side_by_side import Ended, run_side_by_side
from bertsmith.training.trainer import DivergedError


@dataclass(frozen=True, kw_only=True)
class BenchmarkOutcome:
    """What came of a benchmark."""

    results: Mapping[str, Any]
    """What the file has, JSON-ready; empty where the benchmark was stopped."""
    stopped_by: signal.Signals | None = None


@dataclass(frozen=True)
class _Job:
    run: BenchmarkRun
    recipe: FinetuneRecipe

    @property
    def path(self) -> Path:
        """Where the result is."""
        return self.recipe.train.output.with_suffix(".json")


def run_benchmark(
    benchmark: Benchmark,
    *,
    workers: int = 1,
    on_ended: Callable[[BenchmarkRun], None] = lambda _: None,
) -> BenchmarkOutcome:
    """Run what has not been run, and write results.json.

    That has for each task `figure` (the name of the one that decides), its `mean`, `std`, `min` and
    `max` over the seeds, the `settings` that were chosen, `seeds` and `grid` with every run, and
    what these share of the `recipe`. Other tasks that the file has, of the same model, stay in it.

    Args:
        benchmark: what to run.
        workers: processes, which share the device.
        on_ended: called with each run, also with those that had ended before.

    Raises:
        ConfigError: the folder holds runs with other settings or of another model.
        CheckpointError: what it holds is damaged.
        BertsmithError: a model or records cannot be used.
    """
    start = Path(benchmark.start)
    if start != Path(benchmark.model) and not (start / CONFIG).is_file():
        write_random_twin(benchmark.model, start, seed=benchmark.tasks[0].recipe.train.seed)
    facts = facts_of(benchmark)
    kept = other_tasks(benchmark, facts)
    seeds: dict[str, list[BenchmarkRun]] = {}
    grids: dict[str, list[BenchmarkRun]] = {}
    first = [
        _job(task, number, point, task.recipe.train.seed)
        for task in benchmark.tasks
        for number, point in enumerate(task.points(), 1)
    ]
    stopped_by = _run_all(first, workers, grids, on_ended)
    if stopped_by is not None:
        return BenchmarkOutcome(results={}, stopped_by=stopped_by)
    rest = []
    for task in benchmark.tasks:
        best = max(grids[task.name], key=_rank)
        seeds[task.name] = [best]
        rest += [
            _job(task, best.trial, best.settings, task.recipe.train.seed + further)
            for further in range(1, benchmark.num_seeds)
        ]
    stopped_by = _run_all(rest, workers, seeds, on_ended)
    if stopped_by is not None:
        return BenchmarkOutcome(results={}, stopped_by=stopped_by)
    found = {
        task.name: task_result(task.name, grids[task.name], seeds[task.name])
        | {"recipe": shared_settings(task)}
        for task in benchmark.tasks
    }
    results = facts | {"tasks": kept | found}
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    write_atomically(benchmark.output / RESULTS, [text.encode()])
    return BenchmarkOutcome(results=results)


def _rank(run: BenchmarkRun) -> tuple[bool, float, float]:
    return run.problem is None, run.value, -run.figures.get("loss", math.inf)


def _job(task: BenchmarkTask, number: int, point: Mapping[str, Any], seed: int) -> _Job:
    run = BenchmarkRun(task=task.name, trial=number, settings=dict(point), seed=seed)
    output = task.recipe.train.output / f"trial-{number:03}-seed-{seed}"
    recipe = recipe_at(task.recipe, {**point, "train.seed": seed, "train.output": str(output)})
    return _Job(run, recipe)


def _run_all(
    jobs: Sequence[_Job],
    workers: int,
    into: dict[str, list[BenchmarkRun]],
    on_ended: Callable[[BenchmarkRun], None],
) -> signal.Signals | None:
    """Add each job's result to those of its task, in order."""
    done = {job.path: _read(job) for job in jobs}
    left = [job for job in jobs if done[job.path] is None]
    for job in jobs:
        if (run := done[job.path]) is not None:
            on_ended(run)
    running = run_side_by_side(left, _run, workers, log_of=_log_of)
    with contextlib.closing(running):
        for job, (ended, stopped_by) in running:
            if ended is None:
                return stopped_by
            done[job.path] = ended
            on_ended(ended)
    for job in jobs:
        result = done[job.path]
        assert result is not None  # noqa: S101 - all have ended
        into.setdefault(job.run.task, []).append(result)
    return None


def _log_of(job: _Job) -> Path:
    return job.recipe.train.output.with_suffix(".log")


def _run(job: _Job) -> Ended[BenchmarkRun]:
    """One run, from the records to its result's file; its folder is removed."""
    output = job.recipe.train.output
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        finetuned = finetune(job.recipe)
    except DivergedError as error:
        ended = dataclasses.replace(job.run, problem=str(error))
    except BertsmithError as error:
        lines = [f"tasks.{job.run.task}: {line}" for line in str(error).split("\n")]
        raise type(error)("\n".join(lines)) from None
    else:
        outcome, preparation = finetuned.outcome, finetuned.preparation
        if outcome.stopped_by is not None:
            return None, outcome.stopped_by
        ended = dataclasses.replace(
            job.run,
            figure=finetuned.task.figure,
            figures=outcome.figures,
            problem=outcome.problem,
            steps=outcome.state.step,
            num_train=preparation.num_train,
            num_eval=preparation.num_eval,
        )
    ended = dataclasses.replace(ended, seconds=round(time.monotonic() - start, 3))
    contents = dataclasses.asdict(ended) | {"recipe": comparable(job.recipe)}
    write_atomically(job.path, [(json.dumps(contents, indent=1) + "\n").encode()])
    shutil.rmtree(output, ignore_errors=True)
    forget_model(job.recipe)
    return ended, None


def _read(job: _Job) -> BenchmarkRun | None:
    """The result of a job that has ended before; None where there is none."""
    try:
        contents = json.loads(job.path.read_bytes())
        recipe = contents.pop("recipe")
        run = BenchmarkRun(**contents)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{job.path} is damaged or of another version; remove it, and the run is made again"
        ) from None
    if recipe != json.loads(json.dumps(comparable(job.recipe))):
        raise ConfigError(
            f"{job.path} is of a run with other settings; choose another folder, or remove "
            f"{job.path.parent}"
        )
    return run
