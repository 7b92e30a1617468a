"""Names of models are given, or those of their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.cli.model_names import named_model, named_models
from bertsmith.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("films=runs/sst2", ("films", "runs/sst2")),
        ("runs/sst2", ("sst2", "runs/sst2")),
        ("runs/sst2/", ("sst2", "runs/sst2/")),
        ("runs/lr=3/model", ("model", "runs/lr=3/model")),
        ("a=b=c", ("a", "b=c")),
        ("runs/.", ("runs", "runs/.")),
    ],
)
def test_what_stands_before_the_sign_is_a_name(given: str, expected: tuple[str, str]) -> None:
    assert named_model(given) == expected


def test_the_folder_itself_has_a_name() -> None:
    assert named_model(".")[0] == Path.cwd().name


def test_a_link_is_called_as_the_user_calls_it(tmp_path: Path) -> None:
    (tmp_path / "step-9").mkdir()
    (tmp_path / "best").symlink_to("step-9")
    assert named_model(f"{tmp_path}/best")[0] == "best"
    assert named_model(f"{tmp_path}/step-9/..")[0] == tmp_path.name


@pytest.mark.parametrize("given", ["=x", " =x", "=", "a=", "", "/"])
def test_nothing_is_no_name_and_no_folder(given: str) -> None:
    with pytest.raises(ConfigError, match=r"lacks a .*; give NAME=DIR"):
        named_model(given)


def test_a_name_is_given_once() -> None:
    assert named_models(["a=x", "y/b"]) == {"a": "x", "b": "y/b"}
    with pytest.raises(ConfigError, match="two models are called 'a'; name them"):
        named_models(["a=x", "y/a"])
