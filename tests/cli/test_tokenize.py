from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from bertsmith.cli import tokenize
from bertsmith.errors import CheckpointError, DataError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary


@pytest.fixture
def vocab(tmp_path: Path) -> str:
    pieces = [*SPECIAL_TOKENS, "jet", "makers", "fe", "##ud", "中"]
    Tokenizer.from_vocabulary(Vocabulary(pieces), lowercase=True).save(tmp_path / "vocab")
    return str(tmp_path / "vocab")


def run(monkeypatch: pytest.MonkeyPatch, stdin: bytes, *arguments: str) -> None:
    parser = argparse.ArgumentParser()
    tokenize.add_arguments(parser)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    tokenize.run(parser.parse_args(arguments))


def test_a_line_gives_a_json_object(vocab, monkeypatch, capsys):
    run(monkeypatch, "Jet feud\n\n中".encode(), "--vocab", f"{vocab}/vocab.txt")
    out, err = capsys.readouterr()
    first, empty, last = map(json.loads, out.splitlines())
    assert first == {
        "tokens": ["[CLS]", "jet", "fe", "##ud", "[SEP]"],
        "ids": [2, 5, 7, 8, 3],
        "segment_ids": [0, 0, 0, 0, 0],
        "offsets": [[0, 0], [0, 3], [4, 6], [6, 8], [0, 0]],
    }
    assert empty["tokens"] == ["[CLS]", "[SEP]"]
    assert last["tokens"] == ["[CLS]", "中", "[SEP]"]
    assert err.splitlines()[-1].startswith("next: bertsmith prepare")


def test_a_tab_makes_a_pair_and_gnmt_marks_word_starts(vocab, monkeypatch, capsys):
    run(monkeypatch, b"jet\tfeud\r\n", "--vocab", vocab, "--notation", "gnmt")
    answer = json.loads(capsys.readouterr().out)
    assert answer["tokens"] == ["[CLS]", "_jet", "[SEP]", "_fe", "ud", "[SEP]"]
    assert answer["segment_ids"] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("stdin", "message"),
    [(b"a\nb\tc\td", "<stdin>:2: has 2 tabs"), (b"caf\xe9", "<stdin>:1: is not UTF-8")],
)
def test_lines_that_cannot_be_read_are_named(vocab, monkeypatch, stdin, message):
    with pytest.raises(DataError, match=message):
        run(monkeypatch, stdin, "--vocab", vocab)


def test_a_missing_vocabulary_is_named(monkeypatch):
    with pytest.raises(CheckpointError, match="none does not exist"):
        run(monkeypatch, b"", "--vocab", "none")
