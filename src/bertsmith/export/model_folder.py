"""Model folders in Hugging Face's layout: what `transformers` opens, and what it writes.

A folder holds config.json, the weights (model.safetensors) and the vocabulary's files. Google's
TensorFlow checkpoints and names of Hugging Face's hub can be opened in place of a folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.atomic import atomic_folder
from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError
from bertsmith.export.huggingface import (
    canonical_names,
    tasks_of,
    their_config,
    their_names,
    to_theirs,
    untied_decoder,
)
from bertsmith.export.load_report import LoadReport
from bertsmith.export.weight_files import Weights, read_weights, write_safetensors
from bertsmith.ops.attention import Attention, auto
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer

CONFIG = "config.json"
# A layer's tensors are counted before a layer is made, so that a damaged number costs nothing.
_OF_EACH_LAYER = "bert.encoder.layers.{n}.attention.qkv.weight"


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
    tensors = {name: tensor.cpu().contiguous() for name, tensor in to_theirs(model).items()}
    write_safetensors(folder / "model.safetensors", tensors, metadata={"format": "pt"})
    config = json.dumps(their_config(model), indent=2) + "\n"
    (folder / CONFIG).write_text(config, encoding="utf-8")
    max_length = tokenizer.limit(model.config.max_position_embeddings)
    tokenizer.with_max_length(max_length).save(folder)


def load_model(path: str | Path, *, attention: Attention = auto) -> LoadedModel:
    """Open a model folder with the heads it was saved with, in evaluation mode on the CPU.

    Args:
        path: the folder.
        attention: one of `bertsmith.ops.attention`.

    Raises:
        CheckpointError: when a file is missing, damaged or does not fit the others.
    """
    source = _Source.open(Path(path))
    loaded = source.load(source.tasks(), attention=attention)
    if loaded.report.new:
        raise CheckpointError(
            f"{source.weights.source} lacks {_some(loaded.report.new)}, which its config.json asks "
            "for; the folder is damaged or of another model"
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

    Heads that the folder has for the same task and labels are taken, others start as published;
    every encoder parameter must be there.

    Args:
        path: the folder.
        tasks: what the model is to learn.
        attention: one of `bertsmith.ops.attention`.
        overrides: settings that training may change, such as `hidden_dropout_prob`.
    """
    return _Source.open(Path(path), **overrides).load(tasks, attention=attention)


def load_weights(model: BertForTasks, folder: Path) -> None:
    """Read every parameter of an existing model from a folder that was saved from its like."""
    weights = read_weights(folder)
    report = _copy(model, weights, canonical_names(weights), {task.name for task in model.tasks})
    if report.new or report.left_over:
        raise CheckpointError(
            f"{weights.source} is of another model: it lacks "
            f"{_some(report.new)} and has {_some(report.left_over)} over"
        )


