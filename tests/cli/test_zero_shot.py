"""`bertsmith zero-shot`: a line of JSON for each text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import save

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("id,text\n1,a good film\n2,bad .\n", encoding="utf-8")
    return path


def test_each_text_has_a_label(tmp_path: Path, texts: Path, capsys: Capture) -> None:
    labels = ["contradiction", "neutral", "entailment"]
    model = save(tmp_path / "model", "sequence_classification", labels=labels, pairs=True)
    command = ["zero-shot", "--model", str(model), "--labels", "good, 東", "--input", str(texts)]
    for options in ([], ["--multi-label", "--template", "a {} film"]):
        assert main([*command, *options]) == 0
        captured = capsys.readouterr()
        answers = [json.loads(line) for line in captured.out.splitlines()]
        assert len(answers) == 2
        for answer in answers:
            assert list(answer["probabilities"]) == ["good", "東"]
            assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
            if not options:
                assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert captured.err.startswith("next: label some of the texts, then bertsmith finetune ")


def test_what_cannot_be_is_one_sentence(classifier: Path, texts: Path, capsys: Capture) -> None:
    command = ["zero-shot", "--model", str(classifier), "--input", str(texts), "--labels"]
    for options, message in [
        (["a"], "must have entailment among them; take a model fine-tuned on SNLI"),
        (["a,a"], "must be one or several words, each once"),
        (["a", "--template", "x"], "must have {} where the label is to stand"),
    ]:
        assert main([*command, *options]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert captured.err.count("\n") == 1
