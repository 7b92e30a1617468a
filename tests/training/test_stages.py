"""Sequences that become longer and batches that grow in the course of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import write_recipe

from bertsmith.batch import Batch
from bertsmith.data.loader import LoadedBatch, Position, PretrainingBatches
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.errors import ConfigError
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training import pretraining
from bertsmith.training.checkpoint import Checkpoints
from bertsmith.training.distributed import Group
from bertsmith.training.metrics_file import read_metrics
from bertsmith.training.pretrain_recipe import PretrainData, PretrainRecipe, PretrainTraining
from bertsmith.training.pretraining import pretrain
from bertsmith.training.run import Start
from bertsmith.training.stages import Stage, batches_in_turn

NO_DROPOUT = ("model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0")
GROWING = ("data.short_seqlen=16", "data.short_proportion=0.5")


class Counted:
    """A source whose batches have a length, and which knows whether it has been closed."""

    def __init__(self, length: int) -> None:
        self.batch = Batch.from_sequences([[1] * length])
        self.begun: list[Position | None] = []
        self.open = 0

    def batches(self, position: Position | None = None) -> Generator[LoadedBatch, None, None]:
        self.begun.append(position)
        self.open += 1
        try:
            epoch, count = (position.epoch, position.batch) if position else (0, 0)
            while True:
                count += 1
                yield LoadedBatch(self.batch, {}, Position(epoch=epoch, batch=count))
        finally:
            self.open -= 1

    def epoch_of(self, position: Position) -> int:
        return position.epoch


def lengths_seen(position: Position | None, done: int) -> tuple[list[int], list[Position]]:
    """Of ten batches' run whose sequences are short for six of them, from a batch on."""
    short, long = Counted(3), Counted(9)
    stages = [Stage(short, 0.6), Stage(long)]
    lengths, positions = [], []
    with contextlib.closing(batches_in_turn(stages, position, lambda: done / 10)) as batches:
        while done < 10:
            loaded = next(batches)
            done += 1
            lengths.append(loaded.batch.num_tokens)
            positions.append(loaded.position)
    assert short.open == long.open == 0
    return lengths, positions


def test_a_stage_lasts_for_its_part_of_the_run() -> None:
    lengths, positions = lengths_seen(None, 0)
    assert lengths == [3] * 6 + [9] * 4
    assert positions[5] == Position(epoch=0, batch=6, stage=0)
    # The next one has an epoch of its own, so that no mask is seen again.
    assert positions[6] == Position(epoch=1, batch=1, stage=1)


@pytest.mark.parametrize("done", range(1, 10))
def test_it_can_be_gone_on_with_from_any_batch(done: int) -> None:
    lengths, positions = lengths_seen(None, 0)
    assert lengths_seen(positions[done - 1], done) == (lengths[done:], positions[done:])


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_processes_begin_a_stage_in_the_same_epoch(corpus: Path, world_size: int) -> None:
    """Whichever of them has seen the end of the epoch before it."""
    shards = corpus / "train"
    ids, opened = WordpieceIds.of(Tokenizer.load(shards)), TokenizedCorpus.open(shards)

    def seen(rank: int, ranks: int, until: int) -> list[list[int]]:
        """Of each batch of `until` groups of short ones and two groups of long ones."""
        short, long = (
            PretrainingBatches(
                opened, ids, max_seqlen=32, example_seqlen=length, budget_tokens=2048, seed=1,
                rank=rank, world_size=ranks, prefetch_batches=0,
            )
            for length in (16, 32)
        )  # fmt: skip
        done, found = 0, []
        stages = [Stage(short, 0.5), Stage(long)]
        with contextlib.closing(batches_in_turn(stages, None, lambda: done / until / 2)) as batches:
            while done < until + 2 * world_size // ranks:
                found.append(next(batches).batch.input_ids.tolist())
                done += 1
        return found

    for groups in range(1, 8):
        alone = seen(0, 1, groups * world_size)
        together = zip(*(seen(rank, world_size, groups) for rank in range(world_size)), strict=True)
        assert [batch for group in together for batch in group] == alone


