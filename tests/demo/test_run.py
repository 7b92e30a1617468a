"""The whole demo, and what it leaves alone."""

from __future__ import annotations

import json
import math
import signal
import sys
from pathlib import Path

import pytest

from bertsmith.cli.demo import table
from bertsmith.cli.main import main
from bertsmith.config import BertConfig
from bertsmith.demo import run as demo_run
from bertsmith.demo import text as demo_text
from bertsmith.demo.run import MASKED_TEXTS, SHIPPED, STAGES, run_demo
from bertsmith.demo.text import DemoText
from bertsmith.errors import ConfigError
from bertsmith.export import shipped_models
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.text.trainer import train_vocabulary
from bertsmith.training.checkpoint import TrainingState
from bertsmith.training.outcome import Outcome
from bertsmith.training.pretraining import Pretrained

Capture = pytest.CaptureFixture[str]


def ship(folder: Path) -> None:
    """A model of random weights under the name that the demo looks for."""
    tokenizer, _ = train_vocabulary([*MASKED_TEXTS, "the quick brown fox jumps"], size=120)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    tasks = [build_task("masked_lm"), build_task("next_sentence")]
    save_model(folder / SHIPPED, BertForTasks(config, tasks), tokenizer)


def test_without_a_shipped_model_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped_models, "FOLDER", tmp_path)
    said: list[str] = []
    files = [tmp_path / name for name in ("a", "b", "c", "d")]
    text = DemoText(*files, num_documents={}, num_characters=0)
    assert demo_run._shipped_part(tmp_path, text, seed=1, say=said.append) is None
    assert said == [
        f"{SHIPPED} does not come with this version, so that there is nothing to compare with"
    ]


@pytest.mark.slow
def test_the_demo_goes_from_text_to_predictions(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gensim", reason="the demo's text is in gensim, of the extra `demo`")
    # A third of the sentences makes fine-tuning a matter of seconds.
    monkeypatch.setattr(demo_text, "TRAIN_SENTENCES", 800)
    ship(tmp_path / "shipped_models")
    monkeypatch.setattr(shipped_models, "FOLDER", tmp_path / "shipped_models")
    output = tmp_path / "demo"
    (output / "text").mkdir(parents=True)
    (output / "text" / "held-out.tsv").write_text("of an earlier demo")
    (output / "demo.json").write_text("{}")
    (output / "mine.txt").write_text("not the demo's")
    said: list[str] = []
    result = run_demo(output, minutes=0.1, seed=1, say=said.append)
    for stage in range(1, 6):
        assert any(line.startswith(f"{stage}/5 ") for line in said), stage
    figures = json.loads((output / "demo.json").read_text())
    assert figures == result.figures()
    assert figures["masked_lm_loss"] < math.log(figures["vocab_size"])
    assert 0 < figures["masked_lm_accuracy"] < 1
    assert figures["classification_accuracy"] > figures["majority_accuracy"]
    assert result.shipped is not None
    assert 0 < figures["shipped_classification_accuracy"] < 1
    assert figures["shipped_seconds"] > 0
    closing = table(result, output)
    for part in (
        "held-out masked-LM loss (nats)",
        "by frequency alone",
        "held-out masked-LM accuracy",
        "held-out next-sentence accuracy",
        "held-out classification accuracy",
        "Filled masks",
        "Kinds of source",
        f"The same of {SHIPPED}, which comes with bertsmith, in ",
        f"curves  {output / 'pretrained' / 'curves.png'}",
        f"models  {output / 'pretrained'}",
        "next    bertsmith fill-mask --model ",
    ):
        assert part in closing
    for text in (*result.filled, *result.answers):
        assert text in closing
    assert {entry.name for entry in output.iterdir()} == {*STAGES, "demo.json", "mine.txt"}
    for folder in ("pretrained", "classifier"):
        assert (output / folder / "curves.png").stat().st_size > 10_000
    # What the closing line names works.
    command = closing.splitlines()[-1].split('"')[1]
    assert main(["fill-mask", "--model", str(output / "pretrained"), command]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_without_its_text_it_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gensim", None)
    for _ in range(2):
        with pytest.raises(ConfigError, match="not installed"):
            run_demo(tmp_path / "demo", minutes=1, seed=1, say=pytest.fail)
        assert not (tmp_path / "demo").exists()


def test_interrupted_while_it_trains_it_ends_and_can_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gensim", reason="the demo's text is in gensim, of the extra `demo`")
    news = {"news": lambda folder: demo_text._news(folder)[:200]}
    monkeypatch.setattr(demo_text, "_KINDS", news)
    monkeypatch.setattr(demo_run, "VOCAB_SIZE", 200)
    outcome = Outcome(TrainingState(), {}, stopped_by=signal.SIGINT)
    monkeypatch.setattr(demo_run, "pretrain", lambda _: Pretrained(outcome, 0.0, 0))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_demo(tmp_path / "demo", minutes=5, seed=1, say=lambda _: None)
        assert json.loads((tmp_path / "demo" / "demo.json").read_text()) == {}


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "text").mkdir()
    with pytest.raises(ConfigError, match="holds files that are not a demo's; choose another"):
        run_demo(tmp_path, minutes=1, seed=1, say=pytest.fail)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert (tmp_path / "text").exists()
