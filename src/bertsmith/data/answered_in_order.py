"""Batches of sequences of about equal length out of a stream, and answers in the stream's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from bertsmith.data.chunked import until_error
from bertsmith.data.example import Example
from bertsmith.errors import BertsmithError, ConfigError

# Examples are sorted by length within this many batches: enough that those of a batch are about
# equally long, and little enough to hold and to wait for.
WINDOW_BATCHES = 64

Answer = TypeVar("Answer")


def answered_in_order(
    examples: Iterable[Example],
    answer: Callable[[list[Example]], list[Answer]],
    batch_tokens: int,
) -> Iterator[Answer]:
    """An answer for each example, in order, while they are being read; memory is bounded.

    Where an example cannot be had the answers to those before it are given before its error.

    Args:
        examples: read a window of batches ahead.
        answer: computes a batch of them.
        batch_tokens: the most tokens to compute at once, unless one example alone has more.

    Raises:
        ConfigError: `batch_tokens` is below 1.
    """
    if batch_tokens < 1:
        raise ConfigError(f"batch_tokens ({batch_tokens}) must be at least 1")
    errors: list[BertsmithError] = []
    for window in _grouped(until_error(examples, errors), WINDOW_BATCHES * batch_tokens):
        order = sorted(range(len(window)), key=lambda place: len(window[place].input_ids))
        answers: list[Answer] = []
        for batch in _grouped((window[place] for place in order), batch_tokens):
            answers += answer(batch)
        places = dict(zip(order, answers, strict=True))
        yield from (places[place] for place in range(len(window)))
    if errors:
        raise errors[0]


def _grouped(examples: Iterable[Example], max_tokens: int) -> Iterator[list[Example]]:
    """Cut a stream into lists of at most `max_tokens` tokens, or of one example."""
    group: list[Example] = []
    tokens = 0
    for example in examples:
        length = len(example.input_ids)
        if group and tokens + length > max_tokens:
            yield group
            group, tokens = [], 0
        group.append(example)
        tokens += length
    if group:
        yield group
