"""`Verdict`: a labelled record beside a model's answer, for people and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from bertsmith.metrics.confusion import LabelFigures


@dataclass(frozen=True)
class Verdict:
    """What a record is, what its answer should be and what it is.

    What a task cannot say stays None, and pictures that need it are left out.
    """

    texts: Mapping[str, str]
    """By what they are called, such as `question` and `context`."""
    gold: str
    answer: str
    error: float | None = None
    """0 for an answer that is right; of two that are not, the worse one has more."""
    credit: float | None = None
    """How right the answer is, from 0 to 1; None where it is only nearer or farther."""
    confidence: float | None = None
    """The probability that the model gives its answer."""
    classes: tuple[str, str] | None = None
    """The gold class and the one that was chosen, where there are classes."""
    numbers: tuple[float, float] | None = None
    """The gold number and the one that was given, where there are numbers."""

    @classmethod
    def of_class(
        cls, texts: Mapping[str, str], gold: str, answer: str, confidence: float, **rest: Any
    ) -> Self:
        """The verdict on a choice among classes: the surer a wrong one, the worse."""
        is_right = gold == answer
        return cls(
            texts,
            gold,
            answer,
            error=0.0 if is_right else confidence,
            credit=float(is_right),
            confidence=confidence,
            **{"classes": (gold, answer)} | rest,
        )


@dataclass(frozen=True)
class Table:
    """Figures of parts of the records, such as those of one label."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    note: str = ""
    """What the columns mean, where their names do not tell."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        rows = [list(row) for row in self.rows]
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": rows,
            "note": self.note,
        }


def label_table(figures: Sequence[LabelFigures], title: str = "By label") -> Table:
    """The figures of each label, or of each kind of entity, as a table."""
    return Table(
        title,
        ("label", "precision", "recall", "F1", "records"),
        [(each.label, each.precision, each.recall, each.f1, each.num_records) for each in figures],
    )
