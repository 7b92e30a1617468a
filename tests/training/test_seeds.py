"""Several seeds: each is run once, failed ones begin again, the best model is left."""

from __future__ import annotations

import gc
import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.mood_runs import mood_recipe

from bertsmith.errors import CheckpointError, ConfigError, DataError
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.checkpoint import TrainingState
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Finetuned, finetune, finetune_seeds
from bertsmith.training.outcome import Outcome
from bertsmith.training.seeds import (
    SeedRun,
    SeedsOutcome,
    next_seed,
    run_seeds,
    run_with_restarts,
    spread,
)
from bertsmith.training.trainer import DivergedError

FLAT = "nothing was learned"


class Runs:
    """Runs that do nothing but end as they are told, by their seeds; all others are good."""

    def __init__(self, **ends: Any) -> None:
        self.ends = {int(name.removeprefix("s")): end for name, end in ends.items()}
        self.done: list[tuple[int, bool, int]] = []

    def __call__(self, recipe: FinetuneRecipe, resume: bool) -> Any:
        settings = recipe.train
        self.done.append((settings.seed, resume, settings.restarts))
        end = self.ends.get(settings.seed, settings.seed / 100)
        if isinstance(end, Exception):
            raise end
        settings.output.mkdir(parents=True, exist_ok=True)
        (settings.output / "checkpoints").mkdir(exist_ok=True)
        problem, stopped_by, accuracy = None, None, 0.5
        if isinstance(end, signal.Signals):
            stopped_by = end
        else:
            (settings.output / "config.json").write_text(str(settings.seed))
            (settings.output / "recipe.toml").write_text(recipe.to_toml())
            problem = end if isinstance(end, str) else None
            accuracy = 0.5 if problem else end
        state = TrainingState(step=10, best_step=5, tokens=7, elapsed_seconds=1.5)
        outcome = Outcome(
            state, {"accuracy": accuracy, "loss": 1 - accuracy}, stopped_by, problem=problem
        )
        unused: Any = None
        task: Any = SimpleNamespace(figure="accuracy")
        return Finetuned(outcome, preparation=unused, task=task)

    @property
    def seeds(self) -> list[int]:
        return [seed for seed, _, _ in self.done]


def settings(folder: Path, **train: Any) -> FinetuneRecipe:
    return mood_recipe(Path("start"), folder / "out", train={"seed": 1} | train)


def several(folder: Path, runs: Runs, number: int = 3, **more: Any) -> SeedsOutcome:
    train = {key: more.pop(key) for key in list(more) if key in ("restarts", "steps")}
    return run_seeds(settings(folder, **train), number, runs, resume=False, **more)


def again(folder: Path, runs: Runs, number: int = 3, **train: Any) -> SeedsOutcome:
    return run_seeds(settings(folder, **train), number, runs, resume=True)


def recorded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "seeds.json").read_text())


def test_the_best_model_and_the_spread_are_left(tmp_path: Path) -> None:
    runs = Runs(s1=0.7, s2=0.9, s3=0.8)
    ended: list[SeedRun] = []
    outcome = several(tmp_path, runs, on_ended=ended.append)
    assert runs.done == [(1, True, 3), (2, True, 3), (3, True, 3)]
    assert outcome.runs == ended
    assert outcome.best == ended[1]
    accuracy = outcome.spread["accuracy"]
    assert (accuracy.mean, accuracy.min, accuracy.max) == pytest.approx((0.8, 0.7, 0.9))
    assert accuracy.std == pytest.approx(0.1)  # by n - 1
    output = tmp_path / "out"
    assert (output / "config.json").read_text() == "2"
    assert FinetuneRecipe.load(output / "recipe.toml") == settings(tmp_path)
    assert FinetuneRecipe.load(output / "seed-2" / "recipe.toml").train.seed == 2
    assert not list(output.glob("*/checkpoints"))
    contents = recorded(tmp_path)
    assert (contents["best"], contents["figure"]) == (2, "accuracy")
    assert contents["spread"]["accuracy"]["mean"] == pytest.approx(0.8)
    assert [run["seed"] for run in contents["runs"]] == [1, 2, 3]


