from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator

import pytest

from bertsmith.data.prefetch import prefetched


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("bertsmith")]


def numbers(closed: list[bool], end: int | None = None) -> Generator[int, None, None]:
    try:
        yield from itertools.count() if end is None else range(end)
    finally:
        closed.append(True)


def test_items_come_in_order_and_the_thread_ends_with_the_source() -> None:
    closed: list[bool] = []
    assert list(prefetched(numbers(closed, 100), 3)) == list(range(100))
    assert closed == [True]
    assert not threads()


@pytest.mark.parametrize("taken", [1, 2, 7])
def test_closing_early_ends_the_threads_and_the_sources(taken: int) -> None:
    closed: list[bool] = []
    items = prefetched(prefetched(numbers(closed), 1), 2)
    assert list(itertools.islice(items, taken)) == list(range(taken))
    assert len(threads()) == 2
    items.close()
    assert closed == [True]
    assert not threads()


def test_an_error_arrives_after_the_items_before_it() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise OSError("the disk is gone")

    items = prefetched(failing(), 2)
    assert next(items) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)
    assert not threads()


def test_an_error_that_nobody_waits_for_does_not_keep_the_thread() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    items = prefetched(failing(), 1)
    next(items)
    items.close()
    assert not threads()


def test_no_more_than_the_depth_is_made_ahead() -> None:
    made: list[int] = []

    def source() -> Generator[int, None, None]:
        for number in itertools.count():
            made.append(number)
            yield number

    items = prefetched(source(), 2)
    next(items)
    time.sleep(0.05)
    # The one taken, two that wait, and one in hand.
    assert len(made) <= 4
    items.close()


def test_nothing_starts_before_the_first_item_is_asked_for() -> None:
    items = prefetched(numbers([]), 1)
    assert not threads()
    items.close()


def test_closing_does_not_wait_for_a_source_that_waits() -> None:
    goes_on = threading.Event()

    def source() -> Generator[int, None, None]:
        yield 1
        goes_on.wait()
        yield 2

    before = threading.active_count()
    ahead = prefetched(source(), 1, closing_seconds=0.1)
    assert next(ahead) == 1
    ahead.close()
    assert threading.active_count() == before + 1  # it still waits
    goes_on.set()
    while threading.active_count() > before:
        time.sleep(0.01)
