"""Google's checkpoints of BERT, read without TensorFlow.

What google-research/bert published and what its scripts save (TensorFlow 1), and encoders of the
TensorFlow Model Garden (TensorFlow 2). Parameters come under Hugging Face's names and in its
layout, so that from here on they are as those of a model folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.tensor_bundle import TensorBundle
from bertsmith.export.tensorflow_files import open_checkpoint
from bertsmith.export.tensorflow_names import (
    encoder_names,
    global_step_of,
    hugging_face_name,
    is_of_the_model,
    layer_of,
    to_hugging_face,
)
from bertsmith.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TensorFlowCheckpoint:
    """A checkpoint of Google's, in Hugging Face's terms."""

    config: dict[str, Any]
    """bert_config.json as it is.

    Its `hidden_act` of "gelu" stays, which here and at Hugging Face means the exact (erf) form.
    Google's released code had that form first and the tanh approximation since February 2019,
    under the same name; which of them the weights were trained with was never said, and everyone
    who uses the published weights outside of Google's code uses the exact form. Someone who
    continues what a later copy of that code trained sets it to "gelu_new".
    """
    vocabulary: Vocabulary
    lowercase: bool
    """Whether texts are lower-cased: what the name of checkpoint, folder or archive says, such as
    `uncased_L-12_H-768_A-12`, else whether the vocabulary has no upper-case entry."""
    global_step: int | None
    """The step that it was saved at, where it says so."""
    tensors: dict[str, Tensor]
    """Parameters by Hugging Face's name, float32, contiguous. A fine-tuned model has
    `classifier.weight` (labels, hidden_size) or `qa_outputs.weight` (2, hidden_size) too."""
    left_over: list[str]
    """Variables that are no parameter of BERT; an optimizer's slots are not counted."""


def read_tensorflow_checkpoint(
    source: str | Path,
    *,
    config: str | Path | None = None,
    vocabulary: str | Path | None = None,
) -> TensorFlowCheckpoint:
    """Read a checkpoint, every checksum verified; memory is that of one copy of the model.

    Args:
        source: the prefix (`FOLDER/bert_model.ckpt`), one of its files, the folder that holds it,
            or the published zip.
        config: in place of the bert_config.json beside it; what fine-tuning saved has none.
        vocabulary: in place of the vocab.txt beside it.

    Raises:
        CheckpointError: a file is missing, damaged or unsafe to unpack, or the files do not belong
            together, or an encoder's variables are not all there.
    """
    with open_checkpoint(source, config=config, vocabulary=vocabulary) as files:
        settings, sizes = _read_config(files.config)
        wordpieces = Vocabulary.load(files.vocabulary)
        if len(wordpieces) > sizes.vocab_size:
            raise CheckpointError(
                f"{files.vocabulary} has {len(wordpieces):,} wordpieces for a model of "
                f"{sizes.vocab_size:,}; give the vocabulary that was published with it"
            )
        bundle = TensorBundle(files.prefix)
        variables, left_over = _match(bundle, sizes.num_hidden_layers)
        _check_encoder(variables, sizes.num_hidden_layers, files.prefix)
        return TensorFlowCheckpoint(
            config=settings,
            vocabulary=wordpieces,
            lowercase=_is_lowercase(files.names, wordpieces, files.vocabulary),
            global_step=_read_step(bundle),
            tensors={
                parameter: _read_tensor(bundle, variable, parameter)
                for parameter, variable in variables.items()
            },
            left_over=left_over,
        )


def _read_config(file: Path) -> tuple[dict[str, Any], BertConfig]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ConfigError("must hold a JSON object of settings")
        return values, BertConfig.from_dict(values, strict=False)
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON: {error}") from None


def _match(bundle: TensorBundle, num_layers: int) -> tuple[dict[str, str], list[str]]:
    """Parameter → variable, and the variables that are none."""
    variables: dict[str, str] = {}
    left_over = []
    for variable in filter(is_of_the_model, bundle.entries):
        parameter = hugging_face_name(variable, num_layers)
        if parameter is None:
            left_over.append(variable)
        elif parameter in variables:
            raise CheckpointError(
                f"{bundle.prefix} has {parameter} twice, as {variables[parameter]} and as "
                f"{variable}; it is not the checkpoint of one BERT"
            )
        else:
            variables[parameter] = variable
    return variables, left_over


def _check_encoder(variables: Mapping[str, str], num_layers: int, prefix: Path) -> None:
    layers = max((layer_of(name) or 0 for name in variables), default=0) + 1
    if layers > num_layers:
        raise CheckpointError(
            f"{prefix} has {layers} layers where its configuration says num_hidden_layers "
            f"({num_layers}); give the bert_config.json that was published with it"
        )
    missing = list(islice((n for n in encoder_names(num_layers) if n not in variables), 3))
    if missing:
        raise CheckpointError(
            f"{prefix} lacks {', '.join(missing)}, perhaps more, of the encoder that its "
            "configuration describes; it is another model's, or the bert_config.json is"
        )


def _read_step(bundle: TensorBundle) -> int | None:
    name = global_step_of(bundle.entries)
    step = None if name is None else bundle.read(name)
    return int(step) if step is not None and step.shape == () and step.dtype.kind == "i" else None


def _read_tensor(bundle: TensorBundle, variable: str, parameter: str) -> Tensor:
    array = bundle.read(variable)
    if array.dtype.kind != "f":
        raise CheckpointError(
            f"{bundle.prefix}: {variable} is {array.dtype}; a BERT's weights are floating-point "
            "numbers"
        )
    array = to_hugging_face(variable, parameter, array)
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def _is_lowercase(names: Iterable[str], vocabulary: Vocabulary, file: Path) -> bool:
    for name in names:
        found = re.search(r"(?<![a-z])(un)?cased(?![a-z])", name.lower())
        if found is None:
            continue
        if found[1] and vocabulary.is_cased:
            raise CheckpointError(
                f"{file} has upper-case entries ({vocabulary.first_upper_case()!r}, say) and "
                f"{name} is called uncased; give the vocabulary that was published with it"
            )
        return found[1] is not None
    return not vocabulary.is_cased
