"""One piece of work at a time, done by a thread while the loop goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """A thread that does what it is given; an error in it is raised by who waits for it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], object]) -> None:
        """Begin with something, when what was begun before is done.

        Raises:
            BaseException: the work before has failed; the new one is not begun.
        """
        self.wait()
        # Not a daemon: a program that ends while it writes waits for it.
        self._thread = threading.Thread(target=self._do, args=(work,), name="bertsmith-background")
        self._thread.start()

    def wait(self) -> None:
        """Return when the work is done.

        Raises:
            BaseException: what the work has raised; the next call does not raise it again.
        """
        self.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def join(self) -> None:
        """Return when the work is done, or has failed, which `wait` says."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
