from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from bertsmith.training import precision
from bertsmith.training.precision import cpu_rates, has_fast_bfloat16


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    cpu_rates.cache_clear()
    yield
    cpu_rates.cache_clear()


@pytest.mark.parametrize(
    ("rates", "expected"),
    [((90.0, 350.0), True), ((310.0, 165.0), False), ((100.0, 120.0), False), ((80.0, 0.0), False)],
)
def test_a_cpu_is_fast_where_products_are(
    rates: tuple[float, float], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_rates", lambda: rates)
    assert has_fast_bfloat16("cpu") is expected


@pytest.mark.parametrize("capabilities", [{"avx2": True}, {}])
def test_without_instructions_nothing_is_tried(
    capabilities: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    single, half = cpu_rates()
    assert single > 0
    assert half == 0


def test_a_pytorch_that_cannot_tell_counts_as_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_fast_bfloat16("cpu")


def test_rates_are_measured_once() -> None:
    assert cpu_rates() is cpu_rates()


def test_accelerators_are_fast() -> None:
    assert has_fast_bfloat16("cuda")
