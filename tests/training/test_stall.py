from __future__ import annotations

import dataclasses

import pytest

from bertsmith.training.stall import MIN_TOKENS, Standing, stall_warning

STUCK = Standing(
    held_out_loss=6.74,
    training_loss=6.72,
    unigram_entropy=6.76,
    vocab_size=4000,
    progress=0.5,
    step=1000,
    tokens=8_192_000,
    learning_rate=1e-3,
)


def warning(**changes: float) -> str | None:
    return stall_warning(dataclasses.replace(STUCK, **changes))


def test_a_loss_at_the_unigram_line_is_called_stuck_with_the_usual_causes() -> None:
    assert warning() == (
        "held-out masked-LM loss is 6.74 after 8,192,000 tokens (50% of the run), no better than "
        "guessing by frequency alone (6.76); usual causes: a learning rate too high or too low "
        "(0.001), too few tokens a step, repeated lines in the text, a vocabulary that does not "
        "fit it"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"held_out_loss": 6.65},  # on its way
        {"progress": 0.19},  # may be warming up
        {"tokens": MIN_TOKENS - 1},  # too early to tell
        {"held_out_loss": 5.94},
        {"held_out_loss": 4.64},
    ],
)
def test_a_run_that_learns_or_has_only_begun_is_left_in_peace(changes: dict[str, float]) -> None:
    assert warning(**changes) is None


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"held_out_loss": 9.0}, "above ln 4000 = 8.29, that of knowing nothing"),
        ({"held_out_loss": float("nan")}, "the learning rate is too high"),
        ({"training_loss": 3.1}, "down to 3.10: the text is too small or has many repeated lines"),
        ({"learning_rate": 1e-6}, "the learning rate (1e-06) is low; 5e-05 to 0.005 is usual"),
        ({"learning_rate": 0.1}, "the learning rate (0.1) is high; 5e-05 to 0.005 is usual"),
        ({"step": 16_000}, "a step has 512 tokens on average"),
        ({"tokens": 1_000_000, "progress": 1.0, "step": 100}, "the run is too short to tell"),
    ],
)
def test_a_cause_that_the_figures_show_comes_first(changes: dict[str, float], cause: str) -> None:
    text = warning(**changes)
    assert text is not None
    assert "look first at: " in text
    assert cause in text


def test_all_causes_that_show_are_named() -> None:
    text = warning(learning_rate=0.1, step=16_000)
    assert text is not None
    assert text.index("the learning rate (0.1)") < text.index("a step has 512 tokens")
