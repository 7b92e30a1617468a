"""`Findings`: what can be said of a model after it has answered labelled records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.metrics.calibration import Calibration, calibration
from bertsmith.metrics.confusion import Confusion
from bertsmith.metrics.interval import Interval, bootstrap_interval, wilson_interval
from bertsmith.tasks.task import RecordTask, ScoredRecord
from bertsmith.tasks.verdict import Table, Verdict, label_table
from bertsmith.training.record_evaluation import RecordEvaluation

# A bound is off by about a twentieth of the interval's half with a thousand resamples, by a tenth
# or more with the fewer of figures that have to be worked out anew from each.
MEAN_RESAMPLES, MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 250, 100
RESAMPLED_RECORDS = 300_000
NUM_LENGTHS, LEAST_OF_A_LENGTH = 6, 20


@dataclass(frozen=True)
class Judged:
    """One record of the evaluation."""

    verdict: Verdict
    location: str
    """`file:line`, without the folders before it."""
    num_wordpieces: int


@dataclass(frozen=True)
class LengthBin:
    """Records of about the same length."""

    low: int
    high: int
    """Wordpieces, both included."""
    num_records: int
    value: float
    """Mean credit, or where a task gives none, mean error;"""
    interval_low: float
    interval_high: float
    """and how sure that is."""


@dataclass(frozen=True)
class Findings:
    """Figures of all records, of parts of them, and the records themselves."""

    figure: str
    figures: dict[str, float]
    """Those of groups, named `GROUP/figure`, are a table."""
    judged: list[Judged]
    interval: Interval | None
    """Of `figure`."""
    confusion: Confusion | None
    calibration: Calibration | None
    lengths: list[LengthBin]
    """Empty where records are few."""
    tables: list[Table]

    @property
    def has_credits(self) -> bool:
        """Whether answers are right or wrong, rather than nearer or farther."""
        return self.values("credit") is not None

    def values(self, name: str) -> list[Any] | None:
        """What each verdict says under this name; None where some say nothing, or no number."""
        return _values(self.judged, name)

    def worst(self, most: int) -> list[Judged]:
        """The records whose answers are the farthest from right, the worst first."""
        wrong = [(each.verdict.error or 0.0, each) for each in self.judged]
        wrong = [(error, each) for error, each in wrong if error > 0]
        return [each for _, each in sorted(wrong, key=lambda pair: -pair[0])[:most]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: figures alone, no text of any record."""
        return {
            "figure": self.figure,
            "figures": self.figures,
            "interval": self.interval and self.interval.to_dict(),
            "confusion": self.confusion and self.confusion.to_dict(),
            "calibration": self.calibration and self.calibration.to_dict(),
            "lengths": [asdict(each) for each in self.lengths],
            "tables": [table.to_dict() for table in self.tables],
        }


def examine(task: RecordTask, evaluation: RecordEvaluation) -> Findings:
    """Look at a model's answers from all sides.

    Args:
        task: the model's.
        evaluation: at least one record.
    """
    scored = evaluation.scored
    judged = [_judge(task, each) for each in scored]
    figures = evaluation.figures(task)
    confusion = None
    tables = task.tables(scored)
    if (classes := _values(judged, "classes")) is not None:
        seen = sorted({name for pair in classes for name in pair}, key=lambda x: (len(x), x))
        confusion = Confusion.of(classes, task.settings().get("labels", seen))
        tables = [label_table(confusion.label_figures()), *tables]
    tables += _by_group(figures)
    confidences, earned = _values(judged, "confidence"), _values(judged, "credit")
    calibrated = None
    if confidences is not None and earned is not None:
        calibrated = calibration(confidences, [credit == 1 for credit in earned])
    return Findings(
        figure=task.figure,
        figures={name: value for name, value in figures.items() if "/" not in name},
        judged=judged,
        interval=_interval(task, scored, earned, figures.get(task.figure)),
        confusion=confusion,
        calibration=calibrated,
        lengths=_by_length(judged),
        tables=tables,
    )


def _by_group(figures: Mapping[str, float]) -> list[Table]:
    """The figures of groups, named `GROUP/figure`, with a row for each group."""
    groups: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        group, slash, rest = name.rpartition("/")
        if slash:
            groups.setdefault(group, {})[rest] = value
    columns = list(dict.fromkeys(name for row in groups.values() for name in row))
    rows: list[tuple[str | float, ...]] = [
        (group, *(row.get(x, math.nan) for x in columns)) for group, row in groups.items()
    ]
    heads = ["type", *(name.replace("_", " ").replace("f1", "F1") for name in columns)]
    return [Table("By type", heads, rows)] if rows else []


def _judge(task: RecordTask, scored: ScoredRecord) -> Judged:
    return Judged(
        task.verdict(scored),
        # Where the file lies is nobody's business who sees the report.
        PurePath(scored.record.record.location).name,
        sum(len(example.input_ids) for example in scored.record.examples),
    )


def _values(judged: Sequence[Judged], name: str) -> list[Any] | None:
    found = [getattr(each.verdict, name) for each in judged]
    numbers = (x for value in found for x in (value if isinstance(value, tuple) else (value,)))
    is_there = all(x is not None and (isinstance(x, str) or math.isfinite(x)) for x in numbers)
    return found if is_there else None


def _interval(
    task: RecordTask,
    scored: Sequence[ScoredRecord],
    earned: Sequence[float] | None,
    value: float | None,
) -> Interval | None:
    """The interval of the main figure, in the quickest way that fits it."""
    num = len(scored)
    if value is None or not math.isfinite(value):
        return None
    if earned is not None and math.isclose(math.fsum(earned) / num, value, abs_tol=1e-9):
        if set(earned) <= {0.0, 1.0}:
            return wilson_interval(math.fsum(earned), num)
        array = np.array(earned)
        return bootstrap_interval(lambda chosen: float(array[chosen].mean()), num, MEAN_RESAMPLES)

    def measure(chosen: NDArray[np.int64]) -> float:
        figures = task.figures([scored[index] for index in chosen.tolist()])
        return figures.get(task.figure, math.nan)

    resamples = max(FEWEST_RESAMPLES, min(MOST_RESAMPLES, RESAMPLED_RECORDS // num))
    return bootstrap_interval(measure, num, resamples)


def _by_length(judged: Sequence[Judged]) -> list[LengthBin]:
    """Bins of about as many records each."""
    values = _values(judged, "credit") or _values(judged, "error")
    num_bins = min(NUM_LENGTHS, len(judged) // LEAST_OF_A_LENGTH)
    if values is None or num_bins < 2:
        return []
    lengths = np.array([each.num_wordpieces for each in judged])
    edges = np.unique(np.quantile(lengths, np.arange(1, num_bins) / num_bins, method="higher"))
    places = np.searchsorted(edges, lengths, side="right")
    measured = np.array(values)
    has_credits = _values(judged, "credit") is not None
    bins = []
    for place in np.unique(places).tolist():
        inside = measured[places == place]
        chosen = lengths[places == place]
        low, high = _mean_interval(inside, has_credits)
        bins.append(
            LengthBin(
                int(chosen.min()), int(chosen.max()), len(inside), float(inside.mean()), low, high
            )
        )
    return bins if len(bins) > 1 else []


def _mean_interval(values: NDArray[np.float64], are_credits: bool) -> tuple[float, float]:
    if are_credits:
        interval = wilson_interval(float(values.sum()), len(values))
        return interval.low, interval.high
    mean = float(values.mean())
    reach = 1.96 * float(values.std()) / math.sqrt(len(values))
    return max(0.0, mean - reach), mean + reach
