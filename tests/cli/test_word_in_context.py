"""`bertsmith word-in-context` writes its files and says how well senses are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.comparison.systems import default_tokenizer, save, write_corpus

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "tiny")


def test_the_sentences_that_come_along(model: Path, tmp_path: Path, capsys: Capture) -> None:
    corpus = write_corpus(
        tmp_path / "shards", [["They opposed the right to land."]], default_tokenizer()
    )
    arguments = ["word-in-context", "--model", str(model), "--model", f"again={model}"]
    arguments += ["--corpus", str(corpus), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert (first.pop("model"), second.pop("model")) == ("tiny", "again")
    assert first == second
    assert set(first) == {"within", "between", "accuracy", "chance"}
    assert f"next: {tmp_path / 'out' / 'report.html'} in a browser" in err
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_word_and_sentences_of_ones_own(model: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "left.txt").write_text("Turn left.\nShe writes with her left hand.\n")
    arguments = ["word-in-context", "--model", str(model), "--output", str(tmp_path / "out")]
    arguments += ["--word", "left"]
    assert main(arguments) == 2
    assert "have the word right and not 'left'; give --sentences" in capsys.readouterr().err
    assert main([*arguments, "--sentences", str(tmp_path / "left.txt")]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": "tiny"}
    (tmp_path / "two.tsv").write_text("sentence\tlabel\nTurn left.\tway\nHer left hand.\thand\n")
    assert main([*arguments, "--sentences", str(tmp_path / "two.tsv")]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"model", "between"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "{model}", "--model", "{model}"], "two models are called 'tiny'"),
        (["--model", "{nowhere}"], "nowhere"),
        (["--model", "{model}", "--corpus", "{nowhere}"], "nowhere holds no manifest.json"),
        (["--model", "{model}", "--sentences", "{nowhere}.txt"], "nowhere.txt does not exist"),
        (["--model", "={model}"], "lacks a name; give NAME=DIR"),
        (["--model", "{model}", "--device", "toaster"], "device ('toaster') cannot be used"),
        ([], "the following arguments are required: --model"),
    ],
)
def test_bad_use_is_one_sentence(
    model: Path, tmp_path: Path, capsys: Capture, options: list[str], message: str
) -> None:
    given = [each.format(model=model, nowhere=tmp_path / "nowhere") for each in options]
    try:
        status = main(["word-in-context", *given, "--output", str(tmp_path / "out")])
    except SystemExit as error:
        status = int(str(error.code))
    assert status == 2
    out, err = capsys.readouterr()
    assert not out
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
