"""`bertsmith sweep`, and `finetune` with several seeds: tables on stderr, JSON on stdout."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def start(pretrained: Path, tmp_path: Path) -> list[str]:
    """What all these commands have in common."""
    path = tmp_path / "records.tsv"
    path.write_text("text\tlabel\ngood film\tpos\nbad film\tneg\na good\tpos\na bad\tneg\n")
    return [
        *("sequence_classification", "--model", str(pretrained)),
        *("--train", str(path), "--eval", str(path), "--output", str(tmp_path / "run")),
        *("train.num_threads=1", "train.precision=fp32", "train.eval_every_steps=2"),
    ]


def test_a_sweep_prints_its_trials_and_its_best(
    start: list[str], tmp_path: Path, capsys: Capture
) -> None:
    rates = "optimizer.learning_rate=[1e-9, 0.01]"
    assert main(["sweep", *start, "train.steps=20", rates, "model.freeze_layers=[0]"]) == 0
    captured = capsys.readouterr()
    *trials, best = [json.loads(line) for line in captured.out.splitlines()]
    assert [(each["trial"], each["settings"]["optimizer.learning_rate"]) for each in trials] == [
        (1, 1e-9),
        (2, 0.01),
    ]
    assert best == {"best": 2}
    said = captured.err.splitlines()
    assert sum("records to train on" in line for line in said) == 1
    (header,) = (i for i, line in enumerate(said) if line.startswith("trial  "))
    assert said[header].split() == [
        *("trial", "optimizer.learning_rate", "model.freeze_layers", "accuracy")
    ]
    assert said[header + 1].split() == ["2", "0.01", "0", f"{trials[1]['accuracy']:.4f}"]
    output = tmp_path / "run"
    assert f"the best recipe: {output}/trial-002/recipe.toml" in said
    assert said[-1] == f"next: bertsmith predict --model {output} --input FILE"
    assert main(["sweep", str(output / "recipe.toml"), "--grid", str(output / "grid.toml")]) == 2
    assert "holds runs already (sweep.json); go on with them by --resume" in capsys.readouterr().err
    again = f"sweep {output}/recipe.toml --grid {output}/grid.toml --resume"
    assert main(shlex.split(again)) == 0
    assert capsys.readouterr().out == captured.out


def test_a_search_needs_a_number(start: list[str], capsys: Capture) -> None:
    pytest.importorskip("optuna")
    rates = "optimizer.learning_rate=1e-5..1e-2"
    assert main(["sweep", *start, "train.steps=2", rates]) == 2
    assert "is a range and a grid needs a list; give --search N" in capsys.readouterr().err
    assert main(["sweep", *start, "train.steps=2", rates, "--search", "2"]) == 0
    first, second, _ = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["settings"] != second["settings"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.epochs=[2, 0]"], "train.epochs (0) must be a number above 0"),
        (["train.epoch=[2]"], "train.epoch is not a setting; did you mean train.epochs?"),
        (["train.steps=[]"], "train.steps=[] has nothing to try"),
        (["--search", "0"], "the number of trials (0) must be at least 1"),
        (["--grid", "nowhere.toml"], "nowhere.toml does not exist"),
        (["train.steps=9"], "train.epochs is varied and train.steps decides how long runs are"),
    ],
)
def test_a_bad_grid_is_refused_before_the_first_trial(
    start: list[str], tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert main(["sweep", *start, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"bertsmith: {message}")
    assert not (tmp_path / "run").exists()


def test_seeds_print_each_run_and_their_spread(
    start: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert main(["finetune", *start, "train.steps=4", "train.seed=7", "--seeds", "2"]) == 0
    captured = capsys.readouterr()
    first, second, both = [json.loads(line) for line in captured.out.splitlines()]
    assert (first["seed"], second["seed"], both["runs"]) == (7, 8, 2)
    spread = both["spread"]["accuracy"]
    assert set(spread) == {"mean", "std", "min", "max"}
    assert spread["mean"] == pytest.approx((first["accuracy"] + second["accuracy"]) / 2)
    said = captured.err.splitlines()
    assert said.index("seed  accuracy") > 0
    mean = f"accuracy {spread['mean']:.4f} ± {spread['std']:.4f} "
    assert any(line.startswith(mean) for line in said)
    output = tmp_path / "run"
    assert said[-1] == f"next: bertsmith predict --model {output} --input FILE"
    assert main(["evaluate", "--model", str(output), "--data", str(tmp_path / "records.tsv")]) == 0
    best = json.loads(capsys.readouterr().out)
    assert best["accuracy"] == max(first["accuracy"], second["accuracy"])
    assert main(["finetune", str(output / "recipe.toml"), "--seeds", "3", "--resume"]) == 0
    captured = capsys.readouterr()
    assert "seed 7 loss" not in captured.err
    assert "seed 9 loss" in captured.err


def test_a_run_that_comes_to_nothing_says_so_and_begins_again(
    start: list[str], capsys: Capture
) -> None:
    settings = ["train.steps=60", "train.eval_every_steps=30", "train.checkpoint_every_steps=60"]
    hopeless = ["optimizer.learning_rate=5.0", "train.restarts=1", "train.seed=1"]
    assert main(["finetune", *start, *settings, *hopeless]) == 0
    said = capsys.readouterr().err
    assert "step 60: the model tells no held-out record from another" in said
    assert "seed 1 has come to nothing; once more, with seed 2 (train.restarts)\n" in said
    assert "the run has come to nothing; a lower optimizer.learning_rate, " in said


def test_seeds_must_be_a_number(start: list[str], capsys: Capture) -> None:
    assert main(["finetune", *start, "--seeds", "0"]) == 2
    assert capsys.readouterr().err == "bertsmith: --seeds (0) must be at least 1\n"
