"""Runs of training side by side: processes that share a device, each making one after the other.

Small models are bound by the start of kernels, not by their work, so that several processes share
a GPU well.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

import torch
from tqdm import tqdm

from bertsmith.data.parallel import ordered_map
from bertsmith.training.signals import SIGNALS

Job = TypeVar("Job")
Result = TypeVar("Result")
Ended = tuple[Result | None, signal.Signals | None]
"""What came of a job; or None, and the signal that stopped it."""


def run_side_by_side(
    jobs: Sequence[Job],
    run: Callable[[Job], Ended[Result]],
    workers: int,
    *,
    log_of: Callable[[Job], Path],
) -> Generator[tuple[Job, Ended[Result]], None, None]:
    """Each job with how it ended, in their order; after one that was stopped, none is begun.

    A signal that ends this process ends its workers too. Where there are several GPUs, jobs take
    them by turns.

    Args:
        jobs: picklable, if there are several workers.
        run: makes one; a function of a module, if there are several workers.
        workers: processes; with 1 everything happens in this one.
        log_of: where what a job says goes if there are several workers: what they say at a time is
            for nobody to read. The file is removed when the job has ended.

    Raises:
        DataError: a worker was killed.
    """
    workers = min(workers, len(jobs)) or 1
    num_gpus = torch.cuda.device_count() if workers > 1 else 0
    items = [(job, number % num_gpus if num_gpus > 1 else None) for number, job in enumerate(jobs)]
    make = functools.partial(_Worker, run, log_of if workers > 1 else None)
    running = ordered_map(make, items, workers)
    with _ending_workers(), contextlib.closing(running) as results:
        for (job, _), ended in results:
            yield job, ended


class _Worker(Generic[Job, Result]):
    """Makes one run after the other; when one has been stopped, the next are not begun."""

    def __init__(
        self, run: Callable[[Job], Ended[Result]], log_of: Callable[[Job], Path] | None
    ) -> None:
        self._run = run
        self._log_of = log_of
        self._stopped_by: signal.Signals | None = None
        if log_of is not None:
            # Its own lock is one among processes, which a signal that ends this one would leave.
            tqdm.set_lock(threading.RLock())

    def __call__(self, item: tuple[Job, int | None]) -> Ended[Result]:
        if self._stopped_by is not None:
            return None, self._stopped_by
        job, gpu = item
        if gpu is not None:
            torch.cuda.set_device(gpu)
        if self._log_of is None:
            ended, self._stopped_by = self._run(job)
            return ended, self._stopped_by
        log = self._log_of(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as file, contextlib.redirect_stderr(file):
            ended, self._stopped_by = self._run(job)
        if ended is not None:
            log.unlink(missing_ok=True)
        return ended, self._stopped_by


@contextlib.contextmanager
def _ending_workers() -> Iterator[None]:
    """Let a signal that ends this process end its workers too, whose runs would go on for long."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    others = multiprocessing.active_children()

    def end(number: int, frame: FrameType | None) -> None:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, handler)
            signal.raise_signal(number)

    previous = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
