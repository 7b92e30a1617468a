"""Pictures of a word's study: similarities, maps, and how senses come apart layer by layer.

They are of one system or of several side by side, with the same scale.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.comparison.picture_labels import TITLE_WIDTH, legend_columns, picture_labels
from bertsmith.comparison.word_study import SystemStudy, WordStudy
from bertsmith.training.curves import BASELINE, SMALL, TRAIN, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
PANEL = 2.9  # inches
MOST_NUMBERED = 8  # rows; with more of them there is no room for numbers
TINY = 7.5
MOST_NUMBERS = 24  # beside a heat map
# Okabe and Ito's, which the colour-blind can tell apart; markers differ besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# One more than colours, so that the eighth sense does not look as the first.
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")
_CORPUS = "#b5b5b5"


def png(figure: Figure) -> bytes:
    """The figure as a file."""
    file = io.BytesIO()
    # Without the version of matplotlib the same study gives the same bytes for longer.
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def similarity_figure(study: WordStudy, systems: Sequence[SystemStudy]) -> Figure:
    """A heat map for each system: how near the word's vectors are to each other.

    Args:
        study: of the word.
        systems: those to be shown, one or more.
    """
    from matplotlib.cm import ScalarMappable

    figure, panels = _grid(len(systems), PANEL + 0.35, left=1.65, below=0.65)
    columns = _columns(len(systems))
    colours = blues((0, 0.35, 0.75, 1))
    for place, (axes, system) in enumerate(zip(panels, systems, strict=True)):
        table = np.array(system.similarities)
        axes.imshow(table, cmap=colours, vmin=0, vmax=1)
        style_axes(axes, _names(study)[system.name])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        axes.tick_params(length=0)
        _mark_senses(axes, study, is_first=place % columns == 0)
        if len(table) <= MOST_NUMBERED:
            _write_numbers(axes, table)
        if (found := system.separation) is not None:
            said = f"one sense {found.within:.2f} · different senses {found.between:.2f}"
            axes.set_xlabel(said, fontsize=SMALL, color=BASELINE)
        elif system.between is not None:
            said = f"different senses {system.between:.2f}"
            axes.set_xlabel(said, fontsize=SMALL, color=BASELINE)
    ticks = {0: "0 or less", 0.5: "0.5", 1: "1, the same"}
    colour_bar(figure, panels, ScalarMappable(cmap=colours), ticks)
    return figure


def _names(study: WordStudy) -> dict[str, str]:
    """What the systems are called in pictures."""
    return picture_labels([each.name for each in study.systems], "model", width=TITLE_WIDTH)


def _mark_senses(axes: Axes, study: WordStudy, is_first: bool) -> None:
    """Lines between the senses, and their names beside the first column."""
    senses = [each.sense for each in study.sentences]
    if all(sense is None for sense in senses):
        places = range(0, len(senses), -(-len(senses) // MOST_NUMBERS))
        axes.set_yticks(places, [str(place + 1) for place in places], fontsize=TINY)
        return
    shown = picture_labels(study.senses, "sense")
    middles, names, start = [], [], 0
    for sense, group in itertools.groupby(senses):
        size = len(list(group))
        middles.append(start + (size - 1) / 2)
        names.append("no sense given" if sense is None else shown[sense])
        start += size
        if start < len(senses):
            for line in (axes.axhline, axes.axvline):
                line(start - 0.5, color="white", linewidth=3.2)
                line(start - 0.5, color="#8a8a8a", linewidth=0.8)
    font_size = min(SMALL, 60 * PANEL / len(names))  # as high as there is room for
    axes.set_yticks(middles, names if is_first else [""] * len(names), fontsize=font_size)


def _write_numbers(axes: Axes, table: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(table):
        colour = "white" if value > 0.6 else "#333333"
        axes.text(
            column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=TINY
        )


def map_figure(study: WordStudy, systems: Sequence[SystemStudy]) -> Figure:
    """A map for each system: a mark for each sentence, and a dot for each of the corpus's.

    Args:
        study: of the word.
        systems: those to be shown, one or more.
    """
    from matplotlib.lines import Line2D

    looks, shown = _looks(study), picture_labels(study.senses, "sense")
    num_marks = len(looks) + any(system.corpus_points for system in systems)
    width = PANEL * _columns(len(systems))
    columns = legend_columns(shown.values() or ["sentences"], width, min(num_marks, 6))
    below = 0.25 + 0.22 * -(-num_marks // columns)
    figure, panels = _grid(len(systems), PANEL + 0.3, left=0.15, below=below)
    for axes, system in zip(panels, systems, strict=True):
        _draw_map(axes, study, system)
    marks = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=6.5, label=label)
        for label, (marker, colour) in zip(
            shown.values() or ["sentences"], looks.values(), strict=True
        )
    ]
    if any(system.corpus_points for system in systems):
        dots = {"marker": "o", "color": _CORPUS, "markersize": 4}
        marks.append(Line2D([], [], linestyle="", label="held-out text", **dots))  # type: ignore[arg-type]
    if len(marks) > 1:
        figure.legend(
            handles=marks,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize=SMALL,
            labelcolor=BASELINE,
            handletextpad=0.2,
            columnspacing=1.4,
        )
    return figure


def _looks(study: WordStudy) -> dict[str, tuple[str, str]]:
    """Marker and colour of each sense, by its whole name."""
    looks = zip(itertools.cycle(MARKERS), itertools.cycle(COLOURS), strict=False)
    return dict(zip(study.senses or ["sentences"], looks, strict=False))


def _draw_map(axes: Axes, study: WordStudy, system: SystemStudy) -> None:
    style_axes(axes, _names(study)[system.name])
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#d5d5d5")
    axes.set_xticks([])
    axes.set_yticks([])
    looks = _looks(study)
    everywhere = np.array([*system.points, *system.corpus_points])
    reach = float(np.abs(everywhere - everywhere.mean(0)).max())
    if system.corpus_points:
        dots = np.array(system.corpus_points)
        axes.scatter(dots[:, 0], dots[:, 1], s=11, color=_CORPUS, linewidth=0)
    marker, colour = next(iter(looks.values()))
    for sentence, (x, y) in zip(study.sentences, system.points, strict=True):
        if study.senses:
            none = ("o", BASELINE)
            marker, colour = none if sentence.sense is None else looks[sentence.sense]
        axes.scatter(
            x, y, s=46, marker=marker, color=colour, edgecolor="white", linewidth=0.7, zorder=3
        )
    # Vectors of length 1: what is below this is rounding, and a map of it would show stars.
    if reach < 1e-3:
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        axes.annotate(
            f"all {len(everywhere)} at one point",
            everywhere.mean(0),
            xytext=(0, -18),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
            color=BASELINE,
        )
    else:
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.08)
        shown = f"{system.shown_variance:.0%} of the differences"
        axes.set_xlabel(shown, fontsize=SMALL, color=BASELINE)


def layer_figure(study: WordStudy) -> Figure | None:
    """How far the senses are apart in each layer; None for sentences without senses.

    Args:
        study: of the word, in one system or more.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not any(any(system.layers) for system in study.systems):
        return None
    figure = Figure(figsize=(6.4, 3.6), dpi=160, layout="constrained")
    axes = figure.subplots()
    style_axes(axes, "How far the senses are apart, layer by layer")
    looks = zip(itertools.cycle(MARKERS), itertools.cycle(COLOURS), strict=False)
    for place, (system, (marker, colour)) in enumerate(zip(study.systems, looks, strict=False)):
        values = [math.nan if each is None else each.difference for each in system.layers]
        axes.plot(
            range(len(values)),
            values,
            color=colour,
            marker=marker,
            markersize=5.5,
            linewidth=1.8,
            label=_names(study)[system.name],
            clip_on=False,
            zorder=3 + len(study.systems) - place,  # one layer is not to be hidden by several
        )
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("layer (0: the embeddings)", fontsize=SMALL, color=BASELINE)
    axes.set_ylabel("one sense − different senses", fontsize=SMALL, color=BASELINE)
    if len(study.systems) > 1:
        figure.legend(
            loc="outside lower center",
            ncols=legend_columns(_names(study).values(), 6.4, min(4, len(study.systems))),
            frameon=False,
            fontsize=SMALL,
            labelcolor=BASELINE,
        )
    return figure


