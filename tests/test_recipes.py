"""The recipes that come along load, and say what they cost and what came of them."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.recipe_file import read_toml

FOLDER = Path(__file__).parents[1] / "recipes"
# The others there are no recipes: what is changed in these, and a list of tasks.
OWN = [FOLDER / "own" / f"{name}.toml" for name in ("mini", "small", "base")]
RECIPES = sorted([*FOLDER.glob("*.toml"), *OWN])


def header(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.removeprefix("#") for line in takewhile(lambda x: x[:1] == "#", lines))


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recipe_loads_and_is_the_same_when_written_out(path: Path, tmp_path: Path) -> None:
    kind = FinetuneRecipe if "task" in read_toml(path) else PretrainRecipe
    recipe = kind.load(path)
    (tmp_path / "again.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert kind.load(tmp_path / "again.toml") == recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recipe_says_command_hardware_time_and_result(path: Path) -> None:
    text = header(path)
    for part in ("Command", "Hardware", "Time", "Result"):
        assert re.search(rf"(?m)^ {part}: +\S", text), part
    assert f"recipes/{path.relative_to(FOLDER).as_posix()}" in text
