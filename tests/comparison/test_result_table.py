"""Rows of figures become a table for each way of using the systems."""

from __future__ import annotations

from typing import Any

from bertsmith.comparison.result_table import Cell, ResultRow, mode_tables


def row(system: str, task: str, mode: str, mean: float, **others: Any) -> ResultRow:
    settings: dict[str, Any] = {"spread": 1.0, "n": 3, "trained_parameters": 1000}
    settings |= {"tokens": 50_000, "seconds": 2.0, "figure": "accuracy"} | others
    return ResultRow(system=system, task=task, mode=mode, mean=mean, **settings)


def test_systems_are_rows_and_tasks_columns() -> None:
    rows = [
        row("GloVe", "SST-2", "features", 80.0),
        row("BERT", "SST-2", "features", 90.0, seconds=4.0, trained_parameters=3000),
        row("BERT", "EWT", "features", 70.0, spread=None, n=1, figure="F1"),
        row("BERT", "SST-2", "fine-tuned", 95.0),
    ]
    features, tuned = mode_tables(rows)
    assert (features.mode, tuned.mode) == ("features", "fine-tuned")
    assert features.tasks == [("SST-2", "accuracy"), ("EWT", "F1")]
    glove, bert = features.rows
    assert glove.system == "GloVe"
    assert glove.cells == [Cell(80.0, 1.0, False), None]
    assert bert.cells == [Cell(90.0, 1.0, True), Cell(70.0, None, True)]
    assert (bert.trained_parameters, bert.tokens, bert.seconds) == (3000, 50_000, 6.0)
    assert [each.system for each in tuned.rows] == ["BERT"]


def test_equal_figures_are_both_the_best() -> None:
    (table,) = mode_tables([row("a", "t", "m", 0.5), row("b", "t", "m", 0.5)])
    assert [each.cells[0] and each.cells[0].is_best for each in table.rows] == [True, True]


def test_no_rows_are_no_table() -> None:
    assert mode_tables([]) == []
