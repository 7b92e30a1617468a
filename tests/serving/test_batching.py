"""Batches are filled by turns up to their tokens, and wait no longer than they may."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from bertsmith.errors import DataError
from bertsmith.serving.batching import Batcher, Item


class Recorder:
    """Computes by giving items back, the first batch only when it is let go."""

    def __init__(self, **settings: Any) -> None:
        self.batches: list[list[Any]] = []
        self.seen: list[tuple[int, int]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.batcher = Batcher(
            {"a": self.compute, "b": self.compute},
            observe=lambda items, tokens: self.seen.append((items, tokens)),
            **{"batch_tokens": 10, "max_wait_seconds": 0.0, **settings},
        )

    def compute(self, items: list[Any]) -> list[Any]:
        self.batches.append(items)
        if len(self.batches) == 1:
            self.entered.set()
            assert self.go_on.wait(20)
        for item in items:
            if isinstance(item, Exception):
                raise item
        return [f"{item}!" for item in items]

    def hold(self) -> None:
        """Keep the thread busy, so that what comes now comes together."""
        self.batcher.submit("a", [Item("first", 1)])
        assert self.entered.wait(20)


def items(*names: Any, tokens: int = 1) -> list[Item]:
    return [Item(name, tokens) for name in names]


def test_answers_are_in_the_order_of_the_items() -> None:
    recorder = Recorder(batch_tokens=2)
    recorder.go_on.set()
    found = recorder.batcher.submit("a", items(*"abcdefg"))
    assert found.result(20) == [f"{each}!" for each in "abcdefg"]
    recorder.batcher.close()
    assert all(len(batch) <= 2 for batch in recorder.batches)
    assert sum(count for count, _ in recorder.seen) == 7


def test_each_job_gives_one_item_before_any_gives_a_second() -> None:
    recorder = Recorder(batch_tokens=4)
    recorder.hold()
    jobs = [recorder.batcher.submit("a", items(*names)) for names in ("pqrstu", "x", "yz")]
    recorder.go_on.set()
    assert [job.result(20) for job in jobs] == [
        ["p!", "q!", "r!", "s!", "t!", "u!"],
        ["x!"],
        ["y!", "z!"],
    ]
    recorder.batcher.close()
    assert recorder.batches[1] == ["p", "x", "y", "q"]
    assert recorder.batches[2] == ["z", "r", "s", "t"]


def test_a_batch_has_no_more_tokens_than_it_may_unless_one_item_has() -> None:
    recorder = Recorder(batch_tokens=10)
    recorder.hold()
    jobs = [
        recorder.batcher.submit("a", [Item(name, tokens)])
        for name, tokens in (("a", 6), ("b", 4), ("c", 5), ("d", 99), ("e", 1))
    ]
    recorder.go_on.set()
    for job in jobs:
        job.result(20)
    recorder.batcher.close()
    assert recorder.seen == [(1, 1), (2, 10), (1, 5), (1, 99), (1, 1)]


def test_kinds_are_not_mixed_and_take_turns() -> None:
    recorder = Recorder(batch_tokens=2)
    recorder.hold()
    first = recorder.batcher.submit("a", items(*"aaaa"))
    second = recorder.batcher.submit("b", items("b"))
    recorder.go_on.set()
    first.result(20)
    second.result(20)
    recorder.batcher.close()
    assert recorder.batches[1:] == [["a", "a"], ["b"], ["a", "a"]]


def test_the_first_item_waits_for_others_as_long_as_it_may() -> None:
    recorder = Recorder(max_wait_seconds=0.2)
    recorder.go_on.set()
    start = time.monotonic()
    jobs = [recorder.batcher.submit("a", items(name)) for name in "ab"]
    for job in jobs:
        job.result(20)
    assert 0.15 < time.monotonic() - start < 5
    assert recorder.batches == [["a", "b"]]
    start = time.monotonic()
    recorder.batcher.submit("a", items(*"abcdefghij")).result(20)  # a full batch does not wait
    assert time.monotonic() - start < 0.15
    recorder.batcher.close()


def test_what_is_cancelled_is_not_computed() -> None:
    recorder = Recorder(batch_tokens=1)
    recorder.hold()
    dropped = recorder.batcher.submit("a", items(*"xyz"))
    kept = recorder.batcher.submit("a", items("k"))
    assert dropped.cancel()
    recorder.go_on.set()
    assert kept.result(20) == ["k!"]
    recorder.batcher.close()
    assert recorder.batches == [["first"], ["k"]]


@pytest.mark.parametrize("error", [RuntimeError("broken"), DataError("too long")])
def test_one_item_that_fails_fails_its_job_alone(error: Exception) -> None:
    recorder = Recorder(batch_tokens=10)
    recorder.hold()
    jobs = [recorder.batcher.submit("a", items(*names)) for names in ("x", ["y", error], "z")]
    recorder.go_on.set()
    assert jobs[0].result(20) == ["x!"]
    assert jobs[2].result(20) == ["z!"]
    with pytest.raises(type(error), match=str(error)):
        jobs[1].result(20)
    assert recorder.batcher.submit("a", items("after")).result(20) == ["after!"]
    recorder.batcher.close()


def test_closing_finishes_what_was_submitted_and_takes_no_more() -> None:
    recorder = Recorder(batch_tokens=1, max_wait_seconds=60.0)
    jobs = [recorder.batcher.submit("a", items(name)) for name in "abc"]
    recorder.go_on.set()
    recorder.batcher.close()
    assert [job.result(0) for job in jobs] == [["a!"], ["b!"], ["c!"]]
    assert not recorder.batcher.is_alive
    with pytest.raises(RuntimeError, match="closed"):
        recorder.batcher.submit("a", items("d"))


def test_a_job_of_nothing_is_answered_at_once() -> None:
    recorder = Recorder()
    assert recorder.batcher.submit("a", []).result(0) == []
    recorder.batcher.close()


def test_it_knows_how_long_items_have_taken() -> None:
    def compute(items: list[Any]) -> list[Any]:
        time.sleep(0.1)
        return items

    batcher = Batcher(
        {"a": compute}, batch_tokens=2, max_wait_seconds=0, observe=lambda *counts: None
    )
    assert batcher.seconds_per_item == 0
    batcher.submit("a", items(*"abcd")).result(20)
    batcher.close()
    # Two batches of two, each of which counts for a fifth of what is said.
    assert batcher.seconds_per_item >= 0.05 * (1 - 0.8**2) * 0.99


def test_idle_threads_share_what_waits() -> None:
    """Each half is computed while the other is: neither thread could pass the barrier alone."""
    barrier = threading.Barrier(2, timeout=20)
    batches: list[list[Any]] = []
    told: list[bool] = []

    def compute(batch: list[Any]) -> list[Any]:
        barrier.wait()
        batches.append(batch)
        return batch

    batcher = Batcher(
        {"a": compute},
        batch_tokens=10,
        max_wait_seconds=0.0,
        observe=lambda items, tokens: None,
        num_threads=2,
        begin=told.append,
    )
    assert batcher.submit("a", items(*"wxyz")).result(20) == [*"wxyz"]
    batcher.close()
    assert sorted(batches) == [["w", "x"], ["y", "z"]]
    assert told == [True, True]


def test_an_item_that_is_alone_has_the_cores_to_itself() -> None:
    told: list[bool] = []
    recorder = Recorder(num_threads=2, begin=told.append)
    recorder.hold()
    assert told == [False]
    # The other thread is free, and is told that it shares.
    assert recorder.batcher.submit("a", items("x")).result(20) == ["x!"]
    assert told == [False, True]
    recorder.go_on.set()
    recorder.batcher.close()


@pytest.mark.parametrize("num_threads", [2, 4])
def test_many_jobs_of_several_threads_are_answered_in_their_order(num_threads: int) -> None:
    recorder = Recorder(batch_tokens=7, num_threads=num_threads)
    recorder.go_on.set()
    names = [[f"{job}.{place}" for place in range(job % 9)] for job in range(300)]
    jobs = [recorder.batcher.submit("ab"[n % 2], items(*each)) for n, each in enumerate(names)]
    recorder.batcher.close()
    assert [job.result(0) for job in jobs] == [[f"{name}!" for name in each] for each in names]
    assert all(tokens <= 7 for _, tokens in recorder.seen)
