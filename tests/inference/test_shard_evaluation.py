"""A pre-trained model on held-out text: the figures that its training wrote, and of any model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tests.inference.conftest import PIECES, save

from bertsmith.cli.main import main
from bertsmith.data.prepare import PrepareSettings, prepare
from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import load_pretrained, save_model
from bertsmith.inference.shard_evaluation import HeldOutText, evaluate_shards
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import pretrain

Capture = pytest.CaptureFixture[str]
SENTENCES = ["paris is the capital of france .", "the book is a good book .", "films is dull ."]


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, pretrained: Path) -> Path:
    folder = tmp_path_factory.mktemp("text")
    documents = ["\n".join(SENTENCES[i % 3 :] + SENTENCES[: i % 3]) for i in range(400)]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n")
    settings = PrepareSettings(language=None)
    prepare(
        [folder / "text.txt"], Tokenizer.load(pretrained), folder / "shards", settings, workers=1
    )
    return folder / "shards"


PUBLISHED = ["masked_lm", "next_sentence"]


@pytest.mark.parametrize(
    ("tasks", "encoder"),
    [
        pytest.param(PUBLISHED, "bert", id="BERT"),
        pytest.param(["next_token"], "left_to_right", id="left to right"),
        pytest.param(["bidirectional_lm"], "two_lstms", id="two LSTMs"),
    ],
)
def test_the_figures_are_those_of_the_training(
    tasks: list[str], encoder: str, shards: Path, tmp_path: Path
) -> None:
    recipe = PretrainRecipe.from_dict(
        {
            "tasks": tasks,
            "model": {
                "preset": "tiny",
                "encoder": encoder,
                "hidden_size": 16,
                "num_attention_heads": 2,
                "max_position_embeddings": 12,
            },
            "data": {
                "train": str(shards),
                "eval": str(shards),
                "max_seqlen": 12,
                "single_segment_prob": 0.2,
                "masked_prob": 0.3,
            },
            "train": {
                "output": str(tmp_path / "run"),
                "steps": 3,
                "batch_tokens": 64 * 12,
                "precision": "fp32",
                "device": "cpu",
            },
        }
    )
    pretrain(recipe)
    text = HeldOutText(max_seqlen=12, single_segment_prob=0.2)
    figures = evaluate_shards(tmp_path / "run", shards, text, device="cpu")
    written = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert written["split"] == "eval"
    of_tasks = [f"{task}_{figure}" for task in tasks for figure in ("loss", "accuracy")]
    for name in ("loss", *of_tasks):
        assert figures[name] == pytest.approx(written[name], rel=1e-6)
    assert figures[f"{tasks[0]}_perplexity"] == math.exp(figures[f"{tasks[0]}_loss"])
    assert set(figures) == {"loss", *of_tasks, f"{tasks[0]}_perplexity"}


def test_a_part_of_the_text_can_be_measured(pretrained: Path, shards: Path) -> None:
    whole = evaluate_shards(pretrained, shards, HeldOutText(max_seqlen=12), device="cpu")
    part = HeldOutText(max_seqlen=12, eval_tokens=1)  # one batch
    assert evaluate_shards(pretrained, shards, part, device="cpu") != whole
    again = evaluate_shards(pretrained, shards, HeldOutText(max_seqlen=12), device="cpu")
    assert again == whole


def test_a_model_of_masked_lm_alone_has_no_figures_of_pairs(shards: Path, tmp_path: Path) -> None:
    model = save(tmp_path / "model", [MaskedLM()])
    figures = evaluate_shards(model, shards, HeldOutText(max_seqlen=12), device="cpu")
    assert {"masked_lm_loss", "masked_lm_perplexity", "loss"} < set(figures)
    assert not any(name.startswith("next_sentence") for name in figures)


def test_models_with_and_without_pairs_can_be_measured_on_the_same(
    pretrained: Path, shards: Path, tmp_path: Path
) -> None:
    """A model keeps its figure when its head of next sentences is taken away."""
    text = HeldOutText(max_seqlen=12, pairs=False)
    figures = evaluate_shards(pretrained, shards, text, device="cpu")
    assert not any(name.startswith("next_sentence") for name in figures)
    alone = load_pretrained(pretrained, [MaskedLM()])
    save_model(tmp_path / "alone", alone.model, alone.tokenizer)
    for pairs in (True, False):
        text = HeldOutText(max_seqlen=12, pairs=pairs)
        assert evaluate_shards(tmp_path / "alone", shards, text, device="cpu") == figures


def test_what_cannot_be_measured_is_refused(
    classifier: Path, pretrained: Path, shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="is for sequence_classification, and text without"):
        evaluate_shards(classifier, shards, HeldOutText(max_seqlen=12))
    with pytest.raises(ConfigError, match=r"data\.max_seqlen \(128\) must be at most the model's"):
        evaluate_shards(pretrained, shards)
    other = save(tmp_path / "other", [MaskedLM()], pieces=PIECES[:-1])
    with pytest.raises(DataError, match="was prepared with another vocabulary"):
        evaluate_shards(other, shards, HeldOutText(max_seqlen=12))


def test_evaluate_prints_them(pretrained: Path, shards: Path, capsys: Capture) -> None:
    command = ["evaluate", "--model", str(pretrained), "--data", str(shards)]
    assert main([*command, "data.max_seqlen=12", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    expected = evaluate_shards(pretrained, shards, HeldOutText(max_seqlen=12), device="cpu")
    assert json.loads(captured.out) == expected
    assert captured.err.startswith("next: bertsmith finetune TASK --model ")
    assert main([*command, "data.max_length=12"]) == 2
    assert "data.max_length is not a setting; did you mean data.max_seqlen?" in (
        capsys.readouterr().err
    )
    assert main([*command, "data.pairs=2"]) == 2
    assert capsys.readouterr().err.startswith("bertsmith: data.pairs (2) must be ")
    assert main([*command, "--report", "here"]) == 2
    assert "--report is for labelled records" in capsys.readouterr().err


def test_a_path_without_prepared_text_is_what_the_error_is_about(
    pretrained: Path, classifier: Path, shards: Path, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "dev.tsv"
    file.write_text("text\tlabel\ngood book\tpos\n")
    command = ["evaluate", "--model", str(pretrained), "--data"]
    for path, what in (
        (tmp_path / "none", "does not exist; "),
        (shards.parent, "is not a folder that `bertsmith prepare` has written, and "),
        (file, "is not a folder that `bertsmith prepare` has written, and "),
    ):
        assert main([*command, str(path), "data.max_seqlen=12"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"bertsmith: {path} {what}{pretrained} is a pre-trained model")
        assert ("there are such folders in it: shards" in line) == (path == shards.parent)
    # A model for labelled records has the words that it had.
    command = ["evaluate", "--model", str(classifier), "--data", str(tmp_path / "none")]
    assert main(command) == 2
    assert "pre-trained" not in capsys.readouterr().err


def test_help_names_the_settings_of_text(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    words = capsys.readouterr().out
    for name in HeldOutText.__dataclass_fields__:
        assert f"data.{name}" in words
