"""Writing the report: of a fine-tuning run into the model's folder, of an evaluation into its own.

Both are report.html, results.json and pictures; a model's folder gets README.md, its card, besides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith.atomic import atomic_folder
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import ConfigError
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.outcome import Outcome
from bertsmith.training.record_evaluation import RecordEvaluation
from bertsmith.training.report.findings import Findings, examine
from bertsmith.training.report.model_card import CARD, MARK, model_card
from bertsmith.training.report.page import report_page
from bertsmith.training.report.pictures import Picture, draw_pictures
from bertsmith.training.report.results import (
    RESULTS,
    DataFile,
    model_results,
    results_bytes,
    training_results,
)

PAGE = "report.html"
CURVES = "curves.png"


def write_run_report(
    recipe: FinetuneRecipe,
    outcome: Outcome,
    *,
    task: RecordTask,
    model: BertForTasks,
    tokenizer: Tokenizer,
    evaluation: RecordEvaluation | None,
    figures: Mapping[str, float],
    train_source: RecordSource,
    eval_source: RecordSource | None,
    num_records: int,
    num_examples: int,
    label_counts: Mapping[str, int],
) -> None:
    """Write into the folder of a run that has ended, beside its model and its curves.png.

    A README.md that somebody else has written stays.

    Args:
        recipe: what was run.
        outcome: how it ended.
        task: with what it has learned.
        model: the one that is kept.
        tokenizer: the model's.
        evaluation: of that model on the evaluation file; None without one.
        figures: all that was measured, of further evaluation files too.
        train_source: what was trained on.
        eval_source: what was evaluated on, if anything.
        num_records: of the training file.
        num_examples: as many, or where some are long, their windows.
        label_counts: of the training file.

    Raises:
        DataError: the folder cannot be written.
    """
    output = recipe.train.output
    measured_on = None
    if evaluation is not None and eval_source is not None:
        measured_on = DataFile.of(eval_source, "dev", len(evaluation.scored))
    findings = None if evaluation is None else examine(task, evaluation)
    if findings is not None:
        others = {k: v for k, v in figures.items() if "/" not in k and k not in findings.figures}
        findings = dataclasses.replace(findings, figures=findings.figures | others)
    results = model_results(
        findings,
        name=output.resolve().name,
        task=task,
        model=model,
        tokenizer=tokenizer,
        evaluation=measured_on,
        training=training_results(
            recipe,
            outcome,
            train_file=DataFile.of(train_source, "train", num_records),
            num_examples=num_examples,
            label_counts=label_counts,
        ),
    )
    said = "The figures of the run, step by step; the model kept is that of the best evaluation."
    curves = Picture(output / CURVES, "Learning curves", said, is_wide=True)
    card = model_card(results) if _may_be_replaced(output / CARD) else None
    _write(output, results, findings, [curves], card)


def check_report_folder(folder: str | Path) -> None:
    """Raise ConfigError if the folder is a model's, whose own report must stay."""
    if (Path(folder) / "config.json").exists():
        raise ConfigError(
            f"{folder} is the folder of a model, which has a report of its own; give --report "
            "another one"
        )


def write_evaluation_report(
    folder: str | Path,
    *,
    name: str,
    task: RecordTask,
    model: BertForTasks,
    tokenizer: Tokenizer,
    data: RecordSource,
    evaluation: RecordEvaluation,
) -> None:
    """Write the report of any model on any labelled file.

    Args:
        folder: for the report, made where it does not exist.
        name: the model's.
        task: the model's.
        model: as it was evaluated.
        tokenizer: the model's.
        data: the labelled file.
        evaluation: of the model on it.

    Raises:
        ConfigError: the folder is a model's.
        DataError: it cannot be written.
    """
    check_report_folder(folder)
    findings = examine(task, evaluation)
    results = model_results(
        findings,
        name=name,
        task=task,
        model=model,
        tokenizer=tokenizer,
        evaluation=DataFile.of(data, "dev", len(evaluation.scored)),
        training=None,
    )
    _write(Path(folder), results, findings, [], None)


def _write(
    folder: Path,
    results: Mapping[str, Any],
    findings: Findings | None,
    pictures: list[Picture],
    card: str | None,
) -> None:
    with atomic_folder(folder) as partial:
        drawn = draw_pictures(findings, partial) if findings is not None else []
        (partial / RESULTS).write_bytes(results_bytes(results))
        page = report_page(results, findings, [*pictures, *drawn])
        (partial / PAGE).write_text(page, encoding="utf-8")
        if card is not None:
            (partial / CARD).write_text(card, encoding="utf-8")


def _may_be_replaced(card: Path) -> bool:
    return not card.exists() or MARK in card.read_text(encoding="utf-8", errors="replace")
