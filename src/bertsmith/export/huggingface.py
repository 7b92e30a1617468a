"""What Hugging Face calls things: the names of parameters, architectures and settings.

The only file that knows them. Queries, keys and values are three matrices there and one here; old
files say gamma and beta; programs put prefixes before names and buffers beside them.

A model whose encoder is not BERT's is none of theirs: its parameters keep our names, and its
`model_type` is one that their programs refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import Task

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
    "heads.sequence_regression.classifier": "classifier",
    "heads.token_classification.classifier": "classifier",
    "heads.multiple_choice.classifier": "classifier",
    "heads.question_answering.classifier": "qa_outputs",
}
_WHOLE_NAMES = {"heads.masked_lm.decoder_bias": "cls.predictions.bias"}
_QKV = ("query", "key", "value")

# Modules of the encoder, which some files name without `bert.` in front.
_ENCODER = ("embeddings.", "encoder.", "pooler.")
# What trainers and compilers put around a model and into its parameters' names.
_WRAPPERS = ("module.", "_orig_mod.")
_OLD_NAMES = {".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"}
_BUFFERS = re.compile(r"(^|\.)embeddings\.(position_ids|token_type_ids)$")
_TIED_DECODER = "cls.predictions.decoder."

# What each of their classes is for; the folder's first architecture decides.
_ARCHITECTURES: Mapping[str, tuple[str, ...]] = {
    "BertForPreTraining": ("masked_lm", "next_sentence"),
    "BertForMaskedLM": ("masked_lm",),
    "BertLMHeadModel": ("masked_lm",),
    "BertForNextSentencePrediction": ("next_sentence",),
    "BertForSequenceClassification": ("sequence_classification",),
    "BertForTokenClassification": ("token_classification",),
    "BertForQuestionAnswering": ("question_answering",),
    "BertForMultipleChoice": ("multiple_choice",),
    "BertModel": (),
}
# Of ours that are under heads and that no architecture of theirs has.
_FEATURES = "features."
_PROBLEMS = {"sequence_regression": "regression", "multi_label": "multi_label_classification"}


OWN_TYPE = "bertsmith"
"""The `model_type` of models whose encoder is not BERT's."""


def stored_names(name: str, config: BertConfig) -> list[str]:
    """The tensors that a file has for one parameter of such a model, to be concatenated."""
    return their_names(name) if config.is_bert else [name]


def their_names(name: str, prefix: str = "bert.") -> list[str]:
    """The tensors of theirs that make one parameter of ours, to be concatenated in this order."""
    if name in _WHOLE_NAMES:
        return [_WHOLE_NAMES[name]]
    module, _, kind = name.rpartition(".")
    layer = re.search(r"\.layers\.(\d+)\.", module)
    pattern = module.replace(layer[0], ".layers.{n}.") if layer else module
    if pattern not in _NAMES:
        return [name]
    theirs = _NAMES[pattern].replace("{n}", layer[1] if layer else "")
    theirs = prefix + theirs.removeprefix("bert.") if theirs.startswith("bert.") else theirs
    parts = _QKV if "{part}" in theirs else ("",)
    return [f"{theirs.replace('{part}', part)}.{kind}" for part in parts]


