"""Files of tensors by name: safetensors, PyTorch's, and either of them cut into shards.

Only tensors are read, never objects; their names and shapes are known before any is copied.
"""

from __future__ import annotations

import json
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bertsmith.errors import CheckpointError

SAFETENSORS = "model.safetensors"
PYTORCH = "pytorch_model.bin"
_INDEX = ".index.json"


class Weights(Mapping[str, Tensor]):
    """The tensors of a file, or of several; each is read when it is asked for.

    Args:
        files: the file of each tensor.
        source: what the weights are called in errors: the one file, or the index of several.
    """

    def __init__(self, files: Mapping[str, _File], source: Path) -> None:
        self._files = files
        self.source = source

    def __getitem__(self, name: str) -> Tensor:
        return self._files[name].tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return self._files[name].shapes[name]


def read_weights(folder: Path) -> Weights:
    """Open the weights of a folder: safetensors where it has both kinds.

    Raises:
        CheckpointError: there are none, or a file is missing, damaged, or holds anything else
            than tensors.
    """
    for name, kind in ((SAFETENSORS, _Safetensors), (PYTORCH, _PyTorch)):
        if (folder / name).exists():
            file = kind(folder / name)
            return Weights(dict.fromkeys(file.shapes, file), folder / name)
        if (folder / (name + _INDEX)).exists():
            return _read_shards(folder / (name + _INDEX), kind)
    raise CheckpointError(
        f"{folder / SAFETENSORS} does not exist; the folder holds no weights, neither there nor in "
        f"{PYTORCH}"
    )


def read_safetensors(path: Path) -> Weights:
    """Open one file, whatever its name.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    file = _Safetensors(path)
    return Weights(dict.fromkeys(file.shapes, file), path)


def has_weights(folder: Path) -> bool:
    """Whether the folder holds weights that `read_weights` would open."""
    names = (SAFETENSORS, PYTORCH)
    return any((folder / f"{name}{end}").exists() for name in names for end in ("", _INDEX))


def weights_in_memory(tensors: Mapping[str, Tensor], source: Path) -> Weights:
    """Tensors that have been read already, `source` being where from."""
    return Weights(dict.fromkeys(tensors, _Memory(source, tensors)), source)


def write_safetensors(
    file: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file; other threads of Python go on meanwhile.

    Raises:
        OSError: when the file cannot be written, as of every other file.
    """
    try:
        save_file(dict(tensors), file, metadata=metadata)
        # safetensors leaves files to their owner alone; as all others these follow the umask.
        file.chmod(_mode_of_new_files(file.parent))
    except SafetensorError as error:
        raise OSError(str(error)) from None


class _File(ABC):
    """One file; `shapes` has the shape of each tensor in it."""

    shapes: Mapping[str, tuple[int, ...]]

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def tensor(self, name: str) -> Tensor:
        """Read one."""


class _Safetensors(_File):
    """The header tells the shapes; the library holds it to the file's size."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        _check_readable(path)
        try:
            opened: Any = safe_open(path, framework="pt")
            self.shapes = {
                name: tuple(opened.get_slice(name).get_shape())
                for name in opened.keys()  # noqa: SIM118
            }
            self._opened = opened
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from None

    def tensor(self, name: str) -> Tensor:
        found: Tensor = self._opened.get_tensor(name)
        return found


class _PyTorch(_File):
    """Read with `weights_only`, which builds tensors and refuses every other object."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        _check_readable(path)
        # What is wrong with such a file comes as errors of a dozen kinds, and with advice to
        # switch the check off.
        try:
            found = self._load(path)
        except Exception as error:
            is_code = "weights_only" in str(error).lower() or "Unsupported" in str(error)
            reason = (
                "it holds objects that are not tensors, and code from a file is never run"
                if is_code
                else "it is damaged or not a file of PyTorch's"
            )
            raise CheckpointError(
                f"{path} was not opened: {reason}; get the model as safetensors"
            ) from None
        if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
            found = found["state_dict"]  # what trainers wrap around it
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
            raise CheckpointError(f"{path} holds no tensors by name; it is not a model's weights")
        self._tensors = {k: v for k, v in found.items() if isinstance(v, Tensor)}
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    @staticmethod
    def _load(path: Path) -> Any:
        # Files from before 2020 have another form, which cannot be mapped into memory.
        with path.open("rb") as file:
            is_mappable = file.read(2) == b"PK"
        with warnings.catch_warnings(action="ignore"):  # about files that are then refused
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mappable)

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]


class _Memory(_File):
    def __init__(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(path)
        self._tensors = tensors
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]


def _read_shards(index: Path, kind: type[_File]) -> Weights:
    try:
        values = json.loads(index.read_bytes())
        places = dict(values["weight_map"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{index} is no index of shards ({type(error).__name__}); it must be JSON with a "
            "weight_map from tensors to files"
        ) from None
    opened: dict[str, _File] = {}
    for name, file in places.items():
        if not isinstance(file, str) or not file.isprintable() or Path(file).name != (file or "/"):
            raise CheckpointError(f"{index} places {name} in {file!r}, which is no file beside it")
        if file not in opened:
            opened[file] = kind(index.parent / file)
        if name not in opened[file].shapes:
            raise CheckpointError(f"{index.parent / file} lacks {name}, which {index.name} says")
    return Weights({name: opened[file] for name, file in places.items()}, index)


def _check_readable(path: Path) -> None:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; fetch the folder again")
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path} cannot be read: permission denied")


def _mode_of_new_files(folder: Path) -> int:
    """What the system gives a file that is made in the folder now."""
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    return mode
