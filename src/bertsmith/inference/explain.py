"""What a path holds: vocabulary, prepared corpus, recipe, model or checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bertsmith.data.corpus_report import describe
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.exported_folder import read_facts
from bertsmith.export.model_folder import load_model
from bertsmith.export.model_source import EXPORT
from bertsmith.export.shipped_models import named_folder
from bertsmith.export.tensorflow_files import is_tensorflow_checkpoint
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.checkpoint import STATE_FILE, Checkpoints, read_state
from bertsmith.training.finetune_recipe import FinetuneRecipe, with_task
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.recipe_file import read_toml
from bertsmith.training.report.results import read_results

# Of a run's folder.
_RECIPE, _CHECKPOINTS = "recipe.toml", "checkpoints"


def explain(path: str | Path) -> dict[str, Any]:
    """Say what is at a path, JSON-ready; `kind` says what it is.

    Raises:
        BertsmithError: there is nothing, or nothing that this package writes or reads.
    """
    path = named_folder(path)
    for kind, is_one, facts in _KINDS:
        if is_one(path):
            return {"kind": kind, "path": str(path)} | facts(path)
    if not path.exists():
        raise ConfigError(f"{path} does not exist; name a file or a folder")
    raise ConfigError(
        f"{path} is not a vocabulary, a prepared corpus, a recipe, a model or a checkpoint; those "
        "are known by vocab.txt or tokenizer.json, manifest.json, .toml, config.json and "
        f"{STATE_FILE}"
    )


def _corpus(path: Path) -> dict[str, Any]:
    return describe(path)


def _checkpoint(path: Path) -> dict[str, Any]:
    state = read_state(path)
    file = path.parent.parent / _RECIPE if path.parent.name == _CHECKPOINTS else None
    return {
        "step": state.step,
        "tokens": state.tokens,
        "elapsed_seconds": round(state.elapsed_seconds),
        "best_step": state.best_step,
        "best_figures": state.best_figures,
        "recipe": state.recipe,
        "verb": _verb(state.recipe),
        "recipe_file": str(file) if file is not None and file.is_file() else None,
    } | _model(path)


def _unfinished_run(path: Path) -> dict[str, Any]:
    state, file = Checkpoints(path / _CHECKPOINTS, keep=1).latest(), path / _RECIPE
    recipe = read_toml(file) if state is None else state.recipe
    done = {"step": 0} if state is None else {"step": state.step, "tokens": state.tokens}
    return done | {"recipe": recipe, "verb": _verb(recipe), "recipe_file": str(file)}


def _model(path: Path) -> dict[str, Any]:
    loaded = load_model(path)
    parameters = list(loaded.model.parameters())
    report = loaded.report
    results = read_results(path) if path.is_dir() else None
    return {
        "tasks": [task.name for task in loaded.model.tasks],
        "answers_records": any(isinstance(task, RecordTask) for task in loaded.model.tasks),
        "num_parameters": sum(parameter.numel() for parameter in parameters),
        "config": loaded.model.config.to_dict(),
        "lowercase": loaded.tokenizer.lowercase,
        "normalization": loaded.tokenizer.normalization,
        "max_length": loaded.tokenizer.limit(loaded.model.config.max_position_embeddings),
        "vocabulary_entries": loaded.tokenizer.vocab_size,
        "weights": {
            "used": len(report.used),
            "new": report.new,
            "left_over": report.left_over,
        },
        "weight_lines": report.lines(),
    } | ({} if results is None else {"results": results})


def _exported(path: Path) -> dict[str, Any]:
    return read_facts(path)


def _vocabulary(path: Path) -> dict[str, Any]:
    tokenizer = Tokenizer.load(path)
    pieces = tokenizer.vocabulary.pieces
    return {
        "vocab_size": tokenizer.vocab_size,
        "lowercase": tokenizer.lowercase,
        "normalization": tokenizer.normalization,
        "sha256": tokenizer.vocabulary.sha256,
        "continuations": int(tokenizer.vocabulary.is_continuation.sum()),
        "unused": sum(piece.startswith("[unused") for piece in pieces),
        "longest": max(pieces, key=len),
    }


def _recipe(path: Path) -> dict[str, Any]:
    """Every setting, those that the file leaves at their defaults too."""
    verb = _verb(read_toml(path))
    recipe = (FinetuneRecipe if verb == "finetune" else PretrainRecipe).load(path)
    return {"verb": verb, "settings": recipe.to_dict()}


def _verb(recipe: Mapping[str, Any]) -> str:
    """Which verb a recipe is for; a data set that has a name brings a task with it."""
    return "finetune" if "task" in with_task(recipe) else "pretrain"


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda path: path.is_dir() and any((path / name).is_file() for name in names)


def _is_tokenizer_file(path: Path) -> bool:
    if not path.is_file() or path.suffix not in (".txt", ".json"):
        return False
    if path.suffix == ".txt":
        with path.open("rb") as file:  # Google's vocabularies have [UNK] in line 101
            return b"[UNK]" in file.read(2**16).split()
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not valid JSON ({error}); copy it again from its source"
        ) from None
    return isinstance(values, dict) and "model" in values


# The first that fits: a checkpoint is also a model, and a model or a corpus has a vocabulary.
_KINDS: tuple[tuple[str, Callable[[Path], bool], Callable[[Path], dict[str, Any]]], ...] = (
    ("corpus", _has("manifest.json"), _corpus),
    ("checkpoint", _has(STATE_FILE), _checkpoint),
    ("exported model", _has(EXPORT), _exported),
    ("model", _has("config.json"), _model),
    ("model", is_tensorflow_checkpoint, _model),
    ("vocabulary", _has("vocab.txt", "tokenizer.json"), _vocabulary),
    ("unfinished run", _has(_RECIPE), _unfinished_run),
    ("recipe", lambda path: path.is_file() and path.suffix == ".toml", _recipe),
    ("vocabulary", _is_tokenizer_file, _vocabulary),
)
