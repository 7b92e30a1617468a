"""The figures of a model folder on a file of labelled records."""

from __future__ import annotations

from pathlib import Path

from bertsmith.data.layout import Layout
from bertsmith.data.records import read_records
from bertsmith.export.model_folder import load_model
from bertsmith.inference.predictor import remembered_layout
from bertsmith.training.parallelize import choose_device
from bertsmith.training.record_evaluation import evaluate_records, record_task


def evaluate_file(
    model: str | Path,
    data: str | Path,
    *,
    layout: Layout | None = None,
    device: str | None = None,
) -> dict[str, float]:
    """Compute what `bertsmith evaluate` prints: the metrics of the model's task, in float32.

    Args:
        model: a model folder.
        data: a file of records with labels.
        layout: what the user says about the file; None takes the columns that the model
            remembers of its training file, where this one has them.
        device: such as `cpu` or `cuda`; None takes a GPU where there is one.

    Raises:
        CheckpointError: the folder is not a model's, or damaged.
        ConfigError: the model's task is none that is learned from records, or no such device.
        DataError: the file cannot be read, or a record has no label or an unknown one.
    """
    chosen = choose_device(device)
    loaded = load_model(model)
    task = record_task(loaded.model)
    records = task.labelled(read_records(data, layout=layout or remembered_layout(task)))
    max_length = loaded.tokenizer.limit(loaded.model.config.max_position_embeddings)
    encoded = task.encode(records, loaded.tokenizer, max_length=max_length)
    return evaluate_records(loaded.model.to(chosen), encoded, chosen).figures(task)
