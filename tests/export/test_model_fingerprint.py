"""A fingerprint is of what decides a model's answers, and of nothing else."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from bertsmith.export.model_fingerprint import model_fingerprint

FILES = (
    "config.json",
    "model.safetensors",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "model"


@pytest.mark.parametrize("name", FILES)
def test_each_file_of_a_model_counts(folder: Path, name: str) -> None:
    before = model_fingerprint(folder)
    (folder / name).write_text("changed")
    changed = model_fingerprint(folder)
    (folder / name).unlink()
    assert len({before, changed, model_fingerprint(folder)}) == 3


@pytest.mark.parametrize("name", ["results.json", "README.md", "metrics.jsonl", "checkpoints/x"])
def test_what_a_run_leaves_beside_it_does_not(folder: Path, name: str) -> None:
    before = model_fingerprint(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("more")
    assert model_fingerprint(folder) == before


def test_a_copy_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert model_fingerprint(tmp_path / "copy") == model_fingerprint(str(folder))


def test_of_a_tensorflow_checkpoint_all_files_of_its_prefix_count(tmp_path: Path) -> None:
    for name in ("bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001", "vocab.txt"):
        (tmp_path / name).write_text(name)
    seen = {model_fingerprint(tmp_path / "bert_model.ckpt")}
    for path in sorted(tmp_path.iterdir()):
        path.write_text("changed")
        seen.add(model_fingerprint(tmp_path / "bert_model.ckpt"))
    assert len(seen) == 4
    (tmp_path / "other").write_text("")
    assert model_fingerprint(tmp_path / "bert_model.ckpt") in seen
    # One of the files stands for all of them.
    one = tmp_path / "bert_model.ckpt.index"
    assert model_fingerprint(one) == model_fingerprint(tmp_path / "bert_model.ckpt")


@pytest.mark.parametrize("end", ["index", "data-00000-of-00001"])
def test_the_weights_of_a_folder_with_a_tensorflow_checkpoint_count(
    tmp_path: Path, end: str
) -> None:
    names = ["ckpt-1.index", "ckpt-1.data-00000-of-00001", "vocab.txt", "bert_config.json"]
    for name in names:
        (tmp_path / name).write_text(name)
    before = model_fingerprint(tmp_path)
    (tmp_path / f"ckpt-1.{end}").write_text("changed")
    assert model_fingerprint(tmp_path) != before


def test_a_zip_is_one_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("bert_model.ckpt.index", "")
    before = model_fingerprint(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip", "a") as archive:
        archive.writestr("vocab.txt", "")
    assert model_fingerprint(tmp_path / "model.zip") != before


def test_a_checkpoint_in_the_current_folder_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert_model.ckpt.index").write_text("")
    asked: list[str] = []
    monkeypatch.setattr("bertsmith.export.model_fingerprint.fetch_from_hub", asked.append)
    assert model_fingerprint("bert_model.ckpt") == model_fingerprint(tmp_path / "bert_model.ckpt")
    assert not asked
