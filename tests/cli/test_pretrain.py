"""`bertsmith pretrain`: a recipe and settings in, figures on stdout, the next command on stderr."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from bertsmith.cli.main import build_parser, main, parse

Capture = pytest.CaptureFixture[str]
SENTENCES = ["the cat sat on the mat.", "a dog ran.", "it was good.", "the dog saw the cat."]
RECIPE = """
tasks = ["masked_lm", "next_sentence"]

[model]
preset = "tiny"
hidden_size = 16
num_attention_heads = 2
intermediate_size = 32
max_position_embeddings = 32

[data]
train = "{shards}"
eval = "{shards}"
eval_tokens = 1024
max_seqlen = 32

[train]
output = "runs/tiny"
steps = 4
batch_tokens = 256
num_threads = 1
precision = "fp32"
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over shards, which the verbs before this one have made."""
    folder = tmp_path_factory.mktemp("pretrain")
    text, vocab, shards = folder / "text.txt", folder / "vocab", folder / "shards"
    documents = ["\n".join(SENTENCES[i % 4 :] + SENTENCES[: i % 4]) for i in range(60)]
    text.write_text("\n\n".join(documents) + "\n")
    assert main(["vocab", str(text), "--size", "60", "--output", str(vocab)]) == 0
    prepare = ["prepare", str(text), "--vocab", str(vocab), "--output", str(shards)]
    assert main([*prepare, "--workers", "1"]) == 0
    (folder / "recipe.toml").write_text(RECIPE.format(shards=shards))
    return folder / "recipe.toml"


def test_the_figures_are_json_and_the_next_command_fills_a_mask(
    recipe: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "run"
    assert main(["pretrain", str(recipe), f"train.output={output}"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    figures = json.loads(line)
    assert figures["step"] == 4
    assert figures["tokens"] > 0
    assert {"loss", "masked_lm_loss", "masked_lm_accuracy", "next_sentence_loss"} < set(figures)
    said = captured.err.splitlines()
    assert any(line.startswith("held-out masked-LM loss ") for line in said)
    assert any(line.startswith(f"model: {output}") for line in said)
    assert said[-1] == (
        f'next: bertsmith fill-mask --model {output} "Paris is the [MASK] of France."'
    )
    # The command that is named can be run.
    assert main(shlex.split(said[-1])[2:]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 5


def test_a_run_goes_on_and_settings_may_stand_anywhere(
    recipe: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = f"train.output={tmp_path / 'run'}"
    assert main(["pretrain", str(recipe), output, "train.steps=2"]) == 0
    assert main(["pretrain", str(recipe), output]) == 2
    assert "holds a run of 2 steps; go on with it by --resume" in capsys.readouterr().err
    assert main(["pretrain", str(recipe), "train.steps=3", "--resume", output]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.stpes=3"], "train.stpes"),
        (["train.steps=many"], "train.steps"),
        (["data.train=nowhere"], "nowhere"),
        (["steps"], "'steps' is not an override; write section.key=value"),
        (["train.device=meta"], "device ('meta') cannot be used"),
        (["model.hidden_size=1000000000"], "a model of these sizes (1000000000 wide"),
        (['tasks=["masked_ml"]'], "'masked_ml' is not a task; did you mean masked_lm?"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_trained(
    recipe: Path, tmp_path: Path, capsys: Capture, settings: list[str], message: str
) -> None:
    output = tmp_path / "run"
    assert main(["pretrain", str(recipe), f"train.output={output}", *settings]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bertsmith: ")
    assert message in captured.err
    assert not (output / "checkpoints").exists()


def test_what_a_resumed_run_does_is_said(recipe: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "run"
    command = ["pretrain", str(recipe), f"train.output={output}", "train.checkpoint_every_steps=2"]
    assert main([*command, "train.steps=4"]) == 0
    capsys.readouterr()
    over = f"the run in {output} is over, so that nothing is trained, whatever the settings; "
    again = [*command, "train.steps=4", "optimizer.learning_rate=1e-9", "--resume"]
    for ended in (True, False):
        if not ended:
            (output / "run.json").unlink()
        assert main(again) == 0
        assert f"{over}train.steps makes it longer" in capsys.readouterr().err
    (output / "checkpoints" / "step-00000004" / "training.json").write_text(
        '{"state": {"step": "x"}, "sizes": {}}'
    )
    assert main([*command, "train.steps=6", "--resume"]) == 0
    said = capsys.readouterr().err
    assert "going on after step 2, since the checkpoint of step 4 is damaged" in said
    assert over not in said


def test_a_recipe_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: Capture) -> None:
    assert main(["pretrain", str(tmp_path / "no.toml")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bertsmith: ")
    assert "no.toml" in said
    assert said.count("\n") == 1


def test_its_command_line_takes_a_recipe_and_settings() -> None:
    args = parse(build_parser("pretrain"), ["pretrain", "r.toml", "train.seed=7", "--resume"])
    assert (args.recipe, args.overrides, args.resume) == ("r.toml", ["train.seed=7"], True)
