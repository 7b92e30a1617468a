"""Answers in the order of a stream, at once or from a device that computes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from bertsmith.data.answered_in_order import WINDOW_BATCHES, answered_in_order, on_host
from bertsmith.data.example import Example
from bertsmith.errors import ConfigError, DataError

# Of each window, since every example has 2 tokens and every batch room for 4.
WINDOW = WINDOW_BATCHES * 4 // 2


def examples(lengths: list[int]) -> list[Example]:
    return [Example([i] * n, [0] * n) for i, n in enumerate(lengths)]


def first_ids(batch: list[Example]) -> list[int]:
    return [each.input_ids[0] for each in batch]


def later(batch: list[Example]) -> Callable[[], list[int]]:
    return lambda: first_ids(batch)


@pytest.mark.parametrize("answer", [first_ids, later])
@pytest.mark.parametrize("batch_tokens", [1, 7, 1000])
def test_answers_are_in_order(answer: Any, batch_tokens: int) -> None:
    lengths = [1 + 37 * i % 11 for i in range(2000)]
    found = answered_in_order(examples(lengths), answer, batch_tokens)
    assert list(found) == list(range(2000))


def test_no_examples_have_no_answers() -> None:
    assert list(answered_in_order([], later, 8)) == []
    with pytest.raises(ConfigError, match=r"batch_tokens \(0\) must be at least 1"):
        list(answered_in_order([], later, 0))


@pytest.mark.parametrize(("answer", "ahead"), [(first_ids, 1), (later, 2)])
def test_a_window_is_read_while_a_device_computes_the_one_before(answer: Any, ahead: int) -> None:
    read = 0

    def counted() -> Iterator[Example]:
        nonlocal read
        for each in examples([2] * (4 * WINDOW)):
            read += 1
            yield each

    answers = answered_in_order(counted(), answer, 4)
    assert next(answers) == 0
    assert read == ahead * WINDOW + 1  # one belongs to the next window already


@pytest.mark.parametrize("answer", [first_ids, later])
def test_answers_before_an_error_are_given(answer: Any) -> None:
    def broken() -> Iterator[Example]:
        yield from examples([2] * (WINDOW + 3))
        raise DataError("no more")

    answers = answered_in_order(broken(), answer, 4)
    assert [next(answers) for _ in range(WINDOW + 3)] == list(range(WINDOW + 3))
    with pytest.raises(DataError, match="no more"):
        next(answers)


def test_what_is_on_the_host_is_answered_at_once() -> None:
    assert on_host(torch.arange(3), torch.Tensor.tolist) == [0, 1, 2]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_answers_of_a_gpu_are_those_of_its_own_batch() -> None:
    def doubled(batch: list[Example]) -> Any:
        ids = torch.tensor(first_ids(batch)).pin_memory().to("cuda", non_blocking=True)
        torch.cuda._sleep(1_000_000)  # the copy to the host is asked for long before it is done
        return on_host(ids * 2, torch.Tensor.tolist)

    assert callable(doubled(examples([1])))
    found = answered_in_order(examples([1 + i % 5 for i in range(3000)]), doubled, 40)
    assert list(found) == list(range(0, 6000, 2))
