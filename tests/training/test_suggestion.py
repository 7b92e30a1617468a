"""Suggestions stay in their space, are new, and follow what was found good."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from bertsmith.errors import ConfigError
from bertsmith.training.search_space import Range
from bertsmith.training.suggestion import check_installed, suggest

Tried = list[tuple[dict[str, Any], float | None]]


def test_without_optuna_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install bertsmith\[sweep\], or try a grid"):
        check_installed()


def test_a_search_finds_what_is_good_and_can_be_repeated() -> None:
    pytest.importorskip("optuna")
    space = {
        "rate": Range(1e-5, 1e-3, is_log=True),
        "epochs": Range(2, 4),
        "names": [["a"], ["b"]],
    }

    def search() -> Tried:
        tried: Tried = []
        for number in range(25):
            point = suggest(space, tried, seed=3)
            assert point is not None
            assert 1e-5 <= point["rate"] <= 1e-3
            assert float(f"{point['rate']:.3g}") == point["rate"]
            assert point["epochs"] in (2, 3, 4)
            assert point["names"] in space["names"]
            assert all(point != other for other, _ in tried)
            # The highest rate is the best; now and then a trial fails.
            tried.append((point, None if number % 7 == 6 else point["rate"]))
        return tried

    tried = search()
    assert tried == search()
    rates = [point["rate"] for point, _ in tried]
    assert min(rates[:5]) < 1e-4  # at random, by factors
    assert sum(rates[-10:]) / 10 > 3 * sum(rates[:5]) / 5 or min(rates[-10:]) > 3e-4


def test_a_space_that_is_used_up_gives_nothing() -> None:
    pytest.importorskip("optuna")
    tried: Tried = [({"epochs": 2}, 0.5), ({"epochs": 3}, 0.6)]
    assert suggest({"epochs": [2, 3]}, tried, seed=1) is None
