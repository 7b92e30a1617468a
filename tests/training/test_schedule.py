from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import ConfigError
from bertsmith.training.schedule import ScheduleSettings, learning_rate_factor, progress


def factor(step: int, steps: int, **schedule: float) -> float:
    part = progress(step, 0.0, steps=steps, budget_minutes=None)
    return learning_rate_factor(part, step, ScheduleSettings(**schedule))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),  # the first update has no size, as published
        (1, 0.01),
        (50, 0.5),
        (99, 0.99),
        (100, 0.9),  # warm-up is over: the line that falls from 1 at step 0
        (500, 0.5),
        (999, 0.001),
        (1000, 0.0),
    ],
)
def test_the_rate_follows_the_published_line(step: int, expected: float) -> None:
    assert factor(step, 1000, warmup_proportion=0.1) == pytest.approx(expected, abs=1e-12)
    assert factor(step, 1000, warmup_steps=100) == pytest.approx(expected, abs=1e-12)


def test_warm_up_in_steps_replaces_the_proportion() -> None:
    assert factor(10, 1000, warmup_steps=20, warmup_proportion=0.9) == 0.5


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert factor(0, 10, warmup_proportion=0.0) == 1


def test_a_budget_of_time_is_the_same_line_over_time() -> None:
    def at(seconds: float) -> float:
        part = progress(7, seconds, steps=None, budget_minutes=2)
        return learning_rate_factor(part, 7, ScheduleSettings(warmup_proportion=0.25))

    assert [at(s) for s in (0, 15, 30, 60, 120, 500)] == [0, 0.5, 0.75, 0.5, 0, 0]


def test_progress_needs_one_length() -> None:
    assert progress(5, 0.0, steps=10, budget_minutes=None) == 0.5
    assert progress(50, 0.0, steps=10, budget_minutes=None) == 1
    with pytest.raises(ValueError, match="steps or of minutes"):
        progress(5, 0.0, steps=None, budget_minutes=None)


@given(st.integers(0, 10**7), st.integers(1, 10**6), st.floats(0, 0.99))
def test_the_factor_stays_between_0_and_1(step: int, steps: int, proportion: float) -> None:
    assert 0 <= factor(step, steps, warmup_proportion=proportion) <= 1
    assert 0 <= factor(step, steps, warmup_steps=1 + steps // 3) <= 1


@pytest.mark.parametrize("proportion", [1.0, -0.1, 3])
def test_a_warm_up_as_long_as_the_run_is_refused(proportion: float) -> None:
    with pytest.raises(ConfigError, match=r"warmup_proportion .* at least 0 and below 1"):
        ScheduleSettings(warmup_proportion=proportion)
