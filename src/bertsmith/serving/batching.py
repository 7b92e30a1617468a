"""Texts of many requests in common batches, computed by one thread for each model.

Requests take turns: of those that wait, each gives one text to a batch before any gives a second,
so that a client with a thousand texts does not hold up one that has a single one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bertsmith.errors import BertsmithError

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


class Batcher:
    """A queue of jobs, and the thread that computes them.

    Args:
        compute: how the items of each kind of job are computed; only items of one kind are in one
            batch.
        batch_tokens: the most tokens of a batch, unless one item alone has more.
        max_wait_seconds: how long the first item of a batch waits for others.
        observe: is told how many items and tokens each batch has.
    """

    def __init__(
        self,
        compute: Mapping[str, Compute],
        *,
        batch_tokens: int,
        max_wait_seconds: float,
        observe: Callable[[int, int], None],
    ) -> None:
        self._compute = compute
        self._batch_tokens = batch_tokens
        self._max_wait_seconds = max_wait_seconds
        self._observe = observe
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether what is submitted will be computed."""
        return self._thread.is_alive() and not self._is_closed

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
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Compute what has been submitted, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._observe(len(batch), sum(job.items[place].tokens for job, place in batch))
            self._answer(batch)

    def _next_batch(self) -> _Batch | None:
        """Wait for a batch that is full, or has waited long enough; None when all is done."""
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
                    return self._take(kind)
                self._changed.wait(rest)

    def _fills_a_batch(self, jobs: list[_Job]) -> bool:
        tokens = 0
        for job in jobs:
            for item in job.items[job.given :]:
                tokens += item.tokens
                if tokens >= self._batch_tokens:
                    return True
        return False

    def _take(self, kind: str) -> _Batch:
        """One item of each job in turn, until the batch is full; the other kinds come next."""
        turns = deque(job for job in self._jobs if job.kind == kind)
        others = [job for job in self._jobs if job.kind != kind]
        batch: _Batch = []
        tokens = 0
        while turns:
            job = turns[0]
            count = job.items[job.given].tokens
            if batch and tokens + count > self._batch_tokens:
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
