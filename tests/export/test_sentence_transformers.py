"""What a folder says about pooling is read, and what is not known is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.sentence_transformers import (
    Pooling,
    read_max_length,
    read_pooling,
    write_pooling,
)


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [False, True])
def test_what_is_written_is_read(tmp_path: Path, mode: str, normalize: bool) -> None:
    write_pooling(tmp_path, Pooling(mode, normalize=normalize), hidden_size=8, max_length=64)
    assert read_pooling(tmp_path) == Pooling(mode, normalize=normalize)
    assert read_max_length(tmp_path) == 64


def test_newer_files_name_the_pooling(tmp_path: Path) -> None:
    write_pooling(tmp_path, Pooling(), hidden_size=8, max_length=64)
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert read_pooling(tmp_path) == Pooling("cls")


def test_other_folders_say_nothing(tmp_path: Path) -> None:
    assert read_pooling(tmp_path) is None
    assert read_max_length(tmp_path) is None


def module(kind: str, path: str = "") -> dict[str, str]:
    return {"type": f"sentence_transformers.models.{kind}", "path": path}


@pytest.mark.parametrize(
    ("modules", "pooling", "message"),
    [
        ({}, {}, "must hold a list of modules"),
        (["a"], {}, "must hold a list of modules"),
        ([module("Transformer"), module("Dense", "2")], {}, "has a step Dense, which is not known"),
        ([module("Pooling", "../x")], {}, "leaves the folder"),
        ([module("Pooling", "1_Pooling")], [], "must hold an object"),
        ([module("Pooling", "1_Pooling")], {"pooling_mode_cls_token": False}, "pools by nothing"),
        ([module("Pooling", "1_Pooling")], {"pooling_mode": "lasttoken"}, "pools by lasttoken"),
        (
            [module("Pooling", "1_Pooling")],
            {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
            "pools by cls, max; what is known here is one of",
        ),
    ],
)
def test_what_is_not_known_is_refused(
    tmp_path: Path, modules: Any, pooling: Any, message: str
) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(CheckpointError, match=message):
        read_pooling(tmp_path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"modules\.json cannot be read as JSON"):
        read_pooling(tmp_path)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": "x"}')
    with pytest.raises(CheckpointError, match=r"max_seq_length \('x'\) must be 3 or more"):
        read_max_length(tmp_path)
    with pytest.raises(ConfigError, match=r"pooling \('sum'\) must be one of cls, mean, max"):
        Pooling("sum")
