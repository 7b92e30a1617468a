"""What a Transformer's tokens attend to, drawn: the full square, or the triangle of the earlier.

The area with an outline is what any head was measured to use, so that it is no claim about the
architecture but what the trained model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bertsmith.comparison.picture_labels import TITLE_WIDTH, picture_labels
from bertsmith.comparison.word_pictures import blues, colour_bar
from bertsmith.comparison.word_study import SystemStudy
from bertsmith.training.curves import BASELINE, HELD_OUT, SMALL, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bertsmith.comparison.mean_attention import MeanAttention

MOST_LAYERS = 4
PANEL = 2.35  # inches


def attention_figure(systems: Sequence[SystemStudy]) -> Figure | None:
    """A row of layers for each system that attends; None where none does.

    Args:
        systems: any.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    shown = [(each.name, each.attention) for each in systems if each.attention is not None]
    if not shown:
        return None
    chosen = [_chosen(len(attention.layers)) for _, attention in shown]
    columns = max(map(len, chosen))
    names = picture_labels([each.name for each in systems], "model", width=TITLE_WIDTH)
    figure = Figure(
        figsize=(PANEL * columns + 1.0, (PANEL + 0.3) * len(shown) + 0.9),
        dpi=160,
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08),
    )
    panels = figure.subplots(len(shown), columns, squeeze=False)
    colours = blues((0, 0.18, 0.5, 1)).with_extremes(bad="#ececec")
    # Most weights are a small part of 1, and a token that can see itself alone has all of it.
    norm = PowerNorm(0.5, 0, 1)
    for row, (name, attention), layers in zip(panels, shown, chosen, strict=True):
        for axes, layer in zip(row, layers, strict=False):
            table = np.ma.masked_array(attention.layers[layer].numpy(), ~attention.is_used.numpy())
            axes.imshow(table, cmap=colours, norm=norm)
            _mark(axes, attention)
            style_axes(axes, names[name] if layer == layers[0] else "")
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0)
            axes.set_xlabel(f"layer {layer + 1}", fontsize=SMALL, color=BASELINE)
            last = len(table) - 1
            axes.set_xticks([])
            axes.set_yticks([0, last], ["[CLS]", "[SEP]"] if axes is row[0] else ["", ""])
        for axes in row[len(layers) :]:
            axes.set_visible(False)
    ticks = {0: "0", 0.1: "0.1", 0.3: "0.3", 1: "1"}
    bar = colour_bar(figure, panels, ScalarMappable(norm, colours), ticks)
    bar.set_label("share of a token's attention", fontsize=SMALL, color=BASELINE)
    return figure


def _chosen(num_layers: int) -> list[int]:
    """The first layer, the last, and some at equal distances between them."""
    if num_layers <= MOST_LAYERS:
        return list(range(num_layers))
    return [round(place * (num_layers - 1) / (MOST_LAYERS - 1)) for place in range(MOST_LAYERS)]


def _mark(axes: Axes, attention: MeanAttention) -> None:
    """An outline around what is used."""
    from matplotlib.collections import LineCollection

    lines = LineCollection(
        outline(attention.is_used.numpy()),
        colors=HELD_OUT,
        linewidths=1.6,
        capstyle="projecting",
        antialiaseds=False,
    )
    lines.set_clip_on(False)
    axes.add_collection(lines)


def outline(used: np.ndarray) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The edges of an area, as pairs of points (column, row).

    Args:
        used: (rows, columns) bool, True inside; a cell is a square of size 1 around its numbers.
    """
    padded = np.pad(used, 1)
    edges = []
    for row, column in np.argwhere(padded[:, 1:] != padded[:, :-1]).tolist():
        x, y = column - 0.5, row - 1.0
        edges.append(((x, y - 0.5), (x, y + 0.5)))
    for row, column in np.argwhere(padded[1:] != padded[:-1]).tolist():
        x, y = column - 1.0, row - 0.5
        edges.append(((x - 0.5, y), (x + 0.5, y)))
    return edges
