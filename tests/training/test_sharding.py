"""A model that is dealt out over processes is trained as one process trains it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import write_recipe
from tests.training.test_distributed import (
    FOUR_BATCHES,
    NO_DROPOUT,
    alone,
    children,
    command,
    ending,
    figures,
    same_run,
    train,
    wait_for,
)

from bertsmith.errors import ConfigError
from bertsmith.training.ended_run import FILE as ENDED
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import pretrain

needs_processes = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="needs torch.distributed with gloo",
)
PLAIN = (*NO_DROPOUT, FOUR_BATCHES)
SHARDED = (*PLAIN, "train.shard_model=true")


@pytest.mark.slow
@needs_processes
@pytest.mark.parametrize(
    ("processes", "overrides"),
    [
        (2, ()),
        (4, ("optimizer.name=bert_adam", "train.gradient_checkpointing=true")),
    ],
)
def test_a_sharded_model_is_trained_as_one_process_trains_it(
    tmp_path: Path, corpus: Path, processes: int, overrides: tuple[str, ...]
) -> None:
    transformers = pytest.importorskip("transformers")
    one = write_recipe(tmp_path / "one.toml", corpus, tmp_path / "one", steps=20)
    several = write_recipe(tmp_path / "several.toml", corpus, tmp_path / "several", steps=20)
    alone(one, *PLAIN, *overrides)
    done = train(processes, several, *SHARDED, *overrides)
    assert done.returncode == 0, done.stderr
    same_run(tmp_path / "several", tmp_path / "one")
    checkpoint = "checkpoints/step-00000010"
    for folder, name in (
        (".", "model.safetensors"),
        (checkpoint, "model.safetensors"),
        (checkpoint, "optimizer.safetensors"),
    ):
        mine, theirs = (load_file(tmp_path / run / folder / name) for run in ("several", "one"))
        assert {name: (value.shape, value.dtype) for name, value in mine.items()} == {
            name: (value.shape, value.dtype) for name, value in theirs.items()
        }
    _, info = transformers.BertForPreTraining.from_pretrained(
        tmp_path / "several", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


@pytest.mark.slow
@needs_processes
@pytest.mark.parametrize("is_sharded_first", [True, False])
def test_a_run_goes_on_sharded_or_not_on_other_numbers_of_processes(
    tmp_path: Path, corpus: Path, is_sharded_first: bool
) -> None:
    one = write_recipe(tmp_path / "one.toml", corpus, tmp_path / "one", steps=20)
    folder = tmp_path / "run"
    recipe = write_recipe(tmp_path / "run.toml", corpus, folder, steps=20)
    alone(one, *PLAIN)
    if is_sharded_first:
        first = train(4, recipe, *SHARDED)
        assert first.returncode == 0, first.stderr
    else:
        alone(recipe, *PLAIN)
    shutil.rmtree(folder / "checkpoints" / "step-00000020")
    (folder / "model.safetensors").unlink()
    (folder / ENDED).unlink()
    if is_sharded_first:
        pretrain(PretrainRecipe.load(recipe, PLAIN), resume=True)
    else:
        second = train(2, recipe, *SHARDED, "--resume")
        assert second.returncode == 0, second.stderr
        assert "going on after step 10" in second.stderr
    same_run(folder, tmp_path / "one")


@pytest.mark.slow
@needs_processes
def test_a_compiled_sharded_model_has_the_losses_of_one_that_is_neither(
    tmp_path: Path, corpus: Path
) -> None:
    one = write_recipe(tmp_path / "one.toml", corpus, tmp_path / "one", steps=6, every=3)
    two = write_recipe(tmp_path / "two.toml", corpus, tmp_path / "two", steps=6, every=3)
    alone(one, *PLAIN)
    done = train(2, two, *SHARDED, "train.compile=true")
    assert done.returncode == 0, done.stderr
    same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
@needs_processes
def test_the_best_model_is_left_where_it_is_not_the_last(tmp_path: Path, corpus: Path) -> None:
    folder = tmp_path / "run"
    recipe = write_recipe(tmp_path / "r.toml", corpus, folder, steps=40)
    # So high a rate ends with a model that is worse than the first ones.
    done = train(
        2, recipe, *SHARDED, "optimizer.learning_rate=0.5", "train.keep_checkpoints=1",
        "train.eval_every_steps=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (best,) = (folder / "checkpoints").glob("best-*")
    kept, expected = (load_file(path / "model.safetensors") for path in (folder, best))
    assert all(torch.equal(kept[name], value) for name, value in expected.items())
    last = load_file(folder / "checkpoints" / "step-00000040" / "model.safetensors")
    assert not all(torch.equal(kept[name], value) for name, value in last.items())


@pytest.mark.slow
@needs_processes
@pytest.mark.parametrize("settings", [PLAIN, SHARDED], ids=["whole", "sharded"])
def test_processes_that_diverge_all_name_the_checkpoint_that_is_there(
    tmp_path: Path, corpus: Path, settings: tuple[str, ...]
) -> None:
    folder = tmp_path / "run"
    recipe = write_recipe(tmp_path / "r.toml", corpus, folder, steps=10, every=1)
    done = train(2, recipe, *settings, "optimizer.learning_rate=1e30")
    assert done.returncode != 0
    named = re.findall(r"so the run is stopped; the last good checkpoint is (\S+);", done.stderr)
    assert len(named) == 2
    assert len(set(named)) == 1
    assert (Path(named[0]) / "training.json").exists()


# Runs a recipe, and says how often gradients have been sent and how much of the model was here.
COUNTING = """
import sys
import torch.distributed
from bertsmith import PretrainRecipe, pretrain
from bertsmith.training.trainer import Trainer

