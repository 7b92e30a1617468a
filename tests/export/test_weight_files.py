"""Files of weights of every form are read, and nothing but tensors is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bertsmith.errors import CheckpointError
from bertsmith.export.weight_files import read_weights

TENSORS = {"a.weight": torch.arange(12.0).view(3, 4), "b": torch.ones(2, dtype=torch.float16)}


def write_pytorch(folder: Path) -> None:
    torch.save(TENSORS, folder / "pytorch_model.bin")


def write_old_pytorch(folder: Path) -> None:
    torch.save(TENSORS, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def write_wrapped(folder: Path) -> None:
    torch.save({"state_dict": TENSORS, "epoch": 3}, folder / "pytorch_model.bin")


def write_safetensors(folder: Path) -> None:
    save_file(TENSORS, folder / "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"not looked at")


def write_shards(folder: Path, suffix: str = "safetensors") -> None:
    places = {}
    for number, (name, tensor) in enumerate(TENSORS.items(), 1):
        stem = "model" if suffix == "safetensors" else "pytorch_model"
        places[name] = f"{stem}-0000{number}-of-00002.{suffix}"
        if suffix == "safetensors":
            save_file({name: tensor}, folder / places[name])
        else:
            torch.save({name: tensor}, folder / places[name])
    index = f"{'model.safetensors' if suffix == 'safetensors' else 'pytorch_model.bin'}.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def write_pytorch_shards(folder: Path) -> None:
    write_shards(folder, "bin")


@pytest.mark.parametrize(
    "write",
    [
        write_pytorch,
        write_old_pytorch,
        write_wrapped,
        write_safetensors,
        write_shards,
        write_pytorch_shards,
    ],
)
def test_every_form_is_read(tmp_path: Path, write: Any) -> None:
    write(tmp_path)
    weights = read_weights(tmp_path)
    assert sorted(weights) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        assert weights.shape(name) == tuple(tensor.shape)
        assert weights[name].dtype == tensor.dtype
        assert torch.equal(weights[name], tensor)


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    for is_new in (True, False):
        torch.save(
            {"a": Evil(tmp_path / "made")},
            tmp_path / "pytorch_model.bin",
            _use_new_zipfile_serialization=is_new,
        )
        with pytest.raises(CheckpointError, match="code from a file is never run"):
            read_weights(tmp_path)
        assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("../model.safetensors", r"which is no file beside it"),
        ("/etc/passwd", "which is no file beside it"),
        (3, "which is no file beside it"),
        ("", "which is no file beside it"),
        ("model\0", "which is no file beside it"),
        ("model-00003-of-00002.safetensors", "does not exist; fetch the folder again"),
        ("model-00001-of-00002.safetensors", "lacks b, which"),
    ],
)
def test_an_index_names_files_beside_it(tmp_path: Path, place: Any, message: str) -> None:
    write_shards(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    values = json.loads(index.read_text())
    values["weight_map"]["b"] = place
    index.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', "\xff"])
def test_a_broken_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match="is no index of shards"):
        read_weights(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no weights, neither there nor in pytorch"):
        read_weights(tmp_path)


def test_a_header_of_ten_gigabytes_is_refused(tmp_path: Path) -> None:
    header = (10 * 2**30).to_bytes(8, "little")
    (tmp_path / "model.safetensors").write_bytes(header + b"{}")
    with pytest.raises(CheckpointError, match="is damaged or not a safetensors file"):
        read_weights(tmp_path)


@pytest.mark.parametrize("contents", [b"", b"abc" * 100, b"PK\x03\x04" + b"x" * 50])
def test_what_is_no_pytorch_file_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(contents)
    with pytest.raises(CheckpointError, match=r"is damaged or not a file of PyTorch's|holds obj"):
        read_weights(tmp_path)


def test_what_holds_no_names_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds no tensors by name"):
        read_weights(tmp_path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2000), value=st.integers(0, 255), cut=st.integers(0, 2000))
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damage_is_an_error_or_harmless(
    tmp_path: Path, name: str, place: int, value: int, cut: int
) -> None:
    file = tmp_path / name
    if name == "model.safetensors":
        save_file(TENSORS, file)
    else:
        torch.save(TENSORS, file)
    contents = bytearray(file.read_bytes())
    contents[place % len(contents)] = value
    damaged = contents[: len(contents) - cut % 3 * (cut % len(contents)) // 2]
    file.write_bytes(damaged)
    try:
        weights = read_weights(tmp_path)
        for each in weights:
            weights[each].float().sum()
    except CheckpointError:
        pass
    finally:
        file.unlink()
