"""Where in a space to look next, by what trials so far have given.

Tree-structured Parzen estimators (Bergstra et al. 2011), by Optuna. All that it needs to know is
handed to it each time, so that a search goes on from a list of trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bertsmith.errors import ConfigError
from bertsmith.training.search_space import Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Trials drawn at random before any estimate; Optuna's 10 are most of a search for fine-tuning.
NUM_RANDOM = 5
# How often to draw again when a point has been tried already.
MOST_DRAWS = 50


def check_installed() -> None:
    """See that Optuna is there.

    Raises:
        ConfigError: when it is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ConfigError(
            "a search needs a package that is not installed; pip install bertsmith[sweep], or try "
            "a grid"
        ) from None


def suggest(
    space: Space, tried: Sequence[tuple[Mapping[str, Any], float | None]], seed: int
) -> dict[str, Any] | None:
    """Give a point that has not been tried; None when none is found.

    Args:
        space: lists and ranges.
        tried: points, and the figure that each gave (higher is better), None where it failed.
        seed: with the number of trials it decides what is drawn.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(values) for name, values in space.items()}
    for draw in range(MOST_DRAWS):
        own_seed = (seed * 1_000_003 + len(tried) * MOST_DRAWS + draw) % 2**32
        sampler = optuna.samplers.TPESampler(seed=own_seed, n_startup_trials=NUM_RANDOM)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        for point, score in tried:
            states = optuna.trial.TrialState
            state = states.FAIL if score is None else states.COMPLETE
            params = {name: _code(space[name], value) for name, value in point.items()}
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=distributions, value=score, state=state
                )
            )
        drawn = study.ask(distributions).params
        point = {name: _decode(values, drawn[name]) for name, values in space.items()}
        if all(point != dict(other) for other, _ in tried):
            return point
    return None


def _distribution(values: list[Any] | Range) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution(range(len(values)))  # it takes no lists as choices
    if values.is_whole:
        return IntDistribution(int(values.low), int(values.high), log=values.is_log)
    return FloatDistribution(values.low, values.high, log=values.is_log)


def _code(values: list[Any] | Range, value: Any) -> Any:
    return value if isinstance(values, Range) else values.index(value)


def _decode(values: list[Any] | Range, drawn: Any) -> Any:
    if not isinstance(values, Range):
        return values[drawn]
    if values.is_whole:
        return drawn
    rounded = float(f"{drawn:.3g}")  # finer differences are nothing to a training run
    return min(max(rounded, values.low), values.high)