names = ("reduce_scatter_single", "reduce_scatter_tensor")  # since PyTorch 2.13, and before
name = next(name for name in names if hasattr(torch.distributed, name))
send, step, calls = getattr(torch.distributed, name), Trainer._step, []

def counted(*arguments, **options):
    calls.append(None)
    return send(*arguments, **options)

def watched(self, batches):
    calls.clear()
    step(self, batches)
    own = [parameter.to_local() for parameter in self.model.parameters()]
    kept = [
        value.to_local()
        for state in self.optimizers[0].state.values()
        for key, value in state.items() if key != "step"
    ]
    numbers = [sum(tensor.numel() for tensor in tensors) for tensors in (own, kept)]
    # In one piece: the processes write to one pipe, unbuffered.
    print(f"seen {len(calls)} {numbers[0]} {numbers[1]}\\n", end="", flush=True)

setattr(torch.distributed, name, counted)
Trainer._step = watched
pretrain(PretrainRecipe.load(sys.argv[1], sys.argv[2:]))
"""


@pytest.mark.slow
@needs_processes
def test_each_process_has_its_part_and_gradients_are_sent_once_a_step(
    tmp_path: Path, corpus: Path
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=3)
    script = tmp_path / "counting.py"
    script.write_text(COUNTING)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "--standalone", script, recipe, *SHARDED, "train.device=cpu"],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    seen = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("seen")]
    assert len(seen) == 6
    tensors = load_file(tmp_path / "run" / "model.safetensors").values()
    half = sum(tensor.numel() for tensor in tensors) / 2
    for calls, parameters, kept in seen:
        assert int(calls) == 3  # two layers and the rest, after the second of two microbatches
        assert int(parameters) == pytest.approx(half, rel=0.05)
        assert int(kept) == 2 * int(parameters)


@pytest.mark.slow
@needs_processes
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as Linux lists them")
def test_a_process_that_dies_ends_the_job_which_begins_again_from_the_last_checkpoint(
    tmp_path: Path, corpus: Path
) -> None:
    folder = tmp_path / "run"
    recipe = write_recipe(tmp_path / "r.toml", corpus, folder, steps=300)
    process = subprocess.Popen(
        command(2, recipe, *SHARDED, "--resume"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    wait_for(folder / "checkpoints" / "step-00000020", process)
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    errors = ending(process)
    assert process.returncode != 0
    assert "SIGKILL" in errors
    assert not (folder / "model.safetensors").exists()
    again = train(2, recipe, *SHARDED, "--resume")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("going on after step") == 1
    assert figures(folder)[-1]["step"] == 300


def test_sharding_needs_torchrun_and_several_processes(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=5)
    message = r"train.shard_model = true needs several processes .* torchrun --nproc-per-node"
    with pytest.raises(ConfigError, match=message):
        alone(recipe, "train.shard_model=true")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(ConfigError, match=message):
        alone(recipe, "train.shard_model=true")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.name=lamb", r"optimizer.name \('lamb'\) needs whole matrices"),
        ("optimizer.name=muon", r"optimizer.name \('muon'\) needs whole matrices"),
        ("train.precision=fp8", "cannot be used with precision = 'fp8'; set precision to 'bf16'"),
    ],
)
def test_what_needs_whole_matrices_is_refused(
    tmp_path: Path, corpus: Path, override: str, message: str
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=5)
    with pytest.raises(ConfigError, match=message):
        PretrainRecipe.load(recipe, ["train.shard_model=true", override])
