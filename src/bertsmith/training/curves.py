"""Learning curves of a run as a picture, with the lines that tell what a loss means.

Without them a masked-LM loss of 6.7 says nothing: guessing among V wordpieces costs ln V, guessing
by frequency costs the corpus's unigram entropy, and only below that has a model read any context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bertsmith.errors import DataError
from bertsmith.training.metrics_file import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind can tell apart.
TRAIN, HELD_OUT, RATE, BASELINE = "#0072B2", "#D55E00", "#009E73", "#555555"
SMOOTHING_WINDOWS = 25
SMALL, LARGE = 9.5, 11.5
LABEL_HEIGHT = 0.2  # inches from one label to the next
TITLE_HEIGHT = 0.45  # inches of a panel's height that its title and margins take

Values = npt.NDArray[np.float64]
Label = tuple[float, str, str]  # height, text, colour


@dataclass(frozen=True)
class Panel:
    """One figure over the steps of a run, and the values it is to be compared with."""

    title: str
    name: str
    baselines: Mapping[str, float] = field(default_factory=dict)
    is_percentage: bool = False


def draw_curves(
    metrics_path: str | Path,
    output_png: str | Path,
    *,
    vocab_size: int | None = None,
    unigram_entropy: float | None = None,
    metric: str | None = None,
    majority: float | None = None,
    kept_step: int | None = None,
) -> None:
    """Draw what metrics.jsonl tells: losses, a metric beside them, the learning rate.

    Args:
        metrics_path: the run's metrics.jsonl.
        output_png: the picture.
        vocab_size: for the line of a masked LM that knows nothing.
        unigram_entropy: for the line of one that knows frequencies alone, in nats.
        metric: the main figure of a fine-tuning run, such as `accuracy`.
        majority: what it is for always giving the most frequent answer.
        kept_step: the step whose model is kept; None: the last.

    Raises:
        DataError: when the file cannot be read or has no training figures.
    """
    records = read_metrics(metrics_path)
    is_masked_lm = any("masked_lm_loss" in record for record in records)
    baselines = {}
    if vocab_size is not None:
        baselines["uniform (ln V)"] = math.log(vocab_size)
    if unigram_entropy is not None:
        baselines["unigram entropy"] = unigram_entropy
    if is_masked_lm:
        panels = [Panel("Masked-LM loss (nats)", "masked_lm_loss", baselines)]
        chance = {"chance": 0.5}
        panels.append(Panel("Next-sentence accuracy", "next_sentence_accuracy", chance, True))
    else:
        panels = [Panel("Loss (nats)" if baselines else "Loss", "loss", baselines)]
    if metric is not None:
        most_frequent = {} if majority is None else {"majority": majority}
        title = metric.replace("_", " ").capitalize()
        panels.append(Panel(title, metric, most_frequent, metric.endswith("accuracy")))
    panels = [
        panel
        for panel in panels
        if any(len(_series(records, split, panel.name)[0]) for split in ("train", "eval"))
    ]
    if not panels:
        raise DataError(f"{metrics_path} has no figures to draw yet; let the run log a step")
    _draw(records, panels, Path(output_png), kept_step)


def _draw(
    records: Sequence[Mapping[str, Any]], panels: list[Panel], output: Path, kept_step: int | None
) -> None:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rate = _series(records, "train", "learning_rate")
    heights = [3.6] + [2.0] * (len(panels) - 1) + ([0.9] if len(rate[0]) else [])
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(9, sum(heights) + 0.9), dpi=150, layout=layout)
    rows = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, panel, height in zip(rows, panels, heights, strict=False):
        style_axes(axes, panel.title)
        labels = _draw_panel(axes, panel, records, kept_step)
        _label(axes, labels, LABEL_HEIGHT / (height - TITLE_HEIGHT))
    if len(rate[0]):
        style_axes(rows[-1], "Learning rate")
        _draw_rate(rows[-1], *rate)
    rows[-1].set_xlim(0, max(1, *(record["step"] for record in records)))
    rows[-1].set_xlabel("step", fontsize=SMALL, color=BASELINE)
    rows[-1].xaxis.set_major_formatter("{x:,.0f}")
    figure.savefig(output)


def _draw_panel(
    axes: Axes, panel: Panel, records: Sequence[Mapping[str, Any]], kept_step: int | None
) -> list[Label]:
    """The two curves and the dashed lines; gives their names, to stand where they end."""
    steps, values = _series(records, "train", panel.name)
    shown = "{:.1%}" if panel.is_percentage else "{:.2f}"
    labels = []
    if len(steps):
        smooth = _smoothed(values)
        axes.plot(steps, values, color=TRAIN, alpha=0.22, linewidth=0.9)
        axes.plot(steps, smooth, color=TRAIN, linewidth=2)
        labels.append((smooth[-1], f"training {shown.format(smooth[-1])}", TRAIN))
    steps, values = _series(records, "eval", panel.name)
    if len(steps):
        axes.plot(
            steps, values, color=HELD_OUT, linewidth=2, marker="o", markersize=4.5, clip_on=False
        )
        label = f"held-out {shown.format(values[-1])}"
        kept = values[steps == kept_step]
        if len(kept):
            axes.plot(
                steps[steps == kept_step],
                kept,
                "o",
                color=HELD_OUT,
                markersize=10,
                markerfacecolor="none",
            )
        if len(kept) and kept_step != steps[-1]:
            label += f", kept {shown.format(kept[0])}"
        labels.append((values[-1], label, HELD_OUT))
    for name, value in panel.baselines.items():
        axes.axhline(value, color=BASELINE, linewidth=1.1, linestyle=(0, (5, 4)))
        labels.append((value, f"{name} {shown.format(value)}", BASELINE))
    if panel.is_percentage:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return labels


def _draw_rate(axes: Axes, steps: Values, rates: Values) -> None:
    """The learning rate, whose highest value is the one that matters."""
    axes.fill_between(steps, rates, color=RATE, alpha=0.15, linewidth=0)
    axes.plot(steps, rates, color=RATE, linewidth=1.6)
    peak = float(rates.max()) or 1.0
    axes.set_ylim(0, 1.05 * peak)
    axes.set_yticks([0, peak], ["0", f"{peak:.2g}"])


def style_axes(axes: Axes, title: str) -> None:
    """Make it look like every picture of this package."""
    axes.set_title(title, loc="left", fontsize=LARGE, fontweight="bold", color="#222222")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, colors=BASELINE, length=3)


def _label(axes: Axes, labels: list[Label], gap: float) -> None:
    """Write names at the right edge, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    ordered = sorted(labels)
    places = _spread([(value - low) / (high - low) for value, _, _ in ordered], gap)
    for place, (_, text, colour) in zip(places, ordered, strict=True):
        axes.text(
            1.012, place, text, transform=axes.transAxes, color=colour, fontsize=SMALL, va="center"
        )


