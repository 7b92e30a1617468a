"""A comparison as tables: Markdown to read, JSON to compute with."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.comparison.cells import Cell
from bertsmith.comparison.downstream import Downstream
from bertsmith.comparison.result_table import Column, Reached, ResultRow, result_table
from bertsmith.comparison.study import Results, Study
from bertsmith.comparison.system import PretrainedModel, System

MARKDOWN, JSON = "table.md", "table.json"
NOTHING = "–"


@dataclasses.dataclass(frozen=True)
class Score:
    """A figure over the seeds."""

    mean: float
    std: float | None
    """The sample's deviation, by n - 1; None of a single seed."""
    num_seeds: int


def write_tables(study: Study, results: Results) -> str:
    """Write both files into the study's folder, and give the Markdown."""
    text = markdown(study, results)
    write_atomically(study.output / MARKDOWN, [text.encode()])
    values = json.dumps(as_json(study, results), indent=1) + "\n"
    write_atomically(study.output / JSON, [values.encode()])
    return text


def score(cells: Sequence[Cell]) -> Score | None:
    """The mean of the figure that counts, over the cells that have one."""
    values = [cell.value for cell in cells if cell.value is not None]
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Score(statistics.fmean(values), std, len(values))


def result_rows(study: Study, results: Results) -> list[ResultRow]:
    """A row for each task, system and way of using it that was run; Markdown and page show them."""
    rows = []
    for task in study.tasks:
        every = [cell for cell in results.cells if cell.task == task.name]
        figure = next((cell.figure for cell in every if cell.figure is not None), None)
        for system in study.systems:
            for mode in system.modes:
                cells = cells_of(every, task, system, mode)
                if not cells:
                    continue
                reached = score(cells)
                majorities = (cell.figures.get(f"majority_{figure}") for cell in cells)
                majority = next((value for value in majorities if value is not None), None)
                rows.append(
                    ResultRow(
                        system=system.title,
                        task=task.title,
                        mode=mode,
                        mean=None if reached is None else 100 * reached.mean,
                        spread=(
                            None if reached is None or reached.std is None else 100 * reached.std
                        ),
                        n=len(cells),
                        num_failed=sum(cell.problem is not None for cell in cells),
                        majority=None if majority is None else 100 * majority,
                        trained_parameters=max(cell.trained_parameters for cell in cells),
                        tokens=results.pretrained[system.name].tokens,
                        seconds=sum(cell.seconds for cell in cells),
                        figure="" if figure is None else figure.replace("_", " "),
                    )
                )
    return rows


def as_json(study: Study, results: Results) -> dict[str, Any]:
    """Everything that is known, and each mean with its spread."""
    scores = [
        {"task": task.name, "system": system.name, "mode": mode, **dataclasses.asdict(found)}
        for task in study.tasks
        for system in study.systems
        for mode in system.modes
        if (found := score(cells_of(results.cells, task, system, mode))) is not None
    ]
    return {
        "systems": {
            system.name: {
                "title": system.title,
                "source": system.source,
                **dataclasses.asdict(results.pretrained[system.name]),
            }
            for system in study.systems
        },
        "scores": scores,
        "cells": [dataclasses.asdict(cell) for cell in results.cells],
    }


def markdown(study: Study, results: Results) -> str:
    """Two tables: how each system was pre-trained, and what tasks make of it."""
    pretraining = [
        ["system", "parameters", "without wordpieces", "tokens seen", "seconds", "held-out loss"]
    ]
    for system in study.systems:
        if system.shares is None:
            made = results.pretrained[system.name]
            pretraining.append(
                [
                    system.title,
                    f"{made.parameters:,}",
                    f"{made.layer_parameters:,}",
                    f"{made.tokens:,}",
                    f"{made.seconds:,.0f}",
                    losses_of(made) or NOTHING,
                ]
            )
    results_of_tasks = result_table(result_rows(study, results))
    tasks = [["system", "", *map(_heading, results_of_tasks.columns), "trained", "s"]]
    tasks += [
        [
            row.system,
            row.mode,
            *map(_text, row.reached),
            f"{row.trained_parameters:,}",
            f"{row.seconds:,.0f}",
        ]
        for row in results_of_tasks.rows
    ]
    seeds = "one seed" if study.num_seeds == 1 else f"{study.num_seeds} seeds"
    return "\n".join(
        [
            "## Pre-training",
            "",
            *_rows(pretraining),
            "",
            "Losses of different objectives do not compare: each asks for something else.",
            "",
            "## Tasks",
            "",
            f"Percent on held-out records, mean ± standard deviation over {seeds}; parameters that "
            "are trained, and seconds of all runs of the row.",
            "",
            *_rows(tasks),
            "",
        ]
    )


def losses_of(made: PretrainedModel) -> str:
    """The held-out losses of a system's objectives, in words; empty for one that has none."""
    return ", ".join(
        f"{value:.2f} ({name.removesuffix('_loss').replace('_', ' ')})"
        for name, value in made.figures.items()
        if name.endswith("_loss")
    )


def cells_of(cells: Sequence[Cell], task: Downstream, system: System, mode: str) -> list[Cell]:
    """The seeds of one figure."""
    wanted = (task.name, system.name, mode)
    return [cell for cell in cells if (cell.task, cell.system, cell.mode) == wanted]


def _heading(column: Column) -> str:
    """The task's title, with its figure and, where known, what the most frequent answer gives."""
    if not column.figure:
        return column.task
    beside = "" if column.majority is None else f"; majority {column.majority:.1f}"
    return f"{column.task} ({column.figure}{beside})"


def _text(reached: Reached | None) -> str:
    if reached is None:
        return NOTHING
    if reached.mean is None:
        return "diverged"
    spread = "" if reached.spread is None else f" ± {reached.spread:.1f}"
    failed = reached.num_failed
    note = f" ({failed} of {reached.n} came to nothing)" if failed else ""
    return f"{reached.mean:.1f}{spread}{note}"


def _rows(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = rows
    rule = ["---" if index < 1 else "---:" for index, _ in enumerate(head)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *body)]
