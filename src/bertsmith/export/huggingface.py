"""Model folders in Hugging Face's layout: what `transformers` opens, and what it writes.

A folder holds config.json, model.safetensors and the vocabulary's files. Parameters have other
names there, and queries, keys and values are three matrices where ours are one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.atomic import atomic_folder
from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.ops.attention import Attention, auto
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import RecordTask, Task
from bertsmith.text.tokenizer import Tokenizer

# Ours → theirs; `{n}` stands for the number of a layer. Names not listed are kept.
_NAMES = {
    "bert.embeddings.wordpiece": "bert.embeddings.word_embeddings",
    "bert.embeddings.position": "bert.embeddings.position_embeddings",
    "bert.embeddings.segment": "bert.embeddings.token_type_embeddings",
    "bert.embeddings.layer_norm": "bert.embeddings.LayerNorm",
    "bert.encoder.layers.{n}.attention.qkv": "bert.encoder.layer.{n}.attention.self.{part}",
    "bert.encoder.layers.{n}.attention.output": "bert.encoder.layer.{n}.attention.output.dense",
    "bert.encoder.layers.{n}.attention_layer_norm": (
        "bert.encoder.layer.{n}.attention.output.LayerNorm"
    ),
    "bert.encoder.layers.{n}.feed_forward.intermediate": (
        "bert.encoder.layer.{n}.intermediate.dense"
    ),
    "bert.encoder.layers.{n}.feed_forward.output": "bert.encoder.layer.{n}.output.dense",
    "bert.encoder.layers.{n}.feed_forward_layer_norm": "bert.encoder.layer.{n}.output.LayerNorm",
    "bert.pooler.dense": "bert.pooler.dense",
    "heads.masked_lm.transform": "cls.predictions.transform.dense",
    "heads.masked_lm.layer_norm": "cls.predictions.transform.LayerNorm",
    "heads.next_sentence.classifier": "cls.seq_relationship",
    "heads.sequence_classification.classifier": "classifier",
}
_WHOLE_NAMES = {"heads.masked_lm.decoder_bias": "cls.predictions.bias"}
_QKV = ("query", "key", "value")

# What each of their classes is for; the folder's first architecture decides.
_ARCHITECTURES: Mapping[tuple[str, ...], str] = {
    ("masked_lm", "next_sentence"): "BertForPreTraining",
    ("masked_lm",): "BertForMaskedLM",
    ("next_sentence",): "BertForNextSentencePrediction",
    ("sequence_classification",): "BertForSequenceClassification",
}


@dataclass(frozen=True)
class LoadReport:
    """Which parameters a model took from a folder."""

    used: list[str]
    """Parameters of ours that were read."""
    new: list[str]
    """Parameters of ours that the folder does not have and that start afresh: a new task's head."""
    left_over: list[str]
    """Tensors of the folder that the model has no use for: the heads of other tasks."""


@dataclass(frozen=True)
class LoadedModel:
    """A model, and the tokenizer that its vocabulary was made with."""

    model: BertForTasks
    tokenizer: Tokenizer
    report: LoadReport


def save_model(folder: str | Path, model: BertForTasks, tokenizer: Tokenizer) -> None:
    """Write a model folder, whole or not at all; an existing one is replaced file by file."""
    with atomic_folder(Path(folder)) as partial:
        write_model_files(partial, model, tokenizer)


def write_model_files(folder: Path, model: BertForTasks, tokenizer: Tokenizer) -> None:
    """Write config.json, model.safetensors and the vocabulary's files into an existing folder."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        tensors |= _to_theirs(name, parameter.detach())
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_safetensors(folder / "model.safetensors", tensors, metadata={"format": "pt"})
    config = json.dumps(_their_config(model), indent=2) + "\n"
    (folder / "config.json").write_text(config, encoding="utf-8")
    max_length = tokenizer.limit(model.config.max_position_embeddings)
    tokenizer.with_max_length(max_length).save(folder)


def write_safetensors(
    file: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file.

    Raises:
        OSError: when the file cannot be written, as of every other file.
    """
    try:
        save_file(tensors, file, metadata=metadata)
        # safetensors leaves files to their owner alone; as all others these follow the umask.
        file.chmod(_mode_of_new_files(file.parent))
    except SafetensorError as error:
        raise OSError(str(error)) from None


def load_model(path: str | Path, *, attention: Attention = auto) -> LoadedModel:
    """Open a model folder with the heads it was saved with, in evaluation mode on the CPU.

    Raises:
        CheckpointError: when a file is missing, damaged or does not fit the others.
    """
    folder = Path(path)
    config = _read_config(folder)
    loaded = load_pretrained(folder, _tasks_of(folder, config), attention=attention)
    if loaded.report.new:
        raise CheckpointError(
            f"{folder / 'model.safetensors'} lacks {_some(loaded.report.new)}, which its "
            "config.json asks for; the folder is damaged or of another model"
        )
    return loaded


