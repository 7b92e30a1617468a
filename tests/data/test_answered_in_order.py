"""Answers in the order of a stream, at once or from a device that computes meanwhile."""

from __future__ import annotations

import itertools
import threading
import time
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


class Counted:
    """Examples of 2 tokens, and how many have been read; by whom, too."""

    def __init__(self) -> None:
        self.read = 0
        self.readers: set[str] = set()

    def __iter__(self) -> Iterator[Example]:
        for number in itertools.count():
            self.read += 1
            self.readers.add(threading.current_thread().name)
            yield Example([number, 0], [0, 0])


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("bertsmith")]


def test_without_a_device_a_window_is_read_when_it_is_asked_for() -> None:
    counted = Counted()
    answers = answered_in_order(counted, first_ids, 4)
    assert [next(answers) for _ in range(3 * WINDOW)] == list(range(3 * WINDOW))
    assert counted.read == 3 * WINDOW + 1  # one belongs to the next window already
    assert counted.readers == {threading.current_thread().name}
    assert not threads()


def test_while_a_device_computes_a_thread_reads_some_windows_and_no_more() -> None:
    counted = Counted()
    answers = answered_in_order(counted, later, 4)
    assert next(answers) == 0
    # Two are begun, one waits and one is in the thread's hands.
    deadline = time.monotonic() + 20
    while counted.read < 4 * WINDOW + 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert counted.read == 4 * WINDOW + 1
    assert len(counted.readers) == 2
    assert [next(answers) for _ in range(5 * WINDOW)] == list(range(1, 5 * WINDOW + 1))
    answers.close()


def test_the_thread_begins_with_the_first_batch_of_a_device() -> None:
    is_further = threading.Event()

    class Watched(Counted):
        def __iter__(self) -> Iterator[Example]:
            for each in super().__iter__():
                if self.read > WINDOW + 1:
                    is_further.set()
                yield each

    begun = 0

    def answer(batch: list[Example]) -> Callable[[], list[int]]:
        nonlocal begun
        begun += 1
        assert is_further.is_set() or begun == 1 or is_further.wait(20)
        return later(batch)

    counted = Watched()
    answers = answered_in_order(counted, answer, 4)
    assert next(answers) == 0
    answers.close()


@pytest.mark.parametrize("taken", [1, WINDOW, 2 * WINDOW + 1])
def test_closing_early_ends_the_thread_in_the_middle_of_a_window(taken: int) -> None:
    is_closed = []
    num_quick = ((taken - 1) // WINDOW + 3) * WINDOW  # all but what the thread has in its hands

    def slow() -> Iterator[Example]:
        try:
            for number in itertools.count():
                if number > num_quick:
                    time.sleep(0.1)  # a whole window would need more than ten seconds
                yield Example([number, 0], [0, 0])
        finally:
            is_closed.append(True)

    answers = answered_in_order(slow(), later, 4)
    assert list(itertools.islice(answers, taken)) == list(range(taken))
    assert len(threads()) == 1
    start = time.monotonic()
    answers.close()
    assert time.monotonic() - start < 5
    assert not threads()
    assert is_closed == [True]


def test_an_error_of_the_device_ends_the_thread() -> None:
    def broken(batch: list[Example]) -> Callable[[], list[int]]:
        if batch[0].input_ids[0] > WINDOW:
            raise RuntimeError("out of memory")
        return later(batch)

    with pytest.raises(RuntimeError, match="out of memory"):
        list(answered_in_order(Counted(), broken, 4))
    assert not threads()


@pytest.mark.parametrize("answer", [first_ids, later])
@pytest.mark.parametrize("before", [0, 1, WINDOW + 3, 4 * WINDOW])
def test_answers_before_an_error_are_given(answer: Any, before: int) -> None:
    def broken() -> Iterator[Example]:
        yield from examples([2] * before)
        raise DataError("no more")

    answers = answered_in_order(broken(), answer, 4)
    assert [next(answers) for _ in range(before)] == list(range(before))
    with pytest.raises(DataError, match="no more"):
        next(answers)
    assert not threads()


@pytest.mark.parametrize("answer", [first_ids, later])
def test_an_error_of_another_kind_is_raised_too(answer: Any) -> None:
    def broken() -> Iterator[Example]:
        yield from examples([2] * (2 * WINDOW))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(answered_in_order(broken(), answer, 4))
    assert not threads()


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
