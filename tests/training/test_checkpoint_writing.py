"""Checkpoints are written while training goes on, and nothing is lost by that."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import write_recipe
from torch import Tensor

from bertsmith.errors import DataError
from bertsmith.export.model_folder import load_model
from bertsmith.tasks.model import BertForTasks
from bertsmith.training import checkpoint
from bertsmith.training.checkpoint import Checkpoints, Snapshot
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import Pretrained, pretrain
from bertsmith.training.trainer import DivergedError, Trainer

NEVER = "train.eval_every_steps=1000"
ONE_KEPT = "train.keep_checkpoints=1"


def run(recipe: Path, *overrides: str, resume: bool = False) -> Pretrained:
    return pretrain(PretrainRecipe.load(recipe, overrides), resume=resume)


def steps_of(run_folder: Path) -> list[int]:
    return Checkpoints(run_folder / "checkpoints", keep=1).steps()


@pytest.fixture
def before_each_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], Any]], None]:
    """Let a function of the step have its way before each checkpoint is written."""

    def patch(function: Callable[[int], Any]) -> None:
        def slow(self: Checkpoints, snapshot: Snapshot, original: Any = Checkpoints.save) -> Path:
            function(snapshot.state.step)
            written: Path = original(self, snapshot)
            return written

        monkeypatch.setattr(Checkpoints, "save", slow)

    return patch


def test_steps_go_on_while_a_checkpoint_of_the_step_before_them_is_written(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_each_write: Callable[[Callable[[int], Any]], None],
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=9, every=5)
    after_step_8, waited = threading.Event(), []
    weights: dict[str, Tensor] = {}
    averages: list[Tensor] = []

    def step(self: Trainer, batches: Any, original: Any = Trainer._step) -> None:
        original(self, batches)
        if self.state.step == 5:
            weights.update({k: v.clone() for k, v in self.model.state_dict().items()})
            state = self.optimizers[0].state[self.model.bert.embeddings.wordpiece.weight]
            averages.append(state["exp_avg"].clone())
        if self.state.step == 8:
            after_step_8.set()

    monkeypatch.setattr(Trainer, "_step", step)
    before_each_write(lambda number: waited.append((number, after_step_8.wait(60))))
    run(recipe, NEVER)
    assert waited == [(5, True), (9, True)]
    # What was written is what was there at its step, and not what has become of it.
    folder = tmp_path / "run" / "checkpoints" / "step-00000005"
    for name, value in load_model(folder).model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    optimizer = load_file(folder / "optimizer.safetensors")
    assert torch.equal(optimizer["bert.embeddings.wordpiece.weight.exp_avg"], averages[0])


def test_of_two_quick_checkpoints_one_is_written_after_the_other_and_the_run_waits_for_both(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_each_write: Callable[[Callable[[int], Any]], None],
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=4, every=1)
    seen: list[tuple[str, int]] = []
    prune = Checkpoints._prune

    def end(self: Checkpoints) -> None:
        prune(self)
        seen.append(("ends", self.steps()[-1]))

    monkeypatch.setattr(Checkpoints, "_prune", end)
    before_each_write(lambda step: (seen.append(("begins", step)), time.sleep(0.05)))
    run(recipe, NEVER, ONE_KEPT)
    assert seen == [(what, step) for step in range(1, 5) for what in ("begins", "ends")]
    assert steps_of(tmp_path / "run") == [4]


@pytest.mark.parametrize(("failing", "last_step"), [(10, 20), (20, 25), (25, 25)])
def test_a_checkpoint_that_cannot_be_written_ends_the_run_at_the_next_or_at_the_end(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_each_write: Callable[[Callable[[int], Any]], None],
    failing: int,
    last_step: int,
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=25)
    is_full = []

    def fill(step: int) -> None:
        is_full.extend([True] if step == failing else [])

    def write(file: Path, *arguments: Any, original: Any = checkpoint.write_safetensors) -> None:
        if is_full and file.name == "optimizer.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(file, *arguments)

    done: list[int] = []

    def step(self: Trainer, batches: Any, original: Any = Trainer._step) -> None:
        original(self, batches)
        done.append(self.state.step)

    monkeypatch.setattr(Trainer, "_step", step)
    monkeypatch.setattr(checkpoint, "write_safetensors", write)
    before_each_write(fill)
    with pytest.raises(
        DataError, match=rf"step-000000{failing} cannot be written: No space left"
    ) as caught:
        run(recipe, NEVER)
    good = [step for step in (10, 20) if step < failing]
    hint = f", with --resume to go on after step {good[-1]}" if good else ""
    assert str(caught.value).endswith(f"then run the same command again{hint}")
    assert done[-1] == last_step
    assert steps_of(tmp_path / "run") == good
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_run_that_diverges_names_the_checkpoint_that_was_still_being_written(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_each_write: Callable[[Callable[[int], Any]], None],
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=30)
    has_diverged = threading.Event()

    def step(self: Trainer, batches: Any, original: Any = Trainer._step) -> None:
        if self.state.step == 10:
            next(self.model.parameters()).data.fill_(float("nan"))
            has_diverged.set()
        original(self, batches)

    monkeypatch.setattr(Trainer, "_step", step)
    before_each_write(lambda _: (has_diverged.wait(60), time.sleep(0.2)))
    with pytest.raises(DivergedError, match=r"at step 11, .*checkpoint is .*step-00000010; lower"):
        run(recipe, NEVER)
    assert steps_of(tmp_path / "run") == [10]


def test_a_run_that_is_asked_to_stop_has_its_last_checkpoint_when_it_returns(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_each_write: Callable[[Callable[[int], Any]], None],
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=30)

    def step(self: Trainer, batches: Any, original: Any = Trainer._step) -> None:
        original(self, batches)
        if self.state.step == 13:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Trainer, "_step", step)
    before_each_write(lambda _: time.sleep(0.2))
    assert run(recipe, NEVER).outcome.stopped_by is signal.SIGTERM
    assert steps_of(tmp_path / "run") == [10, 13]


def test_checkpoints_that_are_not_to_stay_go_after_the_last_is_written(
    tmp_path: Path, corpus: Path, before_each_write: Callable[[Callable[[int], Any]], None]
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=11)
    before_each_write(lambda _: time.sleep(0.2))
    run(recipe, NEVER, "train.keep_checkpoints=0")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_best_model_is_read_when_it_has_been_written(
    tmp_path: Path,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_each_write: Callable[[Callable[[int], Any]], None],
) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=6, every=5)
    before_each_write(lambda _: time.sleep(0.2))
    restore = Trainer.restore_best

    def forget(self: Trainer) -> BertForTasks:
        self.state = dataclasses.replace(self.state, best_step=5)
        self._best = None  # as after an interruption
        return restore(self)

    monkeypatch.setattr(Trainer, "restore_best", forget)
    run(recipe, NEVER)
    folder = tmp_path / "run"
    best = load_file(folder / "checkpoints" / "step-00000005" / "model.safetensors")
    kept = load_file(folder / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in best.items())


# Runs a recipe and kills itself when it has written half of its second checkpoint.
KILLED = """
import os, signal, sys, threading
from bertsmith import PretrainRecipe, pretrain
from bertsmith.tasks.model import BertForTasks
from bertsmith.training import checkpoint

