"""A comparison as tables: Markdown to read, JSON to compute with."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.comparison.downstream import Downstream
from bertsmith.comparison.study import Cell, Results, Study
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
    modes = list(dict.fromkeys(mode for system in study.systems for mode in system.modes))
    tasks = [
        ["system", "", *(_heading(task, results.cells) for task in study.tasks), "trained", "s"]
    ]
    for system in study.systems:
        for mode in (mode for mode in modes if mode in system.modes):
            groups = [cells_of(results.cells, task, system, mode) for task in study.tasks]
            every = [cell for group in groups for cell in group]
            tasks.append(
                [
                    system.title,
                    mode,
                    *(_text(group) for group in groups),
                    f"{max((cell.trained_parameters for cell in every), default=0):,}",
                    f"{sum(cell.seconds for cell in every):,.0f}",
                ]
            )
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


def _heading(task: Downstream, cells: Sequence[Cell]) -> str:
    """The task's title, with its figure and, where known, what the most frequent answer gives."""
    own = [cell for cell in cells if cell.task == task.name and cell.figure is not None]
    if not own:
        return task.title
    figure = str(own[0].figure)
    majority = own[0].figures.get(f"majority_{figure}")
    beside = "" if majority is None else f"; majority {100 * majority:.1f}"
    return f"{task.title} ({figure.replace('_', ' ')}{beside})"


def _text(cells: Sequence[Cell]) -> str:
    found = score(cells)
    if found is None:
        return "diverged" if cells else NOTHING
    spread = "" if found.std is None else f" ± {100 * found.std:.1f}"
    failed = sum(cell.problem is not None for cell in cells)
    note = f" ({failed} of {len(cells)} came to nothing)" if failed else ""
    return f"{100 * found.mean:.1f}{spread}{note}"


def _rows(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = rows
    rule = ["---" if index < 1 else "---:" for index, _ in enumerate(head)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *body)]
