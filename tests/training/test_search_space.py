"""Which settings are varied, over what, and what cannot work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.training.mood_runs import mood_recipe

from bertsmith.errors import ConfigError
from bertsmith.training.recipe_file import to_toml
from bertsmith.training.search_space import (
    PAPER_GRID,
    Range,
    check_space,
    points,
    recipe_at,
    sections_of,
    space_of,
    split_overrides,
)

TASK = "sequence_classification"
EPOCHS: dict[str, Any] = {"steps": None}
RECIPE = mood_recipe(Path("start"), Path("out"), train=EPOCHS)


def test_the_papers_grid_is_that_of_appendix_a_3() -> None:
    trials = [tuple(point.values()) for point in points(PAPER_GRID)]
    assert len(trials) == len(set(trials)) == 18
    assert trials[:4] == [(16, 5e-5, 2), (16, 5e-5, 3), (16, 5e-5, 4), (16, 3e-5, 2)]
    assert trials[-1] == (32, 2e-5, 4)
    recipe = recipe_at(RECIPE, points(PAPER_GRID)[-1])
    train = recipe.train
    assert (train.batch_size, recipe.optimizer.learning_rate, train.epochs) == (32, 2e-5, 4.0)
    assert recipe.data == RECIPE.data
    check_space(RECIPE, PAPER_GRID, is_grid=True)


def test_lists_and_ranges_among_settings_are_varied_and_the_others_are_not() -> None:
    fixed, space = split_overrides(
        [
            "train.seed=3",
            "optimizer.learning_rate=1e-5..1e-4",
            "train.batch_size=[8, 16]",
            "optimizer.weight_decay=0..0.1",
            "train.epochs=2..4",
            "model.freeze_embeddings=[true,false]",
            "task.classifier_dropout=[0.1, 0.3]",
            "data.text=a..b",
            "train.steps=",
        ],
        TASK,
    )
    assert fixed == ["train.seed=3", "data.text=a..b", "train.steps="]
    assert space == {
        "optimizer.learning_rate": Range(1e-5, 1e-4, is_log=True),
        "train.batch_size": [8, 16],
        "optimizer.weight_decay": Range(0, 0.1),
        "train.epochs": Range(2, 4),
        "model.freeze_embeddings": [True, False],
        "task.classifier_dropout": [0.1, 0.3],
    }
    assert [s.is_whole for s in space.values() if isinstance(s, Range)] == [False, False, True]
    assert Range(2e-5, 5e-5) != split_overrides(["optimizer.learning_rate=2e-5..5e-5"], TASK)[1]


@pytest.mark.parametrize(
    ("name", "low", "high", "is_log"),
    [
        ("optimizer.learning_rate", "2e-5", "5e-5", True),
        ("optimizer.weight_decay", "0.001", "0.1", True),
        ("optimizer.layer_decay", "0.8", "1.0", False),
        ("optimizer.weight_decay", "0.0", "0.1", False),
    ],
)
def test_rates_and_ranges_of_a_factor_of_ten_count_by_factors(
    name: str, low: str, high: str, is_log: bool
) -> None:
    _, space = split_overrides([f"{name}={low}..{high}"], TASK)
    assert space[name] == Range(float(low), float(high), is_log)


def test_a_setting_that_is_a_list_is_varied_by_a_list_of_lists() -> None:
    one, none = split_overrides(['task.labels=["a", "b"]'], TASK)
    assert (one, none) == (['task.labels=["a", "b"]'], {})
    _, space = split_overrides(['task.labels=[["a", "b"], ["b", "a"]]'], TASK)
    assert space == {"task.labels": [["a", "b"], ["b", "a"]]}


@pytest.mark.parametrize(
    ("name", "one", "several"),
    [
        ("task.class_weights", "[1.0, 5.0]", "[[1.0, 5.0], [1.0, 2.0]]"),
        ("task.class_weights", "[1, 5]", '["balanced", [1, 5]]'),
        ("task.class_weights", "{a = 1.0}", "[{a = 1.0}, {a = 2.0}]"),
        ("task.thresholds", "[0.5, 0.2]", "[[0.5, 0.2], [0.1, 0.2]]"),
        ("features.layers", "[-1]", "[[-1], [-2, -1]]"),
        ("features.layers", '["embeddings", 1]', '[["embeddings"], [1]]'),
        ("features.lstm_layers", "2", "[1, 2]"),
        ("task.no_such_setting", "1", "[1, 2]"),
        ("no_such_section.layers", "1", "[1, 2]"),
    ],
)
def test_one_value_that_is_a_list_is_told_from_several(name: str, one: str, several: str) -> None:
    assert split_overrides([f"{name}={one}"], TASK) == ([f"{name}={one}"], {})
    fixed, space = split_overrides([f"{name}={several}"], TASK)
    assert (fixed, list(space)) == ([], [name])
    assert len(space[name]) == 2  # type: ignore[arg-type]


def test_a_space_goes_through_a_file() -> None:
    _, space = split_overrides(
        ["optimizer.learning_rate=1e-5..1e-4", 'optimizer.name=["adamw", "muon"]'], TASK
    )
    sections = sections_of(space)
    assert json.loads(json.dumps(sections)) == sections
    assert to_toml(sections) == (
        '[optimizer]\nlearning_rate = "1e-05..0.0001"\nname = ["adamw", "muon"]\n'
    )
    assert space_of(sections, TASK) == space


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=[]", r"train.epochs=\[\] has nothing to try; list values"),
        ("optimizer.learning_rate=1e-4..1e-5", r"must be a range that begins below its end"),
    ],
)
def test_nothing_to_choose_from_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_overrides([override], TASK)


def test_a_file_of_single_values_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.epochs \(3\) must be a list of values to try or"):
        space_of({"train": {"epochs": 3}}, TASK)
    with pytest.raises(ConfigError, match=r"epochs \('x'\) must be a list"):
        space_of({"epochs": "x"}, TASK)


@pytest.mark.parametrize(
    ("space", "problems"),
    [
        (
            {"train.epochs": [2, -1], "optimizer.learning_rate": [0, 1e-5, "fast"]},
            [
                "train.epochs (-1) must be a number above 0",
                "optimizer.learning_rate (0) must be a number above 0",
                "optimizer.learning_rate ('fast') must be a number above 0",
            ],
        ),
        (
            {"train.epoch": [2, 3]},
            ["train.epoch is not a setting; did you mean train.epochs?"],
        ),
        ({"trian.epochs": [2]}, ["trian is not a section; did you mean train?"]),
        ({"seed": [2]}, ["seed is not a setting; did you mean train.seed?"]),
        (
            {"task.classifier_dropout": [0.1, 1.5]},
            ["task.classifier_dropout (1.5) must be "],
        ),
        ({"task.colour": [1]}, ["task.colour is not a setting; those of "]),
        ({"data.eval": ["a", "b"]}, ["data.eval cannot be varied; trials must be comparable"]),
        ({"train.output": ["a", "b"]}, ["train.output cannot be varied"]),
        (
            {"optimizer.learning_rate": Range(1e-5, 1e-4)},
            ["optimizer.learning_rate (1e-05..0.0001) is a range and a grid needs a list"],
        ),
    ],
)
def test_every_problem_is_found_before_the_first_trial(space: Any, problems: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        check_space(RECIPE, space, is_grid=True)
    found = str(error.value).split("\n")
    assert len(found) == len(problems)
    for expected in problems:
        assert any(line.startswith(expected) for line in found), found


def test_the_ends_of_a_range_are_checked() -> None:
    with pytest.raises(ConfigError) as error:
        check_space(RECIPE, {"optimizer.layer_decay": Range(0.5, 1.5)}, is_grid=False)
    assert str(error.value) == (
        "optimizer.layer_decay (1.5) must be a number above 0 and at most 1"
    )
    check_space(RECIPE, {"train.epochs": Range(2, 4)}, is_grid=False)


def test_epochs_that_would_not_count_are_refused() -> None:
    recipe = mood_recipe(Path("start"), Path("out"))
    with pytest.raises(ConfigError, match=r"epochs is varied and train.steps decides how long"):
        check_space(recipe, PAPER_GRID, is_grid=True)
