"""The outline of what is attended to, and a picture of any number of layers and systems."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bertsmith.comparison.attention_picture import attention_figure, outline
from bertsmith.comparison.mean_attention import MeanAttention
from bertsmith.comparison.word_pictures import png
from bertsmith.comparison.word_study import WordStudy


def length_and_corners(used: np.ndarray) -> tuple[float, set[tuple[float, float]]]:
    edges = outline(used)
    total = sum(abs(x2 - x1) + abs(y2 - y1) for (x1, y1), (x2, y2) in edges)
    return total, {point for edge in edges for point in edge}


def test_a_square_is_outlined_on_four_sides() -> None:
    total, points = length_and_corners(np.ones((3, 3), bool))
    assert total == 12
    assert {(-0.5, -0.5), (2.5, 2.5)} <= points
    assert all(-0.5 in point or 2.5 in point for point in points)


def test_a_triangle_is_outlined_in_steps() -> None:
    edges = outline(np.tri(3, dtype=bool))
    # Left and bottom, and a step for each row: to the right of its last cell, and above the next.
    assert len(edges) == 12
    for row in range(3):
        assert ((row + 0.5, row - 0.5), (row + 0.5, row + 0.5)) in edges
    assert ((0.5, 0.5), (1.5, 0.5)) in edges


def test_nothing_has_no_outline() -> None:
    assert outline(np.zeros((2, 2), bool)) == []


@pytest.mark.parametrize("num_layers", [1, 3, 12])
def test_at_most_four_layers_are_drawn_the_last_among_them(
    study: WordStudy, num_layers: int
) -> None:
    attention = MeanAttention(
        [torch.eye(6)] * num_layers, torch.ones(6, 6, dtype=torch.bool).tril(), 5
    )
    system = dataclasses.replace(study.systems[0], attention=attention)
    figure = attention_figure([system, study.systems[3]])
    assert figure is not None
    names = [axes.get_xlabel() for axes in figure.axes if axes.get_visible()]
    drawn = [int(name.removeprefix("layer ")) for name in names if name.startswith("layer")]
    first = drawn[: len(drawn) - 2]
    assert first == {1: [1], 3: [1, 2, 3], 12: [1, 5, 8, 12]}[num_layers]
    assert png(figure).startswith(b"\x89PNG")


def test_systems_without_attention_have_no_picture(study: WordStudy) -> None:
    assert attention_figure(study.systems[:2]) is None
    assert attention_figure([]) is None
