"""What a model is opened from: a folder, Google's TensorFlow checkpoint, or a name.

A name is that of a model that comes with this package, or one of Hugging Face's hub.

Configuration, vocabulary and the names and shapes of the weights are known here; no parameter has
been made yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.hub import fetch_from_hub
from bertsmith.export.huggingface import (
    OWN_TYPE,
    canonical_names,
    features_of,
    tasks_of,
    their_names,
    untied_decoder,
    without_lost_features,
)
from bertsmith.export.sentence_transformers import Pooling, read_max_length, read_pooling
from bertsmith.export.shipped_models import hidden_by, shipped_folder
from bertsmith.export.source_kind import SourceKind, source_kind
from bertsmith.export.tensorflow_checkpoint import read_tensorflow_checkpoint
from bertsmith.export.weight_files import Weights, read_weights, weights_in_memory
from bertsmith.model.encoders.registry import check_encoder, encoder_class
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer

CONFIG = "config.json"
EXPORT = "export.json"
HEADS = "heads.safetensors"
# Its presence is looked at before a layer is made, so that a damaged number costs nothing.
_OF_EACH_LAYER = "bert.encoder.layers.{n}.attention.qkv.weight"
_OF_THE_LAST_LSTM = "features.bilstm.lstm.weight_hh_l{n}_reverse"


@dataclass(frozen=True)
class ModelSource:
    """A model that has been found and looked through, and not been made."""

    values: Mapping[str, Any]
    """What its configuration file says."""
    config_name: str
    """What that file is called in errors."""
    config: BertConfig
    tokenizer: Tokenizer
    weights: Weights
    names: Mapping[str, str]
    """Hugging Face's present-day names → names in the file."""
    pooling: Pooling | None = None
    """How sentence-transformers makes one vector of a text, where the folder says so."""
    extra_names: tuple[str, ...] = ()
    """Of things beside the weights that nothing here has a use for."""

    def tasks(self) -> list[Task]:
        """What the model has heads for."""
        return tasks_of(self.values, self.config_name)

    def features(self) -> FeaturesConfig | None:
        """What these heads read, where it is not the encoder itself.

        Raises:
            CheckpointError: the weights are not those of such features.
        """
        features = features_of(self.values, self.config_name, self.config.num_hidden_layers)
        if features is not None:
            name = _OF_THE_LAST_LSTM.format(n=features.lstm_layers - 1)
            if name not in self.names:
                raise CheckpointError(
                    f"{self.weights.source} lacks {name}, and {self.config_name} says "
                    f"{features.lstm_layers} layers of features.lstm_layers; the model is damaged"
                )
            size = features.lstm_hidden_size or self.config.hidden_size
            check_shape(self.weights, self.names[name], name, (4 * size, size))
        return features

    @property
    def has_pooler(self) -> bool:
        """Whether the encoder's pooler is among the weights, or is without any."""
        return not self.config.is_bert or "bert.pooler.dense.weight" in self.names

    def check(self) -> None:
        """Hold configuration, vocabulary and weights to each other.

        Raises:
            CheckpointError: they do not belong together.
        """
        config, last = self.config, self.config.num_hidden_layers - 1
        if self.tokenizer.vocab_size > config.vocab_size:
            raise CheckpointError(
                f"{self.config_name} says vocab_size {config.vocab_size}, and the vocabulary "
                f"beside it has {self.tokenizer.vocab_size} wordpieces; put back the one that was "
                "saved with the model"
            )
        if not config.is_bert:
            self._check_own()
            return
        intermediate = "bert.encoder.layers.0.feed_forward.intermediate.weight"
        for name, rows in (
            ("bert.embeddings.wordpiece.weight", config.vocab_size),
            ("bert.embeddings.position.weight", config.max_position_embeddings),
            ("bert.embeddings.segment.weight", config.type_vocab_size),
            (intermediate, config.intermediate_size),
        ):
            (theirs,) = their_names(name)
            if theirs in self.names:
                check_shape(self.weights, self.names[theirs], name, (rows, config.hidden_size))
        lacking = _OF_EACH_LAYER.format(n=last)
        if not all(theirs in self.names for theirs in their_names(lacking)):
            raise CheckpointError(
                f"{self.weights.source} lacks {lacking} of the encoder, and {self.config_name} "
                f"says {last + 1} layers; the model is damaged or not a BERT"
            )
        self._check_decoder()

    def _check_own(self) -> None:
        """Hold another encoder to its weights, before there is room for any of its parameters."""
        if len(self.names) < self.config.num_hidden_layers:
            raise CheckpointError(
                f"{self.weights.source} holds {len(self.names)} tensors and {self.config_name} "
                f"says {self.config.num_hidden_layers} layers; the model is damaged"
            )
        try:
            with torch.device("meta"):
                encoder = encoder_class(self.config.encoder)(self.config, with_pooler=False)
        except ConfigError as error:
            raise CheckpointError(f"{self.config_name}: {error}") from None
        for name, parameter in encoder.named_parameters(prefix="bert"):
            if name not in self.names:
                raise CheckpointError(
                    f"{self.weights.source} lacks {name} of the encoder; the model is damaged"
                )
            check_shape(self.weights, self.names[name], name, tuple(parameter.shape))

    def _check_decoder(self) -> None:
        """A masked-LM head with a matrix of its own is another model than BERT."""
        name = untied_decoder(self.weights)
        if name is None or self.values.get("tie_word_embeddings", True):
            return
        tied = "bert.embeddings.word_embeddings.weight"
        if tied not in self.names:
            raise CheckpointError(
                f"{self.weights.source} lacks {tied} of the encoder; the model is damaged or not a "
                "BERT"
            )
        if not torch.equal(self.weights[name], self.weights[self.names[tied]]):
            raise CheckpointError(
                f"{self.weights.source}: {name} is not the wordpiece embedding, to which BERT's "
                "masked-LM head is tied; such a model cannot be opened"
            )


