"""`finetune --dry-run` and `--overfit-one-batch` look, say what is next, and write nothing."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]
ROWS = "good film\tpos\nbad film\tneg\na good film\tpos\na bad film\tneg\n"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.tsv"
    path.write_text(f"message\tkind\n{ROWS}")
    return path


def command(model: Path, records: Path, *more: str) -> list[str]:
    start = ["finetune", "sequence_classification", "--model", str(model), "--train", str(records)]
    settings = ["data.text=message", "data.label=kind", "train.num_threads=1"]
    settings += ["train.precision=fp32", "train.epochs=4", "train.batch_size=2"]
    return [*start, "--output", str(records.parent / "run"), *settings, *more]


def test_a_dry_run_ends_with_the_command_of_the_run(
    pretrained: Path, records: Path, capsys: Capture
) -> None:
    assert main(command(pretrained, records, "--eval", str(records), "--dry-run")) == 0
    assert [path.name for path in records.parent.iterdir()] == ["records.tsv"]
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report["num_bad"], report["check"]["shared"]["count"]) == (0, 4)
    said = captured.err.splitlines()
    assert said[0] == "4 records to train on (neg 2, pos 2), 4 to measure on"
    assert said[2].startswith("new, to be trained: ")
    assert said[-4] == "plan: 8 steps; an epoch is 2 batches of up to 2 and 18 wordpieces"
    assert said[-3] == "plan: learning rate up to 5e-05, reached by a warm-up of 1 step"
    assert said[-2].startswith("plan: fp32 on cpu; ")
    assert any(
        line.startswith("warning: there are few training records (4) for the labels (2)")
        for line in said
    )
    following = said[-1].removeprefix("next: bertsmith ")
    assert main(shlex.split(following)) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["step"] == 8
    # The run says what the dry run has said of records and settings.
    assert captured.err.splitlines()[: len(said) - 4] == said[:-4]


def test_a_dry_run_lists_all_bad_records(pretrained: Path, records: Path, capsys: Capture) -> None:
    with records.open("ab") as file:
        file.write(b"good\n\xff\tneg\nbad\t\n")
    assert main(command(pretrained, records, "--dry-run")) == 2
    said = capsys.readouterr().err.splitlines()
    place = said.index("3 records cannot be used:")
    assert [line.partition(": ")[0] for line in said[place + 1 : place + 4]] == [
        f"  {records}:{line}" for line in (6, 7, 8)
    ]
    assert said[-1].startswith("next: correct or drop them, then bertsmith finetune ")
    assert said[-1].endswith("--dry-run")
    assert [path.name for path in records.parent.iterdir()] == ["records.tsv"]


def test_where_nothing_is_left_it_is_said_too(
    pretrained: Path, records: Path, capsys: Capture
) -> None:
    records.write_text("message\tkind\ngood\nbad\n")
    assert main(command(pretrained, records, "--dry-run")) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"bertsmith: {records}:2: the row has 1 column")
    assert len(said) == 3


def test_one_batch_is_learned(pretrained: Path, records: Path, capsys: Capture) -> None:
    rate = "optimizer.learning_rate=1e-2"
    assert main(command(pretrained, records, rate, "--overfit-one-batch")) == 0
    captured = capsys.readouterr()
    done = json.loads(captured.out)
    said = captured.err.splitlines()
    assert said[0].startswith(
        f"one batch of 4 records (neg 2, pos 2) was learned in {done['steps']} steps: loss "
    )
    assert said[0].endswith("accuracy 1.000")
    assert said[-1].startswith("next: bertsmith finetune sequence_classification ")
    assert "--overfit" not in said[-1]
    assert [path.name for path in records.parent.iterdir()] == ["records.tsv"]


def test_one_batch_that_cannot_be_learned(pretrained: Path, records: Path, capsys: Capture) -> None:
    records.write_text("message\tkind\n" + "good film\tpos\ngood film\tneg\n" * 4)
    rate = "optimizer.learning_rate=1e-2"
    assert main(command(pretrained, records, rate, "--overfit-one-batch")) == 1
    said = capsys.readouterr().err.splitlines()
    assert "was not learned in 200 steps" in said[0]
    assert said[1].startswith(
        f"look first at: {records}:3 (neg) and {records}:2 (pos) are the same"
    )
    assert said[-1].endswith("--dry-run")
    assert [path.name for path in records.parent.iterdir()] == ["records.tsv"]


def test_only_one_look_at_a_time(pretrained: Path, records: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(command(pretrained, records, "--dry-run", "--overfit-one-batch"))
    assert "not allowed with argument" in capsys.readouterr().err
