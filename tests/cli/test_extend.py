"""`bertsmith extend` adds words and positions, and the result opens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from bertsmith.cli.main import main
from bertsmith.export.model_folder import load_model

Capture = pytest.CaptureFixture[str]


def test_words_of_a_corpus_become_pieces(pretrained: Path, tmp_path: Path, capsys: Capture) -> None:
    text, output = tmp_path / "a.txt", tmp_path / "new"
    text.write_text("good neutrino film\nneutrino boson\n" * 10)
    arguments = ["extend", "--model", str(pretrained), "--output", str(output)]
    assert main([*arguments, "--text", str(text), "--count", "5", "--positions", "20"]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts["words"] == ["neutrino", "boson"]
    assert (facts["vocab_size"], facts["positions"]) == (13, 20)
    assert "neutrino  [UNK]  (20 times)" in captured.err
    loaded = load_model(output)
    assert loaded.tokenizer.wordpieces("good neutrino") == ["good", "neutrino"]
    assert loaded.tokenizer.max_length == 20
    _, info = transformers.BertForMaskedLM.from_pretrained(output, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]


def test_words_of_a_file_are_added(pretrained: Path, tmp_path: Path, capsys: Capture) -> None:
    words, output = tmp_path / "words.txt", tmp_path / "new"
    words.write_text("quark\n\nlepton\n")
    arguments = ["extend", "--model", str(pretrained), "--output", str(output)]
    assert main([*arguments, "--words", str(words)]) == 0
    assert json.loads(capsys.readouterr().out)["words"] == ["quark", "lepton"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "there is nothing to add; give --text, --words or --positions"),
        (["--positions", "3"], "positions (3) must be at least the model's 12"),
        (["--words", "missing.txt"], "missing.txt"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    pretrained: Path, tmp_path: Path, capsys: Capture, more: list[str], message: str
) -> None:
    output = tmp_path / "new"
    assert main(["extend", "--model", str(pretrained), "--output", str(output), *more]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not output.exists()
