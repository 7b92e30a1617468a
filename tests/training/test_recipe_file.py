from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import ConfigError
from bertsmith.training.recipe_file import apply_overrides, read_toml, to_toml


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a.b=10", 10),
        ("a.b=1e-4", 1e-4),
        ("a.b = true", True),
        ('a.b="10"', "10"),
        ("a.b=muon", "muon"),
        ("a.b=runs/one more#2", "runs/one more#2"),
        ("a.b=C:\\data", "C:\\data"),
        ('a.b=["x", "y"]', ["x", "y"]),
        ("a.b=x=y", "x=y"),
        ("a.b=2024-05-01", "2024-05-01"),
        ("a.b=1\nc=2", "1\nc=2"),
    ],
)
def test_an_override_is_a_toml_value_or_bare_text(override: str, expected: object) -> None:
    assert apply_overrides({}, [override]) == {"a": {"b": expected}}


def test_overrides_replace_add_and_remove_and_the_last_one_wins() -> None:
    values = {"a": {"b": 1, "c": 2}, "d": [1]}
    result = apply_overrides(values, ["a.b=5", "a.b=6", "a.c=", "e.f=1", "d=[2]", "g.h="])
    assert result == {"a": {"b": 6}, "d": [2], "e": {"f": 1}, "g": {}}
    assert values == {"a": {"b": 1, "c": 2}, "d": [1]}


@pytest.mark.parametrize("override", ["a.b", "=3", "a.=3", ".b=3", "a..b=3", ""])
def test_what_is_no_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"is not an override; write section\.key=value"):
        apply_overrides({}, [override])


def test_an_override_inside_a_plain_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'a\.b=1' is not an override: a is not a section"):
        apply_overrides({"a": 3}, ["a.b=1"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[train]\nsteps = \n", 2),
        ("[train\n", 1),
        ("steps = 1\nsteps = 2\n", 2),
        ('a = 1\n\nb = "open', 3),
        ("a = 1\nb = [1,\n2,", 3),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"recipe\.toml:{line}: not valid TOML: "):
        read_toml(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml does not exist; a recipe is a TOML file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        read_toml(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml cannot be read as text"):
        read_toml(binary)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=6
)


@given(st.dictionaries(TEXT, VALUES))
def test_any_values_survive_being_written(values: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(values)) == values
