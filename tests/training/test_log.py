from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import ConfigError
from bertsmith.training.log import LogSettings, RunLog
from bertsmith.training.metrics_file import read_metrics

FIGURES = {"loss": 7.25, "masked_lm_accuracy": 0.125, "next_sentence_accuracy": 0.5}


def write(
    log: RunLog, step: int, *, split: Any = "train", steps: int = 100, **figures: float
) -> None:
    log.advance(step / steps)
    log.write(
        split,
        step=step,
        progress=step / steps,
        tokens=1000 * step,
        elapsed_seconds=0.5 * step,
        figures=FIGURES | figures,
    )


def test_a_short_run_is_written_as_densely_as_a_long_one() -> None:
    settings = LogSettings()
    steps = (1, 24, 50, 345, 1250, 10**6)
    assert [settings.interval(each) for each in steps] == [1, 1, 2, 13, 50, 50]
    assert settings.interval(None) == 50
    assert LogSettings(every_steps=7).interval(20) == 7


def test_each_line_says_where_the_run_was_and_how_fast(tmp_path: Path) -> None:
    with RunLog(tmp_path, LogSettings()) as log:
        write(log, 10, learning_rate=1e-4)
        write(log, 20)
        write(log, 20, split="eval")
    first, second, held_out = read_metrics(tmp_path / "metrics.jsonl")
    assert first == {
        "split": "train",
        "step": 10,
        "tokens": 10000,
        "elapsed_seconds": 5.0,
        **FIGURES,
        "learning_rate": 1e-4,
        "tokens_per_second": 2000.0,
    }
    assert second["tokens_per_second"] == 2000
    assert "tokens_per_second" not in held_out


def test_time_spent_on_an_evaluation_does_not_count_as_slowness(tmp_path: Path) -> None:
    with RunLog(tmp_path, LogSettings()) as log:
        for split, step, seconds in (("train", 10, 1), ("eval", 10, 50), ("train", 20, 51)):
            log.write(
                split,  # type: ignore[arg-type]
                step=step,
                progress=0.1,
                tokens=step,
                elapsed_seconds=seconds,
                figures={},
            )
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["tokens_per_second"] == 10


def test_a_resumed_run_goes_on_without_gap_or_repetition(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    with RunLog(whole, LogSettings()) as log:
        for step in range(10, 101, 10):
            write(log, step)
    with RunLog(parts, LogSettings()) as log:
        for step in range(10, 71, 10):
            write(log, step)
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"split": "train", "st')  # the crash
    with RunLog(parts, LogSettings(), resumed_step=45, progress=0.45) as log:
        for step in range(50, 101, 10):
            write(log, step)
    assert (parts / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    for _ in range(2):
        with RunLog(tmp_path, LogSettings()) as log:
            write(log, 10)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


def test_lines_are_on_disk_when_the_run_dies(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunLog(tmp_path, LogSettings()) as log:
        write(log, 10, loss=float("nan"))
        assert read_metrics(tmp_path / "metrics.jsonl")[0]["loss"] is None
        raise KeyboardInterrupt


def test_without_a_terminal_a_long_run_says_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLog(tmp_path, LogSettings()) as log:
        for step in range(1, 5001):
            write(log, step, steps=5000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20
    assert lines[9] == (
        "step 2,500 loss 7.250, MLM accuracy 0.125, NSP accuracy 0.500, 2,000 tokens/s 20:50 to go"
    )


def test_evaluations_and_remarks_are_always_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLog(tmp_path, LogSettings()) as log:
        write(log, 1, split="eval", f1=0.75)
        log.say("the loss is stuck")
    captured = capsys.readouterr()
    assert "step 1 held-out loss 7.250, " in captured.err
    assert "f1 0.750\nthe loss is stuck\n" in captured.err
    assert captured.out == ""  # data alone goes to stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_shows_figures_and_the_time_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with RunLog(tmp_path, LogSettings(), resumed_step=25, progress=0.25) as log:
        write(log, 50)
        write(log, 50, split="eval")
    shown = terminal.getvalue()
    assert " 25% |" in shown
    assert " 50% |" in shown
    assert "loss 7.250, MLM accuracy 0.125, NSP accuracy 0.500" in shown
    assert "step 50 held-out loss 7.250" in shown


def test_tensorboard_gets_every_figure(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    with RunLog(tmp_path, LogSettings(tensorboard=True)) as log:
        for step in (10, 20, 30):
            write(log, step, loss=float(step))
    with RunLog(tmp_path, LogSettings(tensorboard=True), resumed_step=20) as log:
        write(log, 30, loss=33.0)
        write(log, 30, split="eval", loss=3.0)
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    train = [(event.step, event.value) for event in events.Scalars("loss/train")]
    assert train == [(10, 10.0), (20, 20.0), (30, 33.0)]
    assert [event.value for event in events.Scalars("loss/eval")] == [3.0]


def test_a_missing_tensorboard_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install bertsmith\[tensorboard\], or set it to"):
        RunLog(tmp_path, LogSettings(tensorboard=True))
    assert not list(tmp_path.iterdir())
