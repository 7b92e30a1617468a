"""The report's pictures: confusion, calibration, confidence or scores, length.

They are narrow, so that their text can be read on a phone too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertsmith.metrics.calibration import NUM_BINS, Calibration
from bertsmith.metrics.confusion import Confusion
from bertsmith.metrics.interval import wilson_interval
from bertsmith.training.curves import BASELINE, HELD_OUT, SMALL, TRAIN, style_axes
from bertsmith.training.report.findings import Findings, LengthBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.4  # inches
CONFUSION = "confusion.png"
MOST_LABELS = 25
LONGEST_LABEL = 24
_DASHES = (0, (5, 4))


@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows."""

    path: Path
    title: str
    explanation: str
    is_wide: bool = False


def draw_pictures(findings: Findings, folder: Path) -> list[Picture]:
    """Draw what the findings have the figures for.

    Args:
        findings: of an evaluation.
        folder: where the PNG files go; one of the same name is replaced.
    """
    drawn = []
    for picture, height, draw in _pictures(findings, folder):
        _save(picture.path, height, draw)
        drawn.append(picture)
    return drawn


def _pictures(
    found: Findings, folder: Path
) -> Iterator[tuple[Picture, float, Callable[[Axes], None]]]:
    if found.confusion is not None:
        shown = found.confusion.capped(MOST_LABELS)
        height = max(3.0, 1.6 + 0.34 * len(shown.labels))
        rows = "Rows are true labels, columns answers; a row's colours show its parts."
        yield (
            Picture(folder / CONFUSION, "Confusion", rows),
            height,
            lambda axes: _confusion(axes, shown),
        )
    if (calibrated := found.calibration) is not None:
        said = (
            "How often answers of a given probability are right; on the dashed line, just as often "
            "as the probability says. Bars are 95 % intervals."
        )
        yield (
            Picture(folder / "calibration.png", "Calibration", said),
            4.6,
            lambda axes: _calibration(axes, calibrated),
        )
    confidences, earned = found.values("confidence"), found.values("credit")
    if confidences is not None and earned is not None:
        said = "The probabilities that answers were given with, right and wrong ones apart."
        yield (
            Picture(folder / "scores.png", "Confidence", said),
            3.2,
            lambda axes: _confidences(axes, confidences, earned),
        )
    elif (numbers := found.values("numbers")) is not None:
        said = "One dot for each record; on the dashed line, the answer is the true score."
        yield (
            Picture(folder / "scores.png", "Scores", said),
            5.0,
            lambda axes: _numbers(axes, numbers),
        )
    if found.lengths:
        measure = "Right answers" if found.has_credits else "Mean error"
        said = "Of records of about the same length. Bars are 95 % intervals."
        yield (
            Picture(folder / "lengths.png", f"{measure} by length", said),
            3.0,
            lambda axes: _lengths(axes, found.lengths, measure, found.has_credits),
        )


def _save(path: Path, height: float, draw: Callable[[Axes], None]) -> None:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(WIDTH, height), dpi=160, layout=layout)
    draw(figure.subplots())
    with warnings.catch_warnings():
        # The page has every label as text; matplotlib's font lacks the letters of some languages.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        figure.savefig(path)


def _confusion(axes: Axes, confusion: Confusion) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    counts, num = confusion.counts, len(confusion.labels)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    colours = LinearSegmentedColormap.from_list("blue", ["#ffffff", TRAIN])
    axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="auto")
    size = SMALL if num <= 10 else 6
    for (row, column), count in np.ndenumerate(counts):
        if count or num <= 10:
            colour = "white" if shares[row, column] > 0.55 else "#333333"
            axes.text(
                column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size
            )
    names = [plain_label(label) for label in confusion.labels]
    is_long = num > 6 or max(map(len, names)) > 40 // num
    axes.set_xticks(range(num), names, rotation=90 if is_long else 0)
    axes.set_yticks(range(num), names)
    style_axes(axes, "Confusion")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL if num <= 15 else 7)
    _name_axes(axes, "answer", "true label")


