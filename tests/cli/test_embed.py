"""`bertsmith embed` writes an array, and says what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bertsmith.cli.main import main
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.export.sentence_transformers import Pooling

Capture = pytest.CaptureFixture[str]


def test_a_row_for_each_text(pretrained: Path, tmp_path: Path, capsys: Capture) -> None:
    texts, output = tmp_path / "a.txt", tmp_path / "a.npy"
    texts.write_text("good film\nbad film\ngood film\n")
    arguments = ["embed", "--model", str(pretrained), "--input", str(texts)]
    assert main([*arguments, "--output", str(output), "--normalize", "--pooling", "cls"]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert (facts["texts"], facts["size"], facts["pooling"]) == (3, 16, "cls")
    rows = np.load(output)
    assert rows.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows[0], rows[2], atol=1e-6)
    assert np.abs(rows[0] - rows[1]).max() > 1e-3
    assert f"3 vectors of 16 in {output}" in captured.err


def test_vectors_of_a_model_that_scales_them_can_be_left_as_they_are(
    pretrained: Path, tmp_path: Path, capsys: Capture
) -> None:
    loaded, folder = load_model(pretrained), tmp_path / "model"
    save_model(folder, loaded.model, loaded.tokenizer, pooling=Pooling(normalize=True))
    texts, output = tmp_path / "a.txt", tmp_path / "a.npy"
    texts.write_text("good film\n")
    arguments = ["embed", "--model", str(folder), "--input", str(texts), "--output", str(output)]
    for options, is_scaled in (([], True), (["--no-normalize"], False), (["--normalize"], True)):
        assert main([*arguments, *options]) == 0
        assert json.loads(capsys.readouterr().out)["normalize"] is is_scaled
        assert bool(abs(np.linalg.norm(np.load(output)) - 1) < 1e-5) is is_scaled


def test_a_bad_record_leaves_no_file(pretrained: Path, tmp_path: Path, capsys: Capture) -> None:
    texts, output = tmp_path / "a.jsonl", tmp_path / "a.npy"
    texts.write_text('{"text": "good"}\n{"text": 3}\n')
    arguments = ["embed", "--model", str(pretrained), "--input", str(texts)]
    assert main([*arguments, "--output", str(output)]) == 2
    assert "a.jsonl:2: text is 3; it must be a text" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
