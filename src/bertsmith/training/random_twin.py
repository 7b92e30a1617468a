"""A model's twin with random weights: what is left of a figure without pre-training."""

from __future__ import annotations

from pathlib import Path

import torch

from bertsmith.export.model_folder import save_model
from bertsmith.export.model_source import open_source
from bertsmith.tasks.model import BertForTasks


def write_random_twin(model: str | Path, folder: Path, *, seed: int) -> None:
    """Write a model of the same sizes and vocabulary, its weights as published before training.

    Args:
        model: as for `load_model`.
        folder: for the twin.
        seed: decides its weights.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
    """
    source = open_source(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = BertForTasks(source.config, [], with_pooler=True)
    save_model(folder, twin, source.tokenizer)