def to_theirs(model: BertForTasks, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of a model as they name and cut them.

    Args:
        model: which heads it has decides the names.
        parameters: by their names in the model.
    """
    if not model.config.is_bert:
        return dict(parameters)
    prefix = "bert." if model.tasks else ""  # a bare BertModel has none
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        names = their_names(name, prefix)
        parts = parameter.chunk(len(names)) if len(names) > 1 else [parameter]
        tensors |= zip(names, parts, strict=True)
    return tensors


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Present-day names of `BertFor...` parameters → the names that a file has them under.

    Old names, wrappers' prefixes and a missing `bert.` are seen through; buffers and the copy of
    the wordpiece embedding that is tied to it are left out.
    """
    stripped = {_strip(name): name for name in names}
    has_prefix = any(name.startswith("bert.") for name in stripped)
    found: dict[str, str] = {}
    for name, stored in stripped.items():
        if _BUFFERS.search(name) or name.startswith(_TIED_DECODER):
            continue
        is_bare = not has_prefix and name.startswith(_ENCODER)
        found[f"bert.{name}" if is_bare else name] = stored
    bias = f"{_TIED_DECODER}bias"
    if bias in stripped:
        found.setdefault("cls.predictions.bias", stripped[bias])
    return found


def untied_decoder(names: Iterable[str]) -> str | None:
    """The stored name of the masked-LM head's own matrix, where a file has one."""
    stripped = {_strip(name): name for name in names}
    return stripped.get(f"{_TIED_DECODER}weight")


def _strip(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    for old, new in _OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def their_config(model: BertForTasks) -> dict[str, Any]:
    """The config.json of a model, with what only we know under a key of ours."""
    settings = {task.name: task.settings() for task in model.tasks}
    features = None if model.features is None else model.features.settings.to_dict()
    sizes = model.config.to_dict()
    kind = sizes.pop("encoder")
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    ours: dict[str, Any] = {"tasks": settings}
    config: dict[str, Any]
    if model.config.is_bert:
        config = {
            "architectures": [_architecture_of(tuple(sorted(settings)), features)],
            "model_type": "bert",
            **sizes,
            "position_embedding_type": "absolute",
            "dtype": dtype,
        }
        for name, values in settings.items():
            config |= _their_settings(name, values)
    else:
        config = {"model_type": OWN_TYPE, "encoder": kind, **sizes, "dtype": dtype}
    return config | {"bertsmith": ours if features is None else ours | {"features": features}}


def _architecture_of(names: tuple[str, ...], features: object) -> str:
    if features is not None:
        return "BertModel"  # all that they know of it
    if names == ("sequence_regression",):
        return "BertForSequenceClassification"
    for architecture, tasks in _ARCHITECTURES.items():
        if tasks == names:
            return architecture
    return "BertModel"


def _their_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if (dropout := settings.get("classifier_dropout")) is not None:
        config["classifier_dropout"] = dropout
    if labels := settings.get("labels"):
        config["id2label"] = {str(index): label for index, label in enumerate(labels)}
        config["label2id"] = {label: index for index, label in enumerate(labels)}
    if name == "sequence_regression":
        config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
        config["problem_type"] = _PROBLEMS[name]
    if name == "sequence_classification":
        several = settings.get("multi_label")
        config["problem_type"] = (
            _PROBLEMS["multi_label"] if several else "single_label_classification"
        )
    return config


def tasks_of(config: Mapping[str, Any], name: str) -> list[Task]:
    """The tasks that a config.json says its model has heads for.

    What is under our key counts where it agrees with the rest, which another program may have
    changed since and left ours as it was.

    Args:
        config: the file's values.
        name: of the file, for errors.

    Raises:
        CheckpointError: it describes none that we know.
    """
    try:
        return [build_task(task, **settings) for task, settings in _task_settings(config, name)]
    except ConfigError as error:
        raise CheckpointError(f"{name}: {error}") from None


def features_of(config: Mapping[str, Any], name: str, num_layers: int) -> FeaturesConfig | None:
    """What a config.json says the heads read in place of the encoder, if anything.

    Args:
        config: the file's values.
        name: of the file, for errors.
        num_layers: of the encoder.

    Raises:
        CheckpointError: it is nothing that they can read.
    """
    values = _section(config, "bertsmith").get("features")
    if values is None:
        return None
    try:
        features = FeaturesConfig.from_dict(values if isinstance(values, Mapping) else {"": values})
        features.places(num_layers)
    except ConfigError as error:
        raise CheckpointError(f"{name}: {error}") from None
    return features


def without_lost_features(config: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """A config.json as it is true of the weights beside it.

    A program that opens the encoder alone, and saves it, leaves our key as it was.
    """
    is_lost = "features" in _section(config, "bertsmith") and not any(
        name.startswith(_FEATURES) for name in names
    )
    return {k: v for k, v in config.items() if k != "bertsmith"} if is_lost else config


def _task_settings(config: Mapping[str, Any], name: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
    if config.get("model_type") == OWN_TYPE:  # which no other program has changed
        own_tasks = _section(_section(config, "bertsmith"), "tasks")
        return [(task, _section(own_tasks, task)) for task in own_tasks]
    if config.get("is_decoder"):
        raise CheckpointError(
            f"{name} describes a decoder (is_decoder), in which words see only those before them; "
            "this package reads encoders"
        )
    stated = config.get("architectures") or ["nothing"]
    architecture = stated if isinstance(stated, str) else str(next(iter(stated)))
    own = _section(config, "bertsmith")
    ours = _section(own, "tasks")
    expected = _architecture_of(tuple(sorted(ours)), own.get("features"))
    if ours and expected == architecture and _agree(config, ours):
        return list(ours.items())
    if architecture not in _ARCHITECTURES:
        raise CheckpointError(
            f"{name} describes {architecture}; the architectures that can be opened are "
            f"{', '.join(_ARCHITECTURES)}"
        )
    dropout = config.get("classifier_dropout")
    shared = {} if dropout is None else {"classifier_dropout": dropout}
    if architecture == "BertForSequenceClassification":
        return [_classification(config, shared, name)]
    if architecture == "BertForTokenClassification":
        return [("token_classification", shared | {"labels": _labels(config, name)})]
    if architecture == "BertForMultipleChoice":
        return [("multiple_choice", shared)]
    return [(task, {}) for task in _ARCHITECTURES[architecture]]


def _classification(
    config: Mapping[str, Any], shared: Mapping[str, Any], name: str
) -> tuple[str, Mapping[str, Any]]:
    problem, labels = config.get("problem_type"), _labels(config, name)
    if len(labels) == 1 and problem in (None, "regression"):
        return "sequence_regression", shared
    if problem == "regression":
        raise CheckpointError(
            f"{name} describes a regression to {len(labels)} scores; one score can be opened"
        )
    several = {"multi_label": True} if problem == _PROBLEMS["multi_label"] else {}
    return "sequence_classification", {**shared, **several, "labels": labels}


def _agree(config: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether what we wrote about the tasks is what the rest of the file says now."""
    for task, settings in ours.items():
        theirs = _their_settings(task, settings if isinstance(settings, Mapping) else {})
        if any(config.get(key) != theirs.get(key) for key in ("id2label", "problem_type")):
            return False
    return True


def _labels(config: Mapping[str, Any], name: str) -> list[str]:
    """`id2label` in order; two that have no names where there is none, as in `transformers`."""
    stored = _section(config, "id2label")
    if config.get("id2label") and not stored:
        raise CheckpointError(f"{name}: id2label must be an object from ids to labels")
    if not stored:
        count = config.get("num_labels", 2)
        if not isinstance(count, int) or not 1 <= count <= 1_000_000:
            raise CheckpointError(f"{name}: num_labels ({count!r}) must be a number of labels")
        return [f"LABEL_{index}" for index in range(count)]
    labels = [stored.get(str(index)) for index in range(len(stored))]
    if not all(isinstance(label, str | int | float) for label in labels):
        raise CheckpointError(
            f"{name}: id2label must give each id from 0 to {len(labels) - 1} a label"
        )
    return [str(label) for label in labels]


def _section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}