def test_what_has_ended_is_not_run_again(tmp_path: Path) -> None:
    stopped = several(tmp_path, Runs(s2=signal.SIGTERM))
    assert stopped.stopped_by == signal.SIGTERM
    assert stopped.best is None
    assert not (tmp_path / "out" / "config.json").exists()
    assert (tmp_path / "out" / "seed-2" / "checkpoints").exists()
    runs = Runs()
    assert len(again(tmp_path, runs).runs) == 3
    assert runs.seeds == [2, 3]
    # All of them are there; more are more.
    runs = Runs()
    outcome = again(tmp_path, runs, 5)
    assert runs.seeds == [4, 5]
    assert outcome.best is not None
    assert outcome.best.seed == 5
    assert (tmp_path / "out" / "config.json").read_text() == "5"


def test_a_run_that_fails_makes_room_for_another_seed(tmp_path: Path) -> None:
    runs = Runs(s2=FLAT, s3=DivergedError("the loss is nan"))
    outcome = several(tmp_path, runs)
    assert runs.done == [(1, True, 3), (2, True, 3), (3, True, 2), (4, True, 1), (5, True, 1)]
    assert [run.problem for run in outcome.runs] == [None, FLAT, "the loss is nan", None, None]
    assert outcome.spread["accuracy"].min == 0.01  # the failed are not counted
    assert outcome.best is not None
    assert outcome.best.seed == 5


def test_restarts_end(tmp_path: Path) -> None:
    runs = Runs(s1=FLAT, s2=FLAT, s3=FLAT, s4=FLAT)
    outcome = several(tmp_path, runs, 2, restarts=2)
    # Those without a restart left are told so, and run to their ends.
    assert runs.done == [(1, True, 2), (2, True, 1), (3, True, 0), (4, True, 0)]
    assert outcome.best is not None
    assert outcome.spread["accuracy"].mean == 0.5  # of all, when all have failed


def test_when_no_run_has_a_model_it_is_said(tmp_path: Path) -> None:
    bad = DivergedError("the loss is nan")
    with pytest.raises(DivergedError, match="no run has a model: the loss is nan"):
        several(tmp_path, Runs(s1=bad, s2=bad), 1, restarts=1)


def test_what_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such column"):
        several(tmp_path, Runs(s1=DataError("no such column")))
    assert not (tmp_path / "out").exists()