write, calls = checkpoint.write_safetensors, []

def deadly(file, tensors):
    if file.name == "optimizer.safetensors":
        calls.append(None)
    if len(calls) == 2:
        assert threading.current_thread() is not threading.main_thread()
        file.write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    write(file, tensors)

checkpoint.write_safetensors = deadly
pretrain(PretrainRecipe.load(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")
def test_a_run_that_is_killed_while_it_writes_goes_on_from_the_checkpoint_before(
    tmp_path: Path, corpus: Path
) -> None:
    whole = write_recipe(tmp_path / "a.toml", corpus, tmp_path / "a", steps=40)
    run(whole)
    killed = write_recipe(tmp_path / "b.toml", corpus, tmp_path / "b", steps=40)
    done = subprocess.run([sys.executable, "-c", KILLED, str(killed)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert steps_of(tmp_path / "b") == [10]
    checkpoints = tmp_path / "b" / "checkpoints"
    assert len(list(checkpoints.glob(".step-00000020.*.partial"))) == 1
    assert run(killed, resume=True).outcome.state.step == 40
    assert not list(checkpoints.glob(".*"))
    last = Path("checkpoints") / "step-00000040"
    for name in ("model.safetensors", "optimizer.safetensors", "generators.safetensors"):
        one, other = ((tmp_path / each / last / name).read_bytes() for each in "ab")
        assert one == other, name


def test_the_generator_is_that_of_the_gpu_which_the_model_is_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generators = {"cuda:0": torch.zeros(1), "cuda:1": torch.ones(1)}
    monkeypatch.setattr(
        torch.cuda, "get_rng_state", lambda device="cuda:0": generators[str(device)]
    )
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: generators.update({str(device): state})
    )
    saved = checkpoint._generator_state(torch.device("cuda:1"))
    assert saved["cuda"] == 1
    checkpoint._set_generator_state(saved | {"cuda": torch.tensor([2.0])}, torch.device("cuda:1"))
    assert generators == {"cuda:0": 0, "cuda:1": 2}
    assert "cuda" not in checkpoint._generator_state(torch.device("cpu"))