def _spread(places: list[float], gap: float) -> list[float]:
    """Ascending places moved as little as keeps them `gap` apart.

    Neighbours that are too near form a group, which is laid out evenly around its own middle.
    """
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _low(groups[-1], gap) - _high(groups[-2], gap) < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_low(group, gap) + index * gap for group in groups for index in range(len(group))]


def _low(group: list[float], gap: float) -> float:
    return sum(group) / len(group) - (len(group) - 1) * gap / 2


def _high(group: list[float], gap: float) -> float:
    return sum(group) / len(group) + (len(group) - 1) * gap / 2


def _series(records: Sequence[Mapping[str, Any]], split: str, name: str) -> tuple[Values, Values]:
    """Steps and values of a figure; lines without it, or where it was no number, left out."""
    points = [
        (record["step"], record[name])
        for record in records
        if record["split"] == split and record.get(name) is not None
    ]
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _smoothed(values: Values) -> Values:
    """A running mean around each value.

    The window shrinks at the start, where a loss falls fast, and is one-sided at the end, where
    it does not and a single noisy value would be read as the result.
    """
    half = len(values) // SMOOTHING_WINDOWS // 2
    sums = np.concatenate([[0.0], values.cumsum()])
    index = np.arange(len(values))
    reach = np.minimum(half, index)
    last = np.minimum(index + reach, len(values) - 1)
    return np.asarray((sums[last + 1] - sums[index - reach]) / (last + 1 - index + reach))
