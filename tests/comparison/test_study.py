"""A comparison does everything once, whatever interrupts it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.comparison.studies import small_plan, small_study

from bertsmith.comparison import cells as module
from bertsmith.comparison.cells import Cell
from bertsmith.comparison.downstream import Downstream, tasks_in
from bertsmith.comparison.study import Results, Study
from bertsmith.comparison.system import FROZEN, WHOLE, PretrainedModel
from bertsmith.comparison.table import as_json, markdown, result_rows, score
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.model_folder import load_model
from bertsmith.tasks.next_token import NextToken
from bertsmith.training import finetuning
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.trainer import DivergedError

NAMES = ["glove", "gpt", "gpt_bilstm"]


def test_an_interrupted_comparison_goes_on_and_repeats_nothing(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(material, tmp_path / "out", NAMES)
    done: Counter[str] = Counter()
    original = finetuning.finetune

    def counted(recipe: FinetuneRecipe, **options: Any) -> Any:
        if len(done) == 4 and not done["interruption"]:
            done["interruption"] += 1
            raise KeyboardInterrupt
        finetuned = original(recipe, **options)
        done[recipe.train.output.name] += 1
        return finetuned

    monkeypatch.setattr(module, "finetune", counted)
    with pytest.raises(KeyboardInterrupt):
        study.run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.json")}
    results = study.run()
    done.pop("interruption")
    # Two systems in two modes and one in one, with two seeds.
    assert len(results.cells) == len(done) == 10
    assert set(done.values()) == {1}
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before
    assert not list((tmp_path / "out" / "runs").iterdir())
    assert all(cell.figure == "accuracy" and cell.problem is None for cell in results.cells)
    folders = study.model_folders()
    assert list(folders) == ["GloVe", "GPT (LTR & No NSP)"]
    assert load_model(folders["GloVe"]).model.config.encoder == "static_vectors"
    assert study.run().cells == results.cells
    assert set(done.values()) == {1}

    text = markdown(study, results)
    assert text.count("| GPT (LTR & No NSP) |") == 3
    assert "mean ± standard deviation over 2 seeds" in text
    values = json.loads(json.dumps(as_json(study, results)))
    assert len(values["scores"]) == 5
    assert len(values["cells"]) == 10
    frozen = next(c for c in results.cells if (c.system, c.mode) == ("gpt", "frozen features"))
    whole = next(c for c in results.cells if (c.system, c.mode) == ("gpt", "fine-tuned"))
    bilstm = next(c for c in results.cells if c.system == "gpt_bilstm")
    assert frozen.trained_parameters < whole.trained_parameters < bilstm.trained_parameters


@pytest.mark.slow
def test_several_processes_learn_the_same(material: Path, tmp_path: Path) -> None:
    study = small_study(material, tmp_path / "out", ["glove", "gpt"], num_seeds=1)
    alone = study.run().cells
    for cell in alone[1:]:  # all but one are made again
        (tmp_path / "out" / "cells" / cell.file_name).unlink()
    said: list[str] = []
    together = study.run(workers=2, say=said.append).cells
    assert [dataclasses.replace(cell, seconds=0.0) for cell in together] == [
        dataclasses.replace(cell, seconds=0.0) for cell in alone
    ]
    assert len(said) == len(alone) - 1
    for line, cell in zip(said, together[1:], strict=True):
        assert line.endswith(f"{cell}, accuracy {cell.value:.4f}, {cell.seconds:.1f} s")
    assert said[0].startswith("2 of 4: sst2 on glove")
    assert not list((tmp_path / "out" / "runs").iterdir())


def test_a_signal_while_pre_training_is_obeyed_and_gone_on_from(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(material, tmp_path / "out", ["gpt"], num_seeds=1)
    calls: list[None] = []
    original = NextToken.loss

    def stop_later(self: NextToken, *args: Any) -> Any:
        calls.append(None)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(NextToken, "loss", stop_later)
        assert study.run().stopped_by == signal.SIGTERM
    assert not list((tmp_path / "out" / "pretrained").iterdir())
    results = study.run()
    assert results.stopped_by is None
    assert results.pretrained["gpt"].steps == 4


def test_a_run_that_diverges_is_a_result(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*_: Any, **__: Any) -> Any:
        raise DivergedError("loss is nan at step 3")

    monkeypatch.setattr(module, "finetune", diverges)
    study = small_study(material, tmp_path / "out", ["glove"], num_seeds=1)
    results = study.run()
    assert {cell.problem for cell in results.cells} == {"loss is nan at step 3"}
    assert "| diverged |" in markdown(study, results)
    # The page has the same rows, and not one fewer for what came to nothing.
    rows = result_rows(study, results)
    assert [(each.mean, each.n, each.num_failed) for each in rows] == [(None, 1, 1)] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 5}, "limit is 5 and the comparison in .* was begun with None"),
        (
            {"settings": {"train": {"epochs": 2}}},
            r"settings is train.epochs = 2 and .* train.epochs = 1",
        ),
        ({"tokens": 4096}, "plan is tokens = 4096 .* tokens = 2048"),
    ],
)
def test_another_comparison_is_not_mixed_in(
    changes: dict[str, Any], message: str, material: Path, tmp_path: Path
) -> None:
    first = small_study(material, tmp_path / "out", ["glove"], tasks=[])
    first.run()
    if "tokens" in changes:
        changes = {"plan": small_plan(material, **changes)}
    with pytest.raises(ConfigError, match=message):
        small_study(material, tmp_path / "out", ["glove"], **changes).run()


def test_figures_of_another_folder_of_tasks_are_not_taken_for_its_own(
    material: Path, tmp_path: Path
) -> None:
    def study(*tasks: Downstream) -> Study:
        return small_study(material, tmp_path / "out", ["glove"], tasks=tasks, num_seeds=1)

    (sst2,) = tasks_in(material / "tasks", ["sst2"])
    study(sst2).run()
    other = tmp_path / "other"
    shutil.copytree(material / "tasks", other)
    (moved,) = tasks_in(other, ["sst2"])
    message = rf"tasks is sst2.data.folder = {other} and .* was begun with sst2.data.folder = "
    with pytest.raises(ConfigError, match=message):
        study(moved).run()
    # Another task may come from there, and is remembered beside the first.
    mood = dataclasses.replace(moved, name="mood", title="mood")
    assert len(study(mood).run().cells) == 2
    study(sst2, mood).run()
    with pytest.raises(ConfigError, match=r"tasks is mood\.data\.folder"):
        study(dataclasses.replace(sst2, name="mood", title="mood")).run()


def test_more_seeds_are_added(material: Path, tmp_path: Path) -> None:
    small_study(material, tmp_path / "out", ["glove"], num_seeds=1).run()
    results = small_study(material, tmp_path / "out", ["glove"], num_seeds=2).run()
    assert len({cell.seed for cell in results.cells}) == 2


def test_a_folder_of_something_else_is_left_alone(material: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match=r"something else than a comparison \(letter.txt\)"):
        small_study(material, tmp_path, ["glove"]).run()


def test_a_damaged_cell_is_named(material: Path, tmp_path: Path) -> None:
    study = small_study(material, tmp_path / "out", ["glove"], num_seeds=1)
    study.run()
    path = next((tmp_path / "out" / "cells").iterdir())
    path.write_text("{")
    with pytest.raises(CheckpointError, match="is damaged; remove it"):
        study.run()


@pytest.mark.parametrize("changes", [{"num_seeds": 0}, {"limit": 0}])
def test_numbers_that_cannot_be_are_refused(
    changes: dict[str, int], material: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        small_study(material, tmp_path / "out", ["glove"], **changes)


def test_what_failed_and_what_the_majority_gives_stand_beside_the_mean(
    material: Path, tmp_path: Path
) -> None:
    study = small_study(material, tmp_path / "out", ["glove"])
    made = PretrainedModel(
        parameters=1, layer_parameters=0, tokens=9, steps=1, seconds=1.0, figures={}
    )
    figures = {"accuracy": 0.9, "majority_accuracy": 0.5}
    cells = [
        Cell(
            task="sst2",
            system="glove",
            mode=FROZEN,
            seed=seed,
            figure=None if seed else "accuracy",
            figures={} if seed else figures,
            problem="diverged" if seed else None,
        )
        for seed in range(3)
    ]
    cells.append(Cell(task="sst2", system="glove", mode=WHOLE, seed=0, problem="diverged"))
    text = markdown(study, Results({"glove": made}, cells))
    assert "SST-2 (accuracy; majority 50.0) | trained" in text
    assert "| GloVe | frozen features | 90.0 (2 of 3 came to nothing) |" in text
    assert "| GloVe | fine-tuned | diverged |" in text


def test_the_spread_is_the_sample_s_deviation() -> None:
    cells = [
        Cell(task="t", system="s", mode="m", seed=seed, figure="f", figures={"f": value})
        for seed, value in enumerate([0.5, 0.7, 0.9])
    ]
    found = score([*cells, Cell(task="t", system="s", mode="m", seed=9, problem="diverged")])
    assert found is not None
    assert (found.mean, found.num_seeds) == (pytest.approx(0.7), 3)
    assert found.std == pytest.approx(0.2)
    assert score([]) is None
