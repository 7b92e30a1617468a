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
    mean: float | None
    """Of the task's figure over the runs that have it, in percent; None where none has."""
    spread: float | None
    """Their standard deviation; None for fewer than two."""
    n: int
    """Runs."""
    num_failed: int = 0
    """Of these, how many came to nothing: they diverged, or have one answer for everything."""
    majority: float | None = None
    """The figure of the most frequent answer, in percent, where the task knows it."""
    trained_parameters: int
    tokens: int
    """That the system was pre-trained on."""
    seconds: float
    """Of all these runs together."""
    figure: str = ""
    """What is measured, such as `accuracy`."""


@dataclass(frozen=True)
class Column:
    """A task, and what is measured on it."""

    task: str
    figure: str
    majority: float | None
    """In percent."""


@dataclass(frozen=True)
class Reached:
    """What a system has reached on a task, in percent; see `ResultRow`."""

    mean: float | None
    spread: float | None
    n: int
    num_failed: int
    is_best: bool
    """Of its column, among those of which no run has failed."""


@dataclass(frozen=True)
class SystemRow:
    """One system in one way of using it: what it has reached in each column, None if not run."""

    system: str
    mode: str
    reached: list[Reached | None]
    trained_parameters: int
    """The most of any task."""
    tokens: int
    seconds: float
    """Of all runs of all tasks."""


@dataclass(frozen=True)
class ResultTable:
    """Systems as rows and tasks as columns, both in order of appearance."""

    columns: list[Column]
    rows: list[SystemRow]


def result_table(rows: Sequence[ResultRow]) -> ResultTable:
    """All rows as one table.

    Args:
        rows: one for each system, task and mode that were measured.
    """
    columns = []
    best: dict[tuple[str, str], float | None] = {}
    for key in dict.fromkeys((row.task, row.figure) for row in rows):
        own = [row for row in rows if (row.task, row.figure) == key]
        known = (row.majority for row in own if row.majority is not None)
        columns.append(Column(*key, next(known, None)))
        whole = (row.mean for row in own if row.mean is not None and not row.num_failed)
        best[key] = max(whole, default=None)
    systems = []
    for system, mode in dict.fromkeys((row.system, row.mode) for row in rows):
        found = {
            (row.task, row.figure): row for row in rows if (row.system, row.mode) == (system, mode)
        }
        systems.append(
            SystemRow(
                system,
                mode,
                [_reached(found.get(key), best[key]) for key in best],
                max(row.trained_parameters for row in found.values()),
                max(row.tokens for row in found.values()),
                sum(row.seconds for row in found.values()),
            )
        )
    return ResultTable(columns, systems)


def mode_tables(rows: Sequence[ResultRow]) -> dict[str, ResultTable]:
    """A table for each way of using the systems.

    Args:
        rows: as for `result_table`.
    """
    modes = dict.fromkeys(row.mode for row in rows)
    return {mode: result_table([row for row in rows if row.mode == mode]) for mode in modes}


def _reached(row: ResultRow | None, best: float | None) -> Reached | None:
    if row is None:
        return None
    is_best = row.mean is not None and not row.num_failed and row.mean == best
    return Reached(row.mean, row.spread, row.n, row.num_failed, is_best)
