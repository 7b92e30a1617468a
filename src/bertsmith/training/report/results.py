"""results.json: what a model reached on which data, for programs; the card and `info` read it.

It has figures, settings, fingerprints of files and versions, and neither texts of records nor
paths. A number that is not finite is null.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bertsmith.data.record_source import RecordSource
from bertsmith.errors import CheckpointError
from bertsmith.export.source_kind import SourceKind, source_kind
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.outcome import Outcome
from bertsmith.training.report.findings import Findings
from bertsmith.training.settings import Settings
from bertsmith.version import own_version

RESULTS = "results.json"
FORMAT = 1
# Settings that do not bear on the result.
_ASIDE = {"output", "device", "num_threads", "keep_checkpoints", "checkpoint_every_steps", "init"}


@dataclass(frozen=True)
class DataFile:
    """A file of records, so that it can be known again."""

    file: str
    """Its name without folders; or that of a data set."""
    records: int
    sha256: str | None
    """Of its bytes; None for what is no file."""

    @classmethod
    def of(cls, source: RecordSource, split: str, num_records: int) -> DataFile:
        """Read a file once more for its fingerprint."""
        name = Path(source.where).name if source.named is None else str(source.where)
        path = source.file(split)
        if path is None:
            return cls(name, num_records, None)
        with path.open("rb") as file:
            return cls(name, num_records, hashlib.file_digest(file, "sha256").hexdigest())


def model_results(
    findings: Findings | None,
    *,
    name: str,
    task: RecordTask,
    model: BertForTasks,
    tokenizer: Tokenizer,
    evaluation: DataFile | None,
    training: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What results.json holds.

    Args:
        findings: on the evaluation file; None without one.
        name: of the model: its folder's, without those before it.
        task: the model's.
        model: as it is kept.
        tokenizer: the model's.
        evaluation: the evaluation file.
        training: what `training_results` gives; None where the model was not trained just now.
    """
    settings = task.settings()
    config = model.config
    results: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "task": task.name,
        "labels": settings.get("labels"),
        "task_settings": {
            key: value for key, value in settings.items() if key not in ("labels", "columns")
        },
        "model": {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "encoder": config.encoder,
            "features": None if model.features is None else model.features.settings.to_dict(),
            "lowercase": tokenizer.lowercase,
            "max_length": tokenizer.limit(config.max_position_embeddings),
        },
        "evaluation": evaluation and dataclasses.asdict(evaluation),
        "findings": findings and findings.to_dict(),
        "training": training,
        "versions": {
            "bertsmith": own_version(),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
    finite: dict[str, Any] = _finite(results)
    return finite


def training_results(
    recipe: FinetuneRecipe,
    outcome: Outcome,
    *,
    train_file: DataFile,
    num_examples: int,
    label_counts: Mapping[str, int],
) -> dict[str, Any]:
    """What is to be known about a run besides its figures."""
    state = outcome.state
    start = str(recipe.model.init)
    is_start_of_hub = source_kind(start) is SourceKind.HUB
    settings = {
        section: _settings_of(getattr(recipe, section))
        for section in ("model", "train", "optimizer", "schedule")
    }
    if recipe.train.steps is not None or recipe.train.budget_minutes is not None:
        del settings["train"]["epochs"]  # which was not read
    return {
        **dataclasses.asdict(train_file),
        "examples": num_examples,
        "label_counts": dict(label_counts),
        # A name of the hub is for everyone, a path of this machine for nobody.
        "start": start if is_start_of_hub else Path(start).name,
        "is_start_of_hub": is_start_of_hub,
        "steps": state.step,
        "kept_step": state.step if state.best_step is None else state.best_step,
        "tokens": state.tokens,
        "seconds": round(state.elapsed_seconds),
        "stopped_early": outcome.stopped_early,
        "settings": settings,
    }


def results_bytes(results: Mapping[str, Any]) -> bytes:
    """The file."""
    return (json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_results(folder: str | Path) -> dict[str, Any] | None:
    """The results.json of a folder; None where there is none.

    Raises:
        CheckpointError: it is damaged, or of a later version.
    """
    path = Path(folder) / RESULTS
    try:
        results = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        results = None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is damaged or of another version; delete it, the model does not need it"
        )
    return results


def _settings_of(section: Settings) -> dict[str, Any]:
    """What is set, but for paths."""
    return {
        name: value
        for name, value in section.to_dict().items()
        if name not in _ASIDE and not isinstance(getattr(section, name), Path)
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
