"""`bertsmith features` prints Google's form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_lines_are_texts_and_bars_make_pairs(
    pretrained: Path, tmp_path: Path, capsys: Capture
) -> None:
    texts = tmp_path / "a.txt"
    texts.write_text("good film\ngood ||| bad film\n")
    arguments = ["features", "--model", str(pretrained), "--input", str(texts)]
    assert main([*arguments, "--layers", "-1,0"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert [token["token"] for token in first["features"]] == ["[CLS]", "good", "film", "[SEP]"]
    tokens = [token["token"] for token in second["features"]]
    assert tokens == ["[CLS]", "good", "[SEP]", "bad", "film", "[SEP]"]
    assert [layer["index"] for layer in second["features"][0]["layers"]] == [-1, 0]


def test_layers_must_be_numbers(pretrained: Path, capsys: Capture) -> None:
    arguments = ["features", "--model", str(pretrained), "--input", "-", "--layers", "last"]
    assert main(arguments) == 2
    assert "--layers (last) must be numbers, such as -1,-2" in capsys.readouterr().err


def test_nothing_need_be_said_of_a_model_with_few_layers(
    pretrained: Path, tmp_path: Path, capsys: Capture
) -> None:
    texts = tmp_path / "a.txt"
    texts.write_text("good film\n")
    arguments = ["features", "--model", str(pretrained), "--input", str(texts)]
    assert main([*arguments, "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [layer["index"] for layer in found["features"][0]["layers"]] == [-1]


def test_a_device_that_is_none_is_refused(pretrained: Path, capsys: Capture) -> None:
    arguments = ["features", "--model", str(pretrained), "--input", "-", "--device", "abacus"]
    assert main(arguments) == 2
    assert "abacus" in capsys.readouterr().err
