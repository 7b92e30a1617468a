"""A model's graph in OpenVINO's form: made of an ONNX graph, and answered by OpenVINO.

`nncf`, which quantizes for it, reports its use to a server through the package `openvino_telemetry`
where that is installed and the user has not said no. So that package is kept from being imported.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.errors import ConfigError
from bertsmith.export.graph import damaged_graph
from bertsmith.export.padded_rows import Ids

# How OpenVINO calls them.
_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


def _import(name: str) -> Any:
    """Import `openvino` or `nncf` without what reports their use.

    Raises:
        ConfigError: it is not installed.
    """
    # What is None here cannot be imported, and both do without.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"OpenVINO needs the package {error.name}, which is not installed; "
            "pip install 'bertsmith[openvino]'"
        ) from None


def require_openvino(*, int8: bool) -> None:
    """See that graphs can be made, and quantized where that is asked.

    Raises:
        ConfigError: the extra `openvino` is not installed.
    """
    _import("openvino")
    if int8:
        _import("nncf")


def write_openvino(onnx: Path, path: Path, calibration: Iterable[Mapping[str, Ids]] | None) -> None:
    """Turn an ONNX graph into OpenVINO's, an .xml beside a .bin.

    Args:
        onnx: the graph.
        path: the .xml to write.
        calibration: the inputs to quantize for: the ranges of everything that is multiplied are
            measured on them. None: nothing is quantized.
    """
    openvino = _import("openvino")
    model = openvino.Core().read_model(onnx)
    if calibration is not None:
        model = _quantized(model, list(calibration))
    openvino.save_model(model, path, compress_to_fp16=False)


def _quantized(model: Any, calibration: list[Mapping[str, Ids]]) -> Any:
    nncf = _import("nncf")
    nncf.set_log_level(40)
    parameters = _import("nncf.quantization.advanced_parameters")
    # Weights take half their range: processors without VNNI add products up in 16 bits, which
    # whole ranges exceed.
    halved = parameters.AdvancedQuantizationParameters(overflow_fix=parameters.OverflowFix.ENABLE)
    with contextlib.redirect_stdout(sys.stderr):  # its bars, which do not belong among answers
        return nncf.quantize(
            model,
            nncf.Dataset(calibration),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
            advanced_parameters=halved,
        )


class OpenvinoGraph:
    """A graph in OpenVINO, on the CPU, with as many threads as PyTorch has.

    Args:
        path: the graph's .xml, beside its .bin.
        precision: `fp32`, or `bf16` for what is not in 8 bits.

    Raises:
        CheckpointError: it is damaged.
        ConfigError: the extra `openvino` is not installed.
    """

    def __init__(self, path: Path, precision: str = "fp32") -> None:
        openvino = _import("openvino")
        settings = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, on all threads
        }
        try:
            self._compiled = openvino.Core().compile_model(path, "CPU", settings)
        except RuntimeError as error:
            raise damaged_graph(path, error) from None

    def __call__(self, inputs: Mapping[str, Ids]) -> dict[str, NDArray[np.float32]]:
        """The graph's outputs by name."""
        found = self._compiled(dict(inputs))
        return {output.any_name: array for output, array in found.items()}
