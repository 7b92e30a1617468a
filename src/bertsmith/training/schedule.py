"""How long a run lasts and how its learning rate rises and falls.

The published form (Devlin et al. 2019, appendix A.2, and the code released with it): a linear
rise during warm-up; after it the line that falls from 1 at the very start of the run to 0 at its
end. With a tenth of warm-up the rate thus reaches almost 1, then goes on from 0.9; the form that
starts the fall at 1 when warm-up ends is Hugging Face's. The first step has a rate of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertsmith.training.settings import Count, Fraction, Settings


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings(Settings):
    """The `[schedule]` section: how long the warm-up is."""

    warmup_proportion: Fraction = 0.1
    """Part of the run, by steps or by time as the run's own length."""
    warmup_steps: Count | None = None
    """Where set, warm-up is counted in steps and `warmup_proportion` is not read."""


def progress(
    step: int, elapsed_seconds: float, *, steps: int | None, budget_minutes: float | None
) -> float:
    """The part of a run that is over, from 0 to 1.

    Args:
        step: optimizer steps done.
        elapsed_seconds: time spent on them, in this and in earlier parts of a resumed run.
        steps: the run's length in steps; or
        budget_minutes: its length in time.
    """
    if steps is not None:
        return min(1.0, step / steps)
    if budget_minutes is not None:
        return min(1.0, elapsed_seconds / (60 * budget_minutes))
    raise ValueError("a run's length is a number of steps or of minutes")


def learning_rate_factor(progress: float, step: int, schedule: ScheduleSettings) -> float:
    """What the learning rate is multiplied with at the step that comes next, from 0 to 1.

    Args:
        progress: the part of the run that is over, from 0 to 1.
        step: optimizer steps done.
        schedule: the warm-up.
    """
    if schedule.warmup_steps is not None:
        if step < schedule.warmup_steps:
            return step / schedule.warmup_steps
    elif progress < schedule.warmup_proportion:
        return progress / schedule.warmup_proportion
    return max(0.0, 1 - progress)