def seen_in_a_run(monkeypatch: pytest.MonkeyPatch, recipe: PretrainRecipe) -> list[list[int]]:
    """The longest sequence of each microbatch, by steps."""
    longest: list[int] = []
    forward = BertForTasks.forward

    def note(self: BertForTasks, batch: Batch, *args: object) -> object:
        if self.training:
            longest.append(int(batch.cu_seqlens.diff().max()))
        return forward(self, batch, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(BertForTasks, "forward", note)
        pretrain(recipe)
    steps, budget = [], recipe.train.budget_minutes
    assert budget is None
    assert recipe.train.steps is not None
    for step in range(recipe.train.steps):
        count = recipe.train.microbatches(step / recipe.train.steps)
        steps.append(longest[:count])
        longest = longest[count:]
    assert longest == []
    return steps


def test_a_run_begins_with_short_sequences(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=12)
    steps = seen_in_a_run(monkeypatch, PretrainRecipe.load(path, GROWING))
    assert all(longest <= 16 for step in steps[:6] for longest in step)
    assert all(16 < longest <= 32 for step in steps[6:] for longest in step)


@pytest.mark.parametrize(
    ("settings", "is_packed"),
    [
        ((), True),
        (("model.hidden_size=48",), False),  # heads of 24, which no kernel of ours has
        (("model.attention=sdpa",), False),
        (("model.attention=varlen", "model.hidden_size=48"), True),
        (("train.precision=fp32",), False),
        (("train.compile=false",), False),
        (("train.device=cpu",), False),
    ],
)
def test_stages_have_one_shape_where_that_is_no_padding(
    tmp_path: Path, corpus: Path, settings: tuple[str, ...], is_packed: bool
) -> None:
    path = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=1)
    own = ("model.hidden_size=64", "train.compile=true", "train.precision=bf16", *GROWING)
    recipe = PretrainRecipe.load(path, (*own, *settings))
    device = torch.device(recipe.train.device or "cuda")
    begun = Start(Checkpoints(tmp_path, keep=1), device, None, None, Group())
    model = BertForTasks(recipe.model.config(100), [])
    assert pretraining._reads_packed(recipe, begun, model) == is_packed
    ids = WordpieceIds.of(Tokenizer.load(recipe.data.train))
    of_corpus = partial(
        pretraining._batches_of(recipe, ids), TokenizedCorpus.open(recipe.data.train), 1, Group()
    )
    short, long = pretraining._stages(recipe, of_corpus, has_one_shape=is_packed)
    shapes = []
    for stage in (short, long):
        with contextlib.closing(stage.source.batches()) as batches:
            batch = next(batches).batch
            shapes.append((batch.num_sequences, batch.max_seqlen))
            assert int(batch.cu_seqlens.diff().max()) <= (16 if stage is short else 32)
    assert (shapes[0] == shapes[1]) == is_packed


@pytest.mark.parametrize("first", [4, 6, 7])
def test_a_run_that_grows_in_two_parts_is_the_run_in_one(
    tmp_path: Path, corpus: Path, first: int
) -> None:
    ramp = ("train.accumulation_steps=4", "train.rampup_accumulation_steps=1")
    ramp = (*ramp, "train.rampup_proportion=0.75")
    settings = (*GROWING, *ramp, *NO_DROPOUT)
    every = f"train.checkpoint_every_steps={first}"
    whole = write_recipe(tmp_path / "a.toml", corpus, tmp_path / "a", steps=12)
    pretrain(PretrainRecipe.load(whole, (*settings, every)))
    # What a run leaves that has died after its first checkpoint.
    parts = write_recipe(tmp_path / "b.toml", corpus, tmp_path / "b", steps=12)
    (tmp_path / "b").mkdir()
    pretrain(PretrainRecipe.load(parts, (*settings, every, "train.keep_checkpoints=9")))
    for left in (tmp_path / "b").iterdir():
        if left.name != "checkpoints" and left.is_file():
            left.unlink()
    for left in (tmp_path / "b" / "checkpoints").iterdir():
        if left.name != f"step-{first:08}":
            for file in left.iterdir():
                file.unlink()
            left.rmdir()
    pretrain(PretrainRecipe.load(parts, (*settings, every)), resume=True)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_batch_grows_by_doubling(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=10)
    settings = ("train.accumulation_steps=4", "train.rampup_accumulation_steps=1")
    recipe = PretrainRecipe.load(path, (*settings, "train.rampup_proportion=0.4"))
    steps = seen_in_a_run(monkeypatch, recipe)
    assert [len(step) for step in steps] == [1, 1, 2, 2, 4, 4, 4, 4, 4, 4]
    lines = list(read_metrics(tmp_path / "run" / "metrics.jsonl"))
    assert lines[-1]["tokens"] == 512 * 30


def test_losses_of_a_growing_batch_are_means(tmp_path: Path, corpus: Path) -> None:
    """The sum over microbatches would be larger by their number."""
    path = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=10)
    settings = ("train.accumulation_steps=8", "train.rampup_accumulation_steps=1")
    pretrain(PretrainRecipe.load(path, (*settings, "optimizer.learning_rate=1e-9")))
    losses = [
        line["loss"]
        for line in read_metrics(tmp_path / "run" / "metrics.jsonl")
        if line["split"] == "train"
    ]
    assert max(losses) < 1.1 * min(losses)


@pytest.mark.parametrize(("first", "last"), [(3, 8), (8, 4), (4, 12), (4, 4)])
def test_a_ramp_that_does_not_double_is_refused(first: int, last: int) -> None:
    with pytest.raises(ConfigError, match=r"must be accumulation_steps \(\d+\) halved once or"):
        PretrainTraining(
            output="out", steps=1, accumulation_steps=last, rampup_accumulation_steps=first
        )


def test_short_sequences_must_be_shorter() -> None:
    with pytest.raises(ConfigError, match=r"short_seqlen \(128\) must be below max_seqlen \(128\)"):
        PretrainData(train="shards", max_seqlen=128, short_seqlen=128)
    with pytest.raises(ConfigError, match=r"short_seqlen \(4\) must be at least 5: \[CLS\], and a"):
        PretrainData(train="shards", max_seqlen=128, short_seqlen=4)
