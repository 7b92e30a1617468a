"""Folders of exported models: a graph in place of the weights, and all else as in a model folder.

`export.json` says what the graph is and was made from. `heads.safetensors` has what PyTorch
computes of the graph's hidden states: heads and pooler, by our names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.graph import Graph
from bertsmith.export.graph_bert import GraphBert
from bertsmith.export.huggingface import tasks_of, their_config
from bertsmith.export.load_report import LoadReport
from bertsmith.export.model_folder import LoadedModel, write_description
from bertsmith.export.model_source import CONFIG, EXPORT, HEADS, bert_config, read_config
from bertsmith.export.onnx_graph import OnnxGraph, quantize_onnx, write_onnx
from bertsmith.export.openvino_graph import OpenvinoGraph, require_openvino, write_openvino
from bertsmith.export.padded_rows import Ids
from bertsmith.export.replaced_folder import GRAPH_FILES
from bertsmith.export.sentence_transformers import read_max_length, read_pooling
from bertsmith.export.weight_files import read_safetensors, write_safetensors
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.version import own_version

FORMATS = ("onnx", "openvino")
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Calibration:
    """What a graph is quantized for."""

    source: str
    """What it was made of, such as a file."""
    inputs: Iterable[Mapping[str, Ids]]
    """Of padded rows."""


def write_exported(
    folder: Path,
    loaded: LoadedModel,
    *,
    graph_format: str,
    made_from: str,
    calibration: Calibration | None = None,
) -> None:
    """Write a model into an existing, empty folder.

    Args:
        folder: of the exported model.
        loaded: the model, on the CPU and in evaluation.
        graph_format: `onnx` or `openvino`.
        made_from: what the model was opened from.
        calibration: for 8-bit integers; None: float32.

    Raises:
        ConfigError: a package is not installed, or the model cannot be exported.
    """
    if graph_format == "openvino":
        require_openvino(int8=calibration is not None)
    traced = folder / ".traced.onnx"
    write_onnx(loaded.model, traced)
    graph = folder / GRAPH_FILES[graph_format][0]
    if graph_format == "openvino":
        write_openvino(traced, graph, None if calibration is None else calibration.inputs)
    elif calibration is not None:
        quantize_onnx(traced, graph)
    else:
        traced.rename(graph)
    traced.unlink(missing_ok=True)
    write_safetensors(folder / HEADS, dict(_heads(loaded.model)), metadata={"format": "pt"})
    write_description(folder, their_config(loaded.model), loaded.tokenizer, loaded.pooling)
    facts: dict[str, Any] = {
        "format": graph_format,
        "precision": "fp32" if calibration is None else "int8",
        "made_from": made_from,
        "made_by": f"bertsmith {own_version()}",
        "sha256": {name: _sha256(folder / name) for name in (*GRAPH_FILES[graph_format], HEADS)},
    }
    if calibration is not None:
        facts["calibration"] = calibration.source
    write_facts(folder, facts)


def read_facts(folder: Path) -> dict[str, Any]:
    """What export.json says.

    Raises:
        CheckpointError: it is damaged, or the graph or its heads are not those that were written.
    """
    file = folder / EXPORT
    try:
        facts = json.loads(file.read_bytes())
        name, hashes = facts["format"], facts["sha256"]
        wanted = {each: hashes[each] for each in (*GRAPH_FILES[name], HEADS)}
        precision = facts["precision"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{file} cannot be read ({error!r}); export the model again"
        ) from None
    if precision not in PRECISIONS:
        raise CheckpointError(f"{file}: precision ({precision!r}) must be fp32 or int8")
    for each, expected in wanted.items():
        path = folder / each
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; export the model again")
        if _sha256(path) != expected:
            raise CheckpointError(f"{path} is not what was exported; export the model again")
    return dict(facts)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write export.json."""
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    (folder / EXPORT).write_text(text, encoding="utf-8")


def open_exported(folder: Path, precision: str = "fp32") -> LoadedModel:
    """Open a folder whose graph its own program computes, on the CPU.

    Args:
        folder: as `write_exported` leaves it.
        precision: `fp32`, or with OpenVINO `bf16`, of what is not in 8 bits.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: a package is not installed, or the precision is none of the format.
    """
    facts = read_facts(folder)
    if precision == "fp16":
        raise ConfigError("precision fp16 is for GPUs, and exported models compute on a CPU")
    if precision == "bf16" and facts["format"] == "onnx":
        raise ConfigError(
            "an ONNX graph computes as it was exported, so that --precision bf16 cannot be; leave "
            "it out, or export to OpenVINO"
        )
    values = read_config(folder)
    config = bert_config(values, folder / CONFIG, {})
    tokenizer = Tokenizer.load(folder)
    pooling = read_pooling(folder)
    if pooling is not None and (length := read_max_length(folder)) is not None:
        tokenizer = tokenizer.with_max_length(tokenizer.limit(length))
    weights = read_safetensors(folder / HEADS)
    with_pooler = any(name.startswith("bert.pooler.") for name in weights)
    tasks = tasks_of(values, str(folder / CONFIG))
    model = BertForTasks(config, tasks, with_pooler=with_pooler, is_drawn=False)
    with torch.no_grad():
        for name, parameter in _heads(model):
            if name not in weights or weights.shape(name) != tuple(parameter.shape):
                raise CheckpointError(
                    f"{folder / HEADS} has no {name} of the shape {tuple(parameter.shape)}, which "
                    f"{CONFIG} asks for; export the model again"
                )
            parameter.copy_(weights[name])
    path = folder / GRAPH_FILES[facts["format"]][0]
    graph: Graph = OnnxGraph(path) if facts["format"] == "onnx" else OpenvinoGraph(path, precision)
    model.bert = GraphBert(config, graph, model.bert.pooler)
    report = LoadReport(used=sorted(weights), new=[], left_over=[])
    return LoadedModel(model.eval(), tokenizer, report, pooling)


def _heads(model: BertForTasks) -> list[tuple[str, Tensor]]:
    """The parameters that are not in the graph: a tied decoder is in both."""
    modules = ["heads.", "bert.pooler."]
    if "masked_lm" in model.heads:
        modules.append("bert.embeddings.wordpiece.")
    return [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if name.startswith(tuple(modules))
    ]
