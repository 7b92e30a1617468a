"""Model folders in Hugging Face's layout: what `transformers` opens, and what it writes.

A folder holds config.json, the weights (model.safetensors) and the vocabulary's files. Google's
TensorFlow checkpoints and names of Hugging Face's hub can be opened in place of a folder.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.errors import CheckpointError
from bertsmith.export.huggingface import canonical_names, stored_names, their_config, to_theirs
from bertsmith.export.load_report import LoadReport
from bertsmith.export.model_source import CONFIG, ModelSource, check_shape, open_source
from bertsmith.export.replaced_folder import replaced_folder
from bertsmith.export.sentence_transformers import Pooling, write_pooling
from bertsmith.export.weight_files import (
    Weights,
    read_weights,
    weights_in_memory,
    write_safetensors,
)
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.model.initialization import initialize
from bertsmith.ops.attention import Attention, auto
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class LoadedModel:
    """A model, and the tokenizer that its vocabulary was made with."""

    model: BertForTasks
    tokenizer: Tokenizer
    report: LoadReport
    pooling: Pooling | None = None
    """How a sentence-transformers folder makes one vector of a text; None for other models."""


@dataclass(frozen=True)
class ModelContents:
    """What a model folder says of its model."""

    tensors: Mapping[str, Tensor]
    """The parameters, on any device, as Hugging Face names and cuts them."""
    config: Mapping[str, Any]
    """The values of config.json."""


def model_contents(
    model: BertForTasks, parameters: Mapping[str, Tensor] | None = None
) -> ModelContents:
    """What a folder of this model would say now.

    Args:
        model: any model of this package.
        parameters: its parameters by name, where others stand for them, such as copies; None: its
            own, whose numbers go on changing when it is trained.
    """
    if parameters is None:
        parameters = {name: each.detach() for name, each in model.named_parameters()}
    return ModelContents(to_theirs(model, parameters), their_config(model))


def save_model(
    folder: str | Path,
    model: BertForTasks | ModelContents,
    tokenizer: Tokenizer,
    *,
    pooling: Pooling | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        folder: made where it does not exist. In one that does each file is replaced by its
            successor, and an earlier model's graph and pooling go where this one has none; other
            files stay.
        model: any model of this package, or what is to be said of it.
        tokenizer: the model's.
        pooling: what sentence-transformers shall do when it opens the folder.
        dtype: of the weights in the file, where it is not to be the model's own; `torch.bfloat16`
            halves the file and keeps two to three digits. Whoever opens it computes in float32.
    """
    with replaced_folder(Path(folder)) as partial:
        contents = model if isinstance(model, ModelContents) else model_contents(model)
        write_model_files(partial, contents, tokenizer, pooling, dtype=dtype)


