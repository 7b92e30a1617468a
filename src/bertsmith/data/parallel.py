"""A function over a stream in many processes: results in order, memory bounded, no orphans."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from bertsmith.data.chunked import until_error
from bertsmith.errors import BertsmithError, ConfigError, DataError

UNGUARDED = (
    "the call that starts workers must stand under `if __name__ == '__main__':`, since each worker "
    "imports the script; or ask for workers=1"
)

X = TypeVar("X")
Y = TypeVar("Y")


class OrderedMap(Protocol):
    """What `ordered_map` is, wherever the workers are."""

    def __call__(
        self, make: Callable[[], Callable[[X], Y]], items: Iterable[X], workers: int
    ) -> Generator[tuple[X, Y], None, None]:
        """Each item with what a function returns for it, in the order of the items."""
        ...


def ordered_map(
    make: Callable[[], Callable[[X], Y]], items: Iterable[X], workers: int
) -> Generator[tuple[X, Y], None, None]:
    """Each item with what a function returns for it, in the order of the items.

    Few items are held at any time. Where an item cannot be had, those before it come before its
    error. Interrupting the program ends the workers after their present item, and a worker ends
    when its parent does, however that happened.

    Args:
        make: makes the function, once in every worker; must be picklable.
        items: read as far ahead as keeps the workers busy.
        workers: processes; with 1 everything happens in this one.

    Raises:
        ConfigError: the program's main module, which each worker imports, calls this when it is
            imported.
        DataError: a worker was killed.
    """
    if workers == 1:
        function = make()
        for item in items:
            yield item, function(item)
        return
    # What the standard library looks at, too late for a pool, to tell such a program its mistake.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigError(UNGUARDED)
    pending: deque[tuple[X, Future[Y]]] = deque()
    # Forking a process that has threads, as most that use numpy do, may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (make,))
    errors: list[BertsmithError] = []
    try:
        for item in until_error(items, errors):
            with _without_interrupts():  # a process may be started
                pending.append((item, pool.submit(_work, item)))
            if len(pending) > 2 * workers:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
        if errors:
            raise errors[0]
    except BrokenProcessPool:
        raise DataError(
            "a worker process was killed, which is mostly for want of memory; run the same again "
            f"with fewer workers; or, in a script, {UNGUARDED}"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold SIGINT back, also from processes that are started here, until they let it in.

    It would be a trace-back in one that still imports. Here it arrives a moment later.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_function: Callable[[Any], Any]


def _start_worker(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    # Ctrl-C reaches the whole group of processes; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _function = make()


def _end_with_parent() -> None:
    """End this process when its parent is gone, even by a signal that it could not handle."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(item: Any) -> Any:
    return _function(item)
