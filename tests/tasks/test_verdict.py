"""Verdicts of choices: right or wrong, and the surer a wrong one, the worse."""

from __future__ import annotations

import json

from bertsmith.metrics.confusion import LabelFigures
from bertsmith.tasks.verdict import Verdict, label_table


def test_a_sure_mistake_is_worse_than_an_unsure_one() -> None:
    right = Verdict.of_class({"text": "x"}, "a", "a", 0.9)
    sure, unsure = (Verdict.of_class({"text": "x"}, "a", "b", p) for p in (0.9, 0.6))
    assert (right.error, right.credit, right.confidence) == (0.0, 1.0, 0.9)
    assert (sure.credit, unsure.credit) == (0.0, 0.0)
    assert sure.error is not None
    assert unsure.error is not None
    assert sure.error > unsure.error > 0
    assert sure.classes == ("a", "b")
    # A choice is shown as its text and counted as its place.
    place = Verdict.of_class({}, "the end", "an end", 0.5, classes=("1", "2"))
    assert (place.gold, place.classes) == ("the end", ("1", "2"))


def test_a_table_is_json_ready() -> None:
    table = label_table([LabelFigures.of("a", right=1, given=2, gold=4)])
    assert json.loads(json.dumps(table.to_dict())) == {
        "title": "By label",
        "columns": ["label", "precision", "recall", "F1", "records"],
        "rows": [["a", 0.5, 0.25, 1 / 3, 4]],
        "note": "",
    }
