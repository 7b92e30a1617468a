"""`bertsmith evaluate`: one JSON object of figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_the_figures_are_one_json_object(classifier: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text("1\tgood film\tpositif\n2\tbad film\tnégatif\n", encoding="utf-8")
    settings = ["data.text=2", "data.label=3"]
    assert main(["evaluate", "--model", str(classifier), "--data", str(path), *settings]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    figures = json.loads(line)
    assert {"accuracy", "macro_f1", "loss"} < set(figures)
    assert all(isinstance(figure, float) for figure in figures.values())
    assert captured.err.splitlines()[-1].startswith("next: bertsmith predict --model ")


def test_a_report_is_left_where_it_is_asked_for(
    classifier: Path, tmp_path: Path, capsys: Capture
) -> None:
    path, report = tmp_path / "dev.tsv", tmp_path / "report"
    path.write_text("text\tlabel\ngood film\tpositif\nbad film\tnégatif\n", encoding="utf-8")
    command = ["evaluate", "--model", str(classifier), "--data", str(path), "--report"]
    assert main([*command, str(report)]) == 0
    assert f"report: {report / 'report.html'}" in capsys.readouterr().err.splitlines()
    assert "négatif" in (report / "report.html").read_text(encoding="utf-8")
    assert main([*command, str(classifier)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("give --report another one\n")
    predictions = ["evaluate", "--predictions", "p.json", "--data", str(path), "--report", "r"]
    assert main(predictions) == 2
    assert "--report is for --model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("text\tlabel\ngood\tperhaps\n", "dev.tsv:2: label 'perhaps' is not one of the task's"),
        ("text\tlabel\ngood\t\n", "dev.tsv:2: label is empty; label the record or drop it"),
        (
            "text\ngood\n",
            "dev.tsv:2: none of the columns (text: 'good') is known to hold the label",
        ),
        ("text\tlabel\n", "dev.tsv holds no records"),
    ],
)
def test_bad_data_is_one_sentence(
    classifier: Path, tmp_path: Path, capsys: Capture, contents: str, message: str
) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text(contents)
    assert main(["evaluate", "--model", str(classifier), "--data", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


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
    assert main(["evaluate", "--model", str(classifier), "--data", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"bertsmith: {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "m", "--null-threshold", "2"], "--null-threshold is for the odds of --null-"),
        (["--predictions", "p", "--null-threshold", "1"], "name them or remove it"),
        (["--predictions", "p", "--device", "cpu"], "--device is for --model; a file of "),
    ],
)
def test_an_option_that_would_not_be_read_is_refused(
    options: list[str], message: str, capsys: Capture
) -> None:
    assert main(["evaluate", "--data", "a.json", *options]) == 2
    assert message in capsys.readouterr().err
