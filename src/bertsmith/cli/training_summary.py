"""What the training verbs print when a run has ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsmith.training.outcome import Outcome


def end_of_run(outcome: Outcome, output: Path, resume_command: str) -> int:
    """Print the figures to stdout and the rest to stderr; return the exit status.

    A run that a signal stopped ends with the status that the signal would have given it.
    """
    state = outcome.state
    if outcome.stopped_by is not None:
        print(
            f"stopped by {outcome.stopped_by.name} after step {state.step:,}, whose checkpoint is "
            f"written; next: {resume_command}",
            file=sys.stderr,
        )
        return 128 + outcome.stopped_by
    figures = {"step": state.step, "tokens": state.tokens, "seconds": round(state.elapsed_seconds)}
    if state.best_step is not None:
        figures["best_step"] = state.best_step
    problem = {} if outcome.problem is None else {"problem": outcome.problem}
    print(json.dumps(figures | outcome.figures | problem))
    if outcome.stopped_early:
        print("stopped early: the held-out figure no longer gets better", file=sys.stderr)
    if outcome.problem is not None:
        print(
            "the run has come to nothing; a lower optimizer.learning_rate, optimizer.name=adamw or "
            "more train.epochs may help",
            file=sys.stderr,
        )
    best = (
        "" if state.best_step in (None, state.step) else f" (the best, of step {state.best_step})"
    )
    curves = output / "curves.png"
    drawn = f"; curves: {curves}" if curves.exists() else ""
    print(f"model: {output}{best}{drawn}", file=sys.stderr)
    return 0


def say_what_is_resumed(output: Path) -> None:
    """Tell a mistyped folder from one with a run to go on with."""
    from bertsmith.errors import CheckpointError
    from bertsmith.training.checkpoint import Checkpoints
    from bertsmith.training.ended_run import read_ended_run

    checkpoints = Checkpoints(output / "checkpoints", keep=1)
    try:
        latest = checkpoints.latest()
    except CheckpointError:
        return  # an error where the run is to go on, and nothing where it is over
    place = "no checkpoint yet: a new run begins"
    if latest is not None:
        place = f"going on after step {latest.step:,}"
        if latest.step != (last := checkpoints.steps()[-1]):
            place += f", since the checkpoint of step {last:,} is damaged"
    elif read_ended_run(output) is not None:
        place = "the run is over"
    print(f"{output}: {place}", file=sys.stderr)
