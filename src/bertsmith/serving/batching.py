"""Texts of many requests in common batches, computed by one thread for each model, or by some.

Requests take turns: of those that wait, each gives one text to a batch before any gives a second,
so that a client with a thousand texts does not hold up one that has a single one. Threads that have
nothing to do share what waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from bertsmith.errors import BertsmithError

# What the last batch counts for in the time that an item takes.
_NEWEST = 0.2

_log = logging.getLogger(__name__)

Compute = Callable[[list[Any]], list[Any]]
"""Answers of a batch of items, one for each, in order."""


@dataclass(frozen=True)
class Item:
    """One text or record, ready to be computed."""

    payload: Any
    tokens: int


@dataclass
class _Job:
    """What one request has asked for."""

    kind: str
    items: Sequence[Item]
    future: Future[list[Any]] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)
    given: int = 0
    """Items that are in a batch, or were."""
    answers: dict[int, Any] = field(default_factory=dict)

    @property
    def has_more(self) -> bool:
        return self.given < len(self.items) and not self.future.done()


_Batch = list[tuple[_Job, int]]


def _waiting(jobs: Iterable[_Job], enough: int) -> int:
    """Tokens of the items that wait, counted until there are enough."""
    tokens = 0
    for job in jobs:
        for item in islice(job.items, job.given, None):
            tokens += item.tokens
            if tokens >= enough:
                return tokens
    return tokens


class Batcher:
    """A queue of jobs, and the threads that compute them.

    Args:
        compute: how the items of each kind of job are computed; only items of one kind are in one
            batch.
        batch_tokens: the most tokens of a batch, unless one item alone has more.
        max_wait_seconds: how long the first item of a batch waits for others.
        observe: is told how many items and tokens each batch has.
        num_threads: how many batches are computed at once.
        begin: is called in the thread before each batch, and told whether others are computed
            meanwhile, or wait to be.
    """

    def __init__(
        self,
        compute: Mapping[str, Compute],
        *,
        batch_tokens: int,
        max_wait_seconds: float,
        observe: Callable[[int, int], None],
        num_threads: int = 1,
        begin: Callable[[bool], None] | None = None,
    ) -> None:
        self._compute = compute
        self._batch_tokens = batch_tokens
        self._max_wait_seconds = max_wait_seconds
        self._observe = observe
        self._begin = begin
        self._num_idle = num_threads
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._seconds_per_item = 0.0
        self._threads = [
            threading.Thread(target=self._run, name=f"batches-{number}", daemon=True)
            for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether what is submitted will be computed."""
        return not self._is_closed and all(thread.is_alive() for thread in self._threads)

    @property
    def seconds_per_item(self) -> float:
        """After how long the next one is done, of late; 0 where none has been computed."""
        return self._seconds_per_item

    def submit(self, kind: str, items: Sequence[Item]) -> Future[list[Any]]:
        """Have items computed; the answers come in their order.

        What has not been computed when the future is cancelled never is. The future fails with
        what was raised for one of the items; other jobs of the same batch are not concerned.
        """
        job = _Job(kind, items)
        if not items:
            job.future.set_result([])
            return job.future
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the batcher is closed")
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def close(self) -> None:
        """Compute what has been submitted, and end the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while taken := self._next_batch():
            batch, at_once, has_others = taken
            self._observe(len(batch), sum(job.items[place].tokens for job, place in batch))
            if self._begin is not None:
                self._begin(has_others)
            start = time.monotonic()
            self._answer(batch)
            seconds = (time.monotonic() - start) / len(batch) / at_once
            with self._changed:
                self._num_idle += 1
                self._seconds_per_item += (seconds - self._seconds_per_item) * _NEWEST

    def _next_batch(self) -> tuple[_Batch, int, bool] | None:
        """Wait for a batch that is full, or has waited long enough; None when all is done.

        Returns:
            the batch; how many are computed at once, with it; and whether others are, or wait.
        """
        with self._changed:
            while True:
                self._jobs = deque(job for job in self._jobs if job.has_more)
                if not self._jobs:
                    if self._is_closed:
                        return None
                    self._changed.wait()
                    continue
                kind = self._jobs[0].kind
                same = [job for job in self._jobs if job.kind == kind]
                rest = min(job.arrived for job in same) + self._max_wait_seconds - time.monotonic()
                if rest <= 0 or self._is_closed or self._fills_a_batch(same):
                    batch = self._take(kind)
                    self._num_idle -= 1
                    at_once = len(self._threads) - self._num_idle
                    return batch, at_once, at_once > 1 or any(job.has_more for job in self._jobs)
                self._changed.wait(rest)

    def _fills_a_batch(self, jobs: Iterable[_Job]) -> bool:
        return _waiting(jobs, self._batch_tokens) >= self._batch_tokens

    def _take(self, kind: str) -> _Batch:
        """One item of each job in turn, until the batch is full; the other kinds come next.

        Where other threads are idle, a part is left for each of them.
        """
        same = (job for job in self._jobs if job.kind == kind)
        waiting = _waiting(same, self._num_idle * self._batch_tokens)
        most = min(self._batch_tokens, -(-waiting // self._num_idle))
        turns = deque(job for job in self._jobs if job.kind == kind)
        others = [job for job in self._jobs if job.kind != kind]
        batch: _Batch = []
        tokens = 0
        while turns:
            job = turns[0]
            count = job.items[job.given].tokens
            if batch and tokens + count > most:
                break
            batch.append((job, job.given))
            tokens += count
            job.given += 1
            turns.popleft()
            if job.has_more:
                turns.append(job)
        self._jobs = deque([*others, *turns])
        return batch

    def _answer(self, batch: _Batch) -> None:
        kind = batch[0][0].kind
        try:
            answers = self._compute[kind]([job.items[place].payload for job, place in batch])
        except Exception as error:
            if len(batch) > 1:
                # Only the item that cannot be computed is to fail, and nobody knows which it is.
                for each in batch:
                    if not each[0].future.done():
                        self._answer([each])
                return
            if not isinstance(error, BertsmithError):
                _log.exception("a model failed on one item")
            with suppress(InvalidStateError):  # whoever asked has gone
                batch[0][0].future.set_exception(error)
            return
        for (job, place), answer in zip(batch, answers, strict=True):
            job.answers[place] = answer
            if len(job.answers) == len(job.items):
                with suppress(InvalidStateError):
                    job.future.set_result([job.answers[i] for i in range(len(job.items))])