def test_other_settings_are_refused(tmp_path: Path) -> None:
    several(tmp_path, Runs(), 1)
    with pytest.raises(ConfigError, match=r"holds runs already \(seeds.json\); .* --resume"):
        several(tmp_path, Runs(), 1)
    with pytest.raises(ConfigError, match=r"train.steps is 61 and the runs in .* made with 60"):
        again(tmp_path, Runs(), steps=61)
    assert again(tmp_path, Runs(), 1, num_threads=2, restarts=9).best is not None
    with pytest.raises(ConfigError, match=r"seeds is one and the runs in .* with several"):
        run_with_restarts(settings(tmp_path), Runs(), resume=True)
    (tmp_path / "out" / "seeds.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"seeds.json is damaged"):
        again(tmp_path, Runs())


def test_the_folder_of_a_single_run_is_refused(tmp_path: Path) -> None:
    Runs()(settings(tmp_path), False)
    with pytest.raises(ConfigError, match="holds a model or a single run already"):
        again(tmp_path, Runs())


def test_runs_without_data_to_compare_them_are_refused(tmp_path: Path) -> None:
    recipe = mood_recipe(Path("start"), tmp_path / "out", data={"eval": None})
    with pytest.raises(ConfigError, match=r"data\.eval is not set"):
        run_seeds(recipe, 2, Runs(), resume=False)


def test_the_next_seed() -> None:
    def ran(*seeds: int, failed: int = 0) -> list[SeedRun]:
        problems = [FLAT] * failed + [None] * len(seeds)
        return [
            SeedRun(seed=s, folder="", problem=p) for s, p in zip(seeds, problems, strict=False)
        ]

    assert next_seed(5, 2, 3, []) == 5
    assert next_seed(5, 2, 3, ran(6)) == 5
    assert next_seed(5, 2, 3, ran(5, 6)) is None
    assert next_seed(5, 2, 3, ran(5, 6, failed=1)) == 7
    assert next_seed(5, 2, 0, ran(5, 6, failed=1)) is None


def test_one_run_has_no_deviation() -> None:
    (only,) = spread([SeedRun(seed=1, folder="", figures={"accuracy": 0.7})]).values()
    assert (only.mean, only.std) == (0.7, None)
    assert spread([]) == {}


def test_a_single_run_that_learns_is_a_single_run(tmp_path: Path) -> None:
    runs = Runs()
    run_with_restarts(settings(tmp_path), runs, resume=False)
    assert runs.done == [(1, False, 3)]
    assert not (tmp_path / "out" / "seeds.json").exists()
    assert (tmp_path / "out" / "checkpoints").exists()


def test_a_single_run_that_fails_begins_again(tmp_path: Path) -> None:
    runs, failed = Runs(s1=FLAT, s2=FLAT, s3=0.4), []
    finetuned = run_with_restarts(settings(tmp_path), runs, resume=False, on_restart=failed.append)
    assert runs.done == [(1, False, 3), (2, True, 2), (3, True, 1)]
    assert [run.seed for run in failed] == [1, 2]
    # It is the best although its figure is not: the others have learned nothing.
    assert finetuned.outcome.figures["accuracy"] == 0.4
    assert (tmp_path / "out" / "config.json").read_text() == "3"
    assert not (tmp_path / "out" / "checkpoints").exists()
    contents = recorded(tmp_path)
    assert [(run["folder"], run["problem"]) for run in contents["runs"]] == [
        (".", FLAT),
        ("seed-2", FLAT),
        ("seed-3", None),
    ]
    # Going on with what is finished runs nothing but the last again, from its last checkpoint.
    runs = Runs(s3=0.4)
    run_with_restarts(settings(tmp_path), runs, resume=True)
    assert runs.done == [(3, True, 1)]
    assert recorded(tmp_path) == contents


def test_when_every_restart_fails_the_best_is_kept(tmp_path: Path) -> None:
    runs = Runs(s1=FLAT, s2=FLAT)
    finetuned = run_with_restarts(settings(tmp_path, restarts=1), runs, resume=False)
    assert runs.done == [(1, False, 1), (2, True, 0)]
    assert finetuned.outcome.problem == FLAT
    assert (tmp_path / "out" / "config.json").read_text() == "1"  # of equals the first
    runs = Runs(s1=FLAT)
    other = settings(tmp_path / "other", restarts=0)
    assert run_with_restarts(other, runs, resume=False).outcome.problem == FLAT
    assert runs.seeds == [1]


def test_a_restart_that_is_interrupted_goes_on(tmp_path: Path) -> None:
    first = run_with_restarts(settings(tmp_path), Runs(s1=FLAT, s2=signal.SIGINT), resume=False)
    assert first.outcome.stopped_by == signal.SIGINT
    runs = Runs()
    run_with_restarts(settings(tmp_path), runs, resume=True)
    assert runs.done == [(2, True, 2)]
    assert (tmp_path / "out" / "config.json").read_text() == "2"


# Real runs from here on.


def test_a_rate_that_is_far_too_high_begins_again_and_then_goes_to_its_end(
    start: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = {
        "steps": 100,
        "restarts": 1,
        "eval_every_steps": 10,
        "checkpoint_every_steps": 100,
    }
    recipe = mood_recipe(start, tmp_path / "run", train=train, optimizer={"learning_rate": 3.0})
    failed: list[SeedRun] = []
    finetuned = finetune(recipe, on_restart=failed.append)
    # Stopped when half was over, and nothing but one label was ever said.
    assert [(run.seed, run.step) for run in failed] == [(12345, 50)]
    assert failed[0].figures["matthews_correlation"] == 0
    assert finetuned.outcome.problem is not None
    assert "step 50: the model tells no held-out record from another" in capfd.readouterr().err
    runs = json.loads((tmp_path / "run" / "seeds.json").read_text())["runs"]
    assert [(run["seed"], run["step"]) for run in runs] == [(12345, 50), (12346, 100)]
    assert evaluate_file(tmp_path / "run", start / "dev.tsv")["accuracy"] == 0.5


def test_a_label_that_is_rightly_said_to_nearly_all_is_not_begun_again_for_ever(
    start: Path, tmp_path: Path
) -> None:
    """Of 19 in 20 records the label is `good`, and no word says which ones."""
    words = itertools.cycle(["good", "bad", "fine", "dull", "great"])
    rows = [f"a {next(words)} film .\t{'bad' if i % 20 == 7 else 'good'}" for i in range(200)]
    path = tmp_path / "records.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    data = {"train": str(path), "eval": str(path)}
    recipe = mood_recipe(
        start,
        tmp_path / "run",
        data=data,
        train={"restarts": 1, "batch_size": 16, "checkpoint_every_steps": 60},
    )
    finetuned = finetune(recipe)
    assert finetuned.outcome.figures["accuracy"] == pytest.approx(0.95)
    assert (tmp_path / "run" / "model.safetensors").exists()
    if (tmp_path / "run" / "seeds.json").exists():
        runs = json.loads((tmp_path / "run" / "seeds.json").read_text())["runs"]
        assert [run["step"] for run in runs[1:]] == [60]


# Fine-tunes with three seeds and dies without a word when the second has begun.
KILLED = """
import os, signal, sys
from bertsmith import FinetuneRecipe
from bertsmith.training.finetuning import finetune_seeds

def deadly(preparation, seen=[]):
    seen.append(preparation)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

finetune_seeds(FinetuneRecipe.load(sys.argv[1]), 3, on_prepared=deadly)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")
def test_seeds_go_on_after_a_kill_and_are_the_runs_they_would_be_alone(
    start: Path, tmp_path: Path
) -> None:
    train = {"steps": 6, "eval_every_steps": 3, "checkpoint_every_steps": 6}
    recipe = mood_recipe(start, tmp_path / "run", train=train)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml())
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    prepared: list[Any] = []
    outcome = finetune_seeds(recipe, 3, resume=True, on_prepared=prepared.append)
    assert len(prepared) == 2
    assert [run.seed for run in outcome.runs] == [12345, 12346, 12347]
    # Bit for bit, whatever ran before in the same process or in another.
    finetune(mood_recipe(start, tmp_path / "alone", train=train | {"seed": 12347}))
    alone, third = (
        load_file(tmp_path / name / "model.safetensors") for name in ("alone", "run/seed-12347")
    )
    assert all(torch.equal(alone[key], third[key]) for key in alone)
    assert outcome.best is not None
    best = load_file(tmp_path / "run" / outcome.best.folder / "model.safetensors")
    left = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(best[key], left[key]) for key in best)


def test_models_of_runs_that_have_ended_are_freed(start: Path, tmp_path: Path) -> None:
    def models() -> int:
        return sum(issubclass(type(each), BertForTasks) for each in gc.get_objects())

    gc.collect()
    before = models()
    counts: list[int] = []
    recipe = mood_recipe(start, tmp_path / "run", train={"steps": 1})
    finetune_seeds(recipe, 3, on_ended=lambda _: counts.append(models()))
    assert counts == [before] * 3
