"""Rows of figures become a table for each way of using the systems."""

from __future__ import annotations

from typing import Any

from bertsmith.comparison.result_table import Column, Reached, ResultRow, mode_tables, result_table


def row(system: str, task: str, mode: str, mean: float | None, **others: Any) -> ResultRow:
    settings: dict[str, Any] = {"spread": 1.0, "n": 3, "trained_parameters": 1000}
    settings |= {"tokens": 50_000, "seconds": 2.0, "figure": "accuracy"} | others
    return ResultRow(system=system, task=task, mode=mode, mean=mean, **settings)


def test_systems_are_rows_and_tasks_columns() -> None:
    rows = [
        row("GloVe", "SST-2", "features", 80.0),
        row("BERT", "SST-2", "features", 90.0, seconds=4.0, trained_parameters=3000),
        row("BERT", "EWT", "features", 70.0, spread=None, n=1, figure="F1", majority=60.0),
        row("BERT", "SST-2", "fine-tuned", 95.0),
    ]
    tables = mode_tables(rows)
    assert list(tables) == ["features", "fine-tuned"]
    features = tables["features"]
    assert features.columns == [Column("SST-2", "accuracy", None), Column("EWT", "F1", 60.0)]
    glove, bert = features.rows
    assert glove.system == "GloVe"
    assert glove.reached == [Reached(80.0, 1.0, 3, 0, False), None]
    assert bert.reached == [Reached(90.0, 1.0, 3, 0, True), Reached(70.0, None, 1, 0, True)]
    assert (bert.trained_parameters, bert.tokens, bert.seconds) == (3000, 50_000, 6.0)
    assert [each.system for each in tables["fine-tuned"].rows] == ["BERT"]
    together = result_table(rows)
    assert [(each.system, each.mode) for each in together.rows] == [
        ("GloVe", "features"),
        ("BERT", "features"),
        ("BERT", "fine-tuned"),
    ]


def best(*rows: ResultRow) -> list[bool | None]:
    return [each.reached[0] and each.reached[0].is_best for each in result_table(rows).rows]


def test_equal_figures_are_both_the_best() -> None:
    assert best(row("a", "t", "m", 0.5), row("b", "t", "m", 0.5)) == [True, True]


def test_what_came_to_nothing_is_not_the_best() -> None:
    failed = row("a", "t", "m", 90.0, num_failed=2)
    diverged = row("c", "t", "m", None, num_failed=3)
    assert best(failed, row("b", "t", "m", 80.0), diverged) == [False, True, False]
    assert best(failed, diverged) == [False, False]


def test_no_rows_are_no_table() -> None:
    assert mode_tables([]) == {}
