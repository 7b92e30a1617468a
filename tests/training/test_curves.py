from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import DataError
from bertsmith.training import curves
from bertsmith.training.curves import draw_curves
from bertsmith.training.metrics_file import metrics_line


def metrics(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "metrics.jsonl"
    path.write_text("".join(metrics_line(record) for record in records))
    return path


def run(steps: int, **figures: float) -> list[dict[str, Any]]:
    return [{"split": "train", "step": step, **figures} for step in range(1, steps + 1)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of every picture that is drawn."""
    from matplotlib.figure import Figure

    axes: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a: (axes.extend(self.axes), save(self, *a))
    )
    return axes


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_pre_training_is_drawn_beside_the_lines_that_explain_it(
    tmp_path: Path, drawn: list[Any]
) -> None:
    figures = {"masked_lm_loss": 6.0, "next_sentence_accuracy": 0.75, "learning_rate": 1e-4}
    held_out = {"split": "eval", "step": 20, "masked_lm_loss": 6.5, "next_sentence_accuracy": 0.7}
    path = metrics(tmp_path, *run(20, **figures), held_out)
    draw_curves(path, tmp_path / "curves.png", vocab_size=4000, unigram_entropy=6.76)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    loss, next_sentence, rate = drawn
    assert texts(loss) == [
        "training 6.00",
        "held-out 6.50",
        "unigram entropy 6.76",
        "uniform (ln V) 8.29",
    ]
    assert texts(next_sentence) == ["chance 50.0%", "held-out 70.0%", "training 75.0%"]
    assert [label.get_text() for label in rate.get_yticklabels()] == ["0", "0.0001"]


def test_fine_tuning_is_drawn_with_its_metric_and_the_majoritys(
    tmp_path: Path, drawn: list[Any]
) -> None:
    held_out = {"split": "eval", "step": 20, "loss": 0.4, "f1": 0.875}
    path = metrics(tmp_path, *run(20, loss=0.5), held_out)
    draw_curves(path, tmp_path / "curves.png", metric="f1", majority=0.75)
    loss, metric = drawn
    assert texts(loss) == ["held-out 0.40", "training 0.50"]
    assert texts(metric) == ["majority 0.75", "held-out 0.88"]


def test_the_kept_step_is_marked_and_named(tmp_path: Path, drawn: list[Any]) -> None:
    held_out = [{"split": "eval", "step": s, "loss": 0.1 * s} for s in (2, 4, 6)]
    path = metrics(tmp_path, *run(6, loss=0.5), *held_out)
    draw_curves(path, tmp_path / "curves.png", kept_step=4)
    assert texts(drawn[0]) == ["training 0.50", "held-out 0.60, kept 0.40"]
    rings = [line for line in drawn[0].lines if line.get_markerfacecolor() == "none"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in rings] == [(4, 0.4)]


def test_a_panel_without_figures_is_left_out(tmp_path: Path, drawn: list[Any]) -> None:
    draw_curves(metrics(tmp_path, *run(3, masked_lm_loss=6.0)), tmp_path / "curves.png")
    assert len(drawn) == 1


@pytest.mark.parametrize("step", [0, 1])
def test_one_line_is_enough(step: int, tmp_path: Path) -> None:
    record = {"split": "eval", "step": step, "loss": 1.0, "learning_rate": 0.0}
    draw_curves(metrics(tmp_path, record), tmp_path / "curves.png")


def test_figures_that_are_no_numbers_leave_a_gap(tmp_path: Path, drawn: list[Any]) -> None:
    path = metrics(tmp_path, *run(2, loss=1.0), *run(1, loss=float("nan")))
    draw_curves(path, tmp_path / "curves.png")
    assert texts(drawn[0]) == ["training 1.00"]


@pytest.mark.parametrize("records", [[], [{"split": "train", "step": 1, "loss": float("nan")}]])
def test_a_log_without_figures_is_refused(records: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no figures to draw yet; let the run log a step"):
        draw_curves(metrics(tmp_path, *records), tmp_path / "curves.png")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_labels_keep_their_order_and_do_not_overlap(places: list[float], gap: float) -> None:
    spread = np.array(curves._spread(sorted(places), gap))
    assert len(spread) == len(places)
    assert np.all(np.diff(spread) > gap - 1e-9)
    assert spread.mean() == pytest.approx(np.mean(places))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=300))
def test_smoothing_stays_between_the_extremes(values: list[float]) -> None:
    array = np.array(values)
    smooth = curves._smoothed(array)
    assert smooth.shape == array.shape
    assert smooth[0] == pytest.approx(array[0], abs=1e-9)
    assert smooth.min() >= array.min() - 1e-9
    assert smooth.max() <= array.max() + 1e-9


def test_a_constant_stays_constant_to_its_end() -> None:
    np.testing.assert_allclose(curves._smoothed(np.full(200, 3.0)), 3.0)


def test_pyplot_and_its_global_state_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now fails
    draw_curves(metrics(tmp_path, *run(3, loss=1.0)), tmp_path / "curves.png")
