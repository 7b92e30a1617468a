"""Whole runs: they learn, they resume exactly, and they end well when something goes wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import PIECES, write_recipe

from bertsmith.data.prepare import prepare
from bertsmith.errors import CheckpointError, ConfigError, DataError
from bertsmith.export.model_folder import load_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary
from bertsmith.training.metrics_file import read_metrics
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import Pretrained, pretrain, unigram_entropy
from bertsmith.training.run import start_run

FILES = ("model.safetensors", "optimizer.safetensors", "generators.safetensors")


WITHOUT_DROPOUT = ("model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0")
LARGER_BATCHES = ("train.batch_tokens=1024",)


def run(recipe: Path, *overrides: str, resume: bool = False) -> Pretrained:
    return pretrain(PretrainRecipe.load(recipe, overrides), resume=resume)


def same_bits(one: Path, other: Path) -> bool:
    for name in FILES:
        a, b = load_file(one / name), load_file(other / name)
        if a.keys() != b.keys() or not all(torch.equal(a[key], b[key]) for key in a):
            return False
    return True


def test_both_objectives_are_learned(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.toml", corpus, tmp_path / "run", steps=600, every=200, optimizer="muon"
    )
    pretrained = run(recipe, *WITHOUT_DROPOUT, "optimizer.learning_rate=1e-2", *LARGER_BATCHES)
    figures = pretrained.outcome.figures
    # Nouns follow the document's topic, and every other word its place in the sentence: with 24
    # nouns and 7 other words guessing by frequency costs 2.9 nats. B has another topic than A in
    # seven random pairs of eight.
    assert figures["masked_lm_loss"] < pretrained.unigram_entropy - 1.5
    assert figures["next_sentence_accuracy"] > 0.75
    assert figures["loss"] == pytest.approx(
        figures["masked_lm_loss"] + figures["next_sentence_loss"]
    )
    model = load_model(tmp_path / "run").model
    assert sorted(model.heads) == ["masked_lm", "next_sentence"]
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines if line["split"] == "eval"] == [200, 400, 600]
    assert (tmp_path / "run" / "curves.png").stat().st_size > 10_000


def test_masked_lm_alone_is_learned_from_full_segments(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.toml", corpus, tmp_path / "run", steps=150, every=150, optimizer="muon"
    )
    overrides = ('tasks=["masked_lm"]', "optimizer.learning_rate=1e-2")
    pretrained = run(recipe, *overrides, *WITHOUT_DROPOUT, *LARGER_BATCHES)
    assert pretrained.outcome.figures["masked_lm_loss"] < pretrained.unigram_entropy - 0.5
    assert "next_sentence_loss" not in pretrained.outcome.figures
    assert load_model(tmp_path / "run").model.bert.pooler is None


@pytest.mark.parametrize("optimizer", ["bert_adam", "adamw", "lamb", "muon"])
def test_a_run_in_two_parts_is_the_run_in_one(
    tmp_path: Path, corpus: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_recipe(tmp_path / "a.toml", corpus, tmp_path / "a", steps=20, optimizer=optimizer)
    run(whole)
    parts = write_recipe(tmp_path / "b.toml", corpus, tmp_path / "b", steps=20, optimizer=optimizer)
    calls = []

    def stop_later(self: MaskedLM, *args: object, original: object = MaskedLM.loss) -> object:
        calls.append(None)
        if len(calls) == 15:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args)  # type: ignore[operator]

    with monkeypatch.context() as patch:
        patch.setattr(MaskedLM, "loss", stop_later)
        stopped = run(parts)
    assert stopped.outcome.stopped_by == signal.SIGTERM
    assert 0 < stopped.outcome.state.step < 20
    assert not (tmp_path / "b" / "model.safetensors").exists()
    torch.rand(1000)  # whatever happens to the generators in between must not matter
    run(parts, resume=True)
    last = "checkpoints/step-00000020"
    assert same_bits(tmp_path / "a" / last, tmp_path / "b" / last)
    ours, theirs = (read_metrics(tmp_path / name / "metrics.jsonl") for name in "ab")
    timing = {"elapsed_seconds", "tokens_per_second"}
    evaluations = [
        [{k: v for k, v in line.items() if k not in timing} for line in lines if
         line["split"] == "eval"]
        for lines in (ours, theirs)
    ]  # fmt: skip
    assert evaluations[0] == evaluations[1]
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]


def start(recipe: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bertsmith", "pretrain", str(recipe), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path, corpus: Path) -> None:
    whole = write_recipe(tmp_path / "a.toml", corpus, tmp_path / "a", steps=240, every=7)
    run(whole)
    recipe = write_recipe(tmp_path / "b.toml", corpus, tmp_path / "b", steps=240, every=7)
    metrics = tmp_path / "b" / "metrics.jsonl"
    rng = random.Random(0)
    kills = 0
    for _ in range(2):
        lines_before = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
        process = start(recipe, "--resume")
        # Let it get somewhere, then kill it wherever it is: in a step, or writing a checkpoint.
        while process.poll() is None:
            if metrics.exists() and len(metrics.read_bytes().splitlines()) > lines_before + 2:
                time.sleep(rng.uniform(0, 0.2))
                break
            time.sleep(0.002)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills > 0  # a machine that is busy enough may let one of them get to its end
    run(recipe, resume=True)
    last = "checkpoints/step-00000240"
    assert same_bits(tmp_path / "a" / last, tmp_path / "b" / last)
    lines = read_metrics(metrics)
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == [1, *range(5, 241, 5)]


def test_sigterm_saves_first_and_says_how_to_go_on(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.toml", corpus, tmp_path / "run", steps=100_000, every=50_000
    )
    process = start(recipe)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_bytes()):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.01)
    process.terminate()
    output, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert output == b""
    assert "stopped by SIGTERM after step" in errors.decode()
    assert "--resume" in errors.decode()
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert load_model(checkpoint).report.new == []


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=20)
    run(recipe)
    (tmp_path / "run" / "run.json").unlink()  # as if it were not over
    checkpoints = tmp_path / "run" / "checkpoints"
    expected = tmp_path / "expected"
    (checkpoints / "step-00000020").rename(expected)
    for name in ("model.safetensors", "training.json", "optimizer.safetensors"):
        torn = checkpoints / "step-00000020"
        torn.mkdir()
        for file in expected.iterdir():
            size = file.stat().st_size // 2 if file.name == name else None
            (torn / file.name).write_bytes(file.read_bytes()[:size])
        assert run_from(recipe) == 10
        for file in torn.iterdir():
            file.unlink()
        torn.rmdir()
    unfinished = checkpoints / ".step-00000020.123.partial"
    unfinished.mkdir()
    assert run_from(recipe) == 10


def run_from(recipe: Path) -> int:
    """The step that a resumed run would go on from."""
    with start_run(PretrainRecipe.load(recipe), resume=True) as start:
        assert start.state is not None
        return start.state.step


def test_when_every_checkpoint_is_damaged_the_run_does_not_start_anew(
    tmp_path: Path, corpus: Path
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=10)
    run(recipe)
    (tmp_path / "run" / "run.json").unlink()  # as if it were not over
    (tmp_path / "run" / "checkpoints" / "step-00000010" / "training.json").unlink()
    with pytest.raises(CheckpointError, match=r"no checkpoint can be used: .*training\.json"):
        run(recipe, resume=True)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=10)
    run(recipe)
    with pytest.raises(ConfigError, match="holds a run of 10 steps; go on with it by --resume"):
        run(recipe)


def test_a_run_is_not_resumed_with_another_recipe(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=10)
    run(recipe)
    with pytest.raises(ConfigError, match=r"train\.seed is 7 and the run to resume was started"):
        run(recipe, "train.seed=7", resume=True)


def test_a_finished_run_can_be_lengthened(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=10)
    run(recipe)
    assert run(recipe, "train.steps=15", resume=True).outcome.state.step == 15


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=40)
    # A rate that is far too high from the second half on: the best model is an early one.
    outcome = run(recipe, "optimizer.learning_rate=0.5", "train.keep_checkpoints=1").outcome
    best = outcome.state.best_step
    steps = sorted(int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert steps == sorted({best, 40})
    saved = load_file(tmp_path / "run" / "model.safetensors")
    of_best = load_file(tmp_path / "run" / "checkpoints" / f"step-{best:08}" / "model.safetensors")
    assert all(torch.equal(saved[key], of_best[key]) for key in saved)


def test_early_stopping_ends_a_run_that_gets_no_better(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=200, every=5)
    outcome = run(
        recipe, "optimizer.learning_rate=1e-12", "train.early_stopping_patience=2"
    ).outcome
    assert outcome.stopped_early
    assert outcome.state.step < 200


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_checkpoint(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=30)
    calls = []

    def burst(self: MaskedLM, *args: object, original: object = MaskedLM.loss) -> object:
        calls.append(None)
        loss = original(self, *args)  # type: ignore[operator]
        return loss * float("nan") if len(calls) == 20 else loss

    monkeypatch.setattr(MaskedLM, "loss", burst)
    with pytest.raises(DataError, match=r"masked_lm is nan at step \d+, .*step-00000010; lower"):
        run(recipe)
    assert run_from(recipe) == 10
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        assert "NaN" not in json.dumps(json.loads(line))


def test_accumulated_microbatches_make_one_step(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=5, every=5)
    state = run(recipe, "train.accumulation_steps=3").outcome.state
    assert (state.step, state.tokens) == (5, 5 * 3 * 512)
    assert state.position is not None
    assert state.position["batch"] + state.position["epoch"] > 0


def test_runs_that_mask_more_are_measured_alike(tmp_path: Path, corpus: Path) -> None:
    figures = []
    for name, rate in (("a", 0.15), ("b", 0.4)):
        recipe = write_recipe(tmp_path / f"{name}.toml", corpus, tmp_path / name, steps=2)
        settings = (f"data.masked_prob={rate}", "optimizer.learning_rate=1e-12")
        figures.append(run(recipe, *settings).outcome.figures)
    assert figures[0] == pytest.approx(figures[1], rel=1e-6)


def test_a_run_can_be_as_long_as_a_time(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=5, every=1000)
    text = recipe.read_text().replace("steps = 5", "budget_minutes = 0.03", 1)
    recipe.write_text(text)
    state = run(recipe, "log.every_steps=1").outcome.state
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    times = [line["elapsed_seconds"] for line in lines if line["split"] == "train"]
    # The step during which the time is over is the last; the log rounds to milliseconds.
    assert times[-1] >= 1.8
    assert all(seconds <= 1.8 for seconds in times[:-1])
    assert state.step == len(times)


def test_continuing_takes_the_weights_and_the_vocabulary(tmp_path: Path, corpus: Path) -> None:
    first = write_recipe(tmp_path / "a.toml", corpus, tmp_path / "a", steps=100, every=100)
    before = run(first).outcome.figures["masked_lm_loss"]
    text = first.read_text()
    body = text[text.index("[data]") :].replace(str(tmp_path / "a"), str(tmp_path / "b"))
    second = tmp_path / "b.toml"
    second.write_text(f'[model]\ninit = "{tmp_path / "a"}"\n{body}')
    after = run(second, "optimizer.learning_rate=1e-12", "train.steps=1").outcome.figures
    assert after["masked_lm_loss"] == pytest.approx(before, abs=1e-4)


def test_unigram_entropy_is_that_of_the_counts() -> None:
    counts = torch.tensor([1, 1, 2]).numpy() * 10**9
    assert unigram_entropy(counts, counts) == pytest.approx(1.5 * torch.log(torch.tensor(2.0)))


def test_a_model_is_not_continued_with_another_vocabulary(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "a.toml", corpus, tmp_path / "a", steps=1)
    run(recipe)
    other = Tokenizer.from_vocabulary(Vocabulary([*PIECES, "more"]), lowercase=True)
    other.save(tmp_path / "other")
    prepare([corpus / "eval.txt"], other, tmp_path / "shards", workers=1)
    body = recipe.read_text()[recipe.read_text().index("[data]") :]
    recipe.write_text(f'[model]\ninit = "{tmp_path / "a"}"\n{body}')
    shards = tmp_path / "shards"
    changes = (f"data.train={shards}", f"data.eval={shards}", f"train.output={tmp_path / 'b'}")
    with pytest.raises(CheckpointError, match="prepared with another vocabulary than the one in"):
        run(recipe, *changes)


def test_sequences_longer_than_the_model_to_start_from_are_refused_by_their_setting(
    tmp_path: Path, corpus: Path
) -> None:
    recipe = write_recipe(tmp_path / "a.toml", corpus, tmp_path / "a", steps=1)
    run(recipe)
    body = recipe.read_text()[recipe.read_text().index("[data]") :]
    recipe.write_text(f'[model]\ninit = "{tmp_path / "a"}"\n{body}')
    output = f"train.output={tmp_path / 'b'}"
    with pytest.raises(
        ConfigError,
        match=r"data\.max_seqlen \(33\) must be at most the positions of .*a \(32\); lower it, or",
    ):
        run(recipe, output, "data.max_seqlen=33")
    assert not (tmp_path / "b").exists()
    assert run(recipe, output).outcome.state.step == 1


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path, corpus: Path) -> None:
    recipe = PretrainRecipe.load(
        write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=1)
    )
    with (
        start_run(recipe, resume=False),
        pytest.raises(ConfigError, match="another run is"),
        start_run(recipe, resume=False),
    ):
        pass
    with start_run(recipe, resume=False):
        pass


def test_a_model_that_is_not_this_runs_is_not_overwritten(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=1)
    run(recipe)
    (tmp_path / "run" / "checkpoints").rename(tmp_path / "elsewhere")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="holds a run that is over after 1 steps"):
        run(recipe, "train.seed=3")
    with pytest.raises(ConfigError, match=r"train\.seed is 3 and the run to resume was started"):
        run(recipe, "train.seed=3", resume=True)
    (tmp_path / "run" / "run.json").unlink()
    for resume in (False, True):
        with pytest.raises(ConfigError, match="holds a model already; choose another folder"):
            run(recipe, "train.seed=3", resume=resume)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "run").write_text("a file")
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=1)
    with pytest.raises(ConfigError, match=r"train\.output .* cannot be written"):
        run(recipe)


def test_more_threads_than_a_machine_has_are_refused(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=1)
    with pytest.raises(ConfigError, match=r"num_threads \(100000\) must be at most"):
        run(recipe, "train.num_threads=100000")


def test_weights_that_are_not_finite_are_not_saved_as_good(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=20, every=1)
    with pytest.raises(DataError, match="so the run is stopped"):
        run(recipe, "optimizer.learning_rate=1e38")
    for checkpoint in (tmp_path / "run" / "checkpoints").iterdir():
        weights = load_file(checkpoint / "model.safetensors").values()
        assert all(bool(tensor.isfinite().all()) for tensor in weights)


def test_an_objective_of_records_is_sent_to_the_other_verb(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=1)
    with pytest.raises(ConfigError, match="learned from labelled records; run it with `bert"):
        run(recipe, 'tasks=["sequence_classification"]')


def test_a_saved_model_says_its_own_length_and_is_readable_as_other_files(
    tmp_path: Path, corpus: Path
) -> None:
    run(write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=1))
    config = json.loads((tmp_path / "run" / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == 32
    modes = [(tmp_path / "run" / f).stat().st_mode for f in ("model.safetensors", "config.json")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("name", ["wordpieces", "sentence_starts"])
def test_a_damaged_shard_is_named(tmp_path: Path, corpus: Path, name: str) -> None:
    shards = tmp_path / "train"
    shutil.copytree(corpus / "train", shards)
    file = shards / "shard-00000.safetensors"
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[:8], "little")
    start, end = json.loads(content[8 : 8 + size])[name]["data_offsets"]
    middle = 8 + size + (start + end) // 2
    content[middle : middle + 400] = b"\xff" * 400
    file.write_bytes(content)
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=100, every=100)
    with pytest.raises(DataError, match=r"damaged.*prepare the text again"):
        run(recipe, f"data.train={shards}")


def test_a_folder_that_is_removed_during_a_run_is_made_anew(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=20)
    calls = []

    def remove(self: MaskedLM, *args: object, original: object = MaskedLM.loss) -> object:
        calls.append(None)
        if len(calls) == 13:
            shutil.rmtree(tmp_path / "run")
        return original(self, *args)  # type: ignore[operator]

    with monkeypatch.context() as patch:
        patch.setattr(MaskedLM, "loss", remove)
        run(recipe)
    said = capsys.readouterr().err
    assert said.count("metrics.jsonl has been removed during the run; it begins anew") == 1
    load_model(tmp_path / "run")
    PretrainRecipe.load(tmp_path / "run" / "recipe.toml")
    steps = [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert 5 not in steps
    assert steps[-1] == 20


def test_a_model_is_not_written_among_the_text_it_reads(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, corpus / "train", steps=2)
    with pytest.raises(ConfigError, match=r"train\.output \(.*\) is a folder of prepared text"):
        run(recipe)


def test_of_a_section_that_differs_the_setting_is_named(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=2)
    run(recipe)
    words = r"^data\.short_seqlen is 16 and the run to resume was started with none; resume with"
    with pytest.raises(ConfigError, match=words):
        run(recipe, "train.steps=4", "data.short_seqlen=16", resume=True)


def test_a_run_of_before_there_was_a_setting_goes_on(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=10)
    run(recipe)
    state = tmp_path / "run" / "checkpoints" / "step-00000010" / "training.json"
    contents = json.loads(state.read_text(encoding="utf-8"))
    del contents["state"]["recipe"]["train"]["rampup_proportion"]
    del contents["state"]["recipe"]["data"]["short_proportion"]
    state.write_text(json.dumps(contents), encoding="utf-8")
    (tmp_path / "run" / "run.json").unlink()
    assert run(recipe, "train.steps=12", resume=True).outcome.state.step == 12
    with pytest.raises(
        ConfigError, match=r"^train\.rampup_proportion is 0\.5 and the run to resume"
    ):
        run(recipe, "train.steps=14", "train.rampup_proportion=0.5", resume=True)


OTHER_OBJECTIVES = [
    pytest.param("next_token", "left_to_right", id="left to right"),
    pytest.param("bidirectional_lm", "two_lstms", id="two LSTMs"),
]


@pytest.mark.parametrize(("task", "encoder"), OTHER_OBJECTIVES)
def test_other_encoders_and_objectives_are_learned(
    task: str, encoder: str, tmp_path: Path, corpus: Path
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=120, every=120)
    # With Muon, which takes an LSTM's matrices as well.
    overrides = (
        *(f'tasks=["{task}"]', f"model.encoder={encoder}"),
        *("optimizer.name=muon", "optimizer.learning_rate=1e-2"),
    )
    pretrained = run(recipe, *overrides, *WITHOUT_DROPOUT, *LARGER_BATCHES)
    # The words of a sentence's frame follow from those beside them, and nouns from their topic.
    assert pretrained.outcome.figures[f"{task}_loss"] < pretrained.unigram_entropy - 1.2
    loaded = load_model(tmp_path / "run").model
    assert list(loaded.heads) == [task]
    assert loaded.config.encoder == encoder


def test_objectives_that_want_other_batches_are_refused(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=20)
    message = "tasks names masked_lm, for which wordpieces are hidden, and next_token"
    with pytest.raises(ConfigError, match=message):
        run(recipe, 'tasks=["masked_lm", "next_token"]', "model.encoder=left_to_right")
    assert not (tmp_path / "run").exists()


def test_an_objective_that_the_encoder_sees_through_is_refused(
    tmp_path: Path, corpus: Path
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=20)
    with pytest.raises(ConfigError, match="next_token asks for what follows"):
        run(recipe, 'tasks=["next_token"]')
    assert not (tmp_path / "run").exists()


def test_an_encoder_whose_shapes_change_is_not_compiled(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=20)
    overrides = ('tasks=["bidirectional_lm"]', "model.encoder=two_lstms", "train.compile=true")
    with pytest.raises(ConfigError, match=r"train\.compile = true is for encoders"):
        run(recipe, *overrides)
