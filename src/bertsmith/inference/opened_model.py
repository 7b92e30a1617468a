"""A model to be asked: from its folder to a device, by the program that its folder is for."""

from __future__ import annotations

from pathlib import Path

import torch

from bertsmith.export.exported_folder import open_exported
from bertsmith.export.model_folder import LoadedModel, load_model
from bertsmith.export.model_source import is_exported
from bertsmith.inference.graphed_encoder import replay_batches
from bertsmith.inference.precision import choose_precision, use_precision


def open_model(
    path: str | Path, *, device: torch.device | str = "cpu", precision: str = "fp32"
) -> LoadedModel:
    """Open a model that only answers.

    Args:
        path: as for `load_model`, or a folder that `bertsmith export` has written, whose graph ONNX
            Runtime or OpenVINO computes, on the CPU.
        device: where PyTorch computes.
        precision: `fp32`; `bf16`, where answers are those of float32 to about two digits; `fp16`,
            on a GPU, to about three; `auto`, the fastest, as the log says. An exported model
            computes as it was exported, unless `bf16` is asked of OpenVINO.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        ConfigError: the precision cannot be, or a package is not installed.
    """
    if is_exported(path):
        choose_precision("fp32" if precision == "auto" else precision, torch.device("cpu"))
        return open_exported(Path(path), "fp32" if precision == "auto" else precision)
    device = torch.device(device)
    chosen = choose_precision(precision, device)
    loaded = load_model(path)
    loaded.model.to(device)
    use_precision(loaded.model, chosen)
    if device.type == "cuda":
        replay_batches(loaded.model.bert)
    return loaded
