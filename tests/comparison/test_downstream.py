"""The tasks of a folder, and the recipes that learn them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.comparison.downstream import TASKS, finetune_recipe_of, tasks_in
from bertsmith.errors import ConfigError, DataError
from bertsmith.training.finetuning import task_of


def test_every_task_of_the_shared_data_has_its_files(shared_data: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"hidden_size": 64, "num_hidden_layers": 3}')
    found = tasks_in(shared_data / "tasks", None)
    assert [task.name for task in found] == list(TASKS)
    for task in found:
        recipe = finetune_recipe_of(
            task,
            model,
            "features",
            seed=3,
            max_seqlen=64,
            limit=20,
            output=tmp_path / "run",
            settings={"train": {"epochs": 7}},
        )
        assert recipe.train.epochs == 7
        assert recipe.train.seed == 3
        assert recipe.features.layers == ("embeddings", 0, 1, 2)
        assert recipe.features.layer_norm
        assert recipe.features.lstm_hidden_size == 32
        assert recipe.data.max_train_records == 20
        task_of(recipe)
        assert next(recipe.data.train_source().read("train"))
        assert all(next(source.read("dev")) for source in recipe.data.eval_sources().values())


def test_mrpc_is_measured_as_in_the_table_beside_it(tmp_path: Path) -> None:
    """Table 5 of the paper has accuracies of MRPC; table 1 and GLUE have F1."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"hidden_size": 64, "num_hidden_layers": 3}')
    (mrpc,) = tasks_in(tmp_path, ["mrpc"])
    recipe = finetune_recipe_of(
        mrpc,
        model,
        "finetune",
        seed=1,
        max_seqlen=64,
        limit=None,
        output=tmp_path / "run",
        settings={},
    )
    assert task_of(recipe).figure == "accuracy"
    assert recipe.task["labels"] == ["0", "1"]


def test_a_task_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'sst' is not a task here; those are sst2, mrpc"):
        tasks_in(tmp_path, ["sst"])


def test_all_of_squad_is_taken_before_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "squad").mkdir()
    for name in ("train-v1.1-part.json", "dev-v1.1.json"):
        (tmp_path / "squad" / name).touch()
    (part,) = tasks_in(tmp_path, ["squad"])
    assert Path(part.data["train"]).name == "train-v1.1-part.json"
    (tmp_path / "squad" / "train-v1.1.json").touch()
    (whole,) = tasks_in(tmp_path, ["squad"])
    assert Path(whole.data["train"]).name == "train-v1.1.json"


def test_a_folder_without_squad_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave squad out with --tasks"):
        tasks_in(tmp_path, ["squad"])
    with pytest.raises(DataError, match="is not a folder"):
        tasks_in(tmp_path / "none", None)