def blues(stops: Sequence[float]) -> LinearSegmentedColormap:
    """From white over two blues to nearly black, which shows as much without colours.

    Args:
        stops: where the four are, from 0 to 1.
    """
    from matplotlib.colors import LinearSegmentedColormap

    colours = ("#ffffff", "#bcd7ea", TRAIN, "#00263f")
    return LinearSegmentedColormap.from_list("blues", list(zip(stops, colours, strict=True)))


def colour_bar(
    figure: Figure, panels: Any, colours: ScalarMappable, ticks: Mapping[float, str]
) -> Colorbar:
    """What the colours mean, once for all panels.

    Args:
        figure: of the panels.
        panels: the axes that share the colours.
        colours: a map and its range.
        ticks: what stands at which values.
    """
    bar = figure.colorbar(
        colours,
        ax=panels,
        location="bottom",
        shrink=min(0.8, 2.6 / figure.get_figwidth()),
        aspect=30,
        pad=0.02,
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, colors=BASELINE, length=0)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    return bar


def _columns(count: int) -> int:
    """As many panels in each row, or nearly."""
    rows = -(-count // MOST_COLUMNS)
    return -(-count // rows)


def _grid(count: int, height: float, left: float, below: float) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, and what they need besides, in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = _columns(count)
    rows = -(-count // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    size = (PANEL * columns + left, height * rows + below)
    figure = Figure(figsize=size, dpi=160, layout=layout)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]
