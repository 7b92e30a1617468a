"""Doing the work of an iterator in a background thread, a few items ahead."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def prefetched(
    source: Generator[T, None, None], depth: int, *, closing_seconds: float | None = None
) -> Generator[T, None, None]:
    """Yield what `source` yields, worked out by a thread up to `depth` items ahead.

    An error of the source is raised here, after the items before it. Closing this generator ends
    the thread and closes the source. The thread starts when the first item is asked for.

    Args:
        source: closed in the thread.
        depth: items that wait.
        closing_seconds: how long closing waits for a source that is itself waiting, such as for a
            line from a pipe; the thread then ends when the source goes on, or the program ends.
    """
    items: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(depth)
    closed = threading.Event()

    def work() -> None:
        try:
            with contextlib.closing(source):
                for item in source:
                    items.put((item,))
                    if closed.is_set():
                        return
            items.put(None)
        except BaseException as error:
            items.put(error)

    thread = threading.Thread(target=work, name="bertsmith-prefetch", daemon=True)
    thread.start()
    try:
        while (item := items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        closed.set()
        # When the interpreter ends, the thread is stopped for good: waiting would never end.
        if not sys.is_finalizing():
            # It may wait for room: it puts at most one more item before it sees `closed`.
            with contextlib.suppress(queue.Empty):
                while True:
                    items.get_nowait()
            thread.join(closing_seconds)
