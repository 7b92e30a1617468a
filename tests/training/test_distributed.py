"""Several processes train as one does, and one that dies ends all of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import write_recipe

from bertsmith.errors import ConfigError
from bertsmith.training import distributed
from bertsmith.training.distributed import Group
from bertsmith.training.ended_run import FILE as ENDED
from bertsmith.training.metrics_file import read_metrics
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import pretrain

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="needs torch.distributed with gloo",
)
NO_DROPOUT = ("model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0")
FOUR_BATCHES = "train.accumulation_steps=4"


def command(processes: int, recipe: Path, *arguments: str, restarts: int = 0) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes), "--max-restarts", str(restarts)),
        *("-m", "bertsmith", "pretrain", str(recipe), "train.device=cpu", *arguments),
    ]


def train(processes: int, recipe: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(processes, recipe, *arguments),
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def alone(recipe: Path, *overrides: str) -> None:
    pretrain(PretrainRecipe.load(recipe, overrides))


def figures(run: Path) -> list[dict[str, Any]]:
    """What does not depend on the time, nor on which microbatch was the last."""
    timing = {"elapsed_seconds", "tokens_per_second", "data_wait"}
    return [
        {
            key: value == "eval" if key == "split" else value
            for key, value in line.items()
            if key not in timing and "accuracy" not in key
        }
        for line in read_metrics(run / "metrics.jsonl")
    ]


def same_run(one: Path, other: Path) -> None:
    """Losses of every line, and the weights in the end, but for the order of sums."""
    for mine, theirs in zip(figures(one), figures(other), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    weights, expected = (load_file(run / "model.safetensors") for run in (one, other))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_train_as_one_does(tmp_path: Path, corpus: Path, processes: int) -> None:
    one = write_recipe(tmp_path / "one.toml", corpus, tmp_path / "one", steps=20)
    several = write_recipe(tmp_path / "several.toml", corpus, tmp_path / "several", steps=20)
    alone(one, *NO_DROPOUT, FOUR_BATCHES)
    done = train(processes, several, *NO_DROPOUT, FOUR_BATCHES)
    assert done.returncode == 0, done.stderr
    same_run(tmp_path / "several", tmp_path / "one")
    assert done.stdout.count("best_step") == 1  # the first alone speaks
    assert done.stderr.count("step 20 held-out") == 1


@pytest.mark.slow
def test_a_run_goes_on_with_fewer_processes(tmp_path: Path, corpus: Path) -> None:
    one = write_recipe(tmp_path / "one.toml", corpus, tmp_path / "one", steps=20)
    several = write_recipe(tmp_path / "several.toml", corpus, tmp_path / "several", steps=20)
    alone(one, *NO_DROPOUT, FOUR_BATCHES)
    # The rate falls to the end of a run of twenty steps, so that the first part has to be one too.
    first = train(4, several, *NO_DROPOUT, FOUR_BATCHES)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "several"
    shutil.rmtree(folder / "checkpoints" / "step-00000020")
    (folder / "model.safetensors").unlink()
    (folder / ENDED).unlink()
    second = train(2, several, *NO_DROPOUT, FOUR_BATCHES, "--resume")
    assert second.returncode == 0, second.stderr
    assert "going on after step 10" in second.stderr
    same_run(folder, tmp_path / "one")


def children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    )
    return [int(line) for line in listed.stdout.split()]


def ending(process: subprocess.Popen[str]) -> str:
    """What a job says on stderr until it ends; none is left behind."""
    try:
        return process.communicate(timeout=120)[1]
    except subprocess.TimeoutExpired:
        for pid in [*children(process.pid), process.pid]:
            os.kill(pid, signal.SIGKILL)
        raise


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    raise AssertionError(f"{path} did not come")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as Linux lists them")
def test_a_process_that_dies_ends_all_or_all_begin_again_from_the_last_checkpoint(
    tmp_path: Path, corpus: Path
) -> None:
    for restarts in (0, 1):
        folder = tmp_path / str(restarts)
        recipe = write_recipe(tmp_path / f"{restarts}.toml", corpus, folder, steps=400)
        process = subprocess.Popen(
            command(2, recipe, *NO_DROPOUT, FOUR_BATCHES, "--resume", restarts=restarts),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        wait_for(folder / "checkpoints" / "step-00000020", process)
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        errors = ending(process)
        if restarts:
            assert process.returncode == 0, errors
            assert errors.count("going on after step") == 1
            assert figures(folder)[-1]["step"] == 400
        else:
            assert process.returncode != 0
            assert "SIGKILL" in errors
            assert not (folder / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_all_stop_at_one_step_when_torchrun_is_asked_to(tmp_path: Path, corpus: Path) -> None:
    folder = tmp_path / "run"
    recipe = write_recipe(tmp_path / "r.toml", corpus, folder, steps=100_000)
    process = subprocess.Popen(
        command(2, recipe, *NO_DROPOUT, FOUR_BATCHES),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    wait_for(folder / "checkpoints" / "step-00000020", process)
    process.send_signal(signal.SIGTERM)
    errors = ending(process)
    assert process.returncode != 0
    assert errors.count("stopped by SIGTERM after step") == 1


@pytest.mark.slow
def test_what_is_wrong_with_the_recipe_is_said_once(tmp_path: Path, corpus: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", corpus, tmp_path / "run", steps=5)
    done = train(2, recipe, "train.accumulation_steps=3")
    assert done.returncode != 0
    assert done.stderr.count("must be a multiple of the 2 processes; set it to 4") == 1
    assert not (tmp_path / "run").exists()


def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "RANK": "3"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert not distributed.is_first_process()
    assert distributed.local_device(None) == "cuda:1"
    assert distributed.local_device("cpu") == "cpu"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="more processes on this machine than its 2 GPUs"):
        distributed.local_device(None)


def test_without_torchrun_this_is_the_first_and_only_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")  # as other launchers leave it behind
    assert not distributed.is_distributed()
    assert distributed.is_first_process()


class Three(Group):
    rank, size = 1, 3


def test_microbatches_that_cannot_be_dealt_out_are_refused() -> None:
    assert Three().share_of(6) == 2
    with pytest.raises(ConfigError, match=r"must be a multiple of the 3 processes; set it to 6"):
        Three().share_of(4)
    with pytest.raises(
        ConfigError, match=r"train\.rampup_accumulation_steps \(1\), the microbatch"
    ):
        Three().share_of(1, "rampup_accumulation_steps")


def test_fine_tuning_by_torchrun_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    start: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from bertsmith.cli.main import main

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    records = start / "train.tsv"
    assert records.exists()
    arguments = ["--model", str(start), "--train", str(records), "--output", str(tmp_path / "o")]
    assert main(["finetune", "sequence_classification", *arguments]) == 2
    assert "start it without torchrun" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_gradients_are_dealt_out_to_buckets_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "BUCKET_NUMBERS", 10)
    tensors = [torch.zeros(n) for n in (4, 5, 3, 20, 1)] + [torch.zeros(2).bfloat16()]
    buckets = list(distributed.buckets_of(tensors))
    assert [[t.numel() for t in bucket] for bucket in buckets] == [[4, 5], [3], [20], [1], [2]]
    assert [id(t) for bucket in buckets for t in bucket] == [id(t) for t in tensors]
