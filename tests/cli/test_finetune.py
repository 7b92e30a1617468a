"""`bertsmith finetune`: records in, figures on stdout, what it does and what is next on stderr."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tests.data.glue_folder import write_glue

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]
TINY = ["train.steps=4", "train.num_threads=1", "train.precision=fp32"]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.tsv"
    path.write_text("message\tkind\ngood film\tpos\nbad film\tneg\na good\tpos\na bad\tneg\n")
    return path


def command(model: Path, records: Path, *more: str) -> list[str]:
    start = ["finetune", "sequence_classification", "--model", str(model), "--train", str(records)]
    output = records.parent / "run"
    columns = ["data.text=message", "data.label=kind"]
    return [*start, *columns, "--output", str(output), *TINY, *more]


def test_the_figures_are_json_and_the_next_command_predicts(
    pretrained: Path, records: Path, capsys: Capture
) -> None:
    assert main(command(pretrained, records, "--eval", str(records))) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    figures = json.loads(line)
    assert figures["step"] == 4
    assert {"loss", "accuracy", "macro_f1"} < set(figures)
    said = captured.err.splitlines()
    assert said[0].startswith("4 records to train on (neg 2, pos 2), 4 to measure on")
    assert said[2] == "new, to be trained: bert.pooler (2), heads.sequence_classification (2)"
    output = records.parent / "run"
    assert any(line.startswith(f"model: {output}") for line in said)
    assert f"report: {output / 'report.html'}" in said
    assert (output / "report.html").is_file()
    assert main(["info", str(output)]) == 0
    captured = capsys.readouterr()
    measured = json.loads(captured.out)["results"]["findings"]["figures"]
    assert measured.items() <= figures.items()
    assert f"measured on {records.name} (4 records): accuracy " in captured.err
    assert said[-1] == f"next: bertsmith predict --model {output} --input FILE"
    # The command that is named can be run, and finds the columns that it was trained on.
    following = shlex.split(said[-1])[2:]
    assert main([str(records) if word == "FILE" else word for word in following]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(answer["probabilities"]) for answer in answers] == [{"neg", "pos"}] * 4


def test_a_record_that_counts_as_the_header_is_told_of(
    pretrained: Path, records: Path, capsys: Capture
) -> None:
    records.write_text("question\tgood film\nneg\tbad film\npos\ta good\nneg\ta bad\n")
    numbers = ["data.text=2", "data.label=1", "train.steps=1", "--eval", str(records)]
    assert main(command(pretrained, records, *numbers)) == 0
    told = f"{records}:1 was taken for the header ('question', 'good film'); say data.header=false"
    assert capsys.readouterr().err.count(told) == 1
    shown = ["--model", str(records.parent / "run"), "--data", str(records)]
    assert main(["evaluate", *shown, "data.text=2", "data.label=1"]) == 0
    assert told in capsys.readouterr().err


def test_texts_that_are_cut_are_counted(pretrained: Path, records: Path, capsys: Capture) -> None:
    with records.open("a") as file:
        file.write(f"{'good ' * 40}\tpos\n")
    assert main(command(pretrained, records, "train.steps=1")) == 0
    assert (
        "cut at 12 wordpieces (data.max_seqlen or, where fewer, the model's positions): 1 text\n"
        in capsys.readouterr().err
    )


def test_a_recipe_file_runs_again(pretrained: Path, records: Path, capsys: Capture) -> None:
    assert main(command(pretrained, records, "train.keep_checkpoints=1")) == 0
    capsys.readouterr()
    first, second = records.parent / "run", records.parent / "second"
    recipe = str(first / "recipe.toml")
    assert main(["finetune", recipe, "--output", str(second), "train.steps=5"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 5
    assert main(["finetune", recipe, "--resume", "train.steps=6"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["step"] == 6
    assert captured.err.startswith(f"{first}: going on after step 4")


def test_a_data_set_is_learned_measured_and_answered_by_its_name(
    pretrained: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder = f"data.folder={write_glue(tmp_path / 'glue')}"
    run, answers = str(tmp_path / "run"), tmp_path / "answers"
    start = ["--model", str(pretrained), "--output", run, *TINY, folder]
    assert main(["finetune", "glue:mrpc", *start]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert {"f1", "accuracy"} < set(figures)
    assert captured.err.startswith("4 records to train on (0 2, 1 2), 4 to measure on\n")
    assert main(["evaluate", "--model", run, "--data", "glue:mrpc", folder]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["f1"] == figures["f1"]
    assert captured.err.endswith(f"predict --model {run} --input glue:mrpc {folder}\n")
    asked = ["predict", "--model", run, "--input", "glue:mrpc", folder]
    assert main(asked) == 0
    printed = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    assert main([*asked, "--glue-submission", str(answers)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"{answers / 'MRPC.tsv'}: 4 answers\n")
    rows = (answers / "MRPC.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[1] for row in rows] == printed


@pytest.mark.parametrize("task", ["sequence_classification", "recipe.toml"])
def test_a_data_set_may_stand_beside_a_task_or_in_a_recipe(
    pretrained: Path, tmp_path: Path, capsys: Capture, task: str
) -> None:
    glue = write_glue(tmp_path / "glue")
    sets = ["data=glue:rte", f"data.folder={glue}"]
    if task.endswith(".toml"):
        task = str(tmp_path / task)
        Path(task).write_text(f'[data]\nname = "glue:rte"\nfolder = "{glue}"\n')
        sets = []
    output = tmp_path / "run"
    start = ["finetune", task, "--model", str(pretrained), "--output", str(output), *TINY]
    assert main([*start, *sets]) == 0
    assert "4 records to train on (entailment 2, not_entailment 2)" in capsys.readouterr().err
    said = (output / "recipe.toml").read_text()
    assert 'labels = ["entailment", "not_entailment"]' in said
    assert 'name = "glue:rte"' in said


def test_what_a_run_needs_is_asked_for(capsys: Capture) -> None:
    assert main(["finetune", "sequence_classification", "--model", "m", "--output", "o"]) == 2
    said = capsys.readouterr().err
    assert said == "bertsmith: --train is missing; without a recipe file it is needed\n"
    assert main(["finetune", "glue:mrpc", "--model", "m"]) == 2
    said = capsys.readouterr().err
    assert said == "bertsmith: --output is missing; without a recipe file it is needed\n"
    assert main(["finetune", "glue:mprc", "--model", "m", "--output", "o"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bertsmith: data.name: 'glue:mprc' is not the name of a data set; did")
    for name, hint in (
        ("imagenet", "tasks are multiple_choice, question_answering, sequence_classification, "),
        ("sqad", "did you mean squad?"),
        ("sequence_clasification", "did you mean sequence_classification?"),
    ):
        assert main(["finetune", name, "--model", "m", "--output", "o"]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"bertsmith: {name!r} is neither a task nor a data set; {hint}")
    assert main(["finetune", "masked_lm", "--model", "m", "--train", "t", "--output", "o"]) == 2
    assert "masked_lm is not learned from records" in capsys.readouterr().err


def test_a_run_goes_on(pretrained: Path, records: Path, capsys: Capture) -> None:
    kept = command(pretrained, records, "train.keep_checkpoints=1")
    assert main(kept) == 0
    assert main(kept) == 2
    assert "holds a run of 4 steps; go on with it by --resume" in capsys.readouterr().err
    assert main([*kept, "--resume", "train.steps=6"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 6


def test_a_run_that_is_over_is_said_again_and_not_run_again(
    pretrained: Path, records: Path, capsys: Capture
) -> None:
    assert main(command(pretrained, records)) == 0
    first = capsys.readouterr().out
    output = records.parent / "run"
    assert not (output / "checkpoints").exists()
    before = (output / "model.safetensors").read_bytes(), (output / "metrics.jsonl").read_bytes()
    assert main(command(pretrained, records, "--resume")) == 0
    captured = capsys.readouterr()
    assert captured.out == first
    assert captured.err.startswith(f"{output}: the run is over\n")
    after = (output / "model.safetensors").read_bytes(), (output / "metrics.jsonl").read_bytes()
    assert after == before
    for arguments in ([], ["--resume", "train.steps=6"]):
        assert main(command(pretrained, records, *arguments)) == 2
        assert "holds a run that is over after 4 steps, without checkpoints" in (
            capsys.readouterr().err
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.label=sort"], "sort"),
        (["--eval", "nowhere.tsv"], "nowhere.tsv"),
        (["train.epochs=-1"], "train.epochs"),
        (["colour=3"], "colour"),
        (['task.labels=["pos", "other"]'], "records.tsv:3: label 'neg' is not one of"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_trained(
    pretrained: Path, records: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert main(command(pretrained, records, *arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bertsmith: ")
    assert message in captured.err
    assert not (records.parent / "run" / "checkpoints").exists()