def open_source(path: str | Path, **overrides: Any) -> ModelSource:
    """Find a model and hold its parts to each other.

    Args:
        path: a model folder; a TensorFlow checkpoint's prefix, folder or zip; the name of a model
            that comes with this package; or a name of Hugging Face's hub, OWNER/MODEL or
            OWNER/MODEL@REVISION.
        overrides: of the configuration.

    Raises:
        CheckpointError: there is nothing, or a part is missing, damaged or of another model.
    """
    kind = source_kind(path)
    if kind is SourceKind.TENSORFLOW:
        source = _open_tensorflow(Path(path), overrides)
    elif kind is SourceKind.SHIPPED:
        source = _open_folder(shipped_folder(path), overrides)
    elif kind is SourceKind.HUB:
        source = _open_folder(fetch_from_hub(str(path)), overrides)
    else:
        source = _open_folder(Path(path), overrides)
    source.check()
    return source


def is_exported(path: str | Path) -> bool:
    """Whether there is a graph made of a model, in place of its weights."""
    return (Path(path) / EXPORT).is_file()


def refuse_exported(folder: Path) -> None:
    """See that a model can be trained, changed or converted.

    Raises:
        CheckpointError: it was exported.
    """
    if (folder / HEADS).is_file() and not is_exported(folder):
        raise CheckpointError(
            f"{folder} holds an exported model without its {EXPORT}; export the model again"
        )
    if is_exported(folder):
        raise CheckpointError(
            f"{folder} holds an exported model, which answers and can be nothing else; take the "
            "model that it was made from"
        )


def check_shape(weights: Weights, stored: str, name: str, shape: tuple[int, ...]) -> None:
    """Hold a tensor of the source to the parameter that it is for.

    Raises:
        CheckpointError: it has another shape.
    """
    found = weights.shape(stored)
    if found != shape:
        raise CheckpointError(
            f"{weights.source}: {stored} has the shape {found} where the model's {name} has "
            f"{shape}; configuration and weights do not belong together"
        )


def _open_folder(folder: Path, overrides: Mapping[str, Any]) -> ModelSource:
    refuse_exported(folder)
    values = read_config(folder)
    tokenizer = Tokenizer.load(folder)
    pooling = read_pooling(folder)
    if pooling is not None and (length := read_max_length(folder)) is not None:
        tokenizer = tokenizer.with_max_length(tokenizer.limit(length))
    weights = read_weights(folder)
    names = canonical_names(weights)
    return ModelSource(
        values=without_lost_features(values, names),
        config_name=str(folder / CONFIG),
        config=bert_config(values, folder / CONFIG, overrides),
        tokenizer=tokenizer,
        weights=weights,
        names=names,
        pooling=pooling,
    )


def _open_tensorflow(path: Path, overrides: Mapping[str, Any]) -> ModelSource:
    found = read_tensorflow_checkpoint(path)
    weights = weights_in_memory(found.tensors, path)
    return ModelSource(
        values=found.config | _heads_of(weights),
        config_name=f"{path} (bert_config.json)",
        config=bert_config(found.config, path, overrides),
        tokenizer=Tokenizer.from_vocabulary(found.vocabulary, lowercase=found.lowercase),
        weights=weights,
        names=canonical_names(weights),
        extra_names=tuple(found.left_over),
    )


def _heads_of(weights: Weights) -> dict[str, Any]:
    """What config.json would say of the heads that a TensorFlow checkpoint has."""
    if "qa_outputs.weight" in weights:
        return {"architectures": ["BertForQuestionAnswering"]}
    if "classifier.weight" in weights:
        count = weights.shape("classifier.weight")[0]
        return {"architectures": ["BertForSequenceClassification"], "num_labels": count}
    has_masked_lm = "cls.predictions.bias" in weights
    has_next_sentence = "cls.seq_relationship.weight" in weights
    if has_masked_lm:
        kind = "BertForPreTraining" if has_next_sentence else "BertForMaskedLM"
    else:
        kind = "BertForNextSentencePrediction" if has_next_sentence else "BertModel"
    return {"architectures": [kind]}


def bert_config(values: Mapping[str, Any], file: Path, overrides: Mapping[str, Any]) -> BertConfig:
    """The sizes that such values say.

    Raises:
        CheckpointError: they cannot be those of a model.
    """
    try:
        config = BertConfig.from_dict(values, strict=False)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from None
    return config.replace(**overrides)


def read_config(folder: Path) -> dict[str, Any]:
    """The values of a folder's config.json.

    Raises:
        CheckpointError: there is none, or it is damaged or not a BERT's.
    """
    file = folder / CONFIG
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder; a model is a folder with a config.json{hidden_by(folder)}"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        said = "it is not a model folder"
        if (folder / "recipe.toml").exists():
            said = "the run in it has not ended, and `--resume` goes on with it"
        raise CheckpointError(f"{folder} holds no config.json; {said}{hidden_by(folder)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None
    kinds = ("bert", OWN_TYPE)
    if not isinstance(config, dict) or config.get("model_type", "bert") not in kinds:
        raise CheckpointError(f"{file} does not describe a BERT")
    if config.get("model_type") == OWN_TYPE:
        _check_encoder_of(config, file)
    else:
        config.pop("encoder", None)  # another program's key
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(
            f"{file}: position_embedding_type ({config['position_embedding_type']!r}) must be "
            "'absolute', as in the paper"
        )
    return config


def _check_encoder_of(config: Mapping[str, Any], file: Path) -> None:
    try:
        check_encoder(str(config.get("encoder")))
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}") from None
