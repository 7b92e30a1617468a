"""`bertsmith compare`: killed and run again, and bad use in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.comparison.conftest import material  # noqa: F401 - a fixture

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")
def test_a_killed_comparison_is_run_again_from_where_it_was(
    material: Path,  # noqa: F811
    tmp_path: Path,
    capsys: Capture,
) -> None:
    output = tmp_path / "out"
    command = [
        *("compare", str(material / "train"), "--eval", str(material / "eval")),
        *("--data", str(material / "tasks"), "--tasks", "sst2", "--systems", "bert_no_nsp"),
        *("--size", "tiny", "--tokens", "2048", "--seeds", "2", "--output", str(output)),
        *("pretrain.train.num_threads=1", "finetune.train.num_threads=1"),
        "finetune.train.epochs=1",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "bertsmith", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    cells = output / "cells"
    while not (cells.exists() and any(cells.glob("*.json"))):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in cells.glob("*.json")}
    assert main(command) == 0
    captured = capsys.readouterr()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(cells.glob("*.json"))) == 4
    assert captured.out == (output / "table.md").read_text() + "\n"
    assert captured.out.count("| BERT, No NSP |") == 3
    assert captured.err.splitlines()[-1] == f"next: {output / 'report.html'} in a browser"
    assert "no word is looked at in its sentences, since the vocabulary has no" in captured.err
    page = (output / "report.html").read_text()
    assert "BERT, No NSP" in page
    assert "<img" not in page
    assert (output / "table.json").stat().st_size > 1000

    # A word that the vocabulary has is looked at, and nothing is trained again for it.
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("the old small .\nsmall old .\nold the .\n")
    assert main([*command, "--word", "old", "--sentences", str(sentences)]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    page = (output / "report.html").read_text()
    assert page.count("<img") >= 2
    assert json.loads((output / "word.json").read_text())["word"] == "old"
    capsys.readouterr()
    assert main([*command, "--word", "small", "--sentences", str(sentences)]) == 2
    assert "'small' is not in the sentence 'old the .'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers(material: Path, tmp_path: Path, number: int) -> None:  # noqa: F811
    command = [
        *("compare", str(material / "train"), "--eval", str(material / "eval")),
        *("--data", str(material / "tasks"), "--tasks", "sst2", "--systems", "glove,bert_no_nsp"),
        *("--size", "tiny", "--tokens", "2048", "--output", str(tmp_path), "--workers", "2"),
        *("pretrain.train.num_threads=1", "finetune.train.steps=1000000"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "bertsmith", *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while process.poll() is None and len(list(tmp_path.rglob("runs/*/metrics.jsonl"))) < 2:
            time.sleep(0.05)
        os.killpg(process.pid, number)  # as Ctrl-C does, and `timeout`
        _, said = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    stopped = f"stopped by {signal.Signals(number).name}; what has ended is kept; next: the same "
    assert said.endswith(f"{stopped}command goes on\n")
    assert "Traceback" not in said
    assert process.returncode == 128 + number


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "bart"], "'bart' is not a system; those are glove"),
        (["--tasks", "sst2"], "'sst2' is not a task here; those are source, capitals"),
        (["shards"], "SHARDS (shards) need held-out text beside them; give --eval"),
        (["--eval", "shards"], "--eval (shards) is given without SHARDS"),
        (["train.epochs=2"], "'train.epochs=2' must begin with pretrain or finetune"),
        (["--minutes", "0"], "--minutes (0.0) must be above 0"),
        (["--data", "nowhere"], "--data (nowhere) is not a folder"),
        (["--seeds", "0"], "--seeds (0) must be at least 1"),
        (["--workers", "0"], "--workers (0) must be at least 1"),
        (["--word", "left"], "have the word right and not 'left'; give --sentences"),
        (["--sentences", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_bad_use_is_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["compare", *arguments, "--output", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()
