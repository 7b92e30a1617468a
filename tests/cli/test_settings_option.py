"""`--settings` explains every setting and does nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bertsmith.cli.main import main


@pytest.mark.parametrize("verb", ["finetune", "pretrain", "sweep"])
def test_every_setting_is_explained(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([verb, "--settings"])
    assert raised.value.code == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert "optimizer.layer_decay=1.0" in lines
    start = lines.index("optimizer.layer_decay=1.0")
    assert lines[start + 1] == "    a number above 0 and at most 1."
    assert "train.output= (needed)" in lines
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize(
    "named", ["question_answering", "squad", "bertsmith.tasks.question_answering"]
)
def test_those_of_a_task_come_first(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["finetune", named, "--settings"])
    assert capsys.readouterr().out.startswith("task.")
    with pytest.raises(SystemExit):
        main(["finetune", "recipe.toml", "--settings"])
    assert not capsys.readouterr().out.startswith("task.")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("question_answerin", "'question_answerin' is not a task; did you mean question_answering"),
        ("glue:mrcp", "'glue:mrcp' is not the name of a data set; did you mean glue:mrpc?"),
    ],
)
def test_a_task_that_is_none_is_said(
    named: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", named, "--settings"]) == 2
    assert message in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error() -> None:
    code = "from bertsmith.cli.main import main; main(['finetune', '--settings'])"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_the_help_of_a_verb_does_not_wait_for_it() -> None:
    code = (
        "import sys, bertsmith.cli.main as m\n"
        "try: m.main(['finetune', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
