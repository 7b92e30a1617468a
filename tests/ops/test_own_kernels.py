"""Where kernels of our own cannot be made, PyTorch's are taken, and the log says why."""

from __future__ import annotations

import logging

import pytest
import torch

from bertsmith.ops import own_kernels


def test_on_a_cpu_there_are_none() -> None:
    with torch.inference_mode():
        assert not own_kernels.has_own_kernels(torch.zeros(own_kernels.MIN_TOKENS, 8))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine that cannot make them")
def test_what_cannot_be_made_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    own_kernels._can_be_made.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert not own_kernels._can_be_made(torch.device("cuda"))
        assert not own_kernels._can_be_made(torch.device("cuda"))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("large batches are computed without kernels of our own: ")
    own_kernels._can_be_made.cache_clear()