def write_model_files(
    folder: Path,
    contents: ModelContents,
    tokenizer: Tokenizer,
    pooling: Pooling | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write config.json, model.safetensors and the vocabulary's files into an existing folder."""
    tensors = {
        name: tensor.to("cpu", dtype).contiguous() for name, tensor in contents.tensors.items()
    }
    write_safetensors(folder / "model.safetensors", tensors, metadata={"format": "pt"})
    write_description(folder, contents.config, tokenizer, pooling)


def write_description(
    folder: Path, config: Mapping[str, Any], tokenizer: Tokenizer, pooling: Pooling | None
) -> None:
    """Write all of a model's files but its weights into an existing folder."""
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    max_length = tokenizer.limit(config["max_position_embeddings"])
    tokenizer.with_max_length(max_length).save(folder)
    if pooling is not None:
        write_pooling(folder, pooling, hidden_size=config["hidden_size"], max_length=max_length)


def load_model(path: str | Path, *, attention: Attention = auto) -> LoadedModel:
    """Open a model with the heads it was saved with, in evaluation mode on the CPU.

    Args:
        path: a model folder; Google's TensorFlow checkpoint by its prefix, folder or zip; the name
            of a model that comes with this package, such as bertsmith-mini; or a name of Hugging
            Face's hub, OWNER/MODEL or OWNER/MODEL@REVISION.
        attention: one of `bertsmith.ops.attention`.

    Raises:
        CheckpointError: when a file is missing, damaged or does not fit the others.
    """
    source = open_source(path)
    loaded = _load(source, source.tasks(), source.features(), attention)
    if loaded.report.new:
        raise CheckpointError(
            f"{source.weights.source} lacks {_some(loaded.report.new)}, which {source.config_name} "
            "asks for; the model is damaged or of another kind"
        )
    return loaded


def load_pretrained(
    path: str | Path,
    tasks: Sequence[Task],
    *,
    features: FeaturesConfig | None = None,
    attention: Attention = auto,
    **overrides: Any,
) -> LoadedModel:
    """Open a model's encoder under the heads of other tasks, ready to be fine-tuned.

    Heads that are there for the same task and labels are taken, others start as published, and so
    with what `features` puts under them; every encoder parameter must be there.

    Args:
        path: as for `load_model`.
        tasks: what the model is to learn.
        features: as for `BertForTasks`.
        attention: one of `bertsmith.ops.attention`.
        overrides: settings that training may change, such as `hidden_dropout_prob`.
    """
    return _load(open_source(path, **overrides), tasks, features, attention)


def load_weights(model: BertForTasks, folder: Path) -> None:
    """Read every parameter of an existing model from a folder that was saved from its like."""
    _fill(model, read_weights(folder))


def take_weights(model: BertForTasks, contents: ModelContents) -> None:
    """Give an existing model the parameters of its like."""
    _fill(model, weights_in_memory(contents.tensors, Path("the model in memory")))


def _fill(model: BertForTasks, weights: Weights) -> None:
    report = _copy(model, weights, canonical_names(weights), {task.name for task in model.tasks})
    if report.new or report.left_over:
        raise CheckpointError(
            f"{weights.source} is of another model: it lacks "
            f"{_some(report.new)} and has {_some(report.left_over)} over"
        )


def _load(
    source: ModelSource,
    tasks: Sequence[Task],
    features: FeaturesConfig | None,
    attention: Attention,
) -> LoadedModel:
    # An encoder that is not trained keeps its pooler, whether a head reads it or not.
    with_pooler = None if tasks and features is None else source.has_pooler
    model = BertForTasks(
        source.config,
        tasks,
        with_pooler=with_pooler,
        features=features,
        attention=attention,
        is_drawn=False,
    )
    if model.bert.pooler is not None and not source.has_pooler:
        initialize(model.bert.pooler, source.config.initializer_range)
    heads = _heads_to_take(source, tasks, features)
    report = _copy(model, source.weights, source.names, heads)
    may_be_new = (
        ("heads.", "features.") if source.has_pooler else ("heads.", "features.", "bert.pooler.")
    )
    missing = [name for name in report.new if not name.startswith(may_be_new)]
    if missing:
        raise CheckpointError(
            f"{source.weights.source} lacks {_some(missing)} of the encoder; the model is damaged "
            "or not a BERT"
        )
    left_over = [*report.left_over, *source.extra_names]
    report = dataclasses.replace(report, left_over=left_over)
    return LoadedModel(model.eval(), source.tokenizer, report, source.pooling)


def _heads_to_take(
    source: ModelSource, tasks: Sequence[Task], features: FeaturesConfig | None
) -> set[str]:
    """The tasks whose head in the source was trained for the same answers, on the same features."""
    try:
        if source.features() != features:
            return set()
        known = {task.name: _answers(task) for task in source.tasks()}
    except CheckpointError:
        known = {}  # an architecture of someone's own: its encoder serves all the same
    # These heads have names of their own in every file and always mean the same.
    known |= {name: {} for name in ("masked_lm", "next_sentence")}
    return {task.name for task in tasks if known.get(task.name) == _answers(task)}


def _answers(task: Task) -> dict[str, Any]:
    """What a task's logits stand for."""
    settings = task.settings()
    return {key: settings[key] for key in ("labels", "multi_label") if key in settings}


def _copy(
    model: BertForTasks, weights: Weights, names: Mapping[str, str], heads: set[str]
) -> LoadReport:
    """Fill the model's parameters; those of heads that are not named start afresh.

    So does what is between the encoder and the heads, where a head does.
    """
    used, new, taken = [], [], set()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            theirs = stored_names(name, model.config)
            module, _, rest = name.partition(".")
            needed_by = {"heads": {rest.partition(".")[0]}, "features": set(model.heads)}
            is_taken = needed_by.get(module, set()) <= heads
            if not is_taken or not all(their_name in names for their_name in theirs):
                new.append(name)
                continue
            stored = [names[their_name] for their_name in theirs]
            parts = parameter.chunk(len(stored)) if len(stored) > 1 else [parameter]
            for part, stored_name in zip(parts, stored, strict=True):
                check_shape(weights, stored_name, name, tuple(part.shape))
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
    if not tensor.isfinite().all():
        raise CheckpointError(
            f"{weights.source}: {name} holds NaN or infinity, so the model would answer nothing "
            "else; get it from before it went wrong"
        )
    return tensor


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "") or "nothing"
