"""`bertsmith score`: a line of JSON for each text or pair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import save_pretrained

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("a good film\n東 .\n", encoding="utf-8")
    return path


def test_each_text_has_its_likelihood(pretrained: Path, texts: Path, capsys: Capture) -> None:
    assert main(["score", "--model", str(pretrained), "--input", str(texts), "--tokens"]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [answer["wordpieces"] for answer in answers] == [3, 2]
    for answer in answers:
        assert answer["log_likelihood"] == pytest.approx(sum(p for _, p in answer["tokens"]))
    assert [piece for piece, _ in answers[1]["tokens"]] == ["東", "."]
    assert "東" in captured.out
    assert captured.err.startswith("next: bertsmith fill-mask ")


def test_each_pair_has_its_probability(tmp_path: Path, capsys: Capture) -> None:
    model = save_pretrained(tmp_path / "model")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"text": "a film", "pair": "good ."}\n{"text": "a", "pair": "bad"}\n')
    command = ["score", "--model", str(model), "--by", "next-sentence", "--input", str(pairs)]
    assert main(command) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(answer) for answer in answers] == [["follows"], ["follows"]]
    assert all(0 < answer["follows"] < 1 for answer in answers)


def test_what_cannot_be_scored_is_one_sentence(
    pretrained: Path, classifier: Path, texts: Path, capsys: Capture
) -> None:
    for model, options, message in [
        (classifier, [], "must have masked_lm among them"),
        (pretrained, ["--by", "next-sentence"], "must have next_sentence among them"),
    ]:
        assert main(["score", "--model", str(model), "--input", str(texts), *options]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert captured.err.count("\n") == 1