@dataclass(frozen=True)
class _Source:
    """What a folder says it holds, with no weights read."""

    folder: Path
    values: Mapping[str, Any]
    config: BertConfig
    tokenizer: Tokenizer
    weights: Weights
    names: Mapping[str, str]
    """Hugging Face's present-day names → names in the file."""

    @classmethod
    def open(cls, folder: Path, **overrides: Any) -> _Source:
        values = _read_config(folder)
        config = BertConfig.from_dict(values, strict=False).replace(**overrides)
        tokenizer = Tokenizer.load(folder)
        if tokenizer.vocab_size > config.vocab_size:
            raise CheckpointError(
                f"{folder} holds a vocabulary of {tokenizer.vocab_size} wordpieces for a model of "
                f"{config.vocab_size}; put back the vocabulary that was saved with it"
            )
        weights = read_weights(folder)
        return cls(folder, values, config, tokenizer, weights, canonical_names(weights))

    def tasks(self) -> list[Task]:
        return tasks_of(self.values, str(self.folder / CONFIG))

    def load(self, tasks: Sequence[Task], *, attention: Attention) -> LoadedModel:
        self._check_sizes()
        self._check_decoder()
        has_pooler = "bert.pooler.dense.weight" in self.names
        model = BertForTasks(
            self.config, tasks, attention=attention, with_pooler=None if tasks else has_pooler
        )
        report = _copy(model, self.weights, self.names, self._heads_to_take(tasks))
        missing = [name for name in report.new if name.startswith("bert.") and "pooler" not in name]
        if missing:
            raise CheckpointError(
                f"{self.weights.source} lacks {_some(missing)} of the encoder; the folder is "
                "damaged or not a BERT's"
            )
        return LoadedModel(model.eval(), self.tokenizer, report)

    def _heads_to_take(self, tasks: Sequence[Task]) -> set[str]:
        """The tasks whose head in the file was trained for the same answers."""
        try:
            known = {task.name: task.settings().get("labels") for task in self.tasks()}
        except CheckpointError:
            known = {}  # an architecture of someone's own: its encoder serves all the same
        known |= {"masked_lm": None, "next_sentence": None}
        return {
            task.name
            for task in tasks
            if task.name in known and known[task.name] == task.settings().get("labels")
        }

    def _check_sizes(self) -> None:
        """Hold config.json to the weights before anything of a size that it names is made."""
        config, last = self.config, self.config.num_hidden_layers - 1
        expected = {
            "bert.embeddings.wordpiece.weight": (config.vocab_size, config.hidden_size),
            "bert.embeddings.position.weight": (
                config.max_position_embeddings,
                config.hidden_size,
            ),
            "bert.encoder.layers.0.feed_forward.intermediate.weight": (
                config.intermediate_size,
                config.hidden_size,
            ),
        }
        for name, shape in expected.items():
            (theirs,) = their_names(name)
            if theirs in self.names:
                _check_shape(self.weights, self.names[theirs], name, shape)
        lacking = _OF_EACH_LAYER.format(n=last)
        if not all(theirs in self.names for theirs in their_names(lacking)):
            raise CheckpointError(
                f"{self.weights.source} lacks {lacking} of the encoder, and {CONFIG} beside it "
                f"says {last + 1} layers; the folder is damaged or not a BERT's"
            )

    def _check_decoder(self) -> None:
        """A masked-LM head with a matrix of its own is another model than BERT."""
        name = untied_decoder(self.weights)
        if name is None or self.values.get("tie_word_embeddings", True):
            return
        embedding = self.weights[self.names["bert.embeddings.word_embeddings.weight"]]
        if not torch.equal(self.weights[name], embedding):
            raise CheckpointError(
                f"{self.weights.source}: {name} is not the wordpiece embedding, to which BERT's "
                "masked-LM head is tied; such a model cannot be opened"
            )


def _copy(
    model: BertForTasks, weights: Weights, names: Mapping[str, str], heads: set[str]
) -> LoadReport:
    """Fill the model's parameters; those of heads that are not named start afresh."""
    used, new, taken = [], [], set()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            theirs = their_names(name)
            head = name.split(".")[1] if name.startswith("heads.") else None
            is_taken = head is None or head in heads
            if not is_taken or not all(their_name in names for their_name in theirs):
                new.append(name)
                continue
            stored = [names[their_name] for their_name in theirs]
            parts = parameter.chunk(len(stored)) if len(stored) > 1 else [parameter]
            for part, stored_name in zip(parts, stored, strict=True):
                _check_shape(weights, stored_name, name, tuple(part.shape))
                part.copy_(_numbers(weights, stored_name))
            used.append(name)
            taken.update(stored)
    left_over = sorted(their_name for their_name, s in names.items() if s not in taken)
    return LoadReport(used=used, new=new, left_over=left_over)


def _numbers(weights: Weights, name: str) -> Tensor:
    tensor = weights[name]
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{weights.source}: {name} is of type {kind}; weights must be floating-point numbers, "
            "so get the model from before it was quantized"
        )
    return tensor


def _check_shape(weights: Weights, stored: str, name: str, shape: tuple[int, ...]) -> None:
    found = weights.shape(stored)
    if found != shape:
        raise CheckpointError(
            f"{weights.source}: {stored} has the shape {found} where the model's {name} has "
            f"{shape}; config.json and weights do not belong together"
        )


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; a model is a folder with a config.json")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no config.json; it is not a model folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None
    if not isinstance(config, dict) or config.get("model_type", "bert") != "bert":
        raise CheckpointError(f"{file} does not describe a BERT")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(
            f"{file}: position_embedding_type ({config['position_embedding_type']!r}) must be "
            "'absolute', as in the paper"
        )
    return config


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "") or "nothing"
