"""What the verbs print that make several runs: how each ended, and all of them together."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsmith.training.finetuning import Preparation
    from bertsmith.training.seeds import SeedRun, SeedsOutcome
    from bertsmith.training.sweep import SweepOutcome, Trial


class ShownOnce:
    """Shows what the first run is going to learn; the others learn the same."""

    def __init__(self, show: Callable[[Preparation], None]) -> None:
        self._show: Callable[[Preparation], None] | None = show

    def __call__(self, preparation: Preparation) -> None:
        """Show it, if it is the first."""
        if self._show is not None:
            self._show(preparation)
            self._show = None


def say_seed(run: SeedRun) -> None:
    """Say that a run has ended."""
    end = f"has come to nothing: {run.problem}" if run.problem else _text(run.figures)
    print(f"seed {run.seed} {end}", file=sys.stderr)


def say_trial(trial: Trial) -> None:
    """Say that a trial has ended."""
    end = f"has come to nothing: {trial.problem}" if trial.problem else _text(trial.figures)
    print(f"trial {trial.number} ({_settings(trial.settings)}) {end}", file=sys.stderr)


def seeds_summary(outcome: SeedsOutcome, output: Path, resume_command: str) -> int:
    """Print runs and spread to stdout, a table to stderr; return the exit status."""
    if outcome.stopped_by is not None:
        return _stopped(outcome.stopped_by, len(outcome.runs), resume_command)
    for run in outcome.runs:
        print(json.dumps({"seed": run.seed} | _ending(run)))
    spread = {name: dataclasses.asdict(each) for name, each in outcome.spread.items()}
    counted = [run for run in outcome.runs if run.problem is None]
    print(json.dumps({"runs": len(counted or outcome.runs), "spread": spread}))
    figure = outcome.figure or ""
    rows = [(str(run.seed), _score(run.figures, figure), _note(run)) for run in outcome.runs]
    _print_table([("seed", figure, ""), *rows])
    for name, each in outcome.spread.items():
        deviation = "" if each.std is None else f" ± {each.std:.4f}"
        print(
            f"{name} {each.mean:.4f}{deviation} ({each.min:.4f} to {each.max:.4f})", file=sys.stderr
        )
    left_out = len(outcome.runs) - len(counted)
    if counted and left_out:
        print(f"left out of these, since they came to nothing: {left_out}", file=sys.stderr)
    best = f", that of seed {outcome.best.seed}" if outcome.best else ""
    _say_model(output, best)
    return 0


def sweep_summary(outcome: SweepOutcome, output: Path, resume_command: str) -> int:
    """Print trials and the best to stdout, a table to stderr; return the exit status."""
    if outcome.stopped_by is not None:
        done = sum(trial.is_finished for trial in outcome.trials)
        return _stopped(outcome.stopped_by, done, resume_command)
    for trial in outcome.trials:
        print(json.dumps({"trial": trial.number, "settings": trial.settings} | _ending(trial)))
    figure = outcome.figure or ""
    ranked = sorted(outcome.trials, key=lambda trial: -trial.figures.get(figure, -math.inf))
    names = list(outcome.trials[0].settings)
    rows = [
        (
            str(trial.number),
            *(str(trial.settings[name]) for name in names),
            _score(trial.figures, figure),
            _note(trial),
        )
        for trial in ranked
    ]
    _print_table([("trial", *names, figure, ""), *rows])
    if outcome.best is not None:
        print(json.dumps({"best": outcome.best.number}))
        recipe = output / outcome.best.folder / "recipe.toml"
        print(f"the best recipe: {recipe}", file=sys.stderr)
        _say_model(output, f", that of trial {outcome.best.number}")
    return 0


def _stopped(number: signal.Signals, done: int, resume_command: str) -> int:
    print(
        f"stopped by {number.name}; what has ended ({done}) is kept, and the last checkpoint of "
        f"what was running; next: {resume_command}",
        file=sys.stderr,
    )
    return 128 + number


def _ending(run: SeedRun | Trial) -> dict[str, Any]:
    ending = run.figures | {"best_step": run.best_step, "seconds": round(run.seconds)}
    return ending | ({"problem": run.problem} if run.problem else {})


def _score(figures: dict[str, float], figure: str) -> str:
    return f"{figures[figure]:.4f}" if figure in figures else "-"


def _note(run: SeedRun | Trial) -> str:
    return "came to nothing" if run.problem else ""


def _text(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())


def _settings(settings: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip(), file=sys.stderr)


def _say_model(output: Path, which: str) -> None:
    curves = output / "curves.png"
    drawn = f"; curves: {curves}" if curves.exists() else ""
    print(f"model: {output}{which}{drawn}", file=sys.stderr)
    print(f"next: bertsmith predict --model {output} --input FILE", file=sys.stderr)
