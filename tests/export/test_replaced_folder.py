"""A model in the place of another: nothing of the earlier one decides what the folder answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.inference.conftest import save

from bertsmith.errors import CheckpointError
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.export.replaced_folder import replaced_folder
from bertsmith.export.sentence_transformers import Pooling
from bertsmith.inference.opened_model import open_model
from bertsmith.tasks.sequence_classification import SequenceClassification

GRAPHS = ["model.onnx", "openvino_model.xml", "openvino_model.bin"]
EXPORT = ["export.json", "heads.safetensors", *GRAPHS]
POOLING = ["1_Pooling", "modules.json", "sentence_bert_config.json"]
POOLING += ["config_sentence_transformers.json"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return save(tmp_path / "film", [SequenceClassification(labels=["bad", "good"])])


def test_a_model_in_the_place_of_an_export_is_opened_as_one(tmp_path: Path, film: Path) -> None:
    folder = save(tmp_path / "model", [])
    for name in EXPORT:
        (folder / name).write_text("{}")
    (folder / "notes.txt").write_text("mine")
    loaded = load_model(film)
    save_model(folder, loaded.model, loaded.tokenizer)
    assert names(folder) == sorted([*names(film), "notes.txt"])
    assert [task.name for task in open_model(folder).model.tasks] == ["sequence_classification"]


def test_an_earlier_pooling_goes_and_a_new_one_stays(tmp_path: Path, film: Path) -> None:
    loaded, folder = load_model(film), tmp_path / "model"
    save_model(folder, loaded.model, loaded.tokenizer, pooling=Pooling("cls", normalize=True))
    assert set(POOLING) <= set(names(folder))
    save_model(folder, loaded.model, loaded.tokenizer, pooling=Pooling("max"))
    assert load_model(folder).pooling == Pooling("max")
    save_model(folder, loaded.model, loaded.tokenizer)
    assert load_model(folder).pooling is None
    assert names(folder) == names(film)


def test_an_export_in_the_place_of_another_keeps_nothing_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    for name in (*EXPORT, *POOLING[1:], "config.json"):
        (folder / name).write_text("old")
    with replaced_folder(folder) as partial:
        for name in ("config.json", "export.json", "heads.safetensors", "model.onnx"):
            (partial / name).write_text("new")
    assert names(folder) == ["config.json", "export.json", "heads.safetensors", "model.onnx"]
    assert {path.read_text() for path in folder.iterdir()} == {"new"}


@pytest.mark.parametrize("is_exported", [False, True])
def test_an_interruption_at_any_place_leaves_no_mixture(
    tmp_path: Path, film: Path, is_exported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole before, whole after, or refused."""
    new, folder = load_model(film), tmp_path / "model"

    def lay_old() -> None:
        old = load_model(save(folder, [], positions=9))
        save_model(folder, old.model, old.tokenizer, pooling=Pooling("cls"))
        for name in EXPORT if is_exported else []:
            (folder / name).write_text("{}")

    def interrupted_at(count: int, original: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(path: Path, *arguments: Any, **settings: Any) -> Any:
            if path.parent in (folder, *tmp_path.glob(".model.*")) and next(calls) == count:
                raise KeyboardInterrupt
            return original(path, *arguments, **settings)

        return interrupted

    outcomes = set()
    for count in range(30):
        lay_old()
        calls = itertools.count()
        with monkeypatch.context() as patch:
            for name in ("replace", "unlink"):
                patch.setattr(Path, name, interrupted_at(count, getattr(Path, name)))
            try:
                save_model(folder, new.model, new.tokenizer)
            except KeyboardInterrupt:
                outcomes.add("interrupted")
            else:
                break
        if is_exported and (folder / "config.json").is_file():
            assert set(EXPORT) <= set(names(folder))
            outcomes.add("old")
            continue
        try:
            found = open_model(folder)
        except CheckpointError:
            outcomes.add("refused")
        else:
            assert found.pooling == Pooling("cls")
            assert found.model.config.max_position_embeddings == 9
            outcomes.add("old")
    assert outcomes == {"interrupted", "old", "refused"}
    # The same command then puts it right.
    assert names(folder) == names(film)
