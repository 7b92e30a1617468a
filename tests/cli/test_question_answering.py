"""The verbs from a file in SQuAD's form to the official figures."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tests.tasks.passages import save_pretrained, squad, write_squad

from bertsmith.cli.main import main
from bertsmith.tasks.question_answering import QuestionAnswering

Capture = pytest.CaptureFixture[str]
TINY = ["train.steps=4", "train.num_threads=1", "train.precision=fp32"]


def words_of(line: str, **values: str) -> list[str]:
    """The command that a last line names, its FILE and DIR filled in."""
    assert line.startswith("next: bertsmith ")
    return [values.get(word, word) for word in shlex.split(line)[2:]]


def test_each_verb_leads_to_the_next(tmp_path: Path, capsys: Capture) -> None:
    model = str(save_pretrained(tmp_path / "start"))
    train = write_squad(tmp_path / "train.json", 40, seed=1, unanswerable=0.5)
    dev = str(write_squad(tmp_path / "dev.json", 10, seed=2, unanswerable=0.5))
    output = str(tmp_path / "model")
    files = ["--model", model, "--train", str(train), "--eval", dev, "--output", output]
    assert main(["finetune", "question_answering", *files, *TINY]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert {"exact_match", "f1", "best_f1", "has_answer_f1", "no_answer_accuracy"} < set(figures)
    said = captured.err.splitlines()
    assert said[0] == "40 records to train on (answer 25, no answer 15), 10 to measure on"
    following = words_of(said[-1], FILE=dev)
    assert main([*following, "--squad-output", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [answer["id"] for answer in answers] == [f"2-{number}" for number in range(10)]
    keys = ["id", "answer", "start", "end", "probability", "no_answer_score", "n_best"]
    assert all(list(answer) == keys for answer in answers)
    following = words_of(captured.err.splitlines()[-1], FILE=dev)
    assert following[:3] == ["evaluate", "--predictions", str(tmp_path / "out/predictions.json")]
    odds = ["--null-odds", str(tmp_path / "out" / "null_odds.json"), "--null-threshold", "1e9"]
    assert main([*following, *odds]) == 0
    captured = capsys.readouterr()
    official = json.loads(captured.out)
    assert captured.err == (
        "odds above 1e+09 were taken as no answer, whatever the prediction says "
        "(--null-threshold)\n"
    )
    assert official["exact"] / 100 == pytest.approx(figures["exact_match"])
    assert official["total"] == 10
    assert "best_f1_thresh" in official
    assert main(["evaluate", "--model", output, "--data", dev]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == pytest.approx(figures["f1"])


def test_moved_answers_are_told(tmp_path: Path, capsys: Capture) -> None:
    document = squad(3, seed=1)
    document["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 0
    (tmp_path / "train.json").write_text(json.dumps(document))
    model = str(save_pretrained(tmp_path / "start"))
    files = ["--train", str(tmp_path / "train.json"), "--output", str(tmp_path / "model")]
    assert main(["finetune", "question_answering", "--model", model, *files, *TINY]) == 0
    assert "\n1 of 3 answers are not at their answer_start; each was " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--data", "a.json"], "one of the arguments --model --predictions is"),
        (
            ["evaluate", "--data", "a", "--model", "m", "--predictions", "p"],
            "argument --predictions: not allowed with argument --model",
        ),
        (
            ["evaluate", "--data", "a", "--model", "m", "--null-odds", "p"],
            "--null-odds is for --predictions; a model gives its own odds",
        ),
        (
            ["evaluate", "--data", "a.json", "--predictions", "nowhere.json"],
            "nowhere.json does not exist; give a JSON file of ids and answers' texts",
        ),
    ],
)
def test_bad_use_is_one_sentence(arguments: list[str], message: str, capsys: Capture) -> None:
    try:
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    assert status == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_questions_without_an_id_are_found_before_any_is_answered(
    tmp_path: Path, capsys: Capture
) -> None:
    document = squad(9, seed=1)
    questions = [each["qas"][0] for each in document["data"][0]["paragraphs"]]
    model = save_pretrained(tmp_path / "model", QuestionAnswering())
    data = tmp_path / "dev.json"
    command = ["predict", "--model", str(model), "--input", str(data)]
    for change, message in (
        (lambda: questions[7].pop("id"), "dev.json: data[0].paragraphs[7].qas[0] has no id;"),
        (lambda: questions[7].update(id="x", question=""), "question x: the question is empty"),
    ):
        change()
        data.write_text(json.dumps(document))
        assert main([*command, "--squad-output", str(tmp_path / "out")]) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert (captured.out == "") is ("no id" in message)
        assert not (tmp_path / "out").exists()


def test_squads_files_are_of_questions_alone(
    classifier: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "a.txt").write_text("good\n")
    command = ["predict", "--model", str(classifier), "--input", str(tmp_path / "a.txt")]
    assert main([*command, "--squad-output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "bertsmith: --squad-output is for question_answering and the model's task is "
        "sequence_classification; remove it\n"
    )
    assert not (tmp_path / "out").exists()
