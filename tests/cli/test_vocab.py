from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from bertsmith.cli import vocab
from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.text.tokenizer import Tokenizer


def run(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    vocab.add_arguments(parser)
    vocab.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The cat sat.\nThe cat slept.\n\nThe dog sat.\n")
    return path


def test_text_becomes_a_vocabulary_folder(text, tmp_path, capsys):
    run(text, "--size", 60, "--output", tmp_path / "vocab", "--unused", 2)
    names = sorted(path.name for path in (tmp_path / "vocab").iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    tokenizer = Tokenizer.load(tmp_path / "vocab")
    assert tokenizer.lowercase
    assert tokenizer.vocabulary.pieces[5:7] == ["[unused0]", "[unused1]"]
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["size"] == tokenizer.vocab_size
    assert report["num_words"] == 12
    assert "pieces a word" in err
    assert err.splitlines()[-1].startswith(f"next: bertsmith prepare {text} --vocab")


def test_case_can_be_kept(text, tmp_path):
    run(text, "--size", 60, "--output", tmp_path / "vocab", "--cased")
    tokenizer = Tokenizer.load(tmp_path / "vocab")
    assert not tokenizer.lowercase
    assert tokenizer.wordpieces("The") == ["The"]


def test_a_vocabulary_in_use_is_not_overwritten(text, tmp_path):
    run(text, "--size", 60, "--output", tmp_path / "vocab")
    before = (tmp_path / "vocab" / "vocab.txt").read_bytes()
    with pytest.raises(ConfigError, match=r"holds a vocab\.txt already"):
        run(text, "--size", 50, "--output", tmp_path / "vocab")
    assert (tmp_path / "vocab" / "vocab.txt").read_bytes() == before


def test_a_failure_leaves_no_folder(text, tmp_path):
    for arguments in ((text, "--size", 3), (tmp_path / "none.txt", "--size", 60)):
        with pytest.raises(BertsmithError):
            run(*arguments, "--output", tmp_path / "vocab")
        assert not (tmp_path / "vocab").exists()
