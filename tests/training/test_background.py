"""Work beside the loop: one piece at a time, and its errors reach who waits."""

from __future__ import annotations

import threading

import pytest
import torch

from bertsmith.errors import DataError
from bertsmith.training.background import Background
from bertsmith.training.host_copies import host_copies


def test_it_goes_on_while_the_work_is_done_and_waits_for_it() -> None:
    may_end, done = threading.Event(), []
    background = Background()
    background.start(lambda: done.append(may_end.wait(60)))
    assert done == []
    may_end.set()
    background.wait()
    assert done == [True]
    background.wait()  # there is nothing to wait for


def test_the_next_work_begins_when_the_one_before_is_done() -> None:
    seen: list[str] = []
    may_end = threading.Event()
    background = Background()

    def first() -> None:
        seen.append("first")
        may_end.wait(60)
        seen.append("first is done")

    background.start(first)
    threading.Timer(0.05, may_end.set).start()
    background.start(lambda: seen.append("second"))
    background.wait()
    assert seen == ["first", "first is done", "second"]


def fail() -> None:
    raise DataError("the disk is full")


def test_an_error_is_raised_once_to_who_waits_or_begins_the_next() -> None:
    background, done = Background(), []
    background.start(fail)
    with pytest.raises(DataError, match="the disk is full"):
        background.start(lambda: done.append(True))
    assert done == []
    background.start(fail)
    background.join()
    with pytest.raises(DataError, match="the disk is full"):
        background.wait()
    background.wait()


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
            ],
        ),
    ],
)
def test_copies_are_on_the_cpu_and_stay_when_the_tensor_changes(device: str) -> None:
    weight = torch.nn.Parameter(torch.arange(6.0, device=device).view(2, 3))
    step = torch.tensor(3.0)
    copies = host_copies({"weight": weight, "step": step, "empty": torch.zeros(0)}.items())
    with torch.no_grad():
        weight.zero_()
        step += 1
    assert copies["weight"].device.type == "cpu"
    assert not copies["weight"].requires_grad
    assert copies["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert copies["step"].item() == 3
    assert copies["empty"].shape == (0,)
