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


def test_the_help_of_a_verb_does_not_wait_for_it() -> None:
    code = (
        "import sys, bertsmith.cli.main as m\n"
        "try: m.main(['finetune', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
