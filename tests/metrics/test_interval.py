"""Intervals hold what they promise, and are silent where records tell nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from bertsmith.metrics.interval import bootstrap_interval, wilson_interval


@pytest.mark.parametrize(("right", "num"), [(0, 7), (7, 7), (3, 10), (590, 872), (1, 1)])
def test_wilson_is_scipys(right: int, num: int) -> None:
    theirs = binomtest(right, num).proportion_ci(method="wilson")
    ours = wilson_interval(right, num)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_bootstrap_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 2000)
    found = bootstrap_interval(lambda chosen: float(values[chosen].mean()), len(values), 1000)
    assert found is not None
    reach = 1.96 * values.std() / np.sqrt(len(values))
    # A percentile of 1000 resamples is off by some hundredths of the interval's width.
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - reach, values.mean() + reach), abs=0.1 * reach
    )
    assert found.to_dict() == {
        "level": 0.95,
        "low": found.low,
        "high": found.high,
        "method": "bootstrap of 1000 resamples",
    }
    again = bootstrap_interval(lambda chosen: float(values[chosen].mean()), len(values), 1000)
    assert again == found


def test_resamples_that_are_all_alike_or_no_number_give_no_interval() -> None:
    assert bootstrap_interval(lambda _: 1.0, 10, 50) is None
    assert bootstrap_interval(lambda _: float("nan"), 10, 50) is None
