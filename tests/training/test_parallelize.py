"""Devices and precisions that are asked for, chosen, and refused."""

from __future__ import annotations

import pytest
import torch

from bertsmith.errors import ConfigError
from bertsmith.training import parallelize
from bertsmith.training.parallelize import (
    HOST_THREADS,
    choose_device,
    choose_precision,
    limit_host_threads,
    precision_context,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(("has_gpu", "expected"), [(False, "cpu"), (True, "cuda")])
def test_a_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert choose_device().type == expected
    assert choose_device("cpu") == CPU


def test_a_name_that_is_no_device_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^device \('quantum'\) cannot be used: .*; try cpu or"):
        choose_device("quantum")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^device \('cuda'\) cannot be used: .*cpu or cuda$"):
        choose_device("cuda")


@pytest.mark.parametrize("is_fast", [False, True])
def test_bfloat16_is_chosen_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    monkeypatch.setattr(parallelize, "has_fast_bfloat16", lambda device_type: is_fast)
    assert choose_precision(None, CPU) == ("bf16" if is_fast else "fp32")
    assert choose_precision("bf16", CPU) == "bf16"
    assert choose_precision("fp32", CPU) == "fp32"


def test_bf16_is_for_products_alone() -> None:
    x = torch.ones(2, 2)
    with precision_context(CPU, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
        assert (x + x).dtype == torch.float32
    with precision_context(CPU, "fp32"):
        assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize(
    ("device", "variable", "expected"),
    [("cuda", None, HOST_THREADS), ("cuda", "12", 12), ("cpu", None, 12)],
)
def test_beside_a_gpu_the_host_has_few_threads(
    monkeypatch: pytest.MonkeyPatch, device: str, variable: str | None, expected: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    try:
        torch.set_num_threads(12)
        limit_host_threads(torch.device(device))
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
