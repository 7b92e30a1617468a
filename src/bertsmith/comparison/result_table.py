"""Figures of systems on tasks, as tables that a page can show: a row a system, a column a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """What one system has reached on one task, in one way of using it."""

    system: str
    task: str
    mode: str
    """How the system was used: `features`, `fine-tuned`."""
    mean: float
    """Of the task's figure over its runs, in percent."""
    spread: float | None
    """Their standard deviation; None for a single run."""
    n: int
    """Runs."""
    trained_parameters: int
    tokens: int
    """That the system was pre-trained on."""
    seconds: float
    """Of all these runs together."""
    figure: str = ""
    """What is measured, such as `accuracy`."""


@dataclass(frozen=True)
class Cell:
    """One figure, in percent."""

    mean: float
    spread: float | None
    is_best: bool
    """Of its column."""


@dataclass(frozen=True)
class SystemRow:
    """One system: a cell for each task, None where it has not been measured."""

    system: str
    cells: list[Cell | None]
    trained_parameters: int
    """The most of any task."""
    tokens: int
    seconds: float
    """Of all runs of all tasks."""


@dataclass(frozen=True)
class ModeTable:
    """All systems, used in one way."""

    mode: str
    tasks: list[tuple[str, str]]
    """Task and figure."""
    rows: list[SystemRow]


def mode_tables(rows: Sequence[ResultRow]) -> list[ModeTable]:
    """A table for each way of using the systems; systems, tasks and modes in order of appearance.

    Args:
        rows: one for each system, task and mode that were measured.
    """
    return [
        _table(mode, [row for row in rows if row.mode == mode])
        for mode in dict.fromkeys(row.mode for row in rows)
    ]


def _table(mode: str, rows: Sequence[ResultRow]) -> ModeTable:
    tasks = list(dict.fromkeys((row.task, row.figure) for row in rows))
    best = {task: max(row.mean for row in rows if (row.task, row.figure) == task) for task in tasks}
    systems = []
    for system in dict.fromkeys(row.system for row in rows):
        own = {(row.task, row.figure): row for row in rows if row.system == system}
        systems.append(
            SystemRow(
                system,
                [_cell(own.get(task), best[task]) for task in tasks],
                max(row.trained_parameters for row in own.values()),
                max(row.tokens for row in own.values()),
                sum(row.seconds for row in own.values()),
            )
        )
    return ModeTable(mode, tasks, systems)


def _cell(row: ResultRow | None, best: float) -> Cell | None:
    return None if row is None else Cell(row.mean, row.spread, row.mean == best)
