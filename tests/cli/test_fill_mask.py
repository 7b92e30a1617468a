"""`bertsmith fill-mask`: a line of JSON for each word, the likeliest first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_each_mask_gets_its_words_the_likeliest_first(pretrained: Path, capsys: Capture) -> None:
    text = "a [MASK] film [MASK]"
    assert main(["fill-mask", "--model", str(pretrained), text, "--top-k", "11"]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [answer["mask"] for answer in answers] == [1] * 11 + [2] * 11
    assert "東" in captured.out
    for mask in (1, 2):
        found = [answer["probability"] for answer in answers if answer["mask"] == mask]
        assert found == sorted(found, reverse=True)
        assert sum(found) == pytest.approx(1, abs=1e-5)
    assert captured.err.startswith("next: bertsmith finetune ")


def test_five_words_are_shown_where_nothing_is_said(pretrained: Path, capsys: Capture) -> None:
    assert main(["fill-mask", "--model", str(pretrained), "[MASK]"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_what_cannot_be_filled_is_one_sentence(
    pretrained: Path, classifier: Path, capsys: Capture
) -> None:
    for model, text, message in [
        (pretrained, "a film", "'a film' holds no [MASK]; write [MASK], in capitals, where"),
        (classifier, "[MASK]", "must have masked_lm among them to fill a mask; take a pre-trained"),
    ]:
        assert main(["fill-mask", "--model", str(model), text]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert captured.err.count("\n") == 1


def test_words_of_the_users_are_compared(pretrained: Path, capsys: Capture) -> None:
    command = ["fill-mask", "--model", str(pretrained), "a [MASK] film", "--words"]
    assert main([*command, "bad, good"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(answer["word"] for answer in answers) == ["bad", "good"]
    assert answers[0]["probability"] >= answers[1]["probability"]
    assert main([*command, "zebra"]) == 2
    assert "has no wordpieces for the word 'zebra'" in capsys.readouterr().err


def test_the_device_can_be_named(pretrained: Path, capsys: Capture) -> None:
    command = ["fill-mask", "--model", str(pretrained), "[MASK]", "--device"]
    assert main([*command, "cpu"]) == 0
    capsys.readouterr()
    assert main([*command, "abacus"]) == 2
    assert "abacus" in capsys.readouterr().err