def _calibration(axes: Axes, calibrated: Calibration) -> None:
    style_axes(axes, f"Calibration (expected error {calibrated.error:.1%})")
    axes.plot([0, 1], [0, 1], color=BASELINE, linewidth=1.1, linestyle=_DASHES)
    for each in calibrated.bins:
        around = wilson_interval(each.accuracy * each.num_records, each.num_records)
        axes.plot(
            [each.confidence, each.confidence], [around.low, around.high], color=TRAIN, alpha=0.45
        )
    confidences = [each.confidence for each in calibrated.bins]
    accuracies = [each.accuracy for each in calibrated.bins]
    axes.plot(confidences, accuracies, color=TRAIN, linewidth=1.6, marker="o", markersize=5)
    for each in calibrated.bins:
        axes.annotate(
            f"{each.num_records:,}",
            (each.confidence, each.accuracy),
            xytext=(6, -10),
            textcoords="offset points",
            fontsize=7.5,
            color=BASELINE,
        )
    axes.set_xlim(0, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    _name_axes(axes, "probability of the answer (number of records beside the dots)", "right")


def _confidences(axes: Axes, confidences: Sequence[float], earned: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    style_axes(axes, "Confidence of right and wrong answers")
    given, right = np.array(confidences), np.array(earned) == 1
    low = min(0.9, np.floor(given.min() * NUM_BINS) / NUM_BINS)
    edges = np.linspace(low, 1, 26)
    parts = [("right", TRAIN, given[right]), ("wrong", HELD_OUT, given[~right])]
    axes.hist(
        [values for _, _, values in parts],
        bins=edges.tolist(),
        stacked=True,
        color=[colour for _, colour, _ in parts],
        label=[f"{name} {len(values):,}" for name, _, values in parts],
        edgecolor="white",
        linewidth=0.5,
    )
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=BASELINE, loc="best")
    axes.xaxis.set_major_formatter(_percent)
    axes.set_xlim(low, 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _name_axes(axes, "probability of the answer", "records")


def _numbers(axes: Axes, numbers: Sequence[tuple[float, float]]) -> None:
    style_axes(axes, "Answers beside true scores")
    points = np.array(numbers)
    ends = [points.min(), points.max()]
    axes.plot(ends, ends, color=BASELINE, linewidth=1.1, linestyle=_DASHES)
    alpha = float(np.clip(150 / len(points), 0.15, 0.8))
    axes.scatter(points[:, 0], points[:, 1], s=14, color=TRAIN, alpha=alpha, linewidth=0)
    _name_axes(axes, "true score", "answer")


def _lengths(axes: Axes, lengths: Sequence[LengthBin], measure: str, is_part: bool) -> None:
    style_axes(axes, f"{measure} by length")
    places = np.arange(len(lengths))
    values = np.array([each.value for each in lengths])
    reach = np.array(
        [
            [max(0.0, each.value - each.interval_low) for each in lengths],
            [max(0.0, each.interval_high - each.value) for each in lengths],
        ]
    )
    axes.errorbar(
        places, values, yerr=reach, color=TRAIN, linewidth=1.6, elinewidth=1.2, marker="o"
    )
    names = [f"{x.low}" if x.low == x.high else f"{x.low}–{x.high}" for x in lengths]
    counts = [f"{x.num_records:,}" for x in lengths]
    axes.set_xticks(places, [f"{n}\n({c})" for n, c in zip(names, counts, strict=True)])
    axes.set_xlim(-0.4, len(lengths) - 0.6)
    if is_part:
        axes.yaxis.set_major_formatter(_percent)
    _name_axes(axes, "wordpieces (number of records)", "")


def _name_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=SMALL, color=BASELINE)
    axes.set_ylabel(y, fontsize=SMALL, color=BASELINE)


def _percent(value: float, _: float) -> str:
    return f"{value:.0%}"


def plain_label(label: str) -> str:
    """A label as matplotlib shall write it: short, and with no formula or line break in it."""
    text = " ".join("".join(x if x.isprintable() else " " for x in label).split())
    text = text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"
    return text.replace("$", r"\$")
