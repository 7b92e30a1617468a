"""The queue of a served model: what is accepted, encoded in turns, and computed in batches."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from bertsmith.serving.batching import Batcher, Item
from bertsmith.serving.computing import Computing
from bertsmith.serving.errors import RequestError
from bertsmith.serving.limits import Limits
from bertsmith.serving.metrics import Metrics

# Some milliseconds of work, after which another request has its turn.
TURN_CHARACTERS = 16_384

Encoded = TypeVar("Encoded")


@dataclass(frozen=True)
class Answers:
    """What a model says to a request."""

    answers: list[Any]
    """One for each text or record, in order."""
    tokens: int
    """How many the model has read."""


class ModelQueue:
    """A bounded queue before a model; its methods belong to one event loop.

    Args:
        name: of the model.
        computing: what may be asked of it.
        limits: of each request, and of the queue.
        metrics: where batches and the queue are counted.
        batch_tokens: the most tokens to compute at once, unless one text alone has more.
        max_wait_seconds: how long the first text of a batch waits for others.
    """

    def __init__(
        self,
        name: str,
        computing: Computing,
        *,
        limits: Limits,
        metrics: Metrics,
        batch_tokens: int,
        max_wait_seconds: float,
    ) -> None:
        self._name = name
        self._limits = limits
        self._pending = 0
        # Tokenizers remember what they have seen and are not made for several threads at once.
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._batcher = Batcher(
            computing.kinds,
            num_threads=computing.num_threads,
            begin=computing.begin,
            batch_tokens=batch_tokens,
            max_wait_seconds=max_wait_seconds,
            observe=metrics.batch_observer(name),
        )
        metrics.watch_queue(name, lambda: self._pending)

    def check_alive(self) -> None:
        """See that the model's threads go on.

        Raises:
            RequestError: one of them has ended (503).
        """
        if not self._batcher.is_alive:
            raise RequestError(
                503,
                f"{self._name} cannot be asked any more; ask another server, and have this one "
                "restarted",
            )

    def close(self) -> None:
        """Finish what was accepted, and end the threads."""
        self._encoder.shutdown()
        self._batcher.close()

    async def answers(
        self,
        kind: str,
        sizes: Sequence[int],
        what: str,
        encode: Callable[[int, int], list[Item]],
        *,
        places: int | None = None,
    ) -> Answers:
        """Encode, and have computed, texts of which there are as many as `sizes`, their characters.

        Args:
            kind: of work, for the batcher.
            sizes: characters of each text or record.
            what: one is called in errors.
            encode: those from a place to before another one.
            places: in the queue; None: as many as there are texts.

        Raises:
            RequestError: as `encoded`, or they are too long (422).
        """
        with self._admitted(len(sizes) if places is None else places):
            items = await self._in_turns(sizes, encode)
            tokens = [item.tokens for item in items]
            self._limits.check_tokens(tokens, what)
            answers = await asyncio.wrap_future(self._batcher.submit(kind, items))
        return Answers(answers, sum(tokens))

    async def encoded(
        self, sizes: Sequence[int], encode: Callable[[int, int], list[Encoded]]
    ) -> list[Encoded]:
        """Encode alone, with nothing to compute; `sizes` and `encode` as for `answers`.

        Raises:
            RequestError: the queue is full (429), or the model's threads have ended (503).
        """
        with self._admitted(len(sizes)):
            return await self._in_turns(sizes, encode)

    async def _in_turns(
        self, sizes: Sequence[int], encode: Callable[[int, int], list[Encoded]]
    ) -> list[Encoded]:
        """Encode some texts at a time, so that those of other requests can come between."""
        loop = asyncio.get_running_loop()
        found: list[Encoded] = []
        start = 0
        while start < len(sizes):
            stop, size = start + 1, sizes[start]
            while stop < len(sizes) and (size := size + sizes[stop]) <= TURN_CHARACTERS:
                stop += 1
            found += await loop.run_in_executor(self._encoder, encode, start, stop)
            start = stop
        return found

    @contextmanager
    def _admitted(self, count: int) -> Iterator[None]:
        """Hold a place in the queue for each text."""
        self.check_alive()
        if self._pending + count > self._limits.max_queue:
            # When half of what is there will have been computed.
            wait = self._pending * self._batcher.seconds_per_item / 2
            seconds = max(1, min(math.ceil(wait), math.ceil(self._limits.timeout_seconds)))
            raise RequestError(
                429,
                f"the queue of {self._name} is full; try again in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )
        self._pending += count
        try:
            yield
        finally:
            self._pending -= count
