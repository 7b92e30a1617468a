"""A sweep runs each trial once, remembers it, and leaves the best model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.training.mood_runs import mood_recipe

from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.training import sweep as module
from bertsmith.training.checkpoint import TrainingState
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Finetuned
from bertsmith.training.outcome import Outcome
from bertsmith.training.recipe_file import read_toml
from bertsmith.training.search_space import Range, space_of
from bertsmith.training.sweep import Sweep, Trial
from bertsmith.training.trainer import DivergedError

SPACE: dict[str, Any] = {"optimizer.learning_rate": [1e-5, 1e-4, 1e-3], "train.batch_size": [8, 16]}
Score = Callable[[FinetuneRecipe], Any]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[FinetuneRecipe]:
    """What was run, each time; a run is as good as its learning rate is near 1e-4."""
    done: list[FinetuneRecipe] = []

    def finetune(recipe: FinetuneRecipe, **more: Any) -> Finetuned:
        done.append(recipe)
        output = recipe.train.output
        output.mkdir(parents=True, exist_ok=True)
        rate = recipe.optimizer.learning_rate
        if rate == 666:
            raise DivergedError("the loss is nan")
        if rate == 404:
            raise ConfigError("model.reinit_layers (9) must be at most 2")
        if rate == 15 and not (output / "stopped").exists():
            (output / "stopped").touch()
            return finetuned({}, signal.SIGTERM)
        (output / "config.json").write_text(str(rate))
        return finetuned({"accuracy": min(rate / 1e-4, 1e-4 / rate), "loss": 0.5})

    def finetuned(figures: dict[str, float], stopped_by: Any = None) -> Finetuned:
        state = TrainingState(step=4, best_step=2)
        unused: Any = None
        task: Any = SimpleNamespace(figure="accuracy")
        return Finetuned(Outcome(state, figures, stopped_by), unused, task)

    monkeypatch.setattr(module, "finetune", finetune)
    return done


def sweep(folder: Path, space: Any = SPACE, *more: Any, **train: Any) -> Sweep:
    return Sweep(mood_recipe(Path("start"), folder / "out", train=train), space, *more)


def recorded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "sweep.json").read_text())


def test_every_combination_is_tried_and_the_best_is_left(
    tmp_path: Path, ran: list[FinetuneRecipe]
) -> None:
    ended: list[Trial] = []
    outcome = sweep(tmp_path).run(on_ended=ended.append)
    tried = [(recipe.optimizer.learning_rate, recipe.train.batch_size) for recipe in ran]
    assert tried == [(rate, size) for rate in (1e-5, 1e-4, 1e-3) for size in (8, 16)]
    assert [recipe.train.output.name for recipe in ran][:2] == ["trial-001", "trial-002"]
    assert outcome.trials == ended
    assert outcome.best is not None
    assert (outcome.best.number, outcome.best.figures) == (3, {"accuracy": 1.0, "loss": 0.5})
    output = tmp_path / "out"
    assert (output / "config.json").read_text() == "0.0001"
    assert FinetuneRecipe.load(output / "recipe.toml") == sweep(tmp_path).recipe
    assert space_of(read_toml(output / "grid.toml"), "sequence_classification") == SPACE
    contents = recorded(tmp_path)
    assert contents["best"] == 3
    assert contents["runs"][0]["settings"] == {
        "optimizer.learning_rate": 1e-5,
        "train.batch_size": 8,
    }


def test_an_interrupted_sweep_goes_on_where_it_was(
    tmp_path: Path, ran: list[FinetuneRecipe]
) -> None:
    space = {"optimizer.learning_rate": [1e-5, 15, 1e-4]}
    stopped = sweep(tmp_path, space).run()
    assert stopped.stopped_by == signal.SIGTERM
    assert stopped.best is None
    assert [trial.is_finished for trial in stopped.trials] == [True, False]
    assert not (tmp_path / "out" / "config.json").exists()
    ran.clear()
    outcome = sweep(tmp_path, space).run(resume=True)
    assert [recipe.optimizer.learning_rate for recipe in ran] == [15, 1e-4]
    assert ran[0].train.output.name == "trial-002"
    assert outcome.best is not None
    assert outcome.best.number == 3
    ran.clear()
    assert sweep(tmp_path, space).run(resume=True).trials == outcome.trials
    assert ran == []


def test_trials_that_fail_do_not_stop_the_others(tmp_path: Path, ran: list[FinetuneRecipe]) -> None:
    outcome = sweep(tmp_path, {"optimizer.learning_rate": [666, 404, 1e-4]}).run()
    problems = [trial.problem for trial in outcome.trials]
    assert problems == ["the loss is nan", "model.reinit_layers (9) must be at most 2", None]
    assert outcome.best is not None
    assert outcome.best.number == 3


def test_a_first_trial_that_cannot_begin_ends_the_sweep(
    tmp_path: Path, ran: list[FinetuneRecipe]
) -> None:
    with pytest.raises(ConfigError, match="reinit_layers"):
        sweep(tmp_path, {"optimizer.learning_rate": [404, 1e-4]}).run()
    assert len(ran) == 1
    with pytest.raises(DataError, match="no trial has a model: the loss is nan"):
        sweep(tmp_path / "other", {"optimizer.learning_rate": [666]}).run()


def test_a_search_goes_on_from_its_trials(tmp_path: Path, ran: list[FinetuneRecipe]) -> None:
    pytest.importorskip("optuna")
    space = {"optimizer.learning_rate": Range(1e-6, 1e-2, is_log=True)}
    outcome = sweep(tmp_path, space, 3).run()
    whole = sweep(tmp_path, space, 7).run(resume=True)
    assert whole.trials[:3] == outcome.trials
    assert len(ran) == len(whole.trials) == 7
    at_once = sweep(tmp_path / "other", space, 7).run()
    assert [t.settings for t in at_once.trials] == [t.settings for t in whole.trials]
    assert whole.best is not None
    assert whole.best.figures["accuracy"] == max(t.figures["accuracy"] for t in whole.trials)


def test_a_search_ends_when_everything_has_been_tried(
    tmp_path: Path, ran: list[FinetuneRecipe]
) -> None:
    pytest.importorskip("optuna")
    outcome = sweep(tmp_path, {"train.batch_size": [8, 16]}, 5).run()
    assert len(outcome.trials) == 2
    assert outcome.best is not None


def test_another_sweep_is_refused(tmp_path: Path, ran: list[FinetuneRecipe]) -> None:
    sweep(tmp_path).run()
    with pytest.raises(ConfigError, match=r"holds runs already \(sweep.json\)"):
        sweep(tmp_path).run()
    with pytest.raises(ConfigError, match=r"the grid's train.batch_size is \[8\] and the runs in"):
        sweep(tmp_path, SPACE | {"train.batch_size": [8]}).run(resume=True)
    with pytest.raises(ConfigError, match=r"train.steps is 3 and .* made with 60"):
        sweep(tmp_path, steps=3).run(resume=True)
    with pytest.raises(ConfigError, match=r"num_seeds is 2 and .* made with 1"):
        sweep(tmp_path, SPACE, None, 2).run(resume=True)


def test_what_the_model_has_not_got_leaves_nothing(start: Path, tmp_path: Path) -> None:
    recipe = mood_recipe(start, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"model.reinit_layers \(3\) must be at most 2"):
        Sweep(recipe, {"model.reinit_layers": [3, 1]}).run()
    assert not (tmp_path / "out").exists()


def test_what_cannot_work_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer.learning_rate \(-1\) must be a number above"):
        sweep(tmp_path, {"optimizer.learning_rate": [1e-5, -1]})
    with pytest.raises(ConfigError, match=r"number of trials \(0\) must be at least 1"):
        sweep(tmp_path, SPACE, 0)
    with pytest.raises(ConfigError, match=r"number of seeds \(0\) must be at least 1"):
        sweep(tmp_path, SPACE, None, 0)
    recipe = mood_recipe(Path("start"), tmp_path / "out", data={"eval": None})
    with pytest.raises(ConfigError, match="eval is not set; trials are compared"):
        Sweep(recipe, SPACE)
    assert not (tmp_path / "out").exists()


# A real sweep, two seeds a trial, that dies without a word when its second trial has begun.
KILLED = """
import os, signal, sys
from bertsmith import FinetuneRecipe
from bertsmith.training.sweep import Sweep

