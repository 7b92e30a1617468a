"""What comes of a benchmark's runs: results.json, a mean and a spread for each task."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.model_folder import load_pretrained
from bertsmith.training.benchmark import Benchmark, BenchmarkTask
from bertsmith.training.parallelize import choose_device
from bertsmith.training.several_runs import comparable
from bertsmith.version import own_version

RESULTS = "results.json"
# What the figures of all tasks in that file have in common.
_OF_THE_MODEL = ("model", "random_weights", "num_parameters", "config")


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """How one run ended, JSON-ready."""

    task: str
    trial: int
    """Which point of the grid, from 1."""
    settings: dict[str, Any]
    """What the point says."""
    seed: int
    figure: str = ""
    """The name of the one that decides."""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """The held-out figures of its best model; empty when there is no model."""
    problem: str | None = None
    """Why it has come to nothing, if it has."""
    steps: int = 0
    seconds: float = 0.0
    """From reading the records to the last figure."""
    num_train: int = 0
    num_eval: int = 0

    @property
    def value(self) -> float:
        """The figure that decides; below all others where there is none."""
        return self.figures.get(self.figure, -math.inf)


def other_tasks(benchmark: Benchmark, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What results.json says of tasks that are not to be run now."""
    path = benchmark.output / RESULTS
    try:
        contents = json.loads(path.read_bytes())
        tasks = dict(contents["tasks"])
        then = {key: contents[key] for key in _OF_THE_MODEL}
        if not all({"figure", "mean", "seeds"} <= set(task) for task in tasks.values()):
            raise ValueError("not the results of tasks")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path} is damaged or of another version; remove it, and it is written again from the "
            "runs beside it"
        ) from None
    ours = {task.name for task in benchmark.tasks}
    others = {name: task for name, task in tasks.items() if name not in ours}
    now = json.loads(json.dumps({key: facts[key] for key in _OF_THE_MODEL}))
    if others and then != now:
        raise ConfigError(
            f"{path} has {', '.join(others)} of another model ({then['model']}"
            f"{', random weights' if then['random_weights'] else ''}); choose another folder"
        )
    return others


def shared_settings(task: BenchmarkTask) -> dict[str, Any]:
    """What all of a task's runs have in common, without the paths of this machine."""
    values = comparable(task.recipe)
    paths = ("model.init", "data.train", "data.eval", "data.folder")
    for name in (*paths, "train.seed", *task.space):
        section, _, key = name.rpartition(".")
        (values[section] if section else values).pop(key, None)
    return values


def facts_of(benchmark: Benchmark) -> dict[str, Any]:
    """What is to be known of the model and of where it was measured."""
    model = load_pretrained(benchmark.start, []).model
    device = choose_device(benchmark.tasks[0].recipe.train.device)
    is_gpu = device.type == "cuda"
    return {
        "model": Path(benchmark.model).name,
        "random_weights": benchmark.start != benchmark.model,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "config": model.config.to_dict(),
        "device": torch.cuda.get_device_name(device) if is_gpu else device.type,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"bertsmith": own_version(), "torch": str(torch.__version__)},
    }


def task_result(
    name: str, grid: Sequence[BenchmarkRun], seeds: Sequence[BenchmarkRun]
) -> dict[str, Any]:
    """What is to be kept of a task's runs, JSON-ready.

    Every seed counts, those too whose model has one answer for everything; not those without a
    model, which `problem` names.

    Args:
        name: the task's.
        grid: one run of each point.
        seeds: the runs of the best point.
    """
    counted = [run.value for run in seeds if run.figures]
    best = seeds[0]
    seconds = {(run.trial, run.seed): run.seconds for run in [*grid, *seeds]}
    return {
        "task": name,
        "figure": best.figure,
        "mean": statistics.fmean(counted) if counted else None,
        "std": statistics.stdev(counted) if len(counted) > 1 else None,
        "min": min(counted, default=None),
        "max": max(counted, default=None),
        "settings": best.settings,
        "num_train": best.num_train,
        "num_eval": best.num_eval,
        "seconds": round(sum(seconds.values()), 1),
        "seeds": [_kept(run) for run in seeds],
        "grid": [_kept(run) for run in grid],
    }


def _kept(run: BenchmarkRun) -> dict[str, Any]:
    left_out = ("task", "figure", "num_train", "num_eval")
    return {key: value for key, value in dataclasses.asdict(run).items() if key not in left_out}
