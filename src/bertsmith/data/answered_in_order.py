"""Batches of sequences of about equal length out of a stream, and answers in the stream's order."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain, takewhile
from typing import TypeVar

import torch
from torch import Tensor

from bertsmith.data.chunked import until_error
from bertsmith.data.example import Example
from bertsmith.data.prefetch import prefetched
from bertsmith.errors import BertsmithError, ConfigError

# Examples are sorted by length within this many batches: enough that those of a batch are about
# equally long, and little enough to hold and to wait for. A GPU's batches are large, and most
# models pad nothing in them; of those a window has a few, so that the next one is soon there.
WINDOW_BATCHES = 64
MAX_WINDOW_TOKENS = 131072
# The first is no larger than this, so that a GPU soon has something to do.
FIRST_WINDOW_TOKENS = 65536
# Who stops asking does not wait longer than this for a text that has yet to come.
CLOSING_SECONDS = 1.0

Answer = TypeVar("Answer")
Answers = list[Answer] | Callable[[], list[Answer]]
"""The answers to a batch, or what waits for them while a device computes them."""


def answered_in_order(
    examples: Iterable[Example],
    answer: Callable[[list[Example]], Answers[Answer]],
    batch_tokens: int,
) -> Iterator[Answer]:
    """An answer for each example, in order, while they are being read; memory is bounded.

    Where an example cannot be had, by an error of this package, the answers to those before it are
    given before the error. While a device computes a window, a thread reads the next ones; it ends
    with this generator.

    Args:
        examples: read a window ahead, or up to four where a device computes, by a thread then.
        answer: computes a batch of them, or has a device begin to.
        batch_tokens: the most tokens to compute at once, unless one example alone has more.

    Raises:
        ConfigError: `batch_tokens` is below 1.
    """
    if batch_tokens < 1:
        raise ConfigError(f"batch_tokens ({batch_tokens}) must be at least 1")
    errors: list[BertsmithError] = []
    is_over = threading.Event()
    # A thread that reads need not read a window to its end when nobody waits for it any more.
    wanted = takewhile(lambda _: not is_over.is_set(), until_error(examples, errors))
    windows = _windows(wanted, batch_tokens)
    begun: Iterator[Answer] = iter(())
    is_ahead = False
    try:
        while (window := next(windows, None)) is not None:
            order = sorted(range(len(window)), key=lambda place: len(window[place].input_ids))
            found = []
            for batch in _grouped((window[place] for place in order), batch_tokens):
                found.append(answer(batch))
                if callable(found[-1]) and not is_ahead:
                    windows, is_ahead = _read_ahead(windows), True
                    next(windows)  # the thread begins
            yield from begun
            begun = _in_order(order, found)
            if not any(map(callable, found)):
                yield from begun
        yield from begun
    finally:
        is_over.set()
        windows.close()
    if errors:
        raise errors[0]


def _windows(
    examples: Iterator[Example], batch_tokens: int
) -> Generator[list[Example], None, None]:
    """Cut a stream into what is sorted at once."""
    most = min(WINDOW_BATCHES * batch_tokens, max(MAX_WINDOW_TOKENS, batch_tokens))
    yield from _grouped(examples, most, min(most, max(FIRST_WINDOW_TOKENS, batch_tokens)))


def _read_ahead(
    windows: Generator[list[Example], None, None],
) -> Generator[list[Example], None, None]:
    """The same windows, behind an empty one; who asks for that starts a thread that reads them."""

    def with_start() -> Generator[list[Example], None, None]:
        with contextlib.closing(windows):
            yield []
            yield from windows

    return prefetched(with_start(), 1, closing_seconds=CLOSING_SECONDS)


def on_host(values: Tensor, answers_of: Callable[[Tensor], list[Answer]]) -> Answers[Answer]:
    """What is to be made of values once they are on the CPU, for `answered_in_order`.

    Args:
        values: on any device, which may still be computing them.
        answers_of: makes the answers to a batch of them.
    """
    if values.device.type != "cuda":
        return answers_of(values.cpu())
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    is_there = torch.cuda.current_stream(values.device).record_event()

    def wait() -> list[Answer]:
        is_there.synchronize()
        # Memory that a GPU can write is scarce. NumPy copies without the threads of other cores,
        # which would be in the way of those that read the next window.
        return answers_of(torch.from_numpy(copy.numpy().copy()))

    return wait


def waited_for(answers: Answers[Answer]) -> list[Answer]:
    """The answers, when they are there."""
    return answers() if callable(answers) else answers


def _in_order(order: list[int], found: list[Answers[Answer]]) -> Iterator[Answer]:
    """Answers to batches of a window that was sorted, in the order before that."""
    answers = chain.from_iterable(map(waited_for, found))
    places = dict(zip(order, answers, strict=True))
    yield from (places[place] for place in range(len(order)))


def _grouped(
    examples: Iterable[Example], max_tokens: int, first_tokens: int | None = None
) -> Generator[list[Example], None, None]:
    """Cut a stream into lists of at most `max_tokens` tokens, or of one example.

    The first has at most `first_tokens`, where that is given.
    """
    most = max_tokens if first_tokens is None else first_tokens
    group: list[Example] = []
    tokens = 0
    for example in examples:
        length = len(example.input_ids)
        if group and tokens + length > most:
            yield group
            group, tokens, most = [], 0, max_tokens
        group.append(example)
        tokens += length
    if group:
        yield group
