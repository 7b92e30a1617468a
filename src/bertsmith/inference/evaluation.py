"""The figures of a model folder on a file of labelled records."""

from __future__ import annotations

from pathlib import Path

from bertsmith.data.layout import Layout
from bertsmith.data.record_source import RecordSource
from bertsmith.inference.opened_model import open_model
from bertsmith.inference.predictor import remembered_layout
from bertsmith.training.parallelize import choose_device
from bertsmith.training.record_evaluation import evaluate_records, record_task
from bertsmith.training.report.writing import check_report_folder, write_evaluation_report


def evaluate_file(
    model: str | Path,
    data: str | Path,
    *,
    layout: Layout | None = None,
    folder: str | Path | None = None,
    split: str | None = None,
    device: str | None = None,
    report: str | Path | None = None,
) -> dict[str, float]:
    """Compute what `bertsmith evaluate` prints: the metrics of the model's task, in float32.

    Args:
        model: a model folder.
        data: a file of records with labels, or the name of a data set, such as `glue:mrpc`.
        layout: what the user says about the file; None takes the columns that the model
            remembers of its training file, where this one has them.
        folder: where the files of a data set with a name are; None: they come from the hub.
        split: the part of such a data set; None: `dev`. The figures of MNLI's second one have
            names that begin with `mismatched_`.
        device: such as `cpu` or `cuda`; None takes a GPU where there is one.
        report: a folder for the same report as a fine-tuning run leaves, of the first part where
            there are two; None for none.

    Raises:
        CheckpointError: the folder is not a model's, or damaged.
        ConfigError: the model's task is none that is learned from records, or no such device; or
            the folder for the report is a model's.
        DataError: the data cannot be read, or a record has no label or an unknown one.
    """
    source = RecordSource(data, layout, None if folder is None else Path(folder), split)
    if report is not None:
        check_report_folder(report)
    chosen = choose_device(device)
    loaded = open_model(model, device=chosen)
    task = record_task(loaded.model)
    max_length = loaded.tokenizer.limit(loaded.model.config.max_position_embeddings)
    loaded.model.to(chosen)
    found: dict[str, float] = {}
    for prefix, each in source.measured().items():
        like_it = each.like(remembered_layout(task)).with_conll(task.conll_suffixes)
        records = task.labelled(like_it.read("dev"))
        encoded = task.encode(records, loaded.tokenizer, max_length=max_length)
        evaluation = evaluate_records(loaded.model, encoded, chosen)
        figures = evaluation.figures(task)
        found |= {f"{prefix}{name}": value for name, value in figures.items()}
        if report is not None and not prefix:
            write_evaluation_report(
                report,
                name=Path(model).resolve().name,
                task=task,
                model=loaded.model,
                tokenizer=loaded.tokenizer,
                data=each,
                evaluation=evaluation,
            )
    return found
