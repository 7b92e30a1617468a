"""What is left of a run that is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.training.mood_runs import mood_recipe, write_start

from bertsmith.errors import ConfigError, DataError
from bertsmith.training import run as module
from bertsmith.training.checkpoint import TrainingState
from bertsmith.training.ended_run import FILE, has_length_of, read_ended_run, write_ended_run
from bertsmith.training.finetuning import finetune
from bertsmith.training.outcome import Outcome

STATE = TrainingState(step=7, best_step=3, best_figures={"f1": 0.5}, recipe={"train": {"steps": 7}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    return tmp_path


def test_an_end_is_read_as_it_was_written(folder: Path) -> None:
    for outcome in (
        Outcome(STATE, {"f1": 0.5}),
        Outcome(STATE, {}, stopped_early=True),
        Outcome(STATE, {}, problem="one answer for everything"),
    ):
        write_ended_run(folder, outcome)
        assert read_ended_run(folder) == outcome


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"state": 3}', '{"state": {"a": 1}}'])
def test_a_damaged_file_is_none(folder: Path, content: str) -> None:
    (folder / FILE).write_text(content)
    assert read_ended_run(folder) is None


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", FILE])
def test_without_its_model_a_run_is_not_over(folder: Path, missing: str) -> None:
    write_ended_run(folder, Outcome(STATE, {}))
    assert read_ended_run(folder) is not None
    (folder / missing).unlink()
    assert read_ended_run(folder) is None


def test_a_length_may_be_said_in_several_ways() -> None:
    recipe = {"train": {"steps": 7, "epochs": 3.0, "seed": 1}}
    assert has_length_of(recipe, {"train": {"steps": 7, "epochs": 3.0, "seed": 2}})
    assert not has_length_of(recipe, {"train": {"steps": 8, "epochs": 3.0}})
    assert not has_length_of(recipe, {"train": {"steps": None, "epochs": 3.0}})
    assert not has_length_of(recipe, {"train": recipe["train"] | {"budget_minutes": 1.0}})


def test_a_run_that_was_killed_while_its_model_was_written_ends_again(tmp_path: Path) -> None:
    start = write_start(tmp_path)
    recipe = mood_recipe(start, tmp_path / "run", train={"steps": 4, "keep_checkpoints": 0})
    outcome = finetune(recipe).outcome
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    # run.json is there, the model is not yet: the run is done again, to the same end.
    (tmp_path / "run" / "model.safetensors").unlink()
    (tmp_path / "run" / "config.json").unlink()
    again = finetune(recipe, resume=True).outcome
    assert again.figures == outcome.figures
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights
    # All is there but what comes after the weights, and checkpoints that were to be removed.
    (tmp_path / "run" / "vocab.txt").unlink()
    (tmp_path / "run" / "checkpoints" / "step-00000002").mkdir(parents=True)
    assert finetune(recipe, resume=True).outcome == again
    assert (tmp_path / "run" / "vocab.txt").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_longer_run_whose_model_cannot_be_written_is_not_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, folder = write_start(tmp_path), tmp_path / "run"
    short, long = (
        mood_recipe(start, folder, data={"eval": None}, train={"steps": steps, "report": False})
        for steps in (6, 12)
    )
    finetune(short)
    weights = (folder / "model.safetensors").read_bytes()

    def fail(*_: object) -> None:
        raise DataError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_model", fail)
        with pytest.raises(DataError, match="the disk is full"):
            finetune(long, resume=True)
    assert (folder / "model.safetensors").read_bytes() == weights
    assert read_ended_run(folder) is None
    assert finetune(long, resume=True).outcome.state.step == 12
    saved = load_file(folder / "model.safetensors")
    last = load_file(folder / "checkpoints" / "step-00000012" / "model.safetensors")
    assert all(saved[name].equal(last[name]) for name in saved)
    ended = read_ended_run(folder)
    assert ended is not None
    assert ended.state.step == 12


@pytest.mark.parametrize("shorter", [{"steps": 3}, {"steps": None, "epochs": 0.5}])
def test_a_run_that_is_to_end_earlier_than_it_did_is_refused_and_stays_as_it_was(
    tmp_path: Path, shorter: dict[str, object]
) -> None:
    start, folder = write_start(tmp_path), tmp_path / "run"
    finetune(mood_recipe(start, folder, train={"steps": 6, "report": False}))

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = contents()
    assert folder / FILE in before
    with pytest.raises(ConfigError, match="has done 6 steps already and is to end after"):
        finetune(mood_recipe(start, folder, train=shorter), resume=True)
    assert contents() == before
