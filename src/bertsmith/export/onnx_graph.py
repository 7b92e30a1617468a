"""A model as an ONNX graph over padded rows: made here, and answered by ONNX Runtime.

The graph is traced from the modules that train, with attention over rows in place of packed
sequences. It reads `input_ids`, `attention_mask` and `token_type_ids`, (B, S) int64 each, and gives
`last_hidden_state` (B, S, H); a model of one task that is learned from records also gives its
`logits`: a row for each sequence (B, ...) or for each token (B, S, ...).

Dimension key: `B` rows, `S` their length, `H` hidden size, `N` heads, `D` head size.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError
from bertsmith.export.graph import HIDDEN, INPUTS, LOGITS, damaged_graph
from bertsmith.export.padded_rows import Ids
from bertsmith.model.attention import SelfAttention
from bertsmith.model.bert import BertOutput
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import RecordTask

# Version 20 is the first with GELU as one operation.
OPSET = 20
# What one file of protocol buffers can hold, less what is not weights.
MAX_BYTES = 2**31 - 2**24


@dataclass(frozen=True)
class _Rows:
    """What attention over padded rows needs to know; it stands where a `RaggedLayout` does."""

    bias: Tensor
    """(B, 1, 1, S) float32: 0 for a token, very low for padding; added to scores."""
    shape: tuple[int, int]


class _PaddedModel(nn.Module):
    """The same modules over rows: what a packed batch does without, rows have in places."""

    def __init__(self, model: BertForTasks) -> None:
        super().__init__()
        self.bert = model.bert
        self.head: nn.Module | None = None
        self.scores_tokens = False
        if len(model.tasks) == 1 and isinstance(task := model.tasks[0], RecordTask):
            self.head, self.scores_tokens = model.heads[task.name], task.scores_tokens

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        rows, length = input_ids.shape
        places = torch.arange(length).expand(rows, length)
        starts = torch.arange(rows) * length
        batch = Batch(
            input_ids.flatten(), token_type_ids.flatten(), places.flatten(), starts, length
        )
        lowest = torch.finfo(torch.float32).min
        bias = ((1 - attention_mask.float()) * lowest)[:, None, None, :]
        layout: Any = _Rows(bias, (rows, length))
        hidden = self.bert.encoder(self.bert.embeddings(batch), layout)
        outputs = (hidden.view(rows, length, -1),)
        if self.head is None:
            return outputs
        pooled = None if self.bert.pooler is None else self.bert.pooler(hidden, starts)
        logits = self.head(BertOutput(hidden, pooled), {})
        if self.scores_tokens:
            logits = logits.view(rows, length, *logits.shape[1:])
        return (*outputs, logits)


def _attention(
    qkv: Tensor,
    layout: Any,
    dropout_prob: float,  # noqa: ARG001
    is_causal: bool = False,  # noqa: ARG001 - no model that is exported is
) -> Tensor:
    """(B * S, 3, N, D) → (B * S, N, D), in operations that every runtime recognises."""
    heads, size = qkv.shape[-2:]
    qkv = qkv.view(*layout.shape, 3, heads, size).permute(2, 0, 3, 1, 4)  # (3, B, N, S, D)
    scores = (qkv[0] * size**-0.5) @ qkv[1].transpose(2, 3) + layout.bias  # (B, N, S, S)
    attended: Tensor = scores.softmax(-1) @ qkv[2]
    return attended.transpose(1, 2).reshape(-1, heads, size)


def write_onnx(model: BertForTasks, path: Path) -> None:
    """Write the graph of a model, in evaluation and on the CPU, as one file.

    Raises:
        ConfigError: the extra `onnx` is not installed, or the model is too large for one file or
            has parts that rows cannot be given to.
    """
    require_onnx()
    if not model.config.is_bert:
        raise ConfigError(
            f"a model whose encoder is {model.config.encoder!r} cannot be exported: graphs are "
            "made of BERT's alone"
        )
    if model.features is not None:
        raise ConfigError(
            "a model over features reads its layers with a BiLSTM and cannot be exported; export "
            "one that was fine-tuned as a whole"
        )
    size = sum(parameter.numel() for parameter in model.parameters()) * 4
    if size > MAX_BYTES:
        raise ConfigError(
            f"the model's {size / 2**30:.1f} GiB do not fit into a graph, which is one file of at "
            "most 2 GiB; export a smaller model"
        )
    has_logits = len(model.tasks) == 1 and isinstance(model.tasks[0], RecordTask)
    # Sizes that are no others' keep the exporter from taking two of them for one.
    rows = {name: torch.ones(3, 5, dtype=torch.int64) for name in INPUTS}
    dynamic = torch.export.Dim.DYNAMIC
    with _over_rows(model), _quiet():
        torch.onnx.export(
            _PaddedModel(model).eval(),
            kwargs=rows,
            f=path,
            input_names=list(INPUTS),
            output_names=[HIDDEN, LOGITS] if has_logits else [HIDDEN],
            dynamic_shapes={name: {0: dynamic, 1: dynamic} for name in INPUTS},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextlib.contextmanager
def _over_rows(model: nn.Module) -> Iterator[None]:
    """Let a model's layers attend over rows; the layout says which."""
    modules = [module for module in model.modules() if isinstance(module, SelfAttention)]
    before = [module.attention for module in modules]
    try:
        for module in modules:
            module.attention = _attention
        yield
    finally:
        for module, attention in zip(modules, before, strict=True):
            module.attention = attention


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own parts and on packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class OnnxGraph:
    """A graph in ONNX Runtime, on the CPU, with as many threads as PyTorch has.

    Args:
        path: the graph's file.

    Raises:
        CheckpointError: it is damaged.
        ConfigError: the extra `onnx` is not installed.
    """

    def __init__(self, path: Path) -> None:
        onnxruntime = _import("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what goes wrong is raised
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            self.outputs = [output.name for output in self._session.get_outputs()]
        except Exception as error:  # its errors have no class in common but this one
            raise damaged_graph(path, error) from None

    def __call__(self, inputs: Mapping[str, Ids]) -> dict[str, NDArray[np.float32]]:
        """The graph's outputs by name."""
        found = self._session.run(self.outputs, dict(inputs))
        return dict(zip(self.outputs, found, strict=True))


def quantize_onnx(path: Path, output: Path) -> None:
    """Turn the weights of matrix products into 8-bit integers, each of their columns by itself.

    What is multiplied with them is turned when it is known, so that no sample is looked at.
    """
    quantization = _import("onnxruntime.quantization")
    with _quiet_root():
        quantization.quantize_dynamic(
            path,
            output,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            # Processors without VNNI add products up in 16 bits, which whole ranges exceed.
            reduce_range=True,
            weight_type=quantization.QuantType.QInt8,
        )


@contextlib.contextmanager
def _quiet_root() -> Iterator[None]:
    """The quantizer asks for a step that our graphs are not better for, in the root's log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def require_onnx() -> None:
    """See that graphs can be made.

    Raises:
        ConfigError: the extra `onnx` is not installed.
    """
    _import("onnx")
    _import("onnxscript")


def _import(name: str) -> Any:
    """Import a package of the extra, without what reports its use.

    Raises:
        ConfigError: it is not installed.
    """
    # ONNX Runtime looks when it is loaded; it would keep a file below the home folder, and send it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"ONNX needs the package {error.name}, which is not installed; "
            "pip install 'bertsmith[onnx]'"
        ) from None