def deadly(preparation, seen=[]):
    seen.append(preparation)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Sweep(FinetuneRecipe.load(sys.argv[1]), SPACE, None, 2).run(on_prepared=deadly)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")
def test_a_killed_sweep_goes_on_and_the_mean_over_seeds_decides(
    start: Path, tmp_path: Path
) -> None:
    train = {"steps": 30, "eval_every_steps": 15, "checkpoint_every_steps": 30}
    recipe = mood_recipe(start, tmp_path / "out", train=train)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml())
    space = {"optimizer.learning_rate": [1e-6, 3e-3]}
    code = KILLED.replace("SPACE", repr(space))
    done = subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    prepared: list[Any] = []
    outcome = Sweep(recipe, space, None, 2).run(resume=True, on_prepared=prepared.append)
    assert len(prepared) == 2
    assert outcome.best is not None
    assert outcome.best.settings == {"optimizer.learning_rate": 3e-3}
    runs = json.loads((tmp_path / "out" / "trial-002" / "seeds.json").read_text())["runs"]
    mean = sum(run["figures"]["accuracy"] for run in runs) / 2
    assert outcome.best.figures["accuracy"] == pytest.approx(mean)
    best = max(run["figures"]["accuracy"] for run in runs)
    assert evaluate_file(tmp_path / "out", start / "dev.tsv")["accuracy"] == best
    assert not (tmp_path / "out" / "seeds.json").exists()
