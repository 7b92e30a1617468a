"""How a folder of sentence-transformers makes one vector of a text.

Beside the model such a folder has modules.json, a list of steps: the Transformer, a pooling, and
perhaps a normalisation to length 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.errors import CheckpointError, ConfigError

MODULES = "modules.json"
_POOLING_FOLDER = "1_Pooling"
_LENGTH = "sentence_bert_config.json"
_SIMILARITY = "config_sentence_transformers.json"
POOLING_FILES = (MODULES, _POOLING_FOLDER, "2_Normalize", _LENGTH, _SIMILARITY)
"""What the library or `write_pooling` leaves in a folder beside the model's own files."""
# The way that names of one class differ over its versions does not matter; its last part is fixed.
_STEPS = ("Transformer", "Pooling", "Normalize")
_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
}
POOLINGS = tuple(_MODES.values())


@dataclass(frozen=True)
class Pooling:
    """From the vectors of a text's wordpieces to one of the text."""

    mode: str = "mean"
    """`mean` or `max` over all wordpieces, [CLS] and [SEP] among them, or `cls`, that of [CLS]."""
    normalize: bool = False
    """Whether vectors are scaled to length 1."""

    def __post_init__(self) -> None:
        if self.mode not in POOLINGS:
            raise ConfigError(f"pooling ({self.mode!r}) must be one of {', '.join(POOLINGS)}")


def read_pooling(folder: Path) -> Pooling | None:
    """What the folder says, or None where it is not of sentence-transformers.

    Raises:
        CheckpointError: a file is damaged, or there is a step that is not known here.
    """
    if not (folder / MODULES).is_file():
        return None
    steps = _read_json(folder / MODULES)
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise CheckpointError(f"{folder / MODULES} must hold a list of modules")
    kinds = [str(step.get("type")).rpartition(".")[2] for step in steps]
    other = next((kind for kind in kinds if kind not in _STEPS), None)
    if other is not None:
        raise CheckpointError(
            f"{folder / MODULES} has a step {other}, which is not known here; the steps that are: "
            f"{', '.join(_STEPS)}"
        )
    mode = "mean"
    if "Pooling" in kinds:
        path = str(steps[kinds.index("Pooling")].get("path"))
        if Path(path).name != path:
            raise CheckpointError(f"{folder / MODULES} has a path {path!r} that leaves the folder")
        mode = _mode(folder / path / "config.json")
    return Pooling(mode, normalize="Normalize" in kinds)


def read_max_length(folder: Path) -> int | None:
    """Where the folder says that texts are cut, if it does."""
    file = folder / _LENGTH
    values = _read_json(file) if file.is_file() else {}
    length = values.get("max_seq_length") if isinstance(values, dict) else None
    if length is not None and (not isinstance(length, int) or length < 3):
        raise CheckpointError(f"{file}: max_seq_length ({length!r}) must be 3 or more")
    return length


def write_pooling(folder: Path, pooling: Pooling, *, hidden_size: int, max_length: int) -> None:
    """Write the files that sentence-transformers reads beside a model's."""
    package = "sentence_transformers.models"
    steps = [("", "Transformer"), (_POOLING_FOLDER, "Pooling")]
    if pooling.normalize:
        steps.append(("2_Normalize", "Normalize"))
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"{package}.{kind}"}
        for index, (path, kind) in enumerate(steps)
    ]
    modes = {key: mode == pooling.mode for key, mode in _MODES.items()}
    contents: dict[str, Any] = {
        MODULES: modules,
        f"{_POOLING_FOLDER}/config.json": {"word_embedding_dimension": hidden_size} | modes,
        _LENGTH: {"max_seq_length": max_length, "do_lower_case": False},
        _SIMILARITY: {"similarity_fn_name": "cosine"},
    }
    for name, value in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _mode(file: Path) -> str:
    values = _read_json(file)
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{file} must hold an object")
    wanted = values.get("pooling_mode")
    modes = (
        [wanted]
        if wanted
        else [k for k in values if k.startswith("pooling_mode_") and values[k] is True]
    )
    names = [_MODES.get(str(mode), str(mode)) for mode in modes]
    if len(names) != 1 or names[0] not in POOLINGS:
        raise CheckpointError(
            f"{file} pools by {', '.join(names) or 'nothing'}; what is known here is one of "
            f"{', '.join(POOLINGS)}"
        )
    return names[0]


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON: {error}") from None
