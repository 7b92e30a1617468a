"""`bertsmith predict`: a line of JSON for each record, in order; one sentence where it cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_each_record_of_a_file_gets_a_line(
    classifier: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\ngood film,?\nbad film,?\ngood film,?\n")
    assert main(["predict", "--model", str(classifier), "--input", str(path)]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert len(answers) == 3
    assert answers[0] == answers[2] != answers[1]
    for answer in answers:
        assert set(answer) == {"label", "probability", "probabilities"}
        assert list(answer["probabilities"]) == ["négatif", "positif"]
        assert answer["probabilities"][answer["label"]] == answer["probability"] >= 0.5
    assert captured.err.splitlines()[-1] == (
        f"next: bertsmith evaluate --model {classifier} --data FILE"
    )


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("good film\nbad film\tgood\n\n", []),
        ('{"text": "good film"}\n{"text": "bad film", "pair": "good"}\n{"text": ""}', []),
        ("body\tmore\ngood film\tx\nbad film\tgood\n\tx\n", ["data.text=body", "data.format=tsv"]),
    ],
)
def test_standard_input_is_read(
    classifier: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    data: str,
    settings: list[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.encode())))
    assert main(["predict", "--model", str(classifier), "--input", "-", *settings]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_texts_that_are_cut_are_counted(classifier: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.txt"
    path.write_text("good " * 20 + "\ngood\n" + "bad " * 11)
    main(["predict", "--model", str(classifier), "--input", str(path)])
    assert "cut at the model's 12 wordpieces: 2 records\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("contents", "settings", "message"),
    [
        ("kind,body\na,b\n", [], "a.csv:1: none of the columns (1: 'kind', 2: 'body') is known"),
        ("text\na\n", ["data.txt=1"], "data.txt is not a setting; did you mean data.text?"),
        ("text\na\n", ["task.text=1"], "task is not a section of settings here; the only one is"),
        ("text\na\n", ["text"], "'text' is not an override; write section.key=value"),
        ("text\na\n", ["data=1"], "data (1) must be a section of settings, such as data.text=2"),
        ("text\na\n", ["--device", "quantum"], "device ('quantum') cannot be used"),
        ("", [], "a.csv holds no records"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_else(
    classifier: Path,
    tmp_path: Path,
    capsys: Capture,
    contents: str,
    settings: list[str],
    message: str,
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(contents)
    assert main(["predict", "--model", str(classifier), "--input", str(path), *settings]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bertsmith: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_what_comes_before_bad_input_is_answered(
    classifier: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\ngood,1\nbad,0\ngood\nbad,0\n")
    assert main(["predict", "--model", str(classifier), "--input", str(path)]) == 2
    captured = capsys.readouterr()
    assert len([json.loads(line) for line in captured.out.splitlines()]) == 2
    assert "a.csv:4: the row has 1 column and the first row 2 columns; each" in captured.err


def test_a_folder_without_model_is_one_sentence(tmp_path: Path, capsys: Capture) -> None:
    assert main(["predict", "--model", str(tmp_path), "--input", "-"]) == 2
    assert capsys.readouterr().err == (
        f"bertsmith: {tmp_path} holds no config.json; it is not a model folder\n"
    )


def test_a_reader_that_leaves_early_is_no_error(classifier: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("good film\n" * 5_000)
    call = "import sys; from bertsmith.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", call, "predict", "--model", classifier, "--input", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert json.loads(first)["label"] in ("négatif", "positif")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["glue:mprc"], "'glue:mprc' is not the name of a data set; did you mean glue:mrpc?"),
        (["glue:rte", "data.text=2"], "glue:rte is a data set whose layout is known; leave data."),
        (["glue:rte", "data.split=x"], "glue:rte has no x split; those it has are train, dev, te"),
        (["a.tsv", "data.folder=GLUE"], "a.tsv is not the name of a data set, and data.folder an"),
        (["glue:rte", "data.folder=none"], "data.folder (none) is not a folder; give the one"),
    ],
)
def test_a_data_set_that_cannot_be_read_is_one_sentence(
    classifier: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert main(["predict", "--model", str(classifier), "--input", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"bertsmith: {message}")


def test_glue_takes_answers_for_its_own_tasks_alone(tmp_path: Path, capsys: Capture) -> None:
    # What cannot be is said before a model is looked for.
    asked = ["predict", "--model", "nowhere", "--glue-submission", str(tmp_path), "--input"]
    assert main([*asked, "a.tsv"]) == 2
    assert "GLUE takes no answers for a.tsv; give the test split" in capsys.readouterr().err


@pytest.mark.parametrize("other", [["--squad-output", "b"], ["--format", "conll"]])
def test_answers_for_glue_have_one_form(other: list[str], capsys: Capture) -> None:
    asked = ["predict", "--model", "nowhere", "--input", "glue:mrpc", "--glue-submission", "a"]
    assert main([*asked, *other]) == 2
    assert f"as GLUE wants them; leave out {other[0]}" in capsys.readouterr().err


def test_words_with_tags_are_written_for_taggers_alone(
    classifier: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("good film\n")
    model = ["--model", str(classifier), "--input", str(path)]
    assert main(["predict", *model, "--format", "conll"]) == 2
    assert capsys.readouterr().err == (
        "bertsmith: --format conll is for words with tags, and the model is for "
        "sequence_classification; leave it out\n"
    )
