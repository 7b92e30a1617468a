"""The verb prepare, with real processes, killed in the middle."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertsmith.cli import prepare
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.errors import BertsmithError
from bertsmith.text.tokenizer import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "cat", "dog", "sat", "ran"]
PIECES += [*"0123456789", *(f"##{digit}" for digit in range(10))]
PROGRAM = "import sys; from bertsmith.cli.main import main; sys.exit(main(sys.argv[1:]))"


def run(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    prepare.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n")
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The cat sat. The dog ran.\n\nThe cat 12 sat.\n\n\n\u0301\n")
    return path


def test_text_becomes_shards_and_a_report(text, vocab, tmp_path, capsys):
    run(text, "--vocab", vocab, "--output", tmp_path / "shards", "--workers", 1)
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["counts"]["documents"] == 2
    assert report["counts"]["sentences"] == 3
    assert "prepare: " in err  # the progress bar
    assert "2 documents, 3 sentences, 14 wordpieces" in err
    assert "[UNK]: 0 of the wordpieces (0.000%)" in err
    assert "repeated lines: 0.0% (exact)" in err
    assert "of no use for next-sentence prediction: 50.0%" in err
    assert "1 documents were empty" in err
    assert err.splitlines()[-1] == f"next: bertsmith info {tmp_path / 'shards'}"
    assert TokenizedCorpus.open(tmp_path / "shards").num_wordpieces == 14
    assert Tokenizer.load(tmp_path / "shards").vocab_size == len(PIECES)


def test_a_finished_folder_says_so(text, vocab, tmp_path, capsys):
    arguments = (text, "--vocab", vocab, "--output", tmp_path / "shards", "--workers", 1)
    run(*arguments)
    first = capsys.readouterr().out
    run(*arguments)
    out, err = capsys.readouterr()
    assert out == first
    assert "is finished already; nothing is left to do" in err


def test_what_is_wrong_with_the_text_is_said(vocab, tmp_path, capsys):
    path = tmp_path / "bad.jsonl"
    rows = [{"body": "The cafÃ© sat. xyzzy"}, {"body": "\ufffd the"}, {"body": 5}]
    path.write_text("\n".join(map(json.dumps, rows)))
    options = ("--text-column", "body", "--skip-bad", "--sentence-per-line", "--workers", 1)
    run(path, "--vocab", vocab, "--output", tmp_path / "shards", *options)
    err = capsys.readouterr().err
    assert "the vocabulary does not fit this text" in err
    assert "1 lines hold U+FFFD" in err
    assert "1 lines look like UTF-8 read as Windows-1252" in err
    assert "1 things could not be read and are left out, such as:" in err
    assert "bad.jsonl:3: body is int; it must be text" in err


def test_bad_text_ends_the_run_with_one_sentence(vocab, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "The cat."}\n{"text": \n')
    with pytest.raises(BertsmithError, match=r"bad\.jsonl:2: the line is not JSON.*--skip-bad"):
        run(path, "--vocab", vocab, "--output", tmp_path / "shards", "--workers", 1)


def children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def has_ended(process: int) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def hear_interrupts() -> None:
    """A shell that puts the tests into the background has their children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(command: list[str], output: Path, shards: int, how: signal.Signals) -> int:
    """Start a run, interrupt it after it has made some shards, see that nothing stays behind."""
    before = len(list(output.glob("shard-*")))
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=hear_interrupts
    ) as process:
        wait_until(lambda: len(list(output.glob("shard-*"))) >= before + shards)
        workers = children(process.pid)
        (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
        said = process.communicate()[1].decode()
    wait_until(lambda: all(map(has_ended, workers)))
    assert not (output / "manifest.json").exists()
    if how == signal.SIGTERM:  # nothing but the bar and the reason
        assert said.endswith("bertsmith: stopped by SIGTERM\n")
        assert "Traceback" not in said
    return process.returncode


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_runs_go_on_to_the_bytes_of_one_that_was_not(vocab, tmp_path):
    text = tmp_path / "text.txt"
    with text.open("w") as file:
        for number in range(20_000):
            file.write(f"The cat {number * number} sat. The dog {number} ran.\n\n")
    command = [sys.executable, "-c", PROGRAM, "prepare", str(text), "--vocab", str(vocab)]
    command += ["--shard-wordpieces", "20000"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run([*command, "--output", whole, "--workers", "2"], check=True, capture_output=True)

    command += ["--output", str(parts), "--workers"]
    assert interrupt([*command, "2"], parts, 3, signal.SIGKILL) == -signal.SIGKILL
    assert interrupt([*command, "2"], parts, 2, signal.SIGINT) == 130
    assert interrupt([*command, "1"], parts, 2, signal.SIGTERM) == 128 + signal.SIGTERM
    assert interrupt([*command, "2"], parts, 2, signal.SIGTERM) == 128 + signal.SIGTERM
    finished = subprocess.run([*command, "2"], check=True, capture_output=True, text=True)
    assert "going on after the " in finished.stderr
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in parts.iterdir())
    for name in names:
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