def load_pretrained(
    path: str | Path,
    tasks: Sequence[Task],
    *,
    attention: Attention = auto,
    **overrides: Any,
) -> LoadedModel:
    """Open a model folder's encoder under the heads of other tasks, ready to be fine-tuned.

    Heads that the folder has are taken, others start as published; every encoder parameter must
    be there.

    Args:
        path: the model folder.
        tasks: what the model is to learn.
        attention: one of `bertsmith.ops.attention`.
        overrides: settings that training may change, such as `hidden_dropout_prob`.
    """
    folder = Path(path)
    values = _read_config(folder)
    config = BertConfig.from_dict(values, strict=False).replace(**overrides)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{folder} holds a vocabulary of {tokenizer.vocab_size} wordpieces for a model of "
            f"{config.vocab_size}; put back the vocabulary that was saved with it"
        )
    model = BertForTasks(config, tasks, attention=attention)
    report = _load_weights(model, folder / "model.safetensors")
    missing = [name for name in report.new if name.startswith("bert.") and "pooler" not in name]
    if missing:
        raise CheckpointError(
            f"{folder / 'model.safetensors'} lacks {_some(missing)} of the encoder; the folder is "
            "damaged or not a BERT's"
        )
    return LoadedModel(model.eval(), tokenizer, report)


def load_weights(model: BertForTasks, folder: Path) -> None:
    """Read every parameter of an existing model from a folder that was saved from its like."""
    report = _load_weights(model, folder / "model.safetensors")
    if report.new or report.left_over:
        raise CheckpointError(
            f"{folder / 'model.safetensors'} is of another model: it lacks "
            f"{_some(report.new)} and has {_some(report.left_over)} over"
        )


def _load_weights(model: BertForTasks, file: Path) -> LoadReport:
    theirs = _read_safetensors(file)
    used, new, taken = [], [], set()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            names = _their_names(name)
            if not all(their_name in theirs for their_name in names):
                new.append(name)
                continue
            parts = [theirs[their_name] for their_name in names]
            tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
            if tensor.shape != parameter.shape:
                raise CheckpointError(
                    f"{file}: {names[0]} has the shape {tuple(tensor.shape)} where the model's "
                    f"{name} has {tuple(parameter.shape)}; config.json and weights do not belong "
                    "together"
                )
            parameter.copy_(tensor)
            used.append(name)
            taken.update(names)
    return LoadReport(used=used, new=new, left_over=sorted(set(theirs) - taken))


def _to_theirs(name: str, tensor: Tensor) -> dict[str, Tensor]:
    names = _their_names(name)
    return dict(zip(names, tensor.chunk(len(names)) if len(names) > 1 else [tensor], strict=True))


def _their_names(name: str) -> list[str]:
    if name in _WHOLE_NAMES:
        return [_WHOLE_NAMES[name]]
    module, _, kind = name.rpartition(".")
    layer = re.search(r"\.layers\.(\d+)\.", module)
    pattern = module.replace(layer[0], ".layers.{n}.") if layer else module
    if pattern not in _NAMES:
        return [name]
    theirs = _NAMES[pattern].replace("{n}", layer[1] if layer else "")
    parts = _QKV if "{part}" in theirs else ("",)
    return [f"{theirs.replace('{part}', part)}.{kind}" for part in parts]


def _their_config(model: BertForTasks) -> dict[str, Any]:
    names = tuple(sorted(task.name for task in model.tasks))
    settings = {
        task.name: task.settings() if isinstance(task, RecordTask) else {} for task in model.tasks
    }
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURES.get(names, "BertModel")],
        "model_type": "bert",
        **model.config.to_dict(),
        "position_embedding_type": "absolute",
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
    }
    labels = settings.get("sequence_classification", {}).get("labels")
    if labels:
        config["id2label"] = {str(index): str(label) for index, label in enumerate(labels)}
        config["label2id"] = {str(label): index for index, label in enumerate(labels)}
        config["problem_type"] = "single_label_classification"
    return config | {"bertsmith": {"tasks": settings}}


def _tasks_of(folder: Path, config: Mapping[str, Any]) -> list[Task]:
    ours = config.get("bertsmith", {}).get("tasks")
    if ours:
        try:
            return [build_task(name, **settings) for name, settings in ours.items()]
        except ConfigError as error:
            raise CheckpointError(f"{folder / 'config.json'}: {error}") from None
    architecture = next(iter(config.get("architectures") or []), "nothing")
    for names, known in _ARCHITECTURES.items():
        if known == architecture:
            labels = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
            ordered = [labels[index] for index in sorted(labels, key=int)]
            return [
                build_task(
                    name, **({"labels": ordered} if known.endswith("Classification") else {})
                )
                for name in names
            ]
    raise CheckpointError(
        f"{folder / 'config.json'} describes {architecture}; the architectures that can be opened "
        f"are {', '.join(_ARCHITECTURES.values())}"
    )


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; a model is a folder with a config.json")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no config.json; it is not a model folder") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / 'config.json'} cannot be read: {error}") from None
    if not isinstance(config, dict) or config.get("model_type", "bert") != "bert":
        raise CheckpointError(f"{folder / 'config.json'} does not describe a BERT")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(
            f"{folder / 'config.json'}: position_embedding_type "
            f"({config['position_embedding_type']!r}) must be 'absolute', as in the paper"
        )
    return config


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        if not file.exists():
            raise CheckpointError(f"{file} does not exist; the folder holds no weights") from None
        if not os.access(file, os.R_OK):
            raise CheckpointError(f"{file} cannot be read: permission denied") from None
        raise CheckpointError(f"{file} is damaged or not a safetensors file: {error}") from None


def _mode_of_new_files(folder: Path) -> int:
    """What the system gives a file that is made in the folder now."""
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    return mode


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "") or "nothing"
