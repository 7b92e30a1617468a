"""The figures of a model folder on a file of labelled records."""

from __future__ import annotations

from pathlib import Path

from bertsmith.data.columns import labelled
from bertsmith.data.example_batches import ExampleBatches
from bertsmith.data.layout import Layout
from bertsmith.data.records import read_records
from bertsmith.export.model_folder import load_model
from bertsmith.inference.predictor import record_task, remembered_layout
from bertsmith.training.evaluation import evaluate
from bertsmith.training.parallelize import choose_device


def evaluate_file(
    model: str | Path,
    data: str | Path,
    *,
    layout: Layout | None = None,
    device: str | None = None,
    batch_size: int = 32,
) -> dict[str, float]:
    """Compute what `bertsmith evaluate` prints: the metrics of the model's task, in float32.

    Args:
        model: a model folder.
        data: a file of records with labels.
        layout: what the user says about the file; None takes the columns that the model
            remembers of its training file, where this one has them.
        device: such as `cpu` or `cuda`; None takes a GPU where there is one.
        batch_size: records to compute at once; the figures do not depend on it.

    Raises:
        CheckpointError: the folder is not a model's, or damaged.
        ConfigError: the model's task is none that is learned from records, or no such device.
        DataError: the file cannot be read, or a record has no label or an unknown one.
    """
    chosen = choose_device(device)
    loaded = load_model(model)
    task = record_task(loaded.model)
    records = labelled(read_records(data, layout=layout or remembered_layout(task)))
    max_length = loaded.tokenizer.limit(loaded.model.config.max_position_embeddings)
    examples = list(task.examples(records, loaded.tokenizer, max_length=max_length))
    batches = ExampleBatches(examples, task.collate, batch_size=batch_size, seed=0)
    return evaluate(loaded.model.to(chosen), batches.one_pass(), chosen)
