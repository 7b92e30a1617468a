"""Which settings a sweep varies, and over what: lists of values, or ranges to search in.

The default is the grid of the paper's appendix A.3.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bertsmith.annotations import matches, takes_lists
from bertsmith.errors import ConfigError
from bertsmith.tasks.registry import build_task, setting_types, task_class
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.recipe_file import override_value
from bertsmith.training.settings import hints, is_section

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
# Trials that differ in one of these could not be compared, or would overwrite each other.
_FIXED = ("data.eval", "data.name", "task.name", "train.output")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where both ends are."""

    low: float
    high: float
    is_log: bool = False
    """Whether factors count in place of differences."""

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        """As it is written in a setting."""
        return f"{self.low}..{self.high}"


Space = Mapping[str, list[Any] | Range]

PAPER_GRID: Space = {
    "train.batch_size": [16, 32],
    "optimizer.learning_rate": [5e-5, 3e-5, 2e-5],
    "train.epochs": [2, 3, 4],
}


def split_overrides(
    overrides: Iterable[str], task_name: str
) -> tuple[list[str], dict[str, list[Any] | Range]]:
    """Tell the settings to vary, `key=[a, b]` and `key=low..high`, from those that are fixed.

    Args:
        overrides: `key=value` texts.
        task_name: of the task, some of whose settings are lists themselves, as some of other
            sections are; a list of lists varies these.

    Raises:
        ConfigError: there is nothing to choose from, or the task does not exist.
    """
    fixed: list[str] = []
    space: dict[str, list[Any] | Range] = {}
    for override in overrides:
        name, _, text = override.partition("=")
        values = _values(name.strip(), override_value(text.strip()), task_name)
        if values is None:
            fixed.append(override)
        else:
            space[name.strip()] = values
    return fixed, space


def space_of(sections: Mapping[str, Any], task_name: str) -> dict[str, list[Any] | Range]:
    """The space that a TOML file describes: a recipe's sections with lists and ranges.

    Raises:
        ConfigError: a value is neither.
    """
    space: dict[str, list[Any] | Range] = {}
    for section, settings in sections.items():
        table = settings if isinstance(settings, Mapping) else {"": settings}
        for key, value in table.items():
            name = f"{section}.{key}".rstrip(".")
            values = _values(name, value, task_name)
            if values is None:
                raise ConfigError(
                    f"{name} ({value!r}) must be a list of values to try or a range in quotes, "
                    'such as "1e-5..1e-4"'
                )
            space[name] = values
    return space


def sections_of(space: Space) -> dict[str, dict[str, Any]]:
    """The same as nested plain values, which `space_of` reads."""
    sections: dict[str, dict[str, Any]] = {}
    for name, values in space.items():
        section, _, key = name.partition(".")
        plain = str(values) if isinstance(values, Range) else values
        sections.setdefault(section, {})[key] = plain
    return sections


def points(space: Space) -> list[dict[str, Any]]:
    """Every combination, the last setting changing fastest; of a range its two ends."""
    choices = [[v.low, v.high] if isinstance(v, Range) else v for v in space.values()]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*choices)]


def with_point(values: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's nested values with those of a point in their places."""
    changed = dict(values)
    for name, value in point.items():
        section, _, key = name.rpartition(".")
        table = changed.get(section, {})
        if not section:
            changed[key] = value
        elif isinstance(table, Mapping):
            changed[section] = {**table, key: value}
    return changed


def recipe_at(recipe: FinetuneRecipe, point: Mapping[str, Any]) -> FinetuneRecipe:
    """The recipe with some settings changed.

    Raises:
        ConfigError: with one line for each wrong setting.
    """
    return FinetuneRecipe.from_dict(with_point(recipe.to_dict(), point))


def check_space(recipe: FinetuneRecipe, space: Space, *, is_grid: bool) -> None:
    """See before the first trial that every one can be run.

    Args:
        recipe: what the trials start from.
        space: what they vary.
        is_grid: whether all combinations are tried, and not a choice of them.

    Raises:
        ConfigError: with one line for each problem.
    """
    for name, values in space.items():
        if name in _FIXED:
            raise ConfigError(f"{name} cannot be varied; trials must be comparable, each by itself")
        if isinstance(values, Range) and is_grid:
            raise ConfigError(
                f"{name} ({values}) is a range and a grid needs a list; give --search N, or "
                "values as in [1e-5, 2e-5]"
            )
    length = next((n for n in ("steps", "budget_minutes") if getattr(recipe.train, n)), None)
    if length is not None and "train.epochs" in space:
        raise ConfigError(
            f"train.epochs is varied and train.{length} decides how long runs are; remove one"
        )
    problems: dict[str, None] = {}
    for point in points(space) if is_grid else _each_alone(space):
        try:
            changed = recipe_at(recipe, point)
            build_task(changed.task["name"], **changed.task_settings)
        except ConfigError as error:
            problems |= dict.fromkeys(str(error).split("\n"))
    if problems:
        raise ConfigError("\n".join(problems))


def _each_alone(space: Space) -> list[dict[str, Any]]:
    return [point for name, values in space.items() for point in points({name: values})]


def _values(name: str, value: Any, task_name: str) -> list[Any] | Range | None:
    """What a setting is varied over; None where it has one value."""
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        low, high = (override_value(end) for end in found.groups())
        if not low < high:
            raise ConfigError(f"{name} ({value}) must be a range that begins below its end")
        is_rate = name.endswith("learning_rate")
        return Range(low, high, is_log=low > 0 and (is_rate or high >= 10 * low))
    if not isinstance(value, list):
        return None
    hint = _annotation(name, task_name)
    if takes_lists(hint) and matches(hint, value)[0]:
        return None
    if not value:
        raise ConfigError(f"{name}=[] has nothing to try; list values, such as {name}=[1, 2]")
    return value


def _annotation(name: str, task_name: str) -> Any:
    """That of a setting; None where there is no such setting."""
    section, _, key = name.partition(".")
    if section == "task":
        return setting_types(task_class(task_name)).get(key)
    kind: Any = hints(FinetuneRecipe).get(section)
    return hints(kind).get(key) if is_section(kind) else None
