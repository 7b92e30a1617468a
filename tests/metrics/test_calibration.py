"""Calibration: probabilities held to how often answers are right."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.metrics.calibration import calibration


def test_the_error_is_the_distance_weighed_by_answers() -> None:
    found = calibration([0.95, 0.95, 0.95, 0.55], [True, True, False, True])
    (low, high) = found.bins
    assert (low.low, low.high, low.num_records, low.confidence, low.accuracy) == (
        0.5,
        0.6,
        1,
        pytest.approx(0.55),
        1.0,
    )
    assert (high.num_records, high.accuracy) == (3, pytest.approx(2 / 3))
    assert found.error == pytest.approx((3 * (0.95 - 2 / 3) + 0.45) / 4)
    assert found.to_dict()["bins"][0]["num_records"] == 1


def test_honest_probabilities_have_no_error_but_chance() -> None:
    generator = np.random.default_rng(0)
    given = generator.uniform(0, 1, 20000)
    is_right = generator.uniform(0, 1, 20000) < given
    # 2000 answers a bin: each is off by about 0.01 * sqrt(p * (1 - p)) / 0.45.
    assert calibration(given.tolist(), is_right.tolist()).error < 0.02


def test_the_bounds_belong_to_a_bin() -> None:
    found = calibration([0.0, 1.0], [False, True])
    assert [each.num_records for each in found.bins] == [1, 1]
    assert found.error == 0.0
