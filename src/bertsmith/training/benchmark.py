"""Benchmarks: a model fine-tuned on many tasks, each with a grid of settings and several seeds.

A TOML file says which: `seeds`, what all tasks share in `[all]`, the grid in `[grid]`, and for each
a section `[tasks.NAME]`, with sections of a recipe of `bertsmith finetune` and a `grid` of its own
where it has one. It names neither model nor folders, so that models compare.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.data.record_source import RecordSource
from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.training.finetune_recipe import FinetuneRecipe, task_name
from bertsmith.training.recipe_file import apply_overrides, read_toml
from bertsmith.training.search_space import (
    Space,
    check_space,
    points,
    space_of,
    split_overrides,
    with_point,
)

TWIN = "random-weights"
_KEYS = ("seeds", "all", "grid", "tasks")
# What the benchmark itself says for every run, and who says it to the benchmark.
_PLACED = {"model.init": "--model", "train.output": "--output"}
# What the figures are for, and nothing that is looked at only once.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"train": {"report": False, "restarts": 0}}


@dataclass(frozen=True)
class BenchmarkTask:
    """A data set, how it is fine-tuned, and what is varied."""

    name: str
    recipe: FinetuneRecipe
    """Its `train.output` is below the benchmark's folder."""
    space: Space

    def points(self) -> list[dict[str, Any]]:
        """The settings of each trial; a single one of nothing where nothing is varied."""
        return points(self.space)


@dataclass(frozen=True)
class Benchmark:
    """What a file says, for one model."""

    model: str | Path
    start: str | Path
    """What the runs start from: the model, or its twin with random weights."""
    output: Path
    tasks: Sequence[BenchmarkTask]
    num_seeds: int


def read_benchmark(
    path: str | Path,
    *,
    model: str | Path,
    data: str | Path | None,
    output: str | Path,
    names: Iterable[str] | None = None,
    num_seeds: int | None = None,
    random_weights: bool = False,
    overrides: Iterable[str] = (),
) -> Benchmark:
    """Read a benchmark, for a model.

    Args:
        path: TOML.
        model: what every run starts from, as for `load_model`.
        data: the folder of the data sets; paths of records are seen from it. None: data sets that
            have a name come from the hub.
        output: the folder for runs and results.
        names: which tasks, each once however often it is named; None: all.
        num_seeds: in place of what the file says; 5 where neither does.
        random_weights: start from a model of the same sizes that was not pre-trained.
        overrides: `section.key=value`, for every task; lists of values are the grid's.

    Raises:
        ConfigError: with one line for each problem.
    """
    values = read_toml(path)
    unknown = next((key for key in values if key not in _KEYS), None)
    if unknown is not None:
        raise ConfigError(f"{path}: {unknown} is not one of {', '.join(_KEYS)}")
    num_seeds = values.get("seeds", 5) if num_seeds is None else num_seeds
    if not isinstance(num_seeds, int) or isinstance(num_seeds, bool) or num_seeds < 1:
        raise ConfigError(f"seeds ({num_seeds!r}) must be a whole number of at least 1")
    start = Path(output) / TWIN if random_weights else model
    tables = _tables(path, values)
    names = list(dict.fromkeys(tables if names is None else names))
    missing = [name for name in names if name not in tables]
    if missing or not names:
        raise ConfigError(
            f"{', '.join(missing) or 'no task'} is not a task of {path}; it has {', '.join(tables)}"
        )
    tasks, problems = [], []
    overrides = list(overrides)
    _refuse_placed(apply_overrides({}, overrides), "leave it away")
    for key in ("all", "grid"):
        _refuse_placed(values.get(key, {}), f"remove it from {key} in {path}")
    for name in names:
        table = _merged(_merged(_DEFAULTS, values.get("all", {})), tables[name])
        own_grid = table.pop("grid", {})
        if not isinstance(own_grid, Mapping):
            problems.append(f"tasks.{name}: grid ({own_grid!r}) must be a section of settings")
            continue
        grid = _merged(values.get("grid", {}), own_grid)
        for each in (table, grid):
            _refuse_placed(each, f"remove it from tasks.{name} in {path}")
        place = {"model": {"init": str(start)}, "train": {"output": str(Path(output) / name)}}
        table = _merged(table, place)
        try:
            tasks.append(_task(name, table, grid, overrides, None if data is None else Path(data)))
        except BertsmithError as error:
            problems += [f"tasks.{name}: {line}" for line in str(error).split("\n")]
    if problems:
        raise ConfigError("\n".join(problems))
    return Benchmark(model, start, Path(output), tasks, num_seeds)


def _refuse_placed(sections: Mapping[str, Any], advice: str) -> None:
    for name, option in _PLACED.items():
        section, _, key = name.partition(".")
        table = sections.get(section)
        if isinstance(table, Mapping) and key in table:
            raise ConfigError(
                f"{name} ({table[key]!r}) cannot be set here, since a benchmark's {option} decides "
                f"it for every run; {advice}"
            )


def _tables(path: str | Path, values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    tables = values.get("tasks", {})
    for key in ("tasks", "all", "grid"):
        table = values.get(key, {})
        if not isinstance(table, Mapping):
            raise ConfigError(f"{path}: {key} ({table!r}) must be a section of settings")
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"{path}: tasks.{name} ({table!r}) must be a section of settings")
    return dict(tables)


def _task(
    name: str,
    table: Mapping[str, Any],
    grid: Mapping[str, Any],
    overrides: Iterable[str],
    folder: Path | None,
) -> BenchmarkTask:
    task = task_name(table)
    # As for a sweep: a list of values is varied, and a single value is not any more.
    fixed, varied = split_overrides(overrides, task)
    names = {override.partition("=")[0].strip() for override in fixed}
    space = {key: each for key, each in space_of(grid, task).items() if key not in names} | varied
    if "train.seed" in space:
        raise ConfigError("train.seed cannot be varied; each task's best point is run with several")
    values = apply_overrides(table, fixed)
    _place_data(values, folder)
    # A setting that is varied may be one that every recipe needs.
    recipe = FinetuneRecipe.from_dict(with_point(values, points(space)[0]))
    if not recipe.data.eval_sources():
        raise ConfigError("data.eval is not set; there is nothing to measure on")
    check_space(recipe, space, is_grid=True)
    for source in (recipe.data.train_source(), *recipe.data.eval_sources().values()):
        _check_there(source)
    return BenchmarkTask(name, recipe, space)


def _check_there(source: RecordSource) -> None:
    """See that a file is there before hours of other tasks."""
    if source.named is not None:
        source.file("train")
        source.file("dev")
    elif source.file("train") is None:
        raise ConfigError(f"{source.where} does not exist; --data names the folder that it is in")


def _place_data(table: dict[str, Any], folder: Path | None) -> None:
    """See files from the folder of data sets."""
    data = table.get("data")
    if folder is None or not isinstance(data, dict):
        return
    if "name" in data:
        data.setdefault("folder", str(folder))
    for key in ("train", "eval"):
        if isinstance(data.get(key), str):
            data[key] = str(folder / data[key])


def _merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one; what the second says counts."""
    merged = copy.deepcopy(dict(values))
    for key, value in others.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged
