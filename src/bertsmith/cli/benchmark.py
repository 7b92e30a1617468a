"""`bertsmith benchmark`: what a pre-trained model is worth, on many tasks."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

from bertsmith.cli.wording import counted

if TYPE_CHECKING:
    from bertsmith.training.benchmark_results import BenchmarkRun

HELP = "fine-tune a model on many tasks, each with a grid and several seeds"
EXAMPLES = """examples:
  bertsmith benchmark recipes/own/tasks.toml --model runs/mini --data TASKS --output runs/mini-tasks
      goes on where it was interrupted; results.json has every run
  bertsmith benchmark recipes/own/tasks.toml --model bertsmith-mini --data TASKS \\
      --output runs/twin --tasks sst2,mrpc --random-weights --workers 8 train.epochs=2
      the same sizes without pre-training, on two of the tasks, eight runs at a time on one GPU
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("benchmark", metavar="TASKS.toml", help="tasks, grid and number of seeds")
    parser.add_argument("--model", required=True, metavar="DIR", help="a pre-trained model")
    parser.add_argument(
        "--data", metavar="DIR", help="the folder of the data sets (default: those of the hub)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="for runs and results.json")
    parser.add_argument(
        "--tasks", metavar="A,B", help="these tasks alone; results.json keeps the others"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="how many, in place of the file's number"
    )
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="start from random weights of the model's sizes: what pre-training is worth",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="runs at a time (1); eight share a GPU well where the model is small",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of every run")


def run(args: argparse.Namespace) -> int:
    """Run what has not been run, and print a line of JSON for each task."""
    from bertsmith.cli.main import Terminated

    stopped_by: int | None
    try:
        stopped_by = _run(args)
    except KeyboardInterrupt:
        stopped_by = signal.SIGINT
    except Terminated:
        stopped_by = signal.SIGTERM
    if stopped_by is None:
        return 0
    print("stopped; the same command goes on with what is left", file=sys.stderr)
    return 128 + stopped_by


def _run(args: argparse.Namespace) -> signal.Signals | None:
    from bertsmith.cores import available_cores
    from bertsmith.errors import ConfigError
    from bertsmith.export.model_source import open_source
    from bertsmith.training.benchmark import read_benchmark
    from bertsmith.training.benchmark_results import RESULTS
    from bertsmith.training.benchmark_runs import run_benchmark

    if args.workers < 1:
        raise ConfigError(f"--workers ({args.workers}) must be at least 1")
    names = None if args.tasks is None else [name.strip() for name in args.tasks.split(",")]
    if names is not None and not all(names):
        raise ConfigError(f"--tasks ({args.tasks!r}) must be names with commas between them")
    overrides = list(args.overrides)
    if args.workers > 1:
        overrides.insert(0, f"train.num_threads={max(1, available_cores() // args.workers)}")
    benchmark = read_benchmark(
        args.benchmark,
        model=args.model,
        data=args.data,
        output=args.output,
        names=names,
        num_seeds=args.seeds,
        random_weights=args.random_weights,
        overrides=overrides,
    )
    open_source(args.model)  # what is wrong with it is said before anything is promised
    trials = sum(len(task.points()) for task in benchmark.tasks)
    seeds = len(benchmark.tasks) * (benchmark.num_seeds - 1)
    print(
        f"{counted(len(benchmark.tasks), 'task')}: {counted(trials, 'trial')}, then "
        f"{counted(seeds, 'run')} with other seeds",
        file=sys.stderr,
    )
    outcome = run_benchmark(benchmark, workers=args.workers, on_ended=_say)
    if outcome.stopped_by is not None:
        return outcome.stopped_by
    tasks = {task.name: outcome.results["tasks"][task.name] for task in benchmark.tasks}
    for found in tasks.values():
        print(json.dumps({key: found[key] for key in _PRINTED}))
    for line in _table(tasks):
        print(line, file=sys.stderr)
    print(f"every run: {benchmark.output / RESULTS}", file=sys.stderr)
    return None


_PRINTED = ("task", "figure", "mean", "std", "min", "max", "settings", "seconds")


def _say(run: BenchmarkRun) -> None:
    named = ", ".join(f"{name}={value}" for name, value in run.settings.items())
    ended = (
        f"has come to nothing: {run.problem}"
        if run.problem or not run.figures
        else f"{run.figure} {run.value:.4f}"
    )
    print(
        f"{run.task} ({named or 'as it is'}, seed {run.seed}) {ended}, {run.seconds:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def _table(tasks: dict[str, Any]) -> list[str]:
    lines = []
    for name, found in tasks.items():
        if found["mean"] is None:
            lines.append(f"{name:<12} no run has a model")
            continue
        deviation = "" if found["std"] is None else f" ± {100 * found['std']:.1f}"
        lines.append(
            f"{name:<12} {found['figure']} {100 * found['mean']:.1f}{deviation} "
            f"({100 * found['min']:.1f} to {100 * found['max']:.1f})"
        )
    return lines
